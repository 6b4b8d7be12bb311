"""Extents: where the bytes of a file are on its block device, as the FIEMAP ioctl reports them.

``struct fiemap`` and ``struct fiemap_extent`` (linux/fiemap.h) are little-endian here: the layout of the machines that
have NVDIMMs. All offsets and lengths are bytes; ``physical`` is relative to the block device of the file system.
"""

from __future__ import annotations

import _struct as struct
from _bisect import bisect_right
from _operator import itemgetter, not_

from xlpy.columns import LIMIT, PART, Column, records
from xlpy.errors import FormatError
from xlpy.functions import cache, cached_property
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FS_IOC_FIEMAP = 0xC020660B
FIEMAP_MAX_OFFSET = (1 << 64) - 1
FIEMAP_FLAG_SYNC = 0x1

FIEMAP_EXTENT_LAST = 0x0001
FIEMAP_EXTENT_UNKNOWN = 0x0002
FIEMAP_EXTENT_DELALLOC = 0x0004
FIEMAP_EXTENT_ENCODED = 0x0008
FIEMAP_EXTENT_DATA_ENCRYPTED = 0x0080
FIEMAP_EXTENT_NOT_ALIGNED = 0x0100
FIEMAP_EXTENT_DATA_INLINE = 0x0200
FIEMAP_EXTENT_DATA_TAIL = 0x0400
FIEMAP_EXTENT_UNWRITTEN = 0x0800
FIEMAP_EXTENT_MERGED = 0x1000
FIEMAP_EXTENT_SHARED = 0x2000
SAY_NOTHING = FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_MERGED  # of where the data lies, and in which form

# in the order and with the words of filefrag(8)
FLAG_NAMES = {
    FIEMAP_EXTENT_LAST: "last",
    FIEMAP_EXTENT_UNKNOWN: "unknown_loc",
    FIEMAP_EXTENT_DELALLOC: "delalloc",
    FIEMAP_EXTENT_ENCODED: "encoded",
    FIEMAP_EXTENT_DATA_ENCRYPTED: "encrypted",
    FIEMAP_EXTENT_NOT_ALIGNED: "not_aligned",
    FIEMAP_EXTENT_DATA_INLINE: "inline",
    FIEMAP_EXTENT_DATA_TAIL: "tail_packed",
    FIEMAP_EXTENT_UNWRITTEN: "unwritten",
    FIEMAP_EXTENT_MERGED: "merged",
    FIEMAP_EXTENT_SHARED: "shared",
}

_BEGINS = itemgetter(0)  # the file offset of an extent
_REQUEST = struct.Struct("<QQIIII")
_EXTENT = struct.Struct("<QQQ16xI12x")


class Extent(NamedTuple):
    """``length`` bytes at file offset ``logical`` lie at device offset ``physical``; ``flags`` are FIEMAP_EXTENT_*."""

    logical: int
    physical: int
    length: int
    flags: int


class MapPart:
    """Extents that follow each other in a file, as columns; there is at least one.

    Whatever unit offsets and lengths have, all of them end below 2**63.
    """

    def __init__(self, logical: Column, physical: Column, length: Column, flags: Column) -> None:
        self.logical, self.physical, self.length, self.flags = self.columns = (logical, physical, length, flags)

    @cached_property
    def gapless(self) -> bool:
        """Whether each begins in the file where the one before it ends."""
        return self.logical + self.length == self.logical.following(self.end)

    @cached_property
    def disordered(self) -> bool:
        """Whether one begins in the file before the end of the one before it."""
        return not self.gapless and (self.logical + self.length).any_above(self.logical.following(self.end))

    @cached_property
    def any_empty(self) -> bool:
        """Whether one has no bytes."""
        return self.length.any_below(1)

    @cached_property
    def rising(self) -> bool:
        """Whether each lies on the device behind the one before it."""
        if self.physical.first > self.physical.last:
            return False
        return not self.ends.any_above(self.physical.following(LIMIT - 1))

    @cached_property
    def falling(self) -> bool:
        """Whether each lies on the device before the one before it, and none is empty."""
        if self.physical.first < self.physical.last or self.any_empty:
            return False
        return not self.physical.any_below(self.ends.following(0))

    @property
    def end(self) -> int:
        """Where the last one ends in the file."""
        return self.logical.last + self.length.last

    @property
    def ends(self) -> Column:
        """Where they end on the device."""
        return self.physical + self.length

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """Where the lowest one on the device begins, and where the highest one ends."""
        if self.rising:
            return self.physical.first, self.physical.last + self.length.last
        if self.falling:
            return self.physical.last, self.physical.first + self.length.first
        return min(self.physical), max(self.ends)

    def scaled(self, factor: int) -> MapPart:
        """The same in a unit that is so many times smaller."""
        logical, physical, length = (column * factor for column in self.columns[:3])
        made = MapPart(logical, physical, length, self.flags)
        for fact in ("gapless", "any_empty", "rising", "falling"):
            setattr(made, fact, getattr(self, fact))
        return made

    def ending(self, length: int, flags: int) -> MapPart:
        """The same with a last one of another length and other flags."""
        return MapPart(self.logical, self.physical, self.length.ending(length), self.flags.ending(flags))

    def joined(self, after: MapPart | None) -> Column | None:
        """1 for each that the next one continues in file and device, differing at most in LAST; None: no one is.

        Args:
            after: the part that follows this one.
        """
        first = after and (after.physical.first, after.logical.first, after.flags.first)
        if self.falling and (not first or first[0] != self.physical.last + self.length.last):
            return None
        physical, logical, flags = first or (0, 0, 0)
        joined = self.ends.same(self.physical.following(physical))
        joined = joined if first else joined.ending(0)
        if not joined.any():
            return None
        ends, kinds = self.logical + self.length, self.flags | FIEMAP_EXTENT_LAST
        joined &= ends.same(self.logical.following(logical))
        joined &= kinds.same(kinds.following(flags | FIEMAP_EXTENT_LAST))
        return joined if joined.any() else None


