"""Building a domain, step by step as libxl does. When a step fails, the change's savepoint rolls all steps back.

Read, resolve, build, attach, boot firmware, go: the order of xl's ``create`` (libxl ``libxl_create.c``), with the
vNVDIMM design's additions: resolving before anything is made, and the device model's work before the firmware runs.
"""

from __future__ import annotations

import time

from xlpy.addr import KIB, MIB, PAGE, Gfn, Gpa, Span, align_up, gfn_of
from xlpy.dom0.xenstore.daemon import Perm
from xlpy.errors import ConfigError, Conflict, Constraint, FirmwareStopped, XlpyError
from xlpy.firmware.layout import HVM_INFO, HVMLOADER_BASE, RESERVED_PGSTART, SPECIAL_PAGES
from xlpy.functions import cached_property
from xlpy.toolstack.domain import build_info as settings
from xlpy.toolstack.domain.backings import Backings
from xlpy.toolstack.domain.board import devices
from xlpy.toolstack.domain.build_info import MAXMEM_SLACK
from xlpy.toolstack.domain.device_rows import attached
from xlpy.toolstack.domain.model import attaching
from xlpy.toolstack.domain.record import DomainRecord, named, save
from xlpy.toolstack.domain.terminals import Terminals
from xlpy.toolstack.domain.xenstore_rows import FRONT, LISTED, NONE, WRITE, Row, built, skeleton
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from xlpy.dom0.emulated import EmulatedDom0
    from xlpy.dom0.xenstore.daemon import XenStore
    from xlpy.hypervisor.board import BoardDevice
    from xlpy.hypervisor.hypercalls import Hypercalls
    from xlpy.hypervisor.xen import Xen
    from xlpy.store import Store
    from xlpy.toolstack.backing.resolve import Resolved
    from xlpy.toolstack.config.domain_config import DomainConfig, VnvdimmEntry
    from xlpy.toolstack.domain.build_info import MemoryLayout
    from xlpy.toolstack.domain.record import VnvdimmRecord

SPECIAL_FRAMES = {  # ioreq pages of device models; rings, xenstore, identity map, console
    "hvm": Span(Gfn(RESERVED_PGSTART), 16),
    "pvh": Span(gfn_of(SPECIAL_PAGES), 8),
}
VGA_HOLE_PAGES = 0x20
VIDEO_SLACK = 16  # frames beside RAM that every domain with hardware has


