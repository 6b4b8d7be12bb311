"""A whole host put together from its state directory. ``xlpy.api`` has it with all other public names.

    with Host.open(root) as host:                   # made on first use from the default machine
        domid = host.create(load_config(text, "vm.cfg"))
        domain = host.domain("vm")                  # by name or domid
        domain.memory.read(gpa, 4096); domain.acpi_tables()

Actors are started on first use, so that a command pays only for what it uses.
"""

from __future__ import annotations

import os

from xlpy import statedir
from xlpy.actors import silent
from xlpy.contexts import contextmanager, nullcontext, suppress
from xlpy.domains import Domains
from xlpy.errors import Constraint
from xlpy.functions import partial
from xlpy.hw import power
from xlpy.statedir import READY, STATE
from xlpy.table import BOOTS
from xlpy.typing import TYPE_CHECKING
from xlpy.xen_version import DEFAULT, chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Self

    from xlpy.dom0.files.changes import Prepared
    from xlpy.dom0.nvdimm.nd.bus import Nd
    from xlpy.firmware.acpi.walk import Found
    from xlpy.hw.hardware import Hardware
    from xlpy.hw.machine import MachineSpec
    from xlpy.toolstack.backing.resolve import Resolved


class _Tried(Exception):
    """A dry run has come to its end."""


