"""Whether the structures of an NFIT belong together: indices, handles, sizes and interleaving (ACPI 6.5, 5.2.25)."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from xlpy.addr import LIMIT
from xlpy.firmware.acpi import nfit
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.firmware.acpi.nfit import Structure

WAYS_MAX = 32  # mappings of one range that Linux takes
CACHE_LINE = 64

Problem = tuple[int, str]  # number of the structure, and what is wrong with it


def problems(structures: Sequence[Structure]) -> list[Problem]:
    """Everything that does not fit together, in the order of the structures."""
    links = _Links(structures)
    return sorted([*links.indices(), *links.ranges(), *links.maps(), *links.sets(), *links.others()])


class _Links:
    """The structures with their numbers, by kind."""

    def __init__(self, structures: Sequence[Structure]) -> None:
        numbered = list(enumerate(structures))
        self.spa = [(number, s) for number, s in numbered if isinstance(s, nfit.SpaRange)]
        self.map = [(number, s) for number, s in numbered if isinstance(s, nfit.RegionMap)]
        self.control = [(number, s) for number, s in numbered if isinstance(s, nfit.ControlRegion)]
        self.interleave = [(number, s) for number, s in numbered if isinstance(s, nfit.Interleave)]
        self.window = [(number, s) for number, s in numbered if isinstance(s, nfit.DataWindow)]
        self.hints = [(number, s) for number, s in numbered if isinstance(s, nfit.FlushHints)]
        self.caps = [(number, s) for number, s in numbered if isinstance(s, nfit.Capabilities)]
        self.lines = {s.interleave_index: s for _, s in self.interleave}
        self.controls = {s.control_index for _, s in self.control}

    def indices(self) -> Iterator[Problem]:
        """Indices are not 0, and used once."""
        kinds = (
            ("SPA range index", [(n, s.spa_index) for n, s in self.spa if s.spa_index or not _virtual(s)]),
            ("control region index", [(n, s.control_index) for n, s in self.control]),
            ("interleave index", [(n, s.interleave_index) for n, s in self.interleave]),
            ("handle and region id", [(n, (s.handle, s.region_id)) for n, s in self.map]),
        )
        for what, used in kinds:
            count = Counter(index for _, index in used)
            last = {index: number for number, index in used}
            for index, number in last.items():
                if index == 0:
                    yield number, f"{what} 0"
                elif count[index] > 1:
                    yield number, f"{what} {index} is used {count[index]} times"

    def ranges(self) -> Iterator[Problem]:
        """Ranges have a known type, a size, an end below 2**64, and share no address."""
        for number, spa in self.spa:
            if spa.range_type not in nfit.RANGE_TYPES:
                yield number, f"SPA range {spa.spa_index} is of the unknown type {spa.range_type}"
            if not spa.length or spa.base + spa.length > LIMIT:
                yield number, f"SPA range {spa.spa_index}: {spa.length:#x} bytes at {spa.base:#x}"
        ordered = sorted((s.base, s.base + s.length, number, s.spa_index) for number, s in self.spa)
        for (_, end, _, one), (start, _, number, two) in pairwise(ordered):
            if start < end:
                yield number, f"SPA ranges {one} and {two} overlap at {start:#x}"

    def maps(self) -> Iterator[Problem]:
        """A mapping finds its range, control region and interleave table, and is of a device."""
        known = {s.spa_index for _, s in self.spa}
        for number, one in self.map:
            if not one.handle or one.handle >> 28:
                what = "is the root device" if not one.handle else "sets reserved bits"
                yield number, f"a mapping has device handle {one.handle:#x}, which {what}"
            if one.spa_index and one.spa_index not in known:
                yield number, f"device {one.handle:#x} is mapped to SPA range {one.spa_index}, which is missing"
            if one.control_index and one.control_index not in self.controls:
                yield number, f"device {one.handle:#x} uses control region {one.control_index}, which is missing"
            if one.interleave_index and one.interleave_index not in self.lines:
                yield number, f"device {one.handle:#x} uses interleave table {one.interleave_index}, which is missing"

    def sets(self) -> Iterator[Problem]:
        """The mappings of a range have its size, agree on their number, and share its lines without gap or overlap."""
        for number, spa in self.spa:
            members = [(n, s) for n, s in self.map if s.spa_index == spa.spa_index]
            if not members or not spa.spa_index:
                continue
            name = f"SPA range {spa.spa_index}"
            total = sum(s.region_size for _, s in members)
            if total != spa.length:
                yield number, f"{name}: its devices have {total:#x} bytes, the range has {spa.length:#x}"
            if len(members) > WAYS_MAX:
                yield number, f"{name}: {len(members)} mappings, Linux takes {WAYS_MAX}"
            wrong = [(n, s) for n, s in members if max(s.interleave_ways, 1) != len(members)]
            for n, s in wrong:
                yield (
                    n,
                    (f"{name}: device {s.handle:#x} says {s.interleave_ways} ways, there are {len(members)} mappings"),
                )
            if len(members) > 1 and not wrong:
                reason = self._tiling([s for _, s in members])
                if reason:
                    yield number, f"{name}: {reason}"

    def _tiling(self, members: list[nfit.RegionMap]) -> str | None:
        """Why the lines of an interleave set do not cover its repeating block exactly once; None if they do."""
        tables = [self.lines.get(s.interleave_index) for s in members]
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

    def others(self) -> Iterator[Problem]:
        """Windows, flush hints and capabilities."""
        handles = {s.handle for _, s in self.map}
        for number, window in self.window:
            if window.control_index not in self.controls:
                yield number, f"data windows of control region {window.control_index}, which is missing"
        for number, hints in self.hints:
            if hints.handle not in handles:
                yield number, f"flush hints of device {hints.handle:#x}, which has no mapping"
            for address in hints.addresses:
                if address % CACHE_LINE:
                    yield number, f"flush hint address {address:#x} is not aligned to {CACHE_LINE} bytes"
        for number, caps in self.caps:
            if caps.highest > 31:
                yield number, f"highest capability bit {caps.highest}, there are 32"
        for number, _ in self.caps[1:]:
            yield number, "platform capabilities are told more than once"


def _virtual(spa: nfit.SpaRange) -> bool:
    """Virtual disks and CDs, the only ranges that may have index 0."""
    return spa.range_type in (nfit.VOLATILE_DISK, nfit.VOLATILE_CD, nfit.PERSISTENT_DISK, nfit.PERSISTENT_CD)
