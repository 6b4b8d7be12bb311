"""What an export will be: host memory and guest addresses of every vNVDIMM, before anything is written."""

from __future__ import annotations

import itertools

from xlpy.addr import PAGE, Gfn, Gpa, Mfn, Span, format_size, gpa_of, spa_of
from xlpy.errors import ConfigError, Conflict, Constraint, Unsafe
from xlpy.records import NamedTuple
from xlpy.toolstack.backing.poison import refuse
from xlpy.toolstack.config.devices.vnvdimm import LABEL_LEAST, LABEL_MOST
from xlpy.toolstack.config.libxl_json import INVALID_GFN
from xlpy.toolstack.domain.build_info import memory_layout
from xlpy.toolstack.export.limits import check_entries
from xlpy.toolstack.export.manifest import ExportedNvdimm, MemoryArea
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.addr import Spa
    from xlpy.devicemodel.placement import GuestRam
    from xlpy.devicemodel.stock import StockDevice
    from xlpy.toolstack.backing.resolve import Resolved
    from xlpy.toolstack.config.domain_config import DomainConfig, VnvdimmEntry
    from xlpy.toolstack.export.machine import DimmFacts, ExportMachine

_LOOKED_AT = 1 << 20  # bytes of a label file that are searched for foreign data


class ExportPlan(NamedTuple):
    """Everything that the files of an export say.

    iomem: the entries that the configuration has itself. notes: what is to be known of the memory.
    """

    config: DomainConfig
    ram: GuestRam
    devices: tuple[ExportedNvdimm, ...]
    stock: tuple[StockDevice, ...]
    persistence: str
    iomem: tuple[IoMemory, ...]
    notes: tuple[str, ...] = ()

    @property
    def areas(self) -> Iterator[MemoryArea]:
        """Every piece of memory that the guest gets."""
        for device in self.devices:
            yield from device.areas


class IoMemory(NamedTuple):
    """One ``iomem`` entry: where it lies in the guest and in the host, in bytes."""

    guest: Span[Gpa]
    host: Span[Spa]


def plan(config: DomainConfig, machine: ExportMachine) -> ExportPlan:
    """Resolve and place.

    Raises:
        ConfigError: there is no vnvdimm. Constraint: not HVM, no ACPI, too many, or no room. Conflict, Unsafe,
        NotFound, HypercallError: a backing cannot be exported, see ``ExportMachine.resolve``.
    """
    refuse_unfit(config)
    entries = [entry._replace(file=machine.absolute(entry.file)) for entry in config.vnvdimms]
    labels = [machine.absolute(entry.label_file) if entry.label_file else "" for entry in entries]
    paths = [entry.file for entry in entries] + [path for path in labels if path]
    resolved, own = machine.resolve(paths), tuple(own_iomem(config))
    check_entries(config, resolved, len(own))
    machine.refuse_taken(config.name, resolved)
    _refuse_overlaps(config, resolved, own)
    found = dict(zip(paths, resolved, strict=True))
    for path in paths:
        refuse(found[path], machine.poisoned(found[path]))
    for path in filter(None, labels):
        _check_labels(machine, found[path])
    return _placed(config, machine, list(zip(entries, labels, strict=True)), found, own)


def _placed(
    config: DomainConfig,
    machine: ExportMachine,
    entries: Sequence[tuple[VnvdimmEntry, str]],
    found: dict[str, Resolved],
    own: tuple[IoMemory, ...],
) -> ExportPlan:
    """Give every backing a place and an identity: data first, then label areas (empty: none)."""
    from xlpy.devicemodel.backing import Backing, Vnvdimm, serial_number
    from xlpy.devicemodel.nvdr import MAX_SLOTS
    from xlpy.devicemodel.placement import GuestRam
    from xlpy.devicemodel.stock import StockDevice
    from xlpy.firmware.layout import PCI64_WINDOW

    if len(entries) > MAX_SLOTS:
        raise Constraint(f"{config.name}: {len(entries)} vNVDIMMs, a domain can have {MAX_SLOTS}")
    layout = memory_layout(config)
    ram = GuestRam(layout.low_end, layout.high_end, machine.physical_bits(), max(PCI64_WINDOW, machine.bars(config)))
    taken = [*(one.guest for one in own), *machine.reserved(config)]
    data = [_area(machine, found[entry.file], ram, taken) for entry, _ in entries]
    label_areas = [_area(machine, found[path], ram, taken) if path else None for _, path in entries]
    devices: list[ExportedNvdimm] = []
    stock: list[StockDevice] = []
    told: list[DimmFacts] = []
    for slot, ((entry, _), area, label_area) in enumerate(zip(entries, data, label_areas, strict=True)):
        media = machine.media(found[entry.file])
        serial = serial_number(_identity(media), [one.serial for one in devices])
        unarmed = entry.unarmed or media.unarmed
        devices.append(ExportedNvdimm(slot, serial, unarmed, area, label_area))
        backing = Backing(area.path, area.spans, unarmed=unarmed, node=entry.node)
        span = None if label_area is None else Span(label_area.gpa, label_area.size)
        stock.append(StockDevice(Vnvdimm(slot, area.gpa, backing, serial), span, media.data_losses))
        told.append(media)
    notes = dict.fromkeys(f"{area.path}: {one.note}" for area, one in zip(data, told, strict=True) if one.note)
    persistence = _weakest([one.persistence for one in told])
    return ExportPlan(config, ram, tuple(devices), tuple(stock), persistence, own, tuple(notes))