class Host(Domains):
    """One emulated host. See ``Actors`` for its parts and for how a change is made, ``Domains`` for domains.

    A domain is given by its name or its domid (a whole number, or its digits). At the end of a ``with`` block the host
    is let go of, as by ``close``; it and its domains live on in the state directory.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the host: its files are closed, and it is not to be used any more."""
        self.store.close()

    # -- making, opening, removing ------------------------------------------------------------------------------

    @staticmethod
    def directory(root: str | os.PathLike[str] | None = None) -> Path:
        """Where the state is: ``root``, ``XLPY_ROOT``, ``$XDG_STATE_HOME/xlpy``, or ``~/.local/state/xlpy``."""
        from pathlib import Path

        return Path(statedir.locate(root))

    @classmethod
    def exists(cls, root: str | os.PathLike[str] | None = None) -> bool:
        """Whether a host was made in the state directory, see ``directory``."""
        return statedir.made(statedir.locate(root))

    @classmethod
    def open(
        cls,
        root: str | os.PathLike[str] | None = None,
        note: Callable[[str], None] = silent,
        xen: str | None = None,
    ) -> Host:
        """Open the host in its state directory; make it from the default machine when there is none.

        Args:
            root: the state directory, see ``directory``.
            note: called with what happens.
            xen: the version of Xen that a host which is made gets; else ``XLPY_XEN`` or the first that is modelled.

        Raises:
            StateError: the directory holds a damaged or foreign state. ConfigError: ``machine.yaml`` was changed.
        """
        where = statedir.locate(root)
        if os.path.exists(os.path.join(where, READY)):
            from xlpy.replacing import finish

            finish(where)
        host = cls(where, note) if statedir.has_content(os.path.join(where, STATE)) else None
        if host is None or not host._table.get("ready"):
            from xlpy import making

            if host:
                host.store.close()
            return making.resume(partial(cls, xen=xen), cls.directory(where), note)
        statedir.warn_if_open(where, note)
        statedir.check_description(where, host._table.get("description", ""))
        if host.store.table(BOOTS).keys():
            from xlpy.boot.session import recover

            recover(host.store, note)
        try:
            host.repair()
        except Constraint as error:  # no space, or no right to write: what is committed can be read all the same
            note(f"warning: what an interrupted command left cannot be repaired yet: {error}")
        power.require_power(where)
        return host

    @classmethod
    def make(
        cls,
        root: str | os.PathLike[str] | None,
        machine: Path | None,
        note: Callable[[str], None] = silent,
        *,
        anew: bool = False,
        xen: str | None = None,
    ) -> Host:
        """Make a host from a machine description and boot it: BIOS, Xen, Dom0.

        Args:
            root: the state directory, see ``directory``; it must be absent, empty, or left by an interrupted make.
            machine: the description; None takes the default machine.
            note: called with what happens.
            anew: replace the host that is there, with its media; it stays as it is until the new one is whole.
            xen: as for ``open``.

        Raises:
            ConfigError: the description is invalid. Conflict: a host is there already. MissingTool: no mke2fs.
        """
        from xlpy import making

        kind = partial(cls, xen=xen)
        return making.make(kind, cls.directory(root), *making.read(machine), note, anew=anew)

    @classmethod
    def restart(
        cls, root: str | os.PathLike[str] | None, note: Callable[[str], None] = silent, xen: str | None = None
    ) -> Host:
        """Start Xen and Dom0 anew on the media and labels that are there: all domains are gone, their data is not.

        When it fails, or is killed, the host is as it was before.

        Raises:
            NotFound: there is no host. ConfigError: ``machine.yaml`` is damaged.
        """
        from xlpy import making

        return making.restart(partial(cls, xen=xen), cls.directory(root), note)

    def power_on(self, hw: Hardware, spec: MachineSpec) -> None:
        """Boot BIOS, Xen and Dom0 on hardware that was just made, or kept its media."""
        from time import time

        from xlpy.dom0.emulated import EmulatedDom0
        from xlpy.firmware.bios import power_on

        self.hw = hw
        power_on(hw)
        self.xen.boot(chosen(self._wanted) or DEFAULT)
        self.dom0 = EmulatedDom0.boot(hw, self.xen.hypercalls(0), self.store, spec)
        self.lifecycle.start(time())
        hw.sync()

    @classmethod
    def remove(cls, root: str | os.PathLike[str] | None = None) -> Path:
        """Remove the host: media, labels, domains and state, and nothing else in the directory.

        Returns:
            the state directory.

        Raises:
            NotFound: there is no host. Conflict: a command is using it.
        """
        from xlpy.replacing import remove

        where = cls.directory(root)
        remove(where)
        return where

    @staticmethod
    def describe(machine: Path | None) -> MachineSpec:
        """Read and check a machine description, or the default one, without making anything. ConfigError: invalid."""
        from xlpy.hw.describe import parse_machine
        from xlpy.making import read

        return parse_machine(*read(machine))

    # -- Dom0 and the host --------------------------------------------------------------------------------------

    def acpi_tables(self) -> list[Found]:
        """The host's own ACPI tables, found in host memory from the RSDP on."""
        from xlpy.addr import Spa
        from xlpy.firmware.acpi.walk import find_rsdp, walk

        def read(address: int, length: int) -> bytes:
            return self.hw.read(Spa(address), length)

        return walk(read, find_rsdp(read))

    @contextmanager
    def manage(self, what: str, dry_run: bool = False) -> Iterator[Nd]:
        """Dom0's nd bus, to change its DIMMs, regions and namespaces; all of it stays or, after an error, nothing.

        In the end block devices follow, and namespaces that came and went are reported to Xen.

        Args:
            what: shown to other commands that wait.
            dry_run: everything is tried, and rolled back in the end.

        Raises:
            NdError: what the kernel refuses, unless it is caught inside. HypercallError: Xen does not let a device go.
        """
        from xlpy.dom0.nvdimm.pmemreport import OnDemand

        with suppress(_Tried), self.change(what):
            with self.buses.managing(OnDemand(lambda: self.xen.hypercalls(0))) as nd:
                yield nd
            if dry_run:
                self.store.drop_survivors()
                raise _Tried

    def mkfile(self, path: str, size: int, dry_run: bool = False) -> None:
        """Make a new, fully written file on a DAX file system of Dom0."""
        with nullcontext() if dry_run else self.change(f"making {path}"):
            self.dom0.mkfile(path, size, dry_run=dry_run)

    def prepare(self, path: str, dry_run: bool = False) -> Prepared:
        """Allocate and zero what a file lacks."""
        found = self.dom0.prepare(path, dry_run=True)
        if found.zeroed and not dry_run:
            with self.change(f"preparing {path}"):
                return self.dom0.prepare(path)
        return found

    def resolve(self, path: str, read_only: bool = False) -> Resolved:
        """The host physical extents behind a device or file of Dom0.

        Raises:
            NotFound: no such path. Conflict: it is in use. Unsafe, Constraint: a guest could not have it.
        """
        from xlpy.toolstack.backing.resolve import resolve

        return resolve(self.dom0, path, read_only)

    def dmesg(self, clear: bool = False) -> list[str]:
        """The hypervisor's log, oldest line first."""
        lines = self.xen.console.lines()
        if clear:
            with self.store.transaction("clearing the log"):
                self.xen.console.clear()
        return lines
