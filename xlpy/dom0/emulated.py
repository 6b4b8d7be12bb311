"""The emulated Dom0: a kernel for the emulated machine's persistent memory, without a kernel.

At host initialisation it probes the NFIT, makes namespaces, partitions and file systems, and reports to Xen. Later
commands load what was found then from the state, but look at the info blocks on media again: a namespace whose block is
damaged is disabled, and what lies on it cannot be used.

Here its parts are put together: what is read (``files.vfs``), devices that come and go (``discovery``), memory errors
(``nvdimm.scrub``), changes of files (``files.changes``) and holds on them (``files.pinning``).
"""

from __future__ import annotations

from xlpy.dom0.files.vfs import Vfs
from xlpy.functions import cached_property
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.addr import Spa, Span
    from xlpy.dom0.ext4.inode import Inode
    from xlpy.dom0.files.changes import FileChanges, Prepared
    from xlpy.dom0.files.edits import Edits
    from xlpy.dom0.files.pinning import Pinning
    from xlpy.dom0.kernel import Mount
    from xlpy.dom0.nvdimm.pmemreport import PmemHypercalls, PmemReport
    from xlpy.hw.hardware import Hardware
    from xlpy.hw.machine import MachineSpec, NamespaceSpec, SetSpec
    from xlpy.store import Store


