"""Xen's metadata about pmem pages, as bytes in the reserved area of the pmem itself.

The area holds two arrays over all frames of the device, each rounded up to whole pages: ``struct page_info`` (32 bytes
a frame) and the M2P (8 bytes a frame, gfn). Only the head of each run of equal pages is written, so that the cost
follows the extents: a record of zeros continues the run before it, and its gfn is the head's gfn plus the distance.

| offset | size | page_info of a head |
|---|---|---|
| 0 | 4 | frame number of the next head, all ones at the end (``PAGE_LIST_NULL``) |
| 4 | 4 | frame number of the previous head, all ones at the start |
| 8 | 8 | count_info: reference count, state, broken, allocated |
| 16 | 8 | type_info: none, guests with hardware-assisted paging take no type reference |
| 24 | 4 | owner: domid + 1, 0 for none (Xen keeps the compressed address of its domain structure here) |
| 28 | 4 | TLB flush time stamp, 0 |

Metadata is volatile by nature: nothing here is trusted after a boot or after an unclean end, it is derived anew from
the owners. Layout and bits: Xen ``asm-x86/mm.h``.
"""

from __future__ import annotations

from _bisect import bisect_right
from _operator import ne, sub
from _struct import Struct
from itertools import compress, count, islice, pairwise

from xlpy.abi import DOMID_IO, DOMID_XEN
from xlpy.addr import PAGE, PAGE_SHIFT, Spa, Span, pages
from xlpy.errors import FormatError
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.hw.hardware import Hardware
    from xlpy.hypervisor.p2m import M2P
    from xlpy.hypervisor.regions import PmemRegion

PAGE_INFO = Struct("<IIQQII")
PAGE_INFO_SIZE = PAGE_INFO.size
_M2P_ENTRY = Struct("<Q")
M2P_SIZE = _M2P_ENTRY.size
NULL = 0xFFFFFFFF
INVALID_M2P = (1 << 64) - 1

PGC_ALLOCATED = 1 << 63
PGC_XEN_HEAP = 1 << 62
PGC_BROKEN = 1 << 60
PGC_STATE_FREE = 3 << 58
PGC_STATE_MASK = 3 << 58
PGC_COUNT_MASK = (1 << 56) - 1

_NEAR = 512  # pages: up to here the zeros between two heads are written, beyond they are left to the file system
_CLUSTER = 1 << 18  # pages that one write covers at most


class PageInfo(NamedTuple):
    """One decoded record."""

    next: int
    prev: int
    count_info: int
    type_info: int
    owner: int | None
    tlbflush: int

    @property
    def free(self) -> bool:
        """Whether the page's state is free."""
        return self.count_info & PGC_STATE_MASK == PGC_STATE_FREE

    @property
    def broken(self) -> bool:
        """Whether a machine check marked the page."""
        return bool(self.count_info & PGC_BROKEN)

    @property
    def references(self) -> int:
        """The reference count."""
        return self.count_info & PGC_COUNT_MASK


class FrameRun(NamedTuple):
    """Equal pages in a row: ``[start, end)`` in frames, the head's record, the head's gfn or None."""

    start: int
    end: int
    info: PageInfo
    gfn: int | None


def places(region: PmemRegion, mfn: int) -> tuple[Spa, Spa]:
    """The addresses of the ``page_info`` and the M2P entry of a frame of a device."""
    records = region.reserved.start << PAGE_SHIFT
    gfns = records + pages(PAGE_INFO_SIZE * region.region.size) * PAGE
    at = mfn - region.region.start
    return Spa(records + at * PAGE_INFO_SIZE), Spa(gfns + at * M2P_SIZE)


def metadata_pages(count: int) -> int:
    """Pages that the metadata of ``count`` pages takes: ``struct page_info`` and M2P, each rounded up to whole pages.

    ``count`` is the whole device, reserved area included. 1 GiB needs 2560 pages, 10 MiB.
    """
    return pages(PAGE_INFO_SIZE * count) + pages(M2P_SIZE * count)


def decode(record: bytes) -> PageInfo:
    """Read one 32-byte ``struct page_info``."""
    link, back, count, kind, owner, stamp = PAGE_INFO.unpack(record)
    return PageInfo(link, back, count, kind, owner - 1 if owner else None, stamp)


