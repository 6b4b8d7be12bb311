"""The emulated Dom0: a kernel for the emulated machine's persistent memory, without a kernel.

At host initialisation it probes the NFIT, makes namespaces, partitions and file systems, and reports to Xen. Later
commands load what was found then from the state, but look at the info blocks on media again: a namespace whose block is
damaged is disabled, and what lies on it cannot be used.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property

from xlpy.addr import Spa, Span, align_up
from xlpy.dom0.files.buses import DriverMemory
from xlpy.dom0.files.holds import Hold, Holds
from xlpy.dom0.files.pins import Pin, Pins, digest
from xlpy.dom0.files.vfs import Vfs
from xlpy.errors import Conflict, Constraint, FormatError, NotFound, Unsafe
from xlpy.rangemap import RangeMap
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xlpy.dom0.ext4.edit import Ext4Editor
    from xlpy.dom0.ext4.inode import Inode
    from xlpy.dom0.ext4.inplace import InPlace
    from xlpy.dom0.kernel import Mount
    from xlpy.dom0.nvdimm.driver import Bus
    from xlpy.dom0.nvdimm.nd.bus import Nd
    from xlpy.dom0.nvdimm.nd.dimm import Nvdimm
    from xlpy.dom0.nvdimm.nd.region import NdRegion
    from xlpy.dom0.nvdimm.pmemreport import PmemHypercalls, PmemReport
    from xlpy.hw.hardware import Hardware
    from xlpy.hw.machine import MachineSpec, NamespaceSpec, SetSpec
    from xlpy.store import Store


class Prepared(NamedTuple):
    """What ``prepare`` did, in bytes: the file's size, and how much of it had to be zeroed."""

    size: int
    zeroed: int


