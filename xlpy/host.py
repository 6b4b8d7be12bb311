"""A whole host put together from its state directory, and the public Python API.

    host = Host.open(root)                      # made on first use from the default machine
    domid = host.create(load_config(text, "vm.cfg"))
    domain = host.domain("vm")
    domain.memory.read(gpa, 4096); domain.acpi_tables()

Actors are powered on only when somebody asks for them, so that a command pays for what it uses.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from xlpy.errors import ConfigError, Conflict, NotFound, StateError, UsageError, XlpyError
from xlpy.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.dom0.emulated import EmulatedDom0
    from xlpy.dom0.xenstore import XenStore
    from xlpy.hw.hardware import Hardware
    from xlpy.hw.machine import MachineSpec
    from xlpy.hypervisor.xen import Xen
    from xlpy.toolstack.config import DomainConfig
    from xlpy.toolstack.running import Running

MACHINE = "machine.yaml"
STATE = "state.db"
UNCLEAN = "unclean"  # present while a command changes media; left behind only by one that was killed


def _silent(_text: str) -> None:
    """The default listener: nobody."""


class Host:
    """One emulated host.

    Args:
        root: its state directory.
        note: told what happens, one line at a time.
    """

    def __init__(self, root: Path, note: Callable[[str], None] = _silent) -> None:
        self.root = root
        self.note = note
        self.store = Store(root / STATE)
        self._table = self.store.table("host")

    # -- making, opening, removing ------------------------------------------------------------------------------

    @staticmethod
    def directory(root: str | os.PathLike[str] | None = None) -> Path:
        """The state directory: ``root``, else ``XLPY_ROOT``, else ``$XDG_STATE_HOME/xlpy``, else ``~/.local/state/xlpy``."""
        chosen = root or os.environ.get("XLPY_ROOT")
        if chosen:
            return Path(chosen).absolute()
        state = os.environ.get("XDG_STATE_HOME")
        if not state:
            home = os.environ.get("HOME")
            if not home:
                raise UsageError(
                    "no state directory: neither HOME nor XDG_STATE_HOME nor XLPY_ROOT is set",
                    hint="name one: xlpy --root DIR ...",
                )
            state = os.path.join(home, ".local", "state")  # noqa: PTH118 - only joined, never touched here
        return Path(state, "xlpy").absolute()

    @classmethod
    def open(cls, root: str | os.PathLike[str] | None = None, note: Callable[[str], None] = _silent) -> Host:
        """Open the host in its state directory; make it from the default machine when there is none.

        Args:
            root: the state directory, see ``directory``.
            note: told what happens.

        Raises:
            StateError: the directory holds a damaged or foreign state. ConfigError: ``machine.yaml`` was changed.
        """
        where = cls.directory(root)
        if not (where / STATE).exists():
            return cls.make(where, None, note)
        host = cls(where, note)
        if not host._table.get("ready"):
            host.store.close()
            return cls.make(where, None, note)
        host._check_description()
        if (where / UNCLEAN).exists():
            host._repair()
        return host

    @classmethod
    def make(
        cls, root: str | os.PathLike[str] | None, machine: Path | None, note: Callable[[str], None] = _silent
    ) -> Host:
        """Make a host from a machine description and boot it: BIOS, Xen, Dom0.

        Args:
            root: the state directory, see ``directory``; it must be absent, empty, or left by an interrupted make.
            machine: the description; None takes the default machine.
            note: told what happens.

        Raises:
            ConfigError: the description is invalid. Conflict: a host is there already. MissingTool: no mke2fs.
        """
        from xlpy.hw.machine import default_machine_text, parse_machine

        where = cls.directory(root)
        text = machine.read_text(encoding="utf-8", errors="replace") if machine else default_machine_text()
        spec = parse_machine(text, str(machine or "the default machine"))
        where.mkdir(parents=True, exist_ok=True)
        strangers = {path.name for path in where.iterdir()} - {STATE, f"{STATE}-journal", "lock", MACHINE, "hw", "domains"}
        if strangers and not (where / STATE).exists():
            raise Conflict(
                f"{where} is not empty and holds no xlpy host (it has {sorted(strangers)[0]!r})",
                hint="choose an empty or new directory with --root",
            )
        host = cls(where, note)
        with host.store.transaction("making the host"):
            if host._table.get("ready"):  # another process was faster
                if machine is None:
                    return host
                raise Conflict(f"{where} holds a host already", hint="xlpy host reset, then xlpy host init again")
            note(f"making the host {spec.name!r} in {where}")
            try:
                host._power_on(text, spec)
            except BaseException:
                host._wipe(keep_media=False)
                raise
        return host

    def _power_on(self, text: str, spec: MachineSpec) -> None:
        from xlpy.dom0.emulated import EmulatedDom0
        from xlpy.firmware.bios import power_on
        from xlpy.hw.hardware import Hardware
        from xlpy.hw.machine import spec_to_json

        self._wipe(keep_media=False)
        (self.root / MACHINE).write_text(text, encoding="utf-8")
        self._table.put("machine", spec_to_json(spec))
        self._table.put("description", self._description())
        hw = self.hw = Hardware.create(self.root / "hw", spec)
        power_on(hw)
        self.xen.boot()
        self.dom0 = EmulatedDom0.boot(hw, self.xen.hypercalls(0), self.store, spec)
        hw.sync()
        self._table.put("ready", True)

    def _wipe(self, keep_media: bool) -> None:
        shutil.rmtree(self.root / "domains", ignore_errors=True)
        if not keep_media:
            shutil.rmtree(self.root / "hw", ignore_errors=True)
        (self.root / UNCLEAN).unlink(missing_ok=True)

    @classmethod
    def remove(cls, root: str | os.PathLike[str] | None = None) -> Path:
        """Remove the host: media, labels, domains and state, and nothing else in the directory.

        Returns:
            the state directory.

        Raises:
            NotFound: there is no host. Conflict: a command is using it.
        """
        where = cls.directory(root)
        if not (where / STATE).exists():
            raise NotFound(f"no host in {where}", hint="xlpy host init makes one")
        from xlpy.store import exclusive

        with exclusive(where / STATE, "removing the host"):
            for name in (STATE, f"{STATE}-journal", MACHINE, UNCLEAN):
                (where / name).unlink(missing_ok=True)
            for name in ("hw", "domains", "labels"):
                shutil.rmtree(where / name, ignore_errors=True)
        (where / "lock").unlink(missing_ok=True)
        return where

    def _description(self) -> str:
        return hashlib.sha256((self.root / MACHINE).read_bytes()).hexdigest()

    def _check_description(self) -> None:
        try:
            same = self._description() == self._table.get("description")
        except OSError:
            same = False
        if not same:
            raise ConfigError(
                f"{self.root / MACHINE} is not the description that this host was made from",
                code="XLPY-MACHINE-CHANGED",
                hint="put it back, or make the host anew: xlpy host reset --machine FILE",
            )

    # -- safety against being killed ----------------------------------------------------------------------------

    @contextmanager
    def change(self, what: str) -> Iterator[None]:
        """Everything that a command changes happens inside: one transaction, marked so that a kill is noticed.

        An expected failure (``XlpyError``) keeps what was recorded before it, because each actor has undone its own part
        and the log of what happened must stay.

        Args:
            what: told to other commands that wait.
        """
        failure: XlpyError | None = None
        with self.store.transaction(what):
            marker = self.root / UNCLEAN
            marker.write_text(f"{what} (pid {os.getpid()})\n")
            try:
                yield
            except XlpyError as error:
                failure = error
        marker.unlink(missing_ok=True)
        if failure is not None:
            raise failure

    def _repair(self) -> None:
        """A command was killed: its transaction is gone; take back what it left on media and in files."""
        with self.store.transaction("repairing after a killed command"):
            marker = self.root / UNCLEAN
            if not marker.exists():  # the command was alive and has ended by now
                return
            self.note(f"repairing: a command was killed: {marker.read_text().strip()}")
            alive = {str(domain.domid) for domain in self.xen.domains()}
            folder = self.root / "domains"
            for left in folder.iterdir() if folder.exists() else ():
                if left.name not in alive:
                    shutil.rmtree(left, ignore_errors=True)
            self.xen.repair()
            self.dom0.repair()
            marker.unlink(missing_ok=True)

    # -- the actors ---------------------------------------------------------------------------------------------

    @cached_property
    def spec(self) -> MachineSpec:
        """The machine as it was described."""
        from xlpy.hw.machine import spec_from_json

        stored = self._table.get("machine")
        if stored is None:
            raise StateError(f"{self.root}: no machine is recorded", hint="xlpy host reset")
        return spec_from_json(stored)

    @cached_property
    def hw(self) -> Hardware:
        """The powered machine."""
        from xlpy.hw.hardware import Hardware

        return Hardware.open(self.root / "hw", self.spec)

    @cached_property
    def xen(self) -> Xen:
        """The hypervisor."""
        from xlpy.hypervisor.xen import Xen

        return Xen(self.hw, self.store, self.root / "domains")

    @cached_property
    def dom0(self) -> EmulatedDom0:
        """The emulated Dom0 kernel."""
        from xlpy.dom0.emulated import EmulatedDom0

        return EmulatedDom0.open(self.hw, self.xen.hypercalls(0), self.store)

    @cached_property
    def xenstore(self) -> XenStore:
        """The store that toolstack, device model and firmware meet in."""
        from xlpy.dom0.xenstore import XenStore

        return XenStore(self.store)
