"""Building a domain, step by step as libxl does, with every step undone when a later one fails.

Read, resolve, build, attach, boot firmware, go: the order of xl's ``create`` (libxl ``libxl_create.c``), with the
vNVDIMM design's additions: resolving before anything is made, and the device model's work before the firmware runs.
"""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack
from hashlib import sha256
from typing import TYPE_CHECKING

from xlpy.addr import MIB, PAGE, Gfn, Gpa, Span, align_up, gfn_of
from xlpy.devicemodel.backing import Backing
from xlpy.devicemodel.model import DeviceModel
from xlpy.dom0.xenstore import Perm
from xlpy.errors import Conflict, Constraint, NotFound
from xlpy.firmware import hvmloader
from xlpy.firmware.e820 import E820_RAM, E820Entry
from xlpy.firmware.hvm_info import HvmInfo, build_hvm_info
from xlpy.firmware.layout import HVM_INFO, HVMLOADER_BASE, RESERVED_PGSTART
from xlpy.hw.machine import HealthSpec
from xlpy.hypervisor.platform import GuestPlatform
from xlpy.toolstack import settings
from xlpy.toolstack.layout import HVMLOADER_SIZE, memory_layout
from xlpy.toolstack.record import DomainRecord, VnvdimmRecord, named, save
from xlpy.toolstack.resolve import Resolved, resolve
from xlpy.toolstack.rows import NONE, WRITE, Row, built, skeleton

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from xlpy.dom0.emulated import EmulatedDom0
    from xlpy.dom0.xenstore import XenStore
    from xlpy.hypervisor.xen import Xen
    from xlpy.store import Store
    from xlpy.toolstack.config import DomainConfig, Vnvdimm
    from xlpy.toolstack.layout import MemoryLayout

MAXMEM_SLACK = 1024  # KiB that libxl adds to a domain's allowance for tables
SPECIAL_FRAMES = Span(Gfn(RESERVED_PGSTART), 16)  # ioreq pages, rings, xenstore, identity map, console


