"""The record of a boot, and the data that must be restored when its process dies.

The record is in the state. A lock file in its folder shows whether a boot is alive: xlpy opens it and the emulator
inherits it, so the kernel releases it when the last of the two ends, however it ends. Until then no command touches
what is staged; afterwards any command may copy it back, as often as it takes.

A stage file has its name only once it is complete, and loses it only when all of it is on the media again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from pathlib import Path

from xlpy.boot.plan import GuestNvdimm, Stretch
from xlpy.boot.stage import bring_back
from xlpy.contexts import contextmanager, suppress
from xlpy.errors import Conflict, Constraint, StateError
from xlpy.private import folder, private
from xlpy.records import NamedTuple
from xlpy.table import BOOTS
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.hypervisor.domain import Vmce
    from xlpy.store import Store

LOCK = "lock"
MACHINE_CHECK = "machine-check"  # another command has one for the guest
ENDED = "ended"  # another command has asked the boot to end
BOARD = "board"  # vNVDIMMs by name: "plugged" with their address and size, "failed" with the reason
OUT = "out-"  # and the name of a vNVDIMM: a command, whose process number is in it, wants the guest to lose it
DEATH_SECONDS = 5.0  # how long an emulator may take to die after its xlpy
END_SECONDS = 60.0  # how long a boot that was asked to end may take to copy back

_DEFERRED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Record(NamedTuple):
    """One boot.

    domid, name: the domain. pid: of xlpy. folder: where its files are; keep: whether its RAM file outlives it.
    staged: the vNVDIMMs that live in a stage file meanwhile. busy: ranges, (start, end), in which the emulator may have
    other memory than the domain. recorded: whether a trace is made, which has the vNVDIMMs of the beginning only.
    """

    domid: int
    name: str
    pid: int
    folder: Path
    keep: bool
    staged: tuple[GuestNvdimm, ...]
    busy: tuple[tuple[int, int], ...] = ()
    recorded: bool = False

    def to_json(self) -> dict[str, Any]:
        """As the state keeps it."""
        staged = [
            [one.name, one.gpa, one.size, [[str(s.path), s.offset, s.length] for s in one.stretches], one.read_only]
            for one in self.staged
        ]
        fields = {"name": self.name, "pid": self.pid, "folder": str(self.folder), "keep": self.keep, "staged": staged}
        return {**fields, "busy": self.busy, "recorded": self.recorded}

    @classmethod
    def from_json(cls, domid: int, fields: dict[str, Any]) -> Record:
        """Read what ``to_json`` made."""
        staged = tuple(
            GuestNvdimm(
                name,
                gpa,
                size,
                tuple(Stretch(Path(path), offset, length) for path, offset, length in stretches),
                *read_only,
            )
            for name, gpa, size, stretches, *read_only in fields["staged"]
        )
        busy = tuple((start, end) for start, end in fields.get("busy", ()))
        recorded = fields.get("recorded", False)
        return cls(domid, fields["name"], fields["pid"], Path(fields["folder"]), fields["keep"], staged, busy, recorded)

    @property
    def alive(self) -> bool:
        """Whether its xlpy or its emulator still runs."""
        try:
            fd = os.open(self.folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False


def booted(store: Store, domid: int) -> Record | None:
    """The boot that runs a domain, or None.

    An emulator whose xlpy was killed dies by itself; until it has, this waits for it.
    """
    fields = store.table(BOOTS).get(str(domid))
    if fields is None:
        return None
    record = Record.from_json(domid, fields)
    deadline = time.monotonic() + DEATH_SECONDS
    while record.alive:
        if runs(record.pid) or time.monotonic() > deadline:
            return record
        time.sleep(0.02)  # its emulator is about to die
    return None


def refuse_booted(store: Store, domid: int) -> None:
    """Conflict when a domain is booted."""
    record = booted(store, domid)
    if record is not None:
        raise Conflict(
            f"{record.name} is booted by process {record.pid}",
            code="XLPY-BOOTED",
            hint=f"power its guest off, or end it: kill {record.pid}",
        )


@contextmanager
def session(store: Store, record: Record) -> Iterator[int]:
    """Run a domain inside: on record, with a folder; at the end staged data is back on the media, the folder gone.

    Signals that end the process wait until everything is in order.

    Args:
        store: the state; no transaction is open while the body runs.
        record: of this boot.

    Yields:
        a descriptor of the lock file, for the emulator to inherit.

    Raises:
        Conflict: the domain is booted already. Constraint: staged data could not be copied back; it is kept.
    """
    with store.transaction(f"booting {record.name}"):
        refuse_booted(store, record.domid)
        _recover_one(store, record.domid, _silent)
        lock = _make(record)
        store.table(BOOTS).put(str(record.domid), record.to_json())
    try:
        yield lock
    finally:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _DEFERRED)
        try:
            record = _now(store, record)
            _bring_back(record)
            with suppress(Conflict), store.transaction(f"ending the boot of {record.name}"):
                store.table(BOOTS).delete(str(record.domid))
            _clear(record)
        finally:
            os.close(lock)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def recover(store: Store, note: Callable[[str], None]) -> None:
    """Bring back what boots left that are no more. One query when there is none; call it without a transaction.

    Args:
        store: the state.
        note: called with what was done.

    Raises:
        Constraint: staged data could not be copied back; it is kept.
    """
    for domid in store.table(BOOTS).keys():  # noqa: SIM118 - a Table is not a dict
        if booted(store, int(domid)) is None:
            with store.transaction("repairing after a killed boot"):
                _recover_one(store, int(domid), note)


def deliver(record: Record, check: Vmce) -> None:
    """Leave a machine check for the boot's process, which has its emulator raise it."""
    with suppress(OSError):  # it has ended meanwhile
        leave(record.folder / MACHINE_CHECK, check._asdict())