class FrameTable:
    """The metadata of one device.

    Args:
        hw: whose media it is written to.
        region: the device.
        m2p: who owns which page.
        broken: frames marked broken, sorted.
    """

    def __init__(self, hw: Hardware, region: PmemRegion, m2p: M2P, broken: list[int]) -> None:
        self._hw = hw
        self._first, self._end = int(region.region.start), int(region.region.end)
        self._m2p, self._broken = m2p, broken
        self.records, self.gfns = places(region, self._first)
        reserved, data = region.reserved, region.data
        edges = sorted({self._first, reserved.start, reserved.end, data.start, data.end, self._end})
        self._pieces = [(start, end, _kind(reserved, data, start)) for start, end in pairwise(edges)]

    # reading

    def record(self, mfn: int) -> PageInfo:
        """The record of one frame as it is on the media; all zeros inside a run."""
        return decode(self._hw.read(self._records_of(mfn, mfn).start, PAGE_INFO_SIZE))

    def gfn(self, mfn: int) -> int:
        """The M2P entry of one frame as it is on the media; zero inside a run."""
        return int.from_bytes(self._hw.read(self._gfns_of(mfn, mfn).start, M2P_SIZE), "little")

    def walk(self) -> Iterator[FrameRun]:
        """The runs that the media hold, in frame order, by following the list of heads; FormatError when it is
        damaged."""
        mfn = self._first
        while mfn != NULL:
            info, gfn = self.record(mfn), self.gfn(mfn)
            end = self._end if info.next == NULL else info.next
            if not mfn < end <= self._end:
                raise FormatError(
                    f"the list of heads is broken at frame {mfn:#x}: next is {info.next:#x}",
                    offset=(mfn - self._first) * PAGE_INFO_SIZE,
                    hint="start the host anew, which rebuilds it: xlpy host reset --keep-media",
                )
            yield FrameRun(mfn, end, info, None if gfn == INVALID_M2P else gfn)
            mfn = info.next

    # writing

    def rebuild(self) -> None:
        """Write everything anew; what was there before does not matter."""
        self._hw.zero(Span(self.records, pages(PAGE_INFO_SIZE * (self._end - self._first)) * PAGE))
        self._hw.zero(Span(self.gfns, pages(M2P_SIZE * (self._end - self._first)) * PAGE))
        self.write(self._first, self._end)

    def window(self, start: int, end: int) -> tuple[int, int]:
        """The runs around ``[start, end)`` as they are before a change: what ``write`` must cover after it."""
        return self._run(max(start - 1, self._first))[0], self._run(min(end, self._end - 1))[1]

    def write(self, start: int, end: int) -> None:
        """Write all heads in ``[start, end)``, which begins and ends at heads before and after the change.

        Raises:
            Constraint: no space left on the device.
        """
        starts, _ends, counts, owners, gfns = self._runs(start, end)
        after = end if end < self._end else NULL
        before = self._run(start - 1)[0] if start > self._first else NULL
        nexts, prevs = [*starts[1:], after], [before, *starts[:-1]]
        columns = (starts, nexts, prevs, counts, owners, gfns)
        cuts = _clusters(starts)
        tail = min(end - starts[-1], _NEAR)
        if len(cuts) > 2 or starts[-1] + tail < end:
            self._hw.zero(self._records_of(start, end))
            self._hw.zero(self._gfns_of(start, end))
        for first, last in pairwise(cuts):
            part = columns if last - first == len(starts) else [column[first:last] for column in columns]
            self._write_heads(part, tail if last == len(starts) else 1)
        if after != NULL:
            self._hw.write(Spa(self._records_of(after, after).start + 4), starts[-1].to_bytes(4, "little"))

    def _write_heads(self, columns: Sequence[list[int]], tail: int) -> None:
        """Write heads that lie near each other, with the zeros between them.

        Args:
            columns: frame, next head, previous head, count_info, owner field, gfn.
            tail: pages from the last head on that are written.
        """
        start, end = columns[0][0], columns[0][-1] + tail
        records, entries = bytearray(PAGE_INFO_SIZE * (end - start)), bytearray(M2P_SIZE * (end - start))
        put_record, put_entry = PAGE_INFO.pack_into, _M2P_ENTRY.pack_into
        for mfn, link, back, references, owner, gfn in zip(*columns, strict=True):
            at = mfn - start
            put_record(records, at * PAGE_INFO_SIZE, link, back, references, 0, owner, 0)
            put_entry(entries, at * M2P_SIZE, gfn)
        self._hw.write(self._records_of(start, end).start, records)
        self._hw.write(self._gfns_of(start, end).start, entries)

    def _records_of(self, start: int, end: int) -> Span[Spa]:
        return Span(Spa(self.records + (start - self._first) * PAGE_INFO_SIZE), (end - start) * PAGE_INFO_SIZE)

    def _gfns_of(self, start: int, end: int) -> Span[Spa]:
        return Span(Spa(self.gfns + (start - self._first) * M2P_SIZE), (end - start) * M2P_SIZE)

    def _runs(self, start: int, end: int) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
        """Columns of the runs that tile ``[start, end)``: first, end, count_info, owner field, gfn."""
        columns: list[list[int]] = [[], [], [], [], []]
        for a, b, kind in self._pieces:
            at, stop = max(a, start), min(b, end)
            if at < stop:
                part = (
                    self._data_runs(at, stop) if kind is None else [[at], [stop], [kind[0]], [kind[1]], [INVALID_M2P]]
                )
                for column, more in zip(columns, part, strict=True):
                    column += more
        starts, ends, counts, owners, gfns = columns
        for mfn in self._broken:
            if start <= mfn < end:
                i = bisect_right(starts, mfn) - 1
                run = (counts[i], owners[i], gfns[i])
                cuts = sorted({starts[i], mfn, mfn + 1, ends[i]})
                parts = list(pairwise(cuts))
                starts[i : i + 1], ends[i : i + 1] = [a for a, _ in parts], [b for _, b in parts]
                counts[i : i + 1] = [run[0] | PGC_BROKEN if a == mfn else run[0] for a, _ in parts]
                owners[i : i + 1] = [run[1]] * len(parts)
                gfns[i : i + 1] = [run[2] if run[2] == INVALID_M2P else run[2] + a - cuts[0] for a, _ in parts]
        return starts, ends, counts, owners, gfns

    def _data_runs(self, start: int, end: int) -> list[list[int]]:
        """The same columns for a part of the data area: owned runs, and the free ones between them."""
        first, last = self._m2p.window(start, end)
        there, count = slice(first, last), last - first
        owned, owned_ends, bases = self._m2p.starts[there], self._m2p.ends[there], self._m2p.bases[there]
        if count:  # a broken page may have cut the first and the last in two
            bases[0] += max(start - owned[0], 0)
            owned[0], owned_ends[-1] = max(start, owned[0]), min(end, owned_ends[-1])
        starts, ends, owners, gfns = ([0] * (2 * count + 1) for _ in range(4))
        starts[0::2], starts[1::2] = [start, *owned_ends], owned
        ends[0::2], ends[1::2] = [*owned, end], owned_ends
        counts = [PGC_STATE_FREE, PGC_ALLOCATED | 1] * count + [PGC_STATE_FREE]
        owners[1::2] = [domid + 1 for domid in self._m2p.tags[there]]
        gfns[0::2], gfns[1::2] = [INVALID_M2P] * (count + 1), bases
        columns = [starts, ends, counts, owners, gfns]
        filled = list(map(ne, starts, ends))
        return columns if all(filled) else [list(compress(column, filled)) for column in columns]

    def _run(self, mfn: int) -> tuple[int, int]:
        """The run that contains a frame."""
        start, end, kind = next(piece for piece in self._pieces if piece[0] <= mfn < piece[1])
        if kind is None:
            m2p = self._m2p
            at = bisect_right(m2p.starts, mfn)
            if at and mfn < m2p.ends[at - 1]:
                start, end = m2p.starts[at - 1], m2p.ends[at - 1]
            else:
                start = max(start, m2p.ends[at - 1]) if at else start
                end = min(end, m2p.starts[at]) if at < len(m2p) else end
        at = bisect_right(self._broken, mfn)
        if at and self._broken[at - 1] == mfn:
            return mfn, mfn + 1
        start = max(start, self._broken[at - 1] + 1) if at else start
        end = min(end, self._broken[at]) if at < len(self._broken) else end
        return start, end


def _clusters(starts: list[int]) -> list[int]:
    """Where to cut a row of heads, so that one write covers heads that lie near each other: indices, both ends too."""
    gaps = map(sub, islice(starts, 1, None), starts)
    cuts = [0, *compress(count(1), map(_NEAR.__lt__, gaps)), len(starts)]
    for at, end in pairwise(tuple(cuts)):
        while starts[end - 1] - starts[at] > _CLUSTER:
            at = bisect_right(starts, starts[at] + _CLUSTER)
            cuts.append(at)
    return sorted(cuts)


def _kind(reserved: Span, data: Span, mfn: int) -> tuple[int, int] | None:  # type: ignore[type-arg]
    """(count_info, owner field) of frames that never change hands; None for the data area."""
    if mfn in data:
        return None
    if mfn in reserved:
        return PGC_XEN_HEAP | 1, DOMID_XEN + 1
    return 1, DOMID_IO + 1