class Builder:
    """The toolstack at work for one domain.

    Args:
        xen, dom0, xenstore, store: the actors and the place where libxl keeps its records.
        labels: folder of the label areas, one file per backing.
        step: called with each step as it begins.
    """

    places: Sequence[tuple[int, Gpa, int]] | None = None  # slot, address and serial number of vNVDIMMs that had them

    def __init__(
        self,
        xen: Xen,
        dom0: EmulatedDom0,
        xenstore: XenStore,
        store: Store,
        labels: str,
        step: Callable[[str], None],
    ) -> None:
        self.xen = xen
        self.dom0 = dom0
        self.xenstore = xenstore
        self.store = store
        self.backings = Backings(xen, dom0, labels)
        self.step = step

    @cached_property
    def calls(self) -> Hypercalls:
        """Dom0's hypercalls."""
        return self.xen.hypercalls(0)

    def check(self, config: DomainConfig) -> list[tuple[VnvdimmEntry, Resolved]]:
        """Everything that can be known before anything is made: name, UUID, and each backing.

        Raises:
            Conflict: the name, the UUID or a backing is taken. Constraint, HypercallError, NotFound, Unsafe: see
                ``Backings.resolve``.
        """
        refuse_name(self.xenstore, config.name)
        self._refuse_uuid(config)
        if config.vnvdimms and config.type != "hvm":
            raise Constraint(
                f"{config.name}: vnvdimm needs an HVM guest, this one is {config.type}: only hvmloader passes tables",
                hint='set type = "hvm"',
            )
        if config.type == "hvm" and not config.kernel and (config.ramdisk or config.cmdline):
            raise ConfigError(
                f"{config.name}: direct boot parameters specified but kernel missing",
                hint="add kernel =, or leave ramdisk, cmdline, root and extra out",
            )
        return self.backings.resolve(config.name, config.vnvdimms)

    def rehearse(self, config: DomainConfig) -> None:
        """For a dry run: everything that ``create`` would refuse, found without making anything.

        Raises:
            XlpyError: as ``create``.
        """
        from xlpy.devicemodel.nvdr import check_slots
        from xlpy.devicemodel.placement import GuestRam, place
        from xlpy.hypervisor.trial import TrialXen
        from xlpy.toolstack.backing.poison import refuse_poisoned

        backings, layout = self.check(config), settings.memory_layout(config)
        calls = TrialXen(self.xen).hypercalls(0)
        domid = calls.domctl_createdomain(config.uuid_bytes, hvm=config.type != "pv", max_vcpus=config.max_vcpus)
        if sum(span.size for span in layout.ram) // PAGE + VIDEO_SLACK > self.xen.heap.pages:
            raise _no_memory(config)
        self._equip(config)
        settings.apply(calls, domid, config, layout)
        end = HVMLOADER_BASE + settings.HVMLOADER_SIZE
        for kind, path in _modules(config):
            end = _module_end(path, _content(kind, path), end, layout)
        ram = GuestRam(layout.low_end, layout.high_end, self.xen.hw.spec.cpu.physical_bits)
        taken: list[Span[Gpa]] = []
        for entry, resolved in backings:
            refuse_poisoned(self.dom0, entry.file, resolved)
            taken.append(Span(place(resolved, ram, taken), resolved.size))
            self.backings.check_labels(entry, resolved)
        check_slots(len(backings))
        if config.type == "hvm":
            from xlpy.firmware.hvmloader.bios import by_name

            by_name(config.bios)

    def _refuse_uuid(self, config: DomainConfig) -> None:
        connection = self.xenstore.connection(0)
        if connection.read_or_none(f"/vm/{config.uuid_text}") is None:
            return
        for domain in self.xen.domains():
            kept = connection.read_or_none(f"/local/domain/{domain.domid}/vm") != f"/vm/{config.uuid_text}"
            if domain.uuid == config.uuid and not kept:
                raise Conflict(
                    f"the UUID {config.uuid_text} is that of domain {domain.domid} already",
                    code="XLPY-UUID-TAKEN",
                    hint="leave uuid out of the configuration, and a new one is made",
                )

    def create(self, config: DomainConfig, paused: bool = False, crashes: int = 0) -> int:
        """Build the domain and start it.

        Args:
            config: what to build.
            paused: leave it paused (``xl create -p``).
            crashes: starts in a row before this one that ended with a crash of the firmware.

        Returns:
            its domid.

        Raises:
            FirmwareStopped: with the ``domid`` of the domain, which is there and has crashed.
            XlpyError: any other failure; the caller rolls back what was done before it (``Host.change``).
        """
        self.step(f"resolving {len(config.vnvdimms)} vnvdimm entries")
        try:
            backings = self.check(config)
        except Conflict:
            self.xen.pick_domid()  # libxl finds the name taken when the domain is there already
            raise
        stopped = None
        domid = self._make(config)
        layout = settings.memory_layout(config)
        board = self._equip(config)
        self._populate(config, layout, domid)
        if board:
            self.step(f"domain {domid}: device model with {', '.join(device.model for device in board)}")
            self._board(domid, board, layout)
        vnvdimms = self._attach(config, domid, backings)
        started = time.time()
        self.write(built(domid, config.uuid_text, config, f"{started:.2f}"), domid)
        self.write(attached(domid, config, vnvdimms, Terminals(self.store).open(domid)), domid)
        try:
            self._start(config, domid)
        except FirmwareStopped as error:
            error.domid, stopped = domid, error
        save(
            self.store,
            DomainRecord(
                domid,
                config.name,
                config.uuid_text,
                config.text,
                config.source,
                list(config.extra),
                config.to_json(),
                vnvdimms,
                started,
                crashes + 1 if stopped else 0,
                disks=config.disks,
            ),
        )
        if not paused:
            self.step(f"unpausing domain {domid}")
            self.calls.domctl_unpausedomain(domid)
        if stopped is not None:
            raise stopped
        return domid

    # -- the steps ----------------------------------------------------------------------------------------------

    def _make(self, config: DomainConfig) -> int:
        """The hypervisor's domain and xenstore's skeleton."""
        hvm = config.type != "pv"
        domid = self.calls.domctl_createdomain(config.uuid_bytes, hvm=hvm, max_vcpus=config.max_vcpus)
        self.step(f"domain {domid}: created, {config.max_vcpus} vCPUs")
        self.write(skeleton(domid, config, config.name, config.uuid_text), domid)
        self.calls.domctl_max_mem(domid, max(config.max_kib, config.memory_kib) + MAXMEM_SLACK)
        return domid

    def _equip(self, config: DomainConfig) -> list[BoardDevice]:
        """What the domain's devices and firmware are made of must be there; the devices for its board.

        Raises:
            ConfigError: a file that is named is not there, or QEMU has no such device.
        """
        self.check_disks(config.disks)
        if config.type == "hvm" and "/" in config.name:
            raise ConfigError(
                f"{config.name}: the device model's log would be qemu-dm-{config.name}.log, which is no file name",
                hint="choose a name without /",
            )
        for kind, path in _files(config):
            from xlpy.toolstack.config.named import check_named

            check_named(kind, path)
        if config.pcidevs:
            raise ConfigError(
                f"{config.name}: the host has no PCI device to pass through", hint="xlpy pci-assignable-list is empty"
            )
        return devices(config) if config.type == "hvm" else []

    def check_disks(self, disks: Iterable[Mapping[str, Any]]) -> None:
        """ConfigError unless every disk can be served: here, or by the emulated Dom0."""
        for disk in disks:
            from xlpy.toolstack.domain.disks import check_disk

            check_disk(disk, self._dom0_has)

    def _dom0_has(self, path: str) -> bool:
        try:
            self.dom0.stat(path)
        except XlpyError:
            return False
        return True

    def _board(self, domid: int, board: list[BoardDevice], layout: MemoryLayout) -> None:
        """QEMU starts: its devices take their slots, and video RAM its place behind the guest's RAM."""
        from xlpy.hypervisor.chipset import Chipset

        Chipset(self.xen.domain(domid)).equip(board, gfn_of(layout.end))

    def _populate(self, config: DomainConfig, layout: MemoryLayout, domid: int) -> None:
        """RAM, the memory map, and what hvmloader expects to find in memory."""
        from xlpy.firmware.e820 import E820_RAM, E820Entry
        from xlpy.firmware.hvm_info import HvmInfo, build_hvm_info

        spans = [Span(gfn_of(span.start), span.size // PAGE) for span in layout.ram]
        if config.type in SPECIAL_FRAMES:
            spans.append(SPECIAL_FRAMES[config.type])
        self.step(f"domain {domid}: {sum(s.size for s in layout.ram) // MIB} MiB of RAM in {len(spans)} stretches")
        enough = sum(span.size for span in spans) <= self.xen.heap.pages
        if not enough or self.calls.memory_populate_physmap(domid, spans) < len(spans):
            raise _no_memory(config)
        if config.type != "pv" and config.memory_kib < config.max_kib:
            hole = VGA_HOLE_PAGES if layout.vga else 0
            target = (config.memory_kib - config.videoram_kib) * KIB // PAGE - hole
            self.calls.memory_set_pod_target(domid, target + SPECIAL_FRAMES[config.type].size)
            self.calls.domctl_max_mem(domid, config.memory_kib + MAXMEM_SLACK)
        settings.apply(self.calls, domid, config, layout)
        if config.type != "hvm":
            return
        ram = [Span.between(Gpa(MIB), layout.low_end), *layout.ram[2:]]
        self.calls.memory_set_memory_map(domid, [E820Entry(span.start, span.size, E820_RAM) for span in ram])
        memory = self.xen.domain(domid).memory
        info = HvmInfo(
            nr_vcpus=config.max_vcpus,
            low_mem_pgend=gfn_of(layout.low_end),
            high_mem_pgend=gfn_of(layout.high_end),
            apic_mode=config.apic,
            vcpu_online=(1 << config.vcpus) - 1,
        )
        memory.write(HVM_INFO, build_hvm_info(info))
        end = HVMLOADER_BASE + settings.HVMLOADER_SIZE
        for kind, path in _modules(config):
            end = self._module(kind, path, end, layout, domid)

    def _module(self, kind: str, path: str, start: int, layout: MemoryLayout, domid: int) -> int:
        """A pass-through module: copied to ``start``, announced in xenstore; the page after it. Empty: ignored."""
        data = _content(kind, path)
        if not data:
            return start
        end, address = _module_end(path, data, start, layout), Gpa(start)
        self.step(f"domain {domid}: {path} ({len(data)} bytes) at {address:#x}")
        self.xen.domain(domid).memory.write(address, data)
        home = f"/local/domain/{domid}/hvmloader/{kind}"
        self.write([Row(f"{home}/address", f"{address:#x}"), Row(f"{home}/length", f"{len(data):#x}")], domid)
        return end

    def _attach(
        self, config: DomainConfig, domid: int, backings: list[tuple[VnvdimmEntry, Resolved]]
    ) -> list[VnvdimmRecord]:
        """Pin the backings, then let the device model place, map and announce the vNVDIMMs."""
        if not backings:
            return []
        devices = [self.backings.pin(domid, entry, resolved) for entry, resolved in backings]
        model = attaching(self.xen, self.xenstore, self.store, domid)
        placed = model.attach(devices, persistence=self.xen.hw.spec.persistence, places=self.places)
        for device in placed:
            self.step(f"domain {domid}: {device.backing.path} ({len(device.backing.spans)} extents) at {device.gpa:#x}")
        return [
            self.backings.record(entry, resolved, device)
            for (entry, resolved), device in zip(backings, placed, strict=True)
        ]

    def _start(self, config: DomainConfig, domid: int) -> None:
        """Run hvmloader on an HVM guest's own view."""
        if config.type != "hvm":
            return
        from xlpy.firmware.hvmloader import main as hvmloader
        from xlpy.hypervisor.platform import GuestPlatform

        self.step(f"domain {domid}: running hvmloader")
        domain = self.xen.domain(domid)
        connection = self.xenstore.connection(domid)
        hvmloader.run(GuestPlatform(domain, connection.read_or_none))

    def write(self, rows: Iterable[Row], domid: int) -> None:
        """Write rows to xenstore, all or none."""
        guest_reads = (Perm(0, "n"), Perm(domid, "r"))
        perms = {
            WRITE: (Perm(domid, "n"),),
            NONE: (Perm(0, "n"),),
            FRONT: (Perm(domid, "n"), Perm(0, "r")),
            LISTED: (Perm(0, "n"), Perm(domid, "n")),
        }
        with self.xenstore.connection(0).transaction() as tree:
            for row in rows:
                tree.write(row.path, row.value, perms.get(row.perm, guest_reads))


def _modules(config: DomainConfig) -> list[tuple[str, str]]:
    """Kind and path of each file that is passed to the firmware."""
    kinds = (("smbios", config.smbios_firmware), ("acpi", config.acpi_firmware))
    return [(kind, path) for kind, path in kinds if path]


def _files(config: DomainConfig) -> list[tuple[str, str]]:
    """Key and path of each file that the domain is built from, or that its device model opens."""
    hvm = config.hvm
    found = [("bios_path_override", hvm.get("system_firmware")), ("firmware_override", hvm.get("firmware"))]
    found += [("device_model_override", config.device_model)] if config.type == "hvm" else []
    if not config.bootloader:
        found += [("kernel", config.kernel), ("ramdisk", config.ramdisk)]
    return [(key, path) for key, path in found if path and (key != "firmware_override" or "/" in path)]


def _content(kind: str, path: str) -> bytes:
    from xlpy.toolstack.config.named import read_named

    return read_named(f"{kind}_firmware", path)


def _module_end(path: str, data: bytes, start: int, layout: MemoryLayout) -> int:
    """The page after a module at ``start``. Constraint: it does not fit."""
    if start + len(data) > layout.low_end:
        raise Constraint(f"{path}: {len(data)} bytes do not fit into the domain's low memory", hint="memory = 512")
    return align_up(start + len(data), PAGE)


def _no_memory(config: DomainConfig) -> Constraint:
    return Constraint(
        f"{config.name}: the host has no {config.max_kib // 1024} MiB of RAM left",
        code="XLPY-NO-MEMORY",
        hint="xlpy info free_memory shows how much there is; destroy a domain or lower memory =",
    )


def refuse_name(xenstore: XenStore, name: str, but: int | None = None) -> None:
    """Conflict when a live domain, other than ``but``, has a name."""
    owner = named(xenstore, name) if name else None
    if owner is not None and owner != but:
        raise Conflict(
            f'Domain with name "{name}" already exists.',
            code="XLPY-NAME-TAKEN",
            hint=f"choose another name, or: xlpy destroy {name}",
        )
