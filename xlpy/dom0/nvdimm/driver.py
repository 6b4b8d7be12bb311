"""What Dom0's NVDIMM driver knows: DIMMs and regions, as ``probe`` found them in the host's NFIT."""

from __future__ import annotations

from xlpy.addr import KIB, REGION_ALIGN, Spa, Span
from xlpy.records import NamedTuple
from xlpy.typing import Any

# NFIT region mapping flags, in bit order, as the driver calls them
FLAGS = ("save_fail", "restore_fail", "flush_fail", "not_armed", "smart_event", "smart_notify", "map_fail")
UNUSABLE = ("save_fail", "restore_fail", "flush_fail", "not_armed", "map_fail")  # memory that may not keep its content


class Dimm(NamedTuple):
    """One NVDIMM, ``nmem<number>``. Identity fields are the raw NFIT ones.

    made: (location, date) of manufacture, or None; unique: the text id; flags: words of ``FLAGS``;
    flush_hints: how many flush hint addresses it has.
    """

    number: int
    handle: int
    phys_id: int
    unique: str
    vendor: int
    device: int
    revision: int
    subsystem_vendor: int
    subsystem_device: int
    subsystem_revision: int
    serial: int
    interface: int
    made: tuple[int, int] | None
    flags: tuple[str, ...]
    flush_hints: int = 0

    @property
    def dev(self) -> str:
        """The name on the nd bus."""
        return f"nmem{self.number}"


class MappingDesc(NamedTuple):
    """A DIMM's part in a region: DPA ``offset`` and ``length`` in bytes; ``position`` by region offset, from 0."""

    dimm: str
    offset: int
    length: int
    position: int


class RegionDesc(NamedTuple):
    """A persistent memory range, ``region<number>``: ``mappings`` in NFIT order; cookies as in labels 1.1 and 1.2.

    altcookie: as early kernels computed the first, accepted too; legacy: no NFIT has it, only the memory map (type 12).
    """

    number: int
    span: Span[Spa]
    mappings: tuple[MappingDesc, ...]
    cookie1: int
    cookie2: int
    node: int
    read_only: bool
    altcookie: int = 0
    legacy: bool = False

    @property
    def dev(self) -> str:
        """The name on the nd bus."""
        return f"region{self.number}"

    @property
    def align(self) -> int:
        """Granularity of namespaces in it, in bytes."""
        if self.span.size < REGION_ALIGN:
            return 4 * KIB
        ways = len(self.mappings) or 1
        return REGION_ALIGN if REGION_ALIGN % ways == 0 else REGION_ALIGN * ways


class Bus(NamedTuple):
    """All that the NFIT says. persistence: ``cpu_cache``, ``memory_controller`` or None; problems: odd but usable."""

    revision: int
    persistence: str | None
    dimms: tuple[Dimm, ...]
    regions: tuple[RegionDesc, ...]
    problems: tuple[str, ...]

    def region(self, number: int) -> RegionDesc:
        """The region with a number: not its place in the list, once others have gone."""
        return next(one for one in self.regions if one.number == number)

    def dump(self) -> dict[str, Any]:
        """The record as JSON values."""
        regions = [[[r.span.start, r.span.size] if v is r.span else v for v in r] for r in self.regions]
        return {**self._asdict(), "regions": regions}

    @classmethod
    def load(cls, values: dict[str, Any]) -> Bus:
        """The record that ``dump`` wrote."""
        dimms = tuple(
            Dimm(*d)._replace(made=d[12] and (d[12][0], d[12][1]), flags=tuple(d[13])) for d in values["dimms"]
        )
        regions = tuple(
            RegionDesc(number, Span(*span), tuple(MappingDesc(*m) for m in mappings), *rest)
            for number, span, mappings, *rest in values["regions"]
        )
        return cls(values["revision"], values["persistence"], dimms, regions, tuple(values["problems"]))