class Builder:
    """The toolstack at work for one domain.

    Args:
        xen, dom0, xenstore, store: the actors and the place where libxl keeps its records.
        labels: folder of the label areas, one file per backing.
        step: told each step as it begins.
    """

    def __init__(
        self,
        xen: Xen,
        dom0: EmulatedDom0,
        xenstore: XenStore,
        store: Store,
        labels: Path,
        step: Callable[[str], None],
    ) -> None:
        self.xen = xen
        self.dom0 = dom0
        self.xenstore = xenstore
        self.store = store
        self.labels = labels
        self.step = step
        self.calls = xen.hypercalls(0)

    def check(self, config: DomainConfig) -> list[tuple[Vnvdimm, Resolved]]:
        """Everything that can be known before anything is made: the name, and each backing.

        Raises:
            Conflict: the name or a backing is taken. Constraint, NotFound, Unsafe: see ``resolve``.
        """
        if named(self.xenstore, config.name) is not None:
            raise Conflict(
                f'Domain with name "{config.name}" already exists.',
                code="XLPY-NAME-TAKEN",
                hint=f"choose another name, or: xlpy destroy {config.name}",
            )
        if config.vnvdimms and config.type != "hvm":
            raise Constraint(
                f"{config.name}: vnvdimm needs an HVM guest, this one is {config.type}: only hvmloader passes tables",
                hint='set type = "hvm"',
            )
        memory_layout(config)
        found = [(entry, resolve(self.dom0, entry.file)) for entry in config.vnvdimms]
        self._refuse_overlaps(config, found)
        for entry, resolved in found:
            self._refuse_taken(entry, resolved)
        return found

    def _refuse_overlaps(self, config: DomainConfig, found: list[tuple[Vnvdimm, Resolved]]) -> None:
        pieces = sorted(
            (piece.spa, piece.spa + piece.length, at) for at, (_, r) in enumerate(found) for piece in r.extents
        )
        for (_, end, one), (start, _, other) in itertools.pairwise(pieces):
            if start < end:
                first, second = sorted((one, other))
                raise Conflict(
                    f"{config.name}: vnvdimm entries {first + 1} ({found[first][0].file}) and {second + 1} "
                    f"({found[second][0].file}) use the same host memory at {start:#x}",
                    code="XLPY-PMEM-TWICE",
                    hint="give each vNVDIMM a backing of its own",
                )

    def _refuse_taken(self, entry: Vnvdimm, resolved: Resolved) -> None:
        for span in resolved.spans:
            owner = self.xen.pmem.owner_of(span)
            if owner is not None:
                raise Conflict(
                    f"{entry.file} is in use by domain {owner}: its memory at {span.start:#x} is mapped there",
                    code="XLPY-PMEM-BUSY",
                    hint=f"xlpy destroy {owner}, or choose another backing",
                )

    def create(self, config: DomainConfig, paused: bool = False) -> int:
        """Build the domain and start it.

        Args:
            config: what to build.
            paused: leave it paused (``xl create -p``).

        Returns:
            its domid.

        Raises:
            XlpyError: any failure; everything done before it has been undone, in reverse order.
        """
        self.step(f"resolving {len(config.vnvdimms)} vnvdimm entries")
        backings = self.check(config)
        layout = memory_layout(config)
        with ExitStack() as undo:
            domid = self._make(config, undo)
            self._populate(config, layout, domid)
            devices = self._attach(config, domid, backings, undo)
            started = time.time()
            self._transaction(built(domid, config.uuid_text, config, f"{started:.2f}"), domid)
            if config.type == "hvm":
                self._firmware(domid)
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
                    devices,
                    started,
                ),
            )
            if not paused:
                self.step(f"unpausing domain {domid}")
                self.calls.domctl_unpausedomain(domid)
            undo.pop_all()
        return domid

    # -- the steps ----------------------------------------------------------------------------------------------

    def _make(self, config: DomainConfig, undo: ExitStack) -> int:
        """The hypervisor's domain and xenstore's skeleton."""
        hvm = config.type == "hvm"
        domid = self.calls.domctl_createdomain(config.uuid_bytes, hvm=hvm, max_vcpus=config.max_vcpus)
        self.step(f"domain {domid}: created, {config.max_vcpus} vCPUs")
        undo.callback(self._unmake, domid)
        self._transaction(skeleton(domid, config.name, config.uuid_text, hvm), domid)
        self.calls.domctl_max_mem(domid, config.memory_kib + MAXMEM_SLACK)
        return domid

    def _unmake(self, domid: int) -> None:
        vm = self.xenstore.connection(0).read_or_none(f"/local/domain/{domid}/vm")
        self.calls.domctl_destroydomain(domid)
        clear_rows(self.xenstore, domid, vm)

    def _populate(self, config: DomainConfig, layout: MemoryLayout, domid: int) -> None:
        """RAM, the memory map, and what hvmloader expects to find in memory."""
        spans = [Span(gfn_of(span.start), span.size // PAGE) for span in layout.ram]
        if config.type == "hvm":
            spans.append(SPECIAL_FRAMES)
        self.step(f"domain {domid}: {sum(s.size for s in layout.ram) // MIB} MiB of RAM in {len(spans)} stretches")
        if self.calls.memory_populate_physmap(domid, spans) < len(spans):
            raise Constraint(
                f"{config.name}: the host has no {config.max_kib // 1024} MiB of RAM left",
                code="XLPY-NO-MEMORY",
                hint="xlpy info free_memory tells how much there is; destroy a domain or lower memory =",
            )
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
        end = HVMLOADER_BASE + HVMLOADER_SIZE
        for kind, path in (("smbios", config.smbios_firmware), ("acpi", config.acpi_firmware)):
            if path:
                end = self._module(kind, path, end, layout, domid)

    def _module(self, kind: str, path: str, start: int, layout: MemoryLayout, domid: int) -> int:
        """A pass-through module: copied to ``start``, announced in xenstore; the page after it. Empty: ignored."""
        from pathlib import Path

        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise NotFound(f"{kind}_firmware: {path}: {error.strerror}", hint="check the path") from None
        if not data:
            return start
        address = Gpa(start)
        if start + len(data) > layout.low_end:
            raise Constraint(f"{path}: {len(data)} bytes do not fit into the domain's low memory", hint="memory = 512")
        self.step(f"domain {domid}: {path} ({len(data)} bytes) at {address:#x}")
        self.xen.domain(domid).memory.write(address, data)
        home = f"/local/domain/{domid}/hvmloader/{kind}"
        self._transaction([Row(f"{home}/address", f"{address:#x}"), Row(f"{home}/length", f"{len(data):#x}")], domid)
        return align_up(start + len(data), PAGE)

    def _attach(
        self, config: DomainConfig, domid: int, backings: list[tuple[Vnvdimm, Resolved]], undo: ExitStack
    ) -> list[VnvdimmRecord]:
        """Pin the backings, then let the device model place, map and announce the vNVDIMMs."""
        if not backings:
            return []
        owner = f"domain {domid}"
        named = []
        for entry, resolved in backings:
            self.dom0.pin(entry.file, owner)
            undo.callback(self.dom0.unpin, entry.file, owner)
            if resolve(self.dom0, entry.file).extents != resolved.extents:
                raise Conflict(
                    f"{entry.file} moved on the media while it was being resolved", hint="run the command again"
                )
            named.append(self.label_name(entry, resolved))
        self.labels.mkdir(parents=True, exist_ok=True)
        devices = [
            Backing(
                path=entry.file,
                spans=resolved.spans,
                label_path=str(self.labels / name) if entry.label_size else None,
                label_size=entry.label_size,
                unarmed=entry.unarmed,
                uuid=sha256(name.encode()).digest()[:16],
                health=HealthSpec(),
            )
            for (entry, resolved), name in zip(backings, named, strict=True)
        ]
        model = device_model(self.xen, self.xenstore, self.store, domid)
        placed = model.attach(devices, persistence=self.xen.hw.spec.persistence)
        undo.callback(model.destroy)
        for device in placed:
            self.step(f"domain {domid}: {device.backing.path} ({len(device.backing.spans)} extents) at {device.gpa:#x}")
        return [
            VnvdimmRecord(
                entry.file,
                resolved.kind,
                resolved.device,
                device.gpa,
                resolved.size,
                [[span.start, span.size] for span in resolved.spans],
                name if entry.label_size else "",
            )
            for (entry, resolved), name, device in zip(backings, named, placed, strict=True)
        ]

    def label_name(self, entry: Vnvdimm, resolved: Resolved) -> str:
        """The name under which a backing's labels are kept: they belong to the backing, not to a domain."""
        if resolved.kind == "file":
            return f"{resolved.device}-inode{self.dom0.stat(entry.file).inode}"
        return entry.file.rpartition("/")[2]

    def _firmware(self, domid: int) -> None:
        """Run hvmloader on the guest's own view."""
        self.step(f"domain {domid}: running hvmloader")
        domain = self.xen.domain(domid)
        connection = self.xenstore.connection(domid)
        hvmloader.run(GuestPlatform(domain, connection.read_or_none))

    def _transaction(self, rows: Iterable[Row], domid: int) -> None:
        """Write rows to xenstore, all or none."""
        guest_reads = (Perm(0, "n"), Perm(domid, "r"))
        guest_owns = (Perm(domid, "n"),)
        dom0_only = (Perm(0, "n"),)
        with self.xenstore.connection(0).transaction() as tree:
            for row in rows:
                tree.write(row.path, row.value)
                tree.set_perms(row.path, {WRITE: guest_owns, NONE: dom0_only}.get(row.perm, guest_reads))


def clear_rows(xenstore: XenStore, domid: int, vm: str | None) -> None:
    """Remove what libxl wrote for a domain."""
    connection = xenstore.connection(0)
    for path in (vm, f"/local/domain/{domid}", f"/libxl/{domid}"):
        if path is not None and connection.read_or_none(path) is not None:
            connection.rm(path)


def device_model(xen: Xen, xenstore: XenStore, store: Store, domid: int) -> DeviceModel:
    """The device model of a domain, as it left itself in the store."""
    domain = xen.domain(domid)
    return DeviceModel(xen, domain, xenstore.connection(0), store.table("dm"))
