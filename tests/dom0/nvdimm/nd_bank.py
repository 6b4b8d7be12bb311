"""A bank of NVDIMMs in memory, and what ndctl does with the nd bus, step by step in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dom0.nvdimm.dom0_memory import SparseMemory

from xlpy.addr import KIB, MIB, Spa
from xlpy.dom0.nvdimm.nd.bus import Nd
from xlpy.dom0.nvdimm.probe import interpret
from xlpy.firmware.acpi.nfit import Capabilities, ControlRegion, RegionMap, SpaRange
from xlpy.store import Store

if TYPE_CHECKING:
    from xlpy.addr import Span
    from xlpy.dom0.nvdimm.driver import Bus, Dimm
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace
    from xlpy.dom0.nvdimm.nd.region import NdRegion

AREA = 128 * KIB
BASE = 0x100000000
MADE = {"valid_fields": 1, "manufacturing_location": 0xA2, "manufacturing_date": 0x4917}


class Labels:
    """A label area of bytes. ``writes``: (offset, data) of each write, in order."""

    def __init__(self, size: int = AREA) -> None:
        self.size = size
        self.data = bytearray(size)
        self.writes: list[tuple[int, bytes]] = []

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        self.writes.append((offset, bytes(data)))
        self.data[offset : offset + len(data)] = data


class Platform:
    """What lies under the bus: memory, label areas by handle, poison, and who uses what."""

    def __init__(self, sizes: dict[int, int] | None = None) -> None:
        self.memory = SparseMemory()
        self.labels: dict[int, Labels] = {}
        self.sizes = sizes or {}
        self.bad: list[Span[Spa]] = []
        self.used: list[str] = []

    def poison(self, span: Span[Spa]) -> list[Span[Spa]]:
        return [one for one in (bad.intersect(span) for bad in self.bad) if one]

    def clear_poison(self, span: Span[Spa]) -> int:
        gone = [bad for bad in self.bad if span.covers(bad)]
        self.bad = [bad for bad in self.bad if bad not in gone]
        return sum(bad.size for bad in gone)

    def config(self, dimm: Dimm) -> Labels:
        return self.labels.setdefault(dimm.handle, Labels(self.sizes.get(dimm.handle, AREA)))

    def flush_hints(self, dimm: Dimm) -> int:
        return dimm.flush_hints

    def users(self, _span: Span[Spa]) -> list[str]:
        return self.used


def single(size: int = 512 * MIB, base: int = BASE, serial: int = 0x123456) -> Bus:
    """One DIMM in one region, as QEMU has it in slot 0."""
    return interpret(
        [
            SpaRange(2, base, size, flags=2),
            RegionMap(1, 2, 3, size),
            ControlRegion(3, vendor_id=0x8086, device_id=1, revision_id=1, serial_number=serial),
            Capabilities(1, 2),
        ]
    )


def pair(size: int = 64 * MIB) -> Bus:
    """Two DIMMs of ``size`` in one set; the first mapping is nmem1, which comes second in the set."""
    return interpret(
        [
            SpaRange(1, BASE, 2 * size, flags=2),
            RegionMap(0x101, 1, 2, size, region_offset=0x1000, interleave_ways=2),
            RegionMap(0x001, 1, 1, size, region_offset=0, interleave_ways=2),
            ControlRegion(2, vendor_id=0x8980, device_id=1, revision_id=1, serial_number=0xB20A0000, **MADE),
            ControlRegion(1, vendor_id=0x8980, device_id=1, revision_id=1, serial_number=0xB10A0000, **MADE),
            Capabilities(1, 2),
        ]
    )


def powered(bus: Bus, platform: Platform | None = None, store: Store | None = None) -> Nd:
    """The nd bus after boot."""
    nd = Nd(platform or Platform(), (store or Store(None)).table("dom0"), bus)
    nd.probe()
    return nd


def init_labels(nd: Nd, minor: int = 2) -> None:
    """``ndctl init-labels all``, regions disabled before and enabled afterwards."""
    from xlpy.dom0.nvdimm.labels import empty_index

    for region in nd.regions:
        region.unbind()
    for dimm in nd.dimms:
        for block in (0, 1):
            made = empty_index(dimm.config.size, block, minor)
            dimm.set_config_data(made.own, made.build())
        dimm.unbind()
        dimm.bind()
    for region in nd.regions:
        region.bind()


def create(
    region: NdRegion,
    uuid: str,
    size: int,
    mode: str = "fsdax",
    *,
    name: str = "",
    structs: str = "dev",
    align: int = 2 * MIB,
    sector: int = 0,
    info: str = "",
    reserve: tuple[int, ...] = (),
) -> NdNamespace:
    """``ndctl create-namespace``: the label in four steps, then the device that claims it."""
    namespace = region.namespace_seed
    assert namespace is not None
    namespace.store_uuid(uuid)
    namespace.store_alt_name(name)
    namespace.store_size(size)
    namespace.store_sector_size(sector or (4096 if mode == "sector" else 512))
    namespace.store_holder_class({"fsdax": "pfn", "devdax": "dax", "sector": "btt", "raw": ""}[mode])
    if mode == "raw":
        namespace.bind()
        return namespace
    if mode == "sector":
        btt = region.btt_seed
        assert btt is not None
        btt.store_uuid(info or other(uuid))
        btt.store_sector_size(sector or 4096)
        btt.store_namespace(namespace.dev)
        btt.bind()
        return namespace
    pfn = region.dax_seed if mode == "devdax" else region.pfn_seed
    assert pfn is not None
    pfn.store_uuid(info or other(uuid))
    pfn.store_mode("ram" if structs == "mem" else "pmem")
    pfn.store_align(align)
    pfn.store_reserve(reserve)
    pfn.store_namespace(namespace.dev)
    pfn.bind()
    return namespace


def destroy(namespace: NdNamespace) -> None:
    """``ndctl destroy-namespace -f``."""
    disable(namespace)
    namespace.store_force_raw(True)
    namespace.bind()
    namespace.region.bus.memory.write(Spa(namespace.resource + 4096), bytes(4096))
    namespace.unbind()
    namespace.store_force_raw(False)
    if namespace.has_label:
        namespace.store_holder_class("")
        namespace.store_size(0)


def disable(namespace: NdNamespace) -> None:
    """``ndctl disable-namespace``."""
    claim = namespace.claim
    if claim:
        claim.unbind()
        claim.store_namespace("")
    elif namespace.bound:
        namespace.unbind()


def other(uuid: str) -> str:
    """A uuid made of another one."""
    return uuid[:-1] + f"{int(uuid[-1], 16) ^ 1:x}"