class EmulatedDom0(Vfs):
    """Implements ``kernel.Dom0`` for the emulated host.

    Args:
        hw: the machine.
        store: the host's state; tables ``dom0``, those of ``Pins``, and ``dom0.edits``. Writers hold a transaction.
    """

    def __init__(self, hw: Hardware, store: Store) -> None:
        super().__init__(hw, store)
        self._pins = Pins(store)
        self._edits = store.table("dom0.edits")
        self._edited = False  # in this transaction
        self._holds = Holds(hw.beside("hw", "holds"))  # with what is held or let go in this transaction
        self._moved: dict[Hold, str] = {}

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
        from xlpy.dom0.bring_up import write_table
        from xlpy.dom0.files.usage_described import described_uses
        from xlpy.dom0.nvdimm import enabled
        from xlpy.dom0.nvdimm.probe import probe
        from xlpy.dom0.nvdimm.provision import label, provide

        made = cls(hw, store)
        made._edited = True  # by the one before it, whose holds have ended
        bus = probe(lambda address, length: hw.read(Spa(address), length), hw.memory_map())
        for key in ("nd", *made._table.keys("nd.")):
            made._table.delete(key)
        made._table.put("bus", bus.dump())
        for key in ("namespaces", "devices", "reports", "mounts"):
            made._table.put(key, [])
        made.scrub(xen)
        nd = made.nd
        handles = {dimm.id: dimm.handle for dimm in spec.dimms}
        formats = {handles[name]: int(one.labels[-1]) for one in spec.sets if one.labels for name in one.dimms}
        unused = label(nd, formats)
        fresh = {one.name for one in spec.sets if unused & {handles[name] for name in one.dimms}}
        nd.probe()
        regions = {region.resource: region for region in nd.regions}
        bases = {one.name: one.base for one in spec.sets}
        specs: dict[tuple[int, int], NamespaceSpec] = {}  # by region and number of the namespace
        seen: dict[str, int] = {}
        for one in spec.namespaces:
            region = regions.get(bases[one.region])
            if region is None:
                base = bases[one.region]
                raise Constraint(f"the firmware describes no persistent memory at {base:#x}, a namespace needs it")
            place = seen[one.region] = seen.get(one.region, -1) + 1
            made_so = provide(region, one, place, one.region in fresh)
            if made_so is not None:
                specs[region.number, made_so.id] = one
        media = DriverMemory(hw)
        for region in nd.regions:
            for found in enabled.namespaces(region):
                wanted = specs.get((region.number, found.id))
                if wanted and not found.problem:
                    write_table(media, found, wanted.partitions)
        problems = made._publish(xen)
        disabled = [one.problem for one in made.namespaces if one.problem]
        made._table.put("problems", [*bus.problems, *nd.messages, *problems, *disabled])
        made._table.put("mounts", list(made._mount_all(specs)))
        made.__dict__.pop("disk_mounts", None)
        made._table.put("uses", [list(use) for use in described_uses(spec, made)])
        return made

    @classmethod
    def open(cls, hw: Hardware, store: Store) -> EmulatedDom0:
        """The Dom0 that ``boot`` started; nothing is read before it is asked for."""
        return cls(hw, store)

    def _mount_all(self, wanted: Mapping[tuple[int, int], NamespaceSpec]) -> Iterator[Mount]:
        """Make and mount the file systems that namespaces, by region and number, ask for."""
        from xlpy.dom0.bring_up import make_filesystem

        for device in self.devices:
            namespace = self.namespace_of(device)
            spec = wanted.get((namespace.region, namespace.id))
            if spec is None:
                continue
            owner = spec.partitions[device.partition - 1] if device.partition else spec
            if owner.filesystem:
                wanted_so = owner.filesystem.read_only or self.bus.region(namespace.region).read_only
                yield make_filesystem(self._hw, device, owner.filesystem._replace(read_only=wanted_so))

    @cached_property
    def reports(self) -> tuple[PmemReport, ...]:
        """What Xen was told, and what it said."""
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
        from xlpy.dom0.nvdimm.ndctl import namespace_object

        found = []
        inside = [(self._disk_of(use), use.dev or use.kind) for use in self.uses]
        for one, verdict in zip(self.namespaces, self.reports, strict=True):
            item = namespace_object(one)
            item["resource"] = None if one.mode == "sector" else one.data.start
            item["reserved"] = one.reserve.size if one.reserve else 0
            item["registered"] = verdict.registered
            if verdict.reason:
                item["reason"] = verdict.reason
            item["users"] = self._pins.users(one.span)
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

    def _changed(self) -> None:
        for name in ("namespaces", "devices", "_sysfs", "reports"):
            self.__dict__.pop(name, None)

    # --- DIMMs that come and go --------------------------------------------------------------------------------------

    def rescan(
        self, xen: PmemHypercalls, sets: Sequence[SetSpec] = (), namespaces: Sequence[NamespaceSpec] = ()
    ) -> list[str]:
        """Notification 0x80: evaluate ``_FIT``, let go of regions that are not in it, take up those that are new.

        Args:
            xen: hypercalls on behalf of Dom0.
            sets, namespaces: of what is new, the labels and namespaces that an administrator makes at once.

        Returns:
            the names of new regions.

        Raises:
            FormatError: ``_FIT``. NdError: a region that is gone is used. Constraint: a namespace does not fit.
        """
        from xlpy.dom0.nvdimm.rescan import bus_now

        old = self.bus
        new = bus_now(self._hw, old)
        same = {(one.number, one.span, one.cookie1) for one in new.regions}
        for gone in old.regions:
            region = self.nd.region(gone.dev)
            if (gone.number, gone.span, gone.cookie1) not in same and region.bound:
                region.unbind()
        stay = {one.dev for one in old.regions} & {one.dev for one in new.regions}
        nd = self._renew_nd(old, new)
        unused = self._label(nd, sets)
        for dimm in nd.dimms:
            if dimm.info not in old.dimms:
                _bind(nd, dimm)
        fresh = [region for region in nd.regions if region.dev not in stay]
        for region in fresh:
            _bind(nd, region)
        specs = self._provide(fresh, sets, namespaces, unused)
        self._publish(xen)
        if specs:
            self._table.put("mounts", [*self._load("mounts"), *self._mount_all(specs)])
            self.__dict__.pop("disk_mounts", None)
        return [region.dev for region in fresh]

    def _renew_nd(self, old: Bus, new: Bus) -> Nd:
        """The nd bus with other devices: those that stay keep what the kernel knows of them."""
        known, touched = {dimm.dev: dimm.dump() for dimm in self.nd.dimms}, set(self.nd.touched)
        self._table.put("bus", new.dump())
        self._table.put("nd", {"dimms": []})
        for one in old.regions:
            if one not in new.regions:
                self._table.delete(f"nd.{one.dev}")
        for name in ("bus", "nd", "_sysfs"):
            self.__dict__.pop(name, None)
        self.nd.touched |= touched
        for dimm in self.nd.dimms:
            if dimm.info in old.dimms:
                dimm.load(known[dimm.dev])
        return self.nd

    def _label(self, nd: Nd, sets: Sequence[SetSpec]) -> set[int]:
        """Initialise the label areas of new sets that are to have labels; the handles of those that had none."""
        from xlpy.dom0.nvdimm.provision import label

        handles = {dimm.id: dimm.handle for dimm in self._hw.spec.dimms}
        return label(nd, {handles[name]: int(one.labels[-1]) for one in sets if one.labels for name in one.dimms})

    def _provide(
        self,
        regions: Sequence[NdRegion],
        sets: Sequence[SetSpec],
        namespaces: Sequence[NamespaceSpec],
        unused: set[int],
    ) -> dict[tuple[int, int], NamespaceSpec]:
        """Make namespaces on new regions, and partition tables on them; each by region and number."""
        from xlpy.dom0.bring_up import write_table
        from xlpy.dom0.nvdimm import enabled
        from xlpy.dom0.nvdimm.provision import provide

        handles = {dimm.id: dimm.handle for dimm in self._hw.spec.dimms}
        named = {one.name: one for one in sets}
        at = {int(region.resource): region for region in regions}
        specs: dict[tuple[int, int], NamespaceSpec] = {}
        seen: dict[str, int] = {}
        for one in namespaces:
            home = named[one.region]
            place = seen[one.region] = seen.get(one.region, -1) + 1
            made = provide(at[int(home.base)], one, place, bool(unused & {handles[name] for name in home.dimms}))
            if made is not None:
                specs[made.region.number, made.id] = one
        media = DriverMemory(self._hw)
        for region in regions:
            for found in enabled.namespaces(region):
                spec = specs.get((region.number, found.id))
                if spec and not found.problem:
                    write_table(media, found, spec.partitions)
        return specs

    def unmount(self, span: Span[Spa]) -> None:
        """umount(8) -l of all file systems that lie in a span."""
        gone = {f"/dev/{device.name}" for device in self.devices if device.window.overlaps(span)}
        self._table.put("mounts", [list(one) for one in self.disk_mounts if one.device not in gone])
        self.__dict__.pop("disk_mounts", None)

    # --- memory errors ---------------------------------------------------------------------------------------------

    def scrub(self, xen: PmemHypercalls) -> list[Span[Spa]]:
        """Scrub all persistent memory, as at boot and on notification 0x81; Xen is told of what is found.

        Returns:
            the errors that were not known before.
        """
        from xlpy.firmware.bios_errors import ErrorFunctions

        platform = ErrorFunctions(self._hw)
        found = [bad for region in self.bus.regions for bad in platform.scrub(region.span)]
        known = RangeMap((span.start, span.end, None) for span in self.bad)
        gaps = [gap for bad in found for gap in known.gaps(bad.start, bad.end)]
        self.bad.scrubbed(found)
        if found:
            xen.platform_pmem_bad(found)
        return [Span.between(Spa(start), Spa(end)) for start, end in gaps]

    def clear_error(self, span: Span[Spa], xen: PmemHypercalls) -> int:
        """Clear the errors of a range; what its bad lines held is lost, and Xen may map its pages again.

        Returns:
            bytes that were bad and are not any more.

        Raises:
            Constraint: not persistent memory of one region, or not in the platform's units.
        """
        from xlpy.firmware.bios_errors import ErrorFunctions

        cleared = ErrorFunctions(self._hw).clear(span)
        xen.platform_pmem_clear(span)
        self.bad.forget(span)
        return cleared

    # --- changing files --------------------------------------------------------------------------------------------

    def _editor(self, mount: Mount) -> Ext4Editor:
        """An editor of the file system on a mount."""
        from xlpy.dom0.ext4.edit import Ext4Editor

        refuse_xfs(mount)
        start = self.device(mount.device).window.start

        def zero(at: int, length: int) -> None:
            self._hw.zero(Span(Spa(start + at), length))

        return Ext4Editor(*self._place(mount), zero=zero, keep=self._keep)

    def _keep(self, edit: str) -> None:
        """An edit of a file system stays when the store has its record, and is taken back when it has not."""
        if not self._edited:
            for name in self._edits.keys():  # noqa: SIM118 - a Table is not a dict
                self._edits.delete(name)  # of earlier transactions, and final
        self._edited = True
        self._edits.put(edit, True)

    def _place(self, mount: Mount) -> tuple[str, int, int]:
        """Image, offset and size of a file system that is to change; what was read of it is read anew afterwards."""
        opened = self._open_images.pop(mount.mountpoint, None)
        if opened is not None:
            opened.close()
        window = self._window(mount)
        return *self._hw.locate_file(window.start), window.size

    def _window(self, mount: Mount) -> Span[Spa]:
        """Where the device of a mount lies, be it disabled or not."""
        return next(device.window for device in self.devices if mount.device == f"/dev/{device.name}")

    def _refuse_held(self, path: str, mount: Mount, inode: Inode) -> None:
        major, minor = self.device(mount.device).number
        pin = self._pins.get(f"{major}:{minor}/{inode.number}")
        if pin is not None:
            raise Conflict(
                f"{path}: Operation not permitted: {pin.owner} holds it, its blocks must stay where they are",
                code="XLPY-PMEM-PINNED",
                hint="end the domain first",
            )

    def _changeable(self, path: str) -> tuple[Mount, str, Inode]:
        mount, inner, inode = self.file(path)
        _refuse_read_only(path, mount)
        self._refuse_held(path, mount, inode)
        refuse_xfs(mount)
        return mount, inner, inode

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
        mount, inner = self.place(path)
        if mount not in self.disk_mounts:
            raise Constraint(
                f"{path}: files can be made on a pmem device's file system only",
                hint="below: " + (", ".join(m.mountpoint for m in self.disk_mounts) or "nothing is mounted"),
            )
        _refuse_read_only(path, mount)
        refuse_xfs(mount)
        if size < 1:
            raise Constraint(f"{path}: a file of {size} bytes cannot be mapped", hint="at least one page: 4K")
        image = self.image(mount)
        try:
            image.lookup(inner, follow=False)
        except NotFound:
            pass
        else:
            raise Conflict(f"{path} exists already", hint=f"choose another name, or: xlpy pmem prepare {path}")
        free = image.superblock.free_blocks * image.block_size
        if state != "sparse" and align_up(size, image.block_size) > free:
            raise Constraint(
                f"{path}: {size} bytes are wanted, {free} are free on {mount.mountpoint}",
                code="XLPY-EXT4-NO-SPACE",
                hint="remove files from it, or make the namespace larger",
            )
        if not dry_run:
            self._editor(mount).mkfile(inner, size, state)

    def prepare(self, path: str, dry_run: bool = False) -> Prepared:
        """Make every block of a file allocated and written; existing data stays.

        Raises:
            Conflict: a domain holds it and something would have to change. As ``Ext4Editor.prepare`` otherwise.
        """
        from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN

        mount, inner, inode = self.file(path)
        written = sum(
            max(0, min(e.logical + e.length, inode.size) - e.logical)
            for e in self.image(mount).fiemap(inode, path)
            if not e.flags & FIEMAP_EXTENT_UNWRITTEN
        )
        if written < inode.size:
            _refuse_read_only(path, mount)
            self._refuse_held(path, mount, inode)
            refuse_xfs(mount)
        if not dry_run and not (written == inode.size and mount.fstype == "xfs"):
            self._editor(mount).prepare(inner)
        return Prepared(inode.size, inode.size - written)

    def truncate(self, path: str, size: int) -> None:
        """truncate(2). Conflict (EPERM) while a domain holds the file."""
        mount, inner, _ = self._changeable(path)
        self._editor(mount).truncate(inner, size)

    def punch(self, path: str, start: int, length: int) -> None:
        """fallocate(2) with FALLOC_FL_PUNCH_HOLE, whole blocks. Conflict (EPERM) while a domain holds the file."""
        mount, inner, _ = self._changeable(path)
        self._editor(mount).punch(inner, start, length)

    def set_options(self, mount: Mount, options: tuple[str, ...]) -> None:
        """Mount a file system with other options."""
        rows = [one._replace(options=options) if one == mount else one for one in self.disk_mounts]
        self._table.put("mounts", [list(one) for one in rows])
        self.__dict__.pop("disk_mounts", None)

    def unlink(self, path: str) -> None:
        """unlink(2). Conflict (EPERM) while a domain holds the file."""
        mount, inner, _ = self._changeable(path)
        self._editor(mount).unlink(inner)

    # --- pins ------------------------------------------------------------------------------------------------------

    def pin(self, path: str, owner: str) -> None:
        """As ``kernel.Dom0.pin``: a file gets the immutable flag on media. Devices can be held too, unless mounted.

        Raises:
            Conflict: another owner holds it, or a device and something on it would be held; the device is mounted.
        """
        new = self._hold(path, owner)
        busy = [one for one in self.disk_mounts if self.device(one.device).window.overlaps(new.window)]
        if busy and not new.inode:
            raise Conflict(
                f"{path} is in use: {busy[0].device} is mounted on {busy[0].mountpoint}",
                code="XLPY-PMEM-MOUNTED",
                hint=f"use a file below {busy[0].mountpoint}, or another device",
            )
        old = self._pins.get(new.key)
        if new.inode:
            mount, _, inode = self.file(path)
            still = "ro" in mount.options or mount.fstype == "xfs"  # nothing moves there: not one command changes it
            free = not inode.immutable and not still
            new = new._replace(flagged=old.flagged if old else free)
        self._pins.add(new)
        self._moved[new.window.start, new.inode] = new.key
        if new.inode and free:
            self._set_immutable(new, True)

    def unpin(self, path: str, owner: str) -> None:
        """As ``kernel.Dom0.unpin``."""
        clean = self.clean(path)
        for pin in self._pins.at(clean):
            if pin.owner == owner:
                self._release(pin)

    def release(self, owner: str | None = None) -> None:
        """End all holds of an owner, or of everybody, whatever has become of the files."""
        for pin in self._pins.all() if owner is None else self._pins.of(owner):
            self._release(pin)

    def _release(self, pin: Pin) -> None:
        self._pins.remove(pin.key)
        self._moved[pin.window.start, pin.inode] = pin.key
        if pin.inode and pin.flagged:
            with suppress(Unsafe, FormatError, NotFound):  # a damaged device must not keep a domain alive
                self._set_immutable(pin, False)

    def check_pinned(self, path: str) -> None:
        """As ``kernel.Dom0.check_pinned``. NotFound when nobody holds the path."""
        clean = self.clean(path)
        pin = next(iter(self._pins.at(clean)), None)
        if pin is None:
            raise NotFound(f"{path} is not held by any domain")
        if self._hold(path, pin.owner)._replace(flagged=pin.flagged) != pin:
            raise Unsafe(
                f"{path} is not the file, or does not have the size or the blocks, that {pin.owner} was given",
                code="XLPY-PMEM-MOVED",
                hint="the guest may be writing into blocks of other files: destroy it, then check the file system",
            )

    def holder(self, path: str) -> str | None:
        """Who holds a path, or None."""
        clean = self.clean(path)
        return next((pin.owner for pin in self._pins.at(clean)), None)

    def _hold(self, path: str, owner: str) -> Pin:
        """A pin on a file or device as it is now."""
        clean, stat = self.clean(path), self.stat(path)
        key = f"{stat.device[0]}:{stat.device[1]}"
        dax = self.dax_device(clean)
        if dax is not None:
            return Pin(f"char {key}", owner, clean, dax.data, 0, dax.size, "")
        if stat.kind == "block":
            window = self.device(clean).window
            return Pin(key, owner, clean, window, 0, window.size, "")
        mount, _, inode = self.file(path)
        extents = digest(self.image(mount).fiemap(inode, path))
        window = self.device(mount.device).window
        return Pin(f"{key}/{inode.number}", owner, clean, window, inode.number, inode.size, extents)

    def _set_immutable(self, pin: Pin, on: bool) -> None:
        """Set or clear the flag of the inode that is held, whatever its path is by now."""
        self._flag(next(one for one in self.disk_mounts if self._window(one) == pin.window), pin.inode, on)

    def _flag(self, mount: Mount, inode: int, on: bool) -> None:
        from xlpy.dom0.ext4.inplace import InPlace

        image = self._open_images.get(mount.mountpoint)
        InPlace(*self._place(mount), keep=self._keep).set_immutable(
            inode, on, image.only_flags_changed if image else None
        )

    # --- after a failure ---------------------------------------------------------------------------------------------

    def reread(self) -> None:
        """What was changed since the last savepoint is taken back: read the state anew when it is asked for."""
        for image in self._open_images.values():
            image.close()
        self._open_images.clear()
        super().reread()
        self.__dict__.pop("disk_mounts", None)
        self._changed()

    def take_back(self) -> None:
        """Take back the edits of file systems that the store does not have."""
        for fs in self._filesystems():
            fs.take_back(self._stays)

    def repair(self) -> None:
        """After a command was killed: finish or take back its edits of file systems; costs by what it touched."""
        for fs in self._filesystems():
            fs.recover(self._stays)
        self._holds.replace((int(pin.window.start), pin.inode) for pin in self._pins.all() if pin.inode and pin.flagged)

    def settle(self) -> None:
        """The transaction is committed: its edits are final."""
        if self._edited:
            for fs in self._filesystems():
                for name in fs.journal.pending():
                    fs.journal.forget(name)
        self._edited = False
        for hold, key in self._moved.items():
            pin = self._pins.get(key)
            self._holds.set(hold, pin is not None and bool(pin.inode) and pin.flagged)
        self._moved.clear()

    def release_lost(self) -> None:
        """End the holds that a state had which is lost: as far as their copy tells, the files are free again."""
        for start, inode in self._holds.all():
            for mount in self.disk_mounts:
                if self._window(mount).start == start and "ro" not in mount.options:
                    with suppress(Unsafe, FormatError, NotFound):
                        if self.image(mount).inode(inode).immutable:
                            self._flag(mount, inode, False)

    def _stays(self, edit: str) -> bool:
        return self._edits.get(edit) is not None

    def _filesystems(self) -> Iterator[InPlace]:
        from xlpy.dom0.ext4.inplace import InPlace

        for mount in self.disk_mounts:
            if "ro" not in mount.options and mount.fstype != "xfs":
                yield InPlace(*self._place(mount))

    def files(self, mount: Mount) -> Iterator[tuple[str, Inode]]:
        """Path and inode of every regular file on a mount."""
        for path, inode in self.image(mount).walk():
            yield f"{mount.mountpoint}{path}", inode


def _bind(nd: Nd, one: Nvdimm | NdRegion) -> None:
    """Bind the driver of a new device; what fails is in the kernel's log."""
    try:
        one.bind()
    except OSError:
        nd.changed(one)


def _refuse_read_only(path: str, mount: Mount) -> None:
    if "ro" in mount.options:
        raise Constraint(
            f"{path}: Read-only file system: {mount.mountpoint} is mounted with ro",
            code="XLPY-EXT4-READ-ONLY",
            hint="choose a place on another file system",
        )


def refuse_xfs(mount: Mount) -> None:
    """Refuse to change a file system of a type that is only read here. Constraint: it is an XFS."""
    if mount.fstype == "xfs":
        raise Constraint(
            f"{mount.mountpoint} is an XFS: its files can be used here, and not made, changed or removed",
            code="XLPY-XFS-READ-ONLY",
            hint="list its files in the machine description, or use a file system of type ext4",
        )