def leave(path: Path, fields: dict[str, Any]) -> None:
    """Leave JSON for another process, which never sees half of it."""
    fresh = path.with_suffix(".new")
    with open(fresh, "w", encoding="ascii", opener=private) as file:
        json.dump(fields, file)
    fresh.replace(path)


def take_machine_check(folder: Path) -> dict[str, int] | None:
    """The machine check that was left for a boot, once."""
    path = folder / MACHINE_CHECK
    if not path.exists():
        return None
    try:
        check: dict[str, int] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    finally:
        path.unlink(missing_ok=True)
    return check


def end(store: Store, domid: int) -> None:
    """End the boot of a domain, if there is one, and wait until its data is back. Call it without a transaction.

    Raises:
        Conflict: it does not end.
    """
    record = booted(store, domid)
    if record is None:
        return
    with suppress(OSError):
        (record.folder / ENDED).touch()
    with suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGTERM)
    deadline = time.monotonic() + END_SECONDS
    while record.alive:
        if time.monotonic() > deadline:
            raise Conflict(f"{record.name}: process {record.pid} boots it and does not end", hint=f"kill {record.pid}")
        time.sleep(0.05)
    recover(store, _silent)


def remember(store: Store, domid: int, staged: tuple[GuestNvdimm, ...], busy: tuple[tuple[int, int], ...]) -> None:
    """Other vNVDIMMs are staged from now on, and other addresses are in use."""
    table = store.table(BOOTS)
    with store.transaction("changing the memory of a booted domain"):
        record = Record.from_json(domid, table.get(str(domid)))
        table.put(str(domid), record._replace(staged=staged, busy=busy).to_json())


def _now(store: Store, record: Record) -> Record:
    """The record as it is kept; as it was at the beginning when there is none any more."""
    try:
        fields = store.table(BOOTS).get(str(record.domid))
    except StateError:
        return record
    return record if fields is None else Record.from_json(record.domid, fields)


def runs(pid: int) -> bool:
    """Whether a process runs, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it belongs to another user
        return True
    return True


def _silent(_text: str) -> None:
    """The default callback: discard."""


def _recover_one(store: Store, domid: int, note: Callable[[str], None]) -> None:
    fields = store.table(BOOTS).get(str(domid))
    if fields is None:
        return
    record = Record.from_json(domid, fields)
    changed = _bring_back(record)
    store.table(BOOTS).delete(str(domid))
    _clear(record)
    note(f"repairing: the boot of {record.name} was killed; {changed} bytes of staged data are back on the media")


def _make(record: Record) -> int:
    """Make the folder and take its lock."""
    try:
        if not record.keep:  # what is there was left by a boot that was killed before it was on record
            shutil.rmtree(record.folder, ignore_errors=True)
        folder(record.folder)
        lock = private(record.folder / LOCK, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Conflict(f"{record.folder} is in use by another boot", hint="choose another directory") from None
    except OSError as error:
        raise Constraint(f"{record.folder}: {error.strerror}", hint="choose another with --memory-file-dir") from None
    return lock


def _bring_back(record: Record) -> int:
    """Copy what is staged to the media; how many bytes changed."""
    changed = 0
    for device in record.staged:
        stage = device.stage_file(record.folder)
        try:
            if stage.exists():
                changed += bring_back(device, record.folder)
        except OSError as error:
            raise Constraint(
                f"{device.name}: what the guest wrote is in {stage} and cannot be copied to the media: "
                f"{error.strerror}",
                code="XLPY-BOOT-STAGE",
                hint="correct that and run any xlpy command: it is copied then",
            ) from error
    return changed


def _clear(record: Record) -> None:
    """Remove the folder, but for a RAM file that is to be kept."""
    if not record.keep:
        shutil.rmtree(record.folder, ignore_errors=True)
        return
    for pattern in ("*.new", "*.smbios", BOARD, f"{OUT}*", LOCK, ENDED):
        for path in record.folder.glob(pattern):
            path.unlink(missing_ok=True)