def refuse_unfit(config: DomainConfig) -> None:
    """ConfigError or Constraint for a configuration that no export can be made of."""
    if not config.vnvdimms:
        raise ConfigError(
            f"{config.source} has no vnvdimm entry, so there is nothing to export",
            hint="vnvdimm = [ 'file=/mnt/dax/vm1.img' ]; a configuration without one is stock already",
        )
    if config.type != "hvm":
        raise Constraint(
            f"{config.name}: vnvdimm needs an HVM guest, this one is {config.type}: "
            "only hvmloader passes acpi_firmware on, and a PV or PVH guest has no other way to an NFIT",
            code="XLPY-EXPORT-TYPE",
            hint='set type = "hvm"; a kernel can be started directly there too (kernel=, ramdisk=, cmdline=)',
        )
    if not config.acpi:
        raise Constraint(
            f"{config.name}: acpi = 0, and a guest without ACPI cannot find an NVDIMM",
            code="XLPY-EXPORT-ACPI",
            hint="leave acpi out: it is on by default",
        )
    for entry in config.vnvdimms:
        if entry.read_only:
            raise Constraint(
                f"{config.name}: {entry.file} has mode=ro, and iomem has no read-only mapping: the guest could write",
                code="XLPY-EXPORT-READ-ONLY",
                hint="leave mode=ro out and give the guest a copy; unarmed=1 only asks a Linux guest not to write",
            )
    if "/" in config.name or "\0" in config.name or config.name in ("", ".", ".."):
        raise Constraint(
            f"the name {config.name!r} cannot be that of a file, and xl refuses a / in it",
            code="XLPY-EXPORT-NAME",
            hint='name = "vm1"',
        )


def own_iomem(config: DomainConfig) -> Iterator[IoMemory]:
    """The ``iomem`` entries of a configuration. Constraint: one lies beyond what an address can say."""
    for one in config.tree["b_info"].get("iomem", ()):
        start, count, gfn = one["start"], one["number"], one["gfn"]
        gfn = start if gfn == INVALID_GFN else gfn
        try:
            guest: Span[Gpa] = Span(gpa_of(Gfn(gfn)), count * PAGE)
            yield IoMemory(guest, Span(spa_of(Mfn(start)), count * PAGE))
        except ValueError as error:
            raise Constraint(f"{config.name}: iomem {start:x},{count:x}@{gfn:x}: {error}") from None


def _area(machine: ExportMachine, resolved: Resolved, ram: GuestRam, taken: list[Span[Gpa]]) -> MemoryArea:
    """Place a backing, by the same rule as a domain of the model, and mark its place as taken."""
    from xlpy.devicemodel.placement import place

    gpa = place(resolved, ram, taken)
    taken.append(Span(gpa, resolved.size))
    inode = machine.inode(resolved.path) if resolved.kind == "file" else 0
    return MemoryArea(resolved.path, resolved.kind, resolved.device, gpa, resolved.size, resolved.spans, inode)


def _identity(media: DimmFacts) -> bytes:
    from xlpy.digest import blake2b

    return blake2b(media.identity.encode(errors="surrogateescape"), digest_size=16).digest()


def _weakest(told: Sequence[str]) -> str:
    """The persistence domain of all: one table tells it for every vNVDIMM."""
    for word in ("memory_controller", "cpu_cache"):
        if word in told and all(other in ("memory_controller", "cpu_cache") for other in told):
            return word
    return ""


def _refuse_overlaps(config: DomainConfig, found: Sequence[Resolved], own: Sequence[IoMemory]) -> None:
    rows = sorted((span, one.path) for one in found for span in one.spans)
    for (span, path), (other, twin) in itertools.pairwise(rows):
        if span.overlaps(other):
            raise Conflict(
                f"{config.name}: {path} and {twin} use the same host memory at {other.start:#x}",
                code="XLPY-PMEM-TWICE",
                hint="give each vNVDIMM, and each label area, a file of its own",
            )
    for mine in own:
        for span, path in rows:
            if span.overlaps(mine.host):
                raise Conflict(
                    f"{config.name}: its own iomem entry maps {mine.host}, which is in {path}",
                    code="XLPY-PMEM-TWICE",
                    hint="remove that iomem entry: xlpy export makes the entries of every vnvdimm",
                )


def _check_labels(machine: ExportMachine, resolved: Resolved) -> None:
    """A label area has a size of its own, and holds labels or nothing."""
    from xlpy.dom0.nvdimm import INDEX_SIGNATURE
    from xlpy.dom0.nvdimm.labels import read_area

    if not LABEL_LEAST <= resolved.size <= LABEL_MOST:
        raise Constraint(
            f"{resolved.path}: a label area of {format_size(resolved.size)}; 128K to 1G are required",
            code="XLPY-LABEL-SIZE",
            hint=f"dd if=/dev/zero of={resolved.path} bs=128K count=1 conv=fsync",
        )
    content = machine.read(resolved, min(resolved.size, _LOOKED_AT))
    if not any(content):
        return
    area = read_area(resolved.size, lambda at, length: content[at : at + length].ljust(length, b"\0"))
    if area.current is None and INDEX_SIGNATURE not in content[: 2 * PAGE]:
        raise Unsafe(
            f"{resolved.path} holds data, and no labels: making labels in it would overwrite that data",
            code="XLPY-LABEL-DATA",
            hint="name a new file of zeros as label_file, 128K is enough",
        )
