"""Where the sectors of a BTT are: the map of its arena decides, not their order (UEFI 2.7, 6.4)."""

from __future__ import annotations

from _struct import Struct

from xlpy.addr import PAGE, Spa
from xlpy.dom0.nvdimm.btt import BttBlock, parse_btt
from xlpy.dom0.nvdimm.infoblock import BLOCK
from xlpy.dom0.nvdimm.nd.arenas import ERROR, LANE, LBA, TRIM, entries, mapped
from xlpy.functions import cached_property
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.dom0.nvdimm.namespace import Namespace

    # (offset, bytes) of what is not all zeros in (address, bytes)
    Written = Callable[[Spa, int], Iterator[tuple[int, bytes | memoryview]]]

_ENTRY = Struct("<I")
STATES = {
    0: "never written, so it is in its first place",
    TRIM: "discarded: reads as zeros",
    ERROR: "marked as an error",
    TRIM | ERROR: "",
}


class Arena(NamedTuple):
    """One arena. start: address of its info block. first: the first sector of the device that is in it."""

    start: Spa
    first: int
    block: BttBlock

    @property
    def end(self) -> Spa:
        """Where its second info block ends."""
        return Spa(self.start + self.block.info2off + BLOCK)


class Sector(NamedTuple):
    """One sector.

    number: on the device. arena: that has it. entry: its map entry as it stands, at host address ``place``. spa: where
    its bytes lie. size: bytes that are seen of it; the block on media may have more.
    """

    number: int
    arena: Arena
    entry: int
    place: Spa
    spa: Spa
    size: int

    @property
    def block(self) -> int:
        """The block of the arena that it lies in."""
        return (self.spa - self.arena.start - self.arena.block.dataoff) // self.arena.block.internal_lbasize

    @property
    def state(self) -> str:
        """How the entry is to be taken, in words."""
        return STATES[self.entry & (TRIM | ERROR)]


class Sectors:
    """The sectors of a namespace in sector mode.

    Args:
        read: gives bytes of host memory at an address. namespace: as its driver has enabled it.
    """

    def __init__(self, read: Callable[[Spa, int], bytes], namespace: Namespace) -> None:
        self._read = read
        self._namespace = namespace

    @cached_property
    def arenas(self) -> list[Arena]:
        """All of them, in order. InfoBlockError: one is damaged."""
        assert self._namespace.seal is not None
        found: list[Arena] = []
        start, first = Spa(self._namespace.seal[0]), 0
        while True:
            parent = found[0].block.parent if found else self._read(Spa(start + 32), 16)  # the driver took it
            block = parse_btt(self._read(start, BLOCK), parent)
            found.append(Arena(start, first, block))
            if not block.nextoff:
                return found
            start, first = Spa(start + block.nextoff), first + block.external_nlba

    def at(self, offset: int) -> Sector:
        """The sector that has a byte of the device. ``offset`` must be below the device's size."""
        number = offset // self._namespace.sector_size
        arena = next(one for one in reversed(self.arenas) if one.first <= number)
        return self._sector(arena, number - arena.first)

    def _sector(self, arena: Arena, lba: int) -> Sector:
        place = Spa(arena.start + arena.block.mapoff + _ENTRY.size * lba)
        (entry,) = _ENTRY.unpack(self._read(place, _ENTRY.size))
        spa = Spa(arena.start + arena.block.dataoff + mapped(entry, lba) * arena.block.internal_lbasize)
        return Sector(arena.first + lba, arena, entry, place, spa, self._namespace.sector_size)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the device; those of discarded sectors are zeros."""
        parts, end = [], offset + length
        while offset < end:
            one = self.at(offset)
            within = offset % one.size
            step = min(one.size - within, end - offset)
            discarded = one.entry & (TRIM | ERROR) == TRIM
            parts.append(bytes(step) if discarded else self._read(Spa(one.spa + within), step))
            offset += step
        return b"".join(parts)

    def holder(self, arena: Arena, block: int, written: Written) -> Sector | None:
        """The sector that a block of an arena is mapped to; None when it is free, for the next write.

        Args:
            written: finds what is not zeros in a stretch of memory: a map is large, and mostly zeros when new.
        """
        if block < arena.block.external_nlba:
            own = self._sector(arena, block)
            if own.block == block:
                return own
        wanted = [_ENTRY.pack(block | flags) for flags in (TRIM | ERROR, ERROR, TRIM)]
        start = Spa(arena.start + arena.block.mapoff)
        for at, data in written(start, _ENTRY.size * arena.block.external_nlba):
            raw = bytes(data)
            for entry in wanted:
                hit = raw.find(entry)
                while hit >= 0 and hit % _ENTRY.size:
                    hit = raw.find(entry, hit + 1)
                lba = (at + hit) // _ENTRY.size
                if hit >= 0 and lba < arena.block.external_nlba:
                    return self._sector(arena, lba)
        return None

    def lane(self, arena: Arena, block: int) -> tuple[int, Spa] | None:
        """The lane of the log whose free block this is, and its location."""
        start = Spa(arena.start + arena.block.logoff)
        raw = self._read(start, LANE * arena.block.nfree)
        for number, entry in enumerate(entries(raw)):
            if entry.old & LBA == block:
                return number, Spa(start + LANE * number)
        return None


def part(arena: Arena, spa: Spa) -> tuple[str, Spa]:
    """What an address of an arena is beside its blocks, and where that ends."""
    block, offset = arena.block, spa - arena.start
    blocks = block.dataoff + block.internal_nlba * block.internal_lbasize
    ends = (
        ("the info block", block.dataoff),
        ("a block", blocks),
        ("padding behind the blocks", block.mapoff),
        (f"the map, entry of sector {arena.first + (offset - block.mapoff) // _ENTRY.size}", block.logoff),
        (f"the log, lane {(offset - block.logoff) // LANE}", block.info2off),
        ("the copy of the info block", block.info2off + PAGE),
    )
    return next((what, Spa(arena.start + end)) for what, end in ends if offset < end)