class EmulatedDom0(Vfs):
    """Implements ``kernel.Dom0`` for the emulated host.

    Args:
        hw: the machine.
        store: the host's state; tables ``dom0``, those of ``Pins``, and ``dom0.edits``. Writers hold a transaction.
    """

    @classmethod
    def boot(cls, hw: Hardware, xen: PmemHypercalls, store: Store, spec: MachineSpec) -> EmulatedDom0:
        """Start Dom0 for the first time and set it up as described.

        Args:
            hw: the machine, its firmware having run.
            xen: hypercalls on behalf of Dom0.
            store: where the findings are kept; the caller holds a transaction.
            spec: of which ``namespaces`` (and the bases of ``sets``, to tell the regions apart) say what to set up.

        Raises:
            FormatError: the firmware's tables. Constraint, Conflict: the description asks for what cannot be.
        """
        from xlpy.dom0.discovery import boot

        made = cls(hw, store)
        made.edits.pending = True  # by the one before it, whose holds have ended
        boot(made, xen, spec)
        return made

    @classmethod
    def open(cls, hw: Hardware, store: Store) -> EmulatedDom0:
        """The Dom0 that ``boot`` started; everything is read on first use."""
        return cls(hw, store)

    # --- its parts -------------------------------------------------------------------------------------------------

    @cached_property
    def edits(self) -> Edits:
        """What changes file systems."""
        from xlpy.dom0.files.edits import Edits

        return Edits(self)

    @cached_property
    def pinning(self) -> Pinning:
        """Who holds what."""
        from xlpy.dom0.files.pinning import Pinning

        return Pinning(self, self.edits)

    @cached_property
    def changes(self) -> FileChanges:
        """System calls that change files."""
        from xlpy.dom0.files.changes import FileChanges

        return FileChanges(self, self.edits, self.pinning)

    # --- what was found --------------------------------------------------------------------------------------------

    @cached_property
    def reports(self) -> tuple[PmemReport, ...]:
        """What was reported to Xen, and its answers."""
        from xlpy.dom0.nvdimm.pmemreport import PmemReport

        return tuple(PmemReport(*values) for values in self._load("reports"))

    @property
    def problems(self) -> list[str]:
        """What was odd at boot: firmware tables, partition tables."""
        return list(self._load("problems"))

    def list_namespaces(self) -> list[dict[str, Any]]:
        """Every namespace, in ndctl's words and order of keys, then ours.

        Ours: ``resource`` (first address of the data, None in sector mode), ``reserved`` (bytes set aside for Xen),
        ``registered`` and, if not, ``reason``; ``users`` (who holds it or files on it), ``uses`` (what Dom0 itself
        does with it: ``dm-0``, ``swap``, ``loop0``), ``mounts``, ``problem``.
        """
        from xlpy.dom0.files.pins import Pins
        from xlpy.dom0.nvdimm.ndctl import namespace_object

        found, pins = [], Pins(self.store)
        inside = [(self._disk_of(use), use.dev or use.kind) for use in self.uses]
        for one, verdict in zip(self.namespaces, self.reports, strict=True):
            item = namespace_object(one)
            item["resource"] = None if one.mode == "sector" else one.data.start
            item["reserved"] = one.reserve.size if one.reserve else 0
            item["registered"] = verdict.registered
            if verdict.reason:
                item["reason"] = verdict.reason
            item["users"] = pins.users(one.span)
            uses = dict.fromkeys(name for disk, name in inside if disk == one.disk)
            if uses:
                item["uses"] = list(uses)
            if one.char:
                item["chardev"] = one.char
            names = {f"/dev/{device.name}" for device in self.devices if device.namespace == one.dev}
            item["mounts"] = [m.mountpoint for m in self.disk_mounts if m.device in names]
            if one.problem:
                item["problem"] = one.problem
            found.append(item)
        return found

    def files(self, mount: Mount) -> Iterator[tuple[str, Inode]]:
        """Path and inode of every regular file on a mount."""
        for path, inode in self.image(mount).walk():
            yield f"{mount.mountpoint}{path}", inode

    # --- devices ---------------------------------------------------------------------------------------------------

    def rescan(
        self, xen: PmemHypercalls, sets: Sequence[SetSpec] = (), namespaces: Sequence[NamespaceSpec] = ()
    ) -> list[str]:
        """Notification 0x80; as ``discovery.rescan``."""
        from xlpy.dom0.discovery import rescan

        return rescan(self, xen, sets, namespaces)

    def scrub(self, xen: PmemHypercalls) -> list[Span[Spa]]:
        """Notification 0x81; as ``nvdimm.scrub.scrub``."""
        from xlpy.dom0.nvdimm.scrub import scrub

        return scrub(self.hw, self.bus, self.bad, xen)

    def clear_error(self, span: Span[Spa], xen: PmemHypercalls) -> int:
        """As ``nvdimm.scrub.clear``."""
        from xlpy.dom0.nvdimm.scrub import clear

        return clear(self.hw, self.bad, span, xen)

    def unmount(self, span: Span[Spa]) -> None:
        """umount(8) -l of all file systems in a span."""
        gone = {f"/dev/{device.name}" for device in self.devices if device.window.overlaps(span)}
        self.put_mounts(one for one in self.disk_mounts if one.device not in gone)

    def set_options(self, mount: Mount, options: tuple[str, ...]) -> None:
        """Mount a file system with other options."""
        self.put_mounts(one._replace(options=options) if one == mount else one for one in self.disk_mounts)

    # --- files -----------------------------------------------------------------------------------------------------

    def mkfile(self, path: str, size: int, state: str = "written", dry_run: bool = False) -> None:
        """Make a new file, every block of it written with zeros, and the directories above it.

        Args:
            path: on a mounted file system; must not exist yet.
            size: bytes, at least 1.
            state: as ``Ext4Editor.mkfile``.
            dry_run: only check.

        Raises:
            Conflict: it exists. Constraint: no space, or not on a file system. As ``Ext4Editor`` otherwise.
        """
        self.changes.mkfile(path, size, state, dry_run)

    def prepare(self, path: str, dry_run: bool = False) -> Prepared:
        """Make every block of a file allocated and written; existing data stays.

        Raises:
            Conflict: a domain holds it and something would have to change. As ``Ext4Editor.prepare`` otherwise.
        """
        return self.changes.prepare(path, dry_run)

    def truncate(self, path: str, size: int) -> None:
        """truncate(2). Conflict (EPERM) while a domain holds the file."""
        self.changes.truncate(path, size)

    def punch(self, path: str, start: int, length: int) -> None:
        """fallocate(2) with FALLOC_FL_PUNCH_HOLE, whole blocks. Conflict (EPERM) while a domain holds the file."""
        self.changes.punch(path, start, length)

    def unlink(self, path: str) -> None:
        """unlink(2). Conflict (EPERM) while a domain holds the file."""
        self.changes.unlink(path)

    # --- holds -----------------------------------------------------------------------------------------------------

    def pin(self, path: str, owner: str) -> None:
        """As ``kernel.Dom0.pin``, and as ``Pinning.pin``."""
        self.pinning.pin(path, owner)

    def unpin(self, path: str, owner: str) -> None:
        """As ``kernel.Dom0.unpin``."""
        self.pinning.unpin(path, owner)

    def check_pinned(self, path: str) -> None:
        """As ``kernel.Dom0.check_pinned``. NotFound when the path is not held."""
        self.pinning.check(path)

    def release(self, owner: str | None = None) -> None:
        """Remove all pins of an owner, or of all owners, whatever has happened to the files."""
        self.pinning.release(owner)

    def holder(self, path: str) -> str | None:
        """Who holds a path, or None."""
        from xlpy.dom0.files.pins import Pins

        return Pins(self.store).holder(self.clean(path))

    def release_lost(self) -> None:
        """Remove the pins of a lost state: those that their copy lists."""
        self.pinning.release_lost()

    # --- the end of a transaction ----------------------------------------------------------------------------------

    def _changed(self) -> None:
        super()._changed()
        self.__dict__.pop("reports", None)

    def take_back(self) -> None:
        """Take back the edits of file systems that the store does not have."""
        self.edits.take_back()

    def repair(self) -> None:
        """After a command was killed: complete or undo its edits of file systems; the cost depends on these alone."""
        self.edits.recover()
        self.pinning.recover()

    def settle(self) -> None:
        """The transaction is committed: its edits are final."""
        if "edits" in self.__dict__:
            self.edits.settle()
        if "pinning" in self.__dict__:
            self.pinning.settle()