class Extents:
    """The extents of a file, as columns in parts (see ``xlpy.columns``); single extents are made on demand.

    All of them end below 2**63, as the kernel's ``loff_t`` wants it.
    """

    def __init__(self, parts: Sequence[MapPart]) -> None:
        self.parts = parts

    @classmethod
    def of(cls, rows: Sequence[Extent]) -> Extents:
        """Columns of extents. FormatError: one ends beyond what a file or device can have."""
        for row in rows:
            if max(row.logical, row.physical) + row.length >= LIMIT:
                raise FormatError(f"{row} ends beyond {LIMIT:#x}, where no file or device can")
        pieces = (rows[at : at + PART] for at in range(0, len(rows), PART))
        return cls([MapPart(*map(Column.of, zip(*piece, strict=True))) for piece in pieces])

    @cached_property
    def columns(self) -> Sequence[Column]:
        """Of all parts."""
        return [Column.joined(columns) for columns in zip(*(part.columns for part in self.parts), strict=True)]

    @cached_property
    def _rows(self) -> list[Extent]:
        return [row for part in self.parts for row in records(Extent, part.columns)]

    def __len__(self) -> int:
        return sum(len(part.logical) for part in self.parts)

    def __iter__(self) -> Iterator[Extent]:
        return iter(self._rows)

    def __getitem__(self, at: int) -> Extent:
        return self._rows[at]

    def __eq__(self, other: object) -> bool:
        """Whether the other, of whatever kind, holds the same extents."""
        if isinstance(other, Extents):
            return self.columns == other.columns
        return self._rows == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Extents.of({self._rows})"

    def holding(self, logical: int) -> Extent | None:
        """The extent that has the byte at a file offset; None in a hole."""
        rows = self._rows
        at = bisect_right(rows, logical, key=_BEGINS) - 1
        return rows[at] if at >= 0 and logical < rows[at].logical + rows[at].length else None

    def marked_last(self) -> Extents:
        """The same with the last one flagged LAST, as the end of a file's map."""
        if not self.parts:
            return self
        *parts, last = self.parts
        return Extents([*parts, last.ending(last.length.last, last.flags.last | FIEMAP_EXTENT_LAST)])

    def merged(self) -> Extents:
        """The same with neighbours joined that continue each other in file and device and differ at most in LAST.

        The kernel may report such neighbours as one or as many, so only merged maps can be compared.
        """
        joined = [part.joined(after) for part, after in zip(self.parts, [*self.parts[1:], None], strict=False)]
        if not any(joined):
            return self
        goes_on = [on for part, one in zip(self.parts, joined, strict=True) for on in one or (0,) * len(part.logical)]
        begins = [True, *map(not_, goes_on[:-1])]
        stops = list(map(not_, goes_on))
        logical, physical, length, flags = self.columns
        first, ends = logical.where(begins), (logical + length).where(stops)
        merged = first, physical.where(begins), ends - first, flags.where(stops)
        return Extents([MapPart(*columns) for columns in zip(*map(Column.parts, merged), strict=True)])


@cache
def flag_names(flags: int) -> tuple[str, ...]:
    """The words of filefrag(8) for a set of flags; bits without a name as hexadecimal numbers."""
    names = [name for bit, name in FLAG_NAMES.items() if flags & bit]
    return (*names, *(f"{1 << i:#x}" for i in range(32) if flags >> i & 1 and 1 << i not in FLAG_NAMES))


def encode_request(start: int, length: int, flags: int, capacity: int) -> bytearray:
    """A ``struct fiemap`` that asks about ``[start, start + length)``, with room for ``capacity`` extents."""
    return bytearray(_REQUEST.pack(start, length, flags, 0, capacity, 0)) + bytearray(capacity * _EXTENT.size)


def decode_reply(reply: bytes | bytearray) -> tuple[int, list[Extent]]:
    """(fm_mapped_extents, the extents that were copied out) of an answered ``struct fiemap``.

    Raises:
        FormatError: the reply is shorter than the extents it claims.
    """
    if len(reply) < _REQUEST.size:
        raise FormatError(f"fiemap reply of {len(reply)} bytes; the header alone has {_REQUEST.size}", offset=0)
    _start, _length, _flags, mapped, capacity, _ = _REQUEST.unpack_from(reply)
    end = _REQUEST.size + min(mapped, capacity) * _EXTENT.size
    if len(reply) < end:
        raise FormatError(f"fiemap reply of {len(reply)} bytes claims {mapped} extents, which need {end}", offset=20)
    return mapped, [Extent._make(raw) for raw in _EXTENT.iter_unpack(memoryview(reply)[_REQUEST.size : end])]
