"""Making a host, restarting one on its media, and completing either after a killed command.

``Host`` has the ways in; this is what they do with it. No other command reads it.
"""

from __future__ import annotations

from xlpy import limits, replacing, statedir
from xlpy.contexts import suppress
from xlpy.errors import Conflict, NotFound, StateError, XlpyError
from xlpy.hw import power
from xlpy.inputs import read_file
from xlpy.statedir import DEFAULT, MACHINE, MAKING, STATE
from xlpy.typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from xlpy.hw.hardware import Hardware
    from xlpy.hw.machine import MachineSpec
    from xlpy.store import Store

    Maker = Callable[[Path, Callable[[str], None]], "H"]  # the class of the host


class Unpowered(Protocol):
    """A host as far as it is there before its power is switched on."""

    store: Store

    def power_on(self, hw: Hardware, spec: MachineSpec) -> None:
        """Boot BIOS, Xen and Dom0."""

    def change(self, what: str) -> AbstractContextManager[None]:
        """All or nothing."""

    def repair(self) -> None:
        """Take back what a killed command left."""

    def release(self) -> None:
        """End all holds of files."""

    def release_lost(self) -> None:
        """End those of a state that is lost."""


H = TypeVar("H", bound=Unpowered)


def read(machine: Path | None) -> tuple[str, str]:
    """A machine description, or the default one: its text, and its name in messages. Errors as ``read_file``."""
    from xlpy.hw.describe import default_machine_text

    if machine is None:
        return default_machine_text(), DEFAULT
    return read_file(machine, limits.MACHINE).decode("utf-8", "replace"), str(machine)


def resume(kind: Maker[H], where: Path, note: Callable[[str], None]) -> H:
    """Make the default host, or finish what a killed ``make`` or ``restart`` began."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return make(kind, where, (where / MAKING).read_text(encoding="utf-8"), str(where / MAKING), note, join=True)
    if (where / "hw").exists() and statedir.has_content(str(where / STATE)):
        return _start(kind, where, note)
    return make(kind, where, *read(None), note, join=True)


def make(
    kind: Maker[H],
    where: Path,
    text: str,
    source: str,
    note: Callable[[str], None],
    *,
    anew: bool = False,
    join: bool = False,
) -> H:
    """As ``Host.make``.

    Args:
        kind: the class of the host.
        where: its state directory.
        text, source: the description, and its name in messages.
        note: called with what happens.
        anew: remove the host that is there first.
        join: it is no conflict when another process has just made one.
    """
    from xlpy.hw.describe import parse_machine

    spec = parse_machine(text, source)
    replacing.prepare(where, anew)
    if anew:
        with replacing.replacing(where, "replacing the host") as new:
            make(kind, new, text, source, note).store.close()
        return kind(where, note)
    host = kind(where, note)
    with host.store.transaction("making the host"):
        if host.store.table("host").get("ready"):  # another process was faster
            if join:
                return host
            raise Conflict(f"{where} holds a host already", hint="replace it with: xlpy host reset --machine FILE")
        replacing.refuse_media(where)
        note(f"making the host {spec.name!r} in {where.parent if where.name == statedir.NEXT else where}")
        replacing.announce(where, text)
        try:
            _power_on(host, where, text, spec)
        except BaseException:
            replacing.wipe(where, keep_media=False)
            if not (where / "hw").exists():  # else the next command must know what to begin anew
                (where / MAKING).unlink(missing_ok=True)
            raise
    return host


def restart(kind: Maker[H], where: Path, note: Callable[[str], None]) -> H:
    """As ``Host.restart``."""
    from xlpy.hw.hardware import Hardware

    if not (where / "hw").exists() or (where / MAKING).exists():
        raise NotFound(f"no host with media in {where}", hint="xlpy host reset makes one")
    text, spec = replacing.description(where)
    host = None
    if statedir.has_content(str(where / STATE)):
        replacing.end_boots(where / STATE)
        try:
            host = kind(where, note)
            host.store.require_sound()
        except StateError as error:
            note(f"the state is lost: {error}")
            if host is not None:
                host.store.close()
                host = None
            replacing.void(where, "restarting the host")
    if host is None or not host.store.table("host").get("ready"):
        return _start(kind, where, note)
    try:
        host.repair()
    except XlpyError as error:  # all of it is made anew anyway
        note(f"what an interrupted command left cannot be repaired: {error}")
        (where / statedir.UNCLEAN).unlink(missing_ok=True)
    note(f"restarting the host {spec.name!r} in {where}")
    with host.change("restarting the host"):
        try:
            host.release()
        except StateError as error:
            note(f"who held which file is lost: {error}")
        # the boot goes on writing to the console; the edits that have ended the holds are of this transaction
        host.store.clear("xen.console", "dom0.edits")
        _record(host, text, spec)
        host.power_on(Hardware.open(where, spec), spec)
        host.release_lost()
        host.store.table("host").put("ready", True)
    power.switch(where, on=True)
    return host


def _start(kind: Maker[H], where: Path, note: Callable[[str], None]) -> H:
    """Power on a machine whose media are there, unless another process has done it."""
    text, spec = replacing.description(where)
    host = kind(where, note)
    with host.store.transaction("restarting the host"):
        if not host.store.table("host").get("ready"):
            note(f"restarting the host {spec.name!r} in {where}")
            _power_on(host, where, text, spec, keep_media=True)
    with host.change("releasing files that domains held"):
        host.release_lost()
    power.switch(where, on=True)
    return host


def _power_on(host: Unpowered, where: Path, text: str, spec: MachineSpec, keep_media: bool = False) -> None:
    from xlpy.hw.hardware import Hardware

    replacing.wipe(where, keep_media)
    replacing.write(where / MACHINE, text)
    _record(host, text, spec)
    host.power_on(Hardware.open(where, spec) if keep_media else Hardware.create(where, spec), spec)
    (where / MAKING).unlink(missing_ok=True)  # from here on the media are kept
    host.store.table("host").put("ready", True)


def _record(host: Unpowered, text: str, spec: MachineSpec) -> None:
    from xlpy.hw.machine import spec_to_json

    host.store.table("host").put("machine", spec_to_json(spec))
    host.store.table("host").put("description", text)
