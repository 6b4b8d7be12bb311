"""Whether the structures of an NFIT belong together: indices, handles, sizes and interleaving (ACPI 6.5, 5.2.25)."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

from xlpy.addr import LIMIT
from xlpy.firmware.acpi import nfit
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from xlpy.firmware.acpi.nfit import Structure

WAYS_MAX = 32  # mappings of one range that Linux takes
CACHE_LINE = 64


class LinkProblem(NamedTuple):
    """Offset of the structure, the finding's code, and what is wrong."""

    at: int
    code: str
    message: str


def problems(
    structures: Sequence[tuple[int, Structure]],
    lost: Collection[tuple[type, int]] = (),
    nodes: Collection[int] | None = None,
) -> list[LinkProblem]:
    """Everything that does not fit together, in the order of the structures.

    Args:
        structures: with their offsets.
        lost: record types and indices of structures that cannot be read: links to them are not missing.
        nodes: the proximity domains of the SRAT; None when nothing is known of them.
    """
    links = _Links(structures, lost)
    found = [
        *links.indices(),
        *links.ranges(nodes),
        *links.maps(),
        *links.sets(),
        *links.devices(),
        *links.others(),
    ]
    return sorted(found)


class _Links:
    """The structures with their offsets, by kind."""

    def __init__(self, structures: Sequence[tuple[int, Structure]], lost: Collection[tuple[type, int]]) -> None:
        self.spa = [(at, s) for at, s in structures if isinstance(s, nfit.SpaRange)]
        self.map = [(at, s) for at, s in structures if isinstance(s, nfit.RegionMap)]
        self.control = [(at, s) for at, s in structures if isinstance(s, nfit.ControlRegion)]
        self.interleave = [(at, s) for at, s in structures if isinstance(s, nfit.InterleaveStructure)]
        self.window = [(at, s) for at, s in structures if isinstance(s, nfit.DataWindow)]
        self.hints = [(at, s) for at, s in structures if isinstance(s, nfit.FlushHints)]
        self.caps = [(at, s) for at, s in structures if isinstance(s, nfit.Capabilities)]
        self.lines = {s.interleave_index: s for _, s in self.interleave}
        self.controls = {s.control_index: s for _, s in self.control}
        self.lost = lost
        self.maps_lost = any(kind is nfit.RegionMap for kind, _ in lost)

    def indices(self) -> Iterator[LinkProblem]:
        """Indices are not 0, and used once."""
        kinds = (
            ("SPA range index", [(at, s.spa_index) for at, s in self.spa if s.spa_index or not _virtual(s)]),
            ("control region index", [(at, s.control_index) for at, s in self.control]),
            ("interleave index", [(at, s.interleave_index) for at, s in self.interleave]),
            ("handle and region id", [(at, (s.handle, s.region_id)) for at, s in self.map]),
        )
        for what, used in kinds:
            count = Counter(index for _, index in used)
            last = {index: at for at, index in used}
            for index, at in last.items():
                if index == 0:
                    yield LinkProblem(at, "nfit-index", f"{what} 0")
                elif count[index] > 1:
                    yield LinkProblem(at, "nfit-index", f"{what} {index} is used {count[index]} times")

    def ranges(self, nodes: Collection[int] | None) -> Iterator[LinkProblem]:
        """Ranges have a known type, a size, an end below 2**64, and share no address."""
        for at, spa in self.spa:
            name = f"SPA range {spa.spa_index}"
            if spa.range_type not in nfit.RANGE_TYPES:
                yield LinkProblem(at, "nfit-range-type", f"{name} is of the unknown type {spa.range_type}")
            if not spa.length or spa.base + spa.length > LIMIT:
                yield LinkProblem(at, "nfit-range", f"{name}: {spa.length:#x} bytes at {spa.base:#x}")
            if nodes is not None and spa.flags & nfit.PROXIMITY_VALID and spa.proximity_domain not in nodes:
                what = f"{name} is in proximity domain {spa.proximity_domain}, which the SRAT does not name"
                yield LinkProblem(at, "nfit-range-node", what)
        ordered = sorted((s.base, s.base + s.length, at, s.spa_index) for at, s in self.spa)
        for (_, end, _, one), (start, _, at, two) in pairwise(ordered):
            if start < end:
                yield LinkProblem(at, "nfit-range-overlap", f"SPA ranges {one} and {two} overlap at {start:#x}")

    def maps(self) -> Iterator[LinkProblem]:
        """A mapping finds its range, control region and interleave table, lies in its range, and is of a device."""
        ranges = {s.spa_index: s for _, s in self.spa}
        for at, one in self.map:
            device = f"device {one.handle:#x}"
            if one.handle >> 28:
                yield LinkProblem(
                    at, "nfit-handle", f"a mapping has device handle {one.handle:#x}: bits 28 to 31 are set"
                )
            for index, known, kind, what in (
                (one.spa_index, ranges, nfit.SpaRange, "is mapped to SPA range"),
                (one.control_index, self.controls, nfit.ControlRegion, "uses control region"),
                (one.interleave_index, self.lines, nfit.InterleaveStructure, "uses interleave table"),
            ):
                if index and index not in known and (kind, index) not in self.lost:
                    yield LinkProblem(at, "nfit-link", f"{device} {what} {index}, which is missing")
            spa = ranges.get(one.spa_index) if one.spa_index else None
            if spa and one.region_offset and one.region_offset >= spa.length:
                what = f"{device} begins at offset {one.region_offset:#x} of SPA range {spa.spa_index}"
                yield LinkProblem(at, "nfit-offset", f"{what}, which has {spa.length:#x} bytes")
            if not one.interleave_ways:
                yield LinkProblem(at, "nfit-ways-zero", f"{device} says 0 interleave ways; 1 is not interleaved")

    def sets(self) -> Iterator[LinkProblem]:
        """The mappings of a range have its size, agree on their number, and share its lines without gap or overlap."""
        members = defaultdict(list)
        for at, one in self.map:
            members[one.spa_index].append((at, one))
        for at, spa in self.spa:
            mine = members[spa.spa_index]
            if not mine or not spa.spa_index or self.maps_lost:
                continue
            name = f"SPA range {spa.spa_index}"
            total = sum(s.region_size for _, s in mine)
            if total != spa.length:
                what = f"{name}: its devices have {total:#x} bytes, the range has {spa.length:#x}"
                yield LinkProblem(at, "nfit-range-size", what)
            if len(mine) > WAYS_MAX:
                yield LinkProblem(at, "nfit-ways-many", f"{name}: {len(mine)} mappings, Linux takes {WAYS_MAX}")
            wrong = [(n, s) for n, s in mine if max(s.interleave_ways, 1) != len(mine)]
            for n, s in wrong:
                what = f"{name}: device {s.handle:#x} says {s.interleave_ways} ways, there are {len(mine)} mappings"
                yield LinkProblem(n, "nfit-ways", what)
            if len(mine) > 1 and not wrong:
                reason = self._tiling([s for _, s in mine])
                if reason:
                    yield LinkProblem(at, "nfit-interleave", f"{name}: {reason}")

    def _tiling(self, members: list[nfit.RegionMap]) -> str | None:
        """Why the lines of an interleave set do not cover its repeating block exactly once; None if they do."""
        tables = [self.lines.get(s.interleave_index) for s in members]
        if any((nfit.InterleaveStructure, s.interleave_index) in self.lost for s in members):
            return None
        if not any(s.interleave_index for s in members):
            offsets = sorted((s.region_offset, s.region_size) for s in members)
            ends = [0, *(offset + size for offset, size in offsets)]
            if all(end == offset for end, (offset, _) in zip(ends, offsets, strict=False)):
                return None  # one device behind the other
            return f"{len(members)} devices are interleaved without an interleave table"
        present = [table for table in tables if table]
        if len(present) != len(members):
            return "not all of its devices have an interleave table"
        shapes = {(table.line_size, len(table.line_offsets)) for table in present}
        if len(shapes) > 1:
            return f"its interleave tables differ in line size and number of lines: {sorted(shapes)}"
        ((size, lines),) = shapes
        if not size or not lines:
            return f"an interleave table of {lines} lines of {size} bytes"
        starts = sorted(
            s.region_offset + line * size
            for s, table in zip(members, present, strict=True)
            for line in table.line_offsets
        )
        for start, wanted in zip(starts, range(0, size * len(starts), size), strict=True):
            if start != wanted:
                what = "missing" if start > wanted else "claimed twice"
                return f"the line at {min(start, wanted):#x} of its interleaved block is {what}"
        return None

    def devices(self) -> Iterator[LinkProblem]:
        """A device's own addresses are mapped once, and devices can be told apart."""
        memory = {s.spa_index for _, s in self.spa if s.range_type in (nfit.PERSISTENT_MEMORY, nfit.VOLATILE_MEMORY)}
        mapped = sorted(
            (one.handle, one.dpa_base, one.dpa_base + one.region_size, at)
            for at, one in self.map
            if one.region_size and one.spa_index in memory
        )
        for (first, start, end, _), (handle, other, _, at) in pairwise(mapped):
            if handle == first and other < end:
                what = (
                    f"device {handle:#x} is mapped at {other:#x} of its addresses already, by the mapping of {start:#x}"
                )
                yield LinkProblem(at, "nfit-dpa", f"{what} to {end:#x}")
        owner: dict[int, int] = {}
        for at, one in self.map:
            first = owner.setdefault(one.control_index, one.handle)
            if one.control_index and first != one.handle:
                what = f"devices {first:#x} and {one.handle:#x} share control region {one.control_index}"
                yield LinkProblem(at, "nfit-identity", f"{what}, and so their serial number")
        names: dict[tuple[int, ...], int] = {}
        for at, region in self.control:
            name = (region.vendor_id, region.device_id, region.serial_number, *_made(region))
            other = names.setdefault(name, region.control_index)
            handles = [owner.get(index) for index in (other, region.control_index)]
            if None not in handles and handles[0] != handles[1]:
                what = f"devices {handles[0]:#x} and {handles[1]:#x} have the same vendor, device and serial number"
                yield LinkProblem(at, "nfit-identity", what)

    def others(self) -> Iterator[LinkProblem]:
        """Windows, flush hints and capabilities."""
        handles = {s.handle for _, s in self.map}
        for at, window in self.window:
            index = window.control_index
            if index not in self.controls and (nfit.ControlRegion, index) not in self.lost:
                yield LinkProblem(at, "nfit-link", f"data windows of control region {index}, which is missing")
        for at, hints in self.hints:
            if hints.handle not in handles and not self.maps_lost:
                yield LinkProblem(
                    at, "nfit-flush-hint", f"flush hints of device {hints.handle:#x}, which has no mapping"
                )
            for address in hints.addresses:
                if address % CACHE_LINE:
                    what = f"flush hint address {address:#x} is not aligned to {CACHE_LINE} bytes"
                    yield LinkProblem(at, "nfit-flush-hint", what)
        for at, caps in self.caps:
            if caps.highest > 31:
                yield LinkProblem(at, "nfit-capabilities", f"highest capability bit {caps.highest}, there are 32")
            elif above := caps.capabilities >> caps.highest + 1 << caps.highest + 1:
                what = f"capabilities {above:#x} are set above the highest valid bit, {caps.highest}"
                yield LinkProblem(at, "nfit-capabilities", what)
        for at, _ in self.caps[1:]:
            yield LinkProblem(at, "nfit-capabilities", "platform capabilities are told more than once")


def _made(region: nfit.ControlRegion) -> tuple[int, ...]:
    """Where and when a device was made, if that is known: part of its identity."""
    return (region.manufacturing_location, region.manufacturing_date) if region.valid_fields & 1 else ()


def _virtual(spa: nfit.SpaRange) -> bool:
    """Virtual disks and CDs, the only ranges that may have index 0."""
    return spa.range_type in (nfit.VOLATILE_DISK, nfit.VOLATILE_CD, nfit.PERSISTENT_DISK, nfit.PERSISTENT_CD)
