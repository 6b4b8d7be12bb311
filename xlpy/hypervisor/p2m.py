"""Guest frames to machine frames, and back.

A P2M is two interval maps (RAM and persistent memory) from gfn to mfn with the page type as tag; the M2P is the inverse
of all P2Ms for persistent memory: a page has one owner and one guest frame. Page sizes are not stored: how many 1 GiB,
2 MiB and 4 KiB entries a hardware table would hold follows from the runs, because a superpage needs gfn and mfn
congruent modulo its size.
"""

from __future__ import annotations

from _bisect import bisect_left
from _operator import add, sub
from itertools import compress

from xlpy.abi import ORDER_1G, ORDER_2M, P2M_RAM_BROKEN, P2M_RAM_RO, P2M_RAM_RW
from xlpy.hypervisor.linear import LinearMap
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.hypervisor.linear import LinearPiece


PART_BITS = 14  # low bits of a frame's number in which frames of one part of an M2P differ: 64 MiB
_WAS_READ_ONLY = 0x100  # beside the type of a broken page, so that it is repaired into what it was


def is_broken(tag: int) -> bool:
    """Whether a machine check poisoned the page."""
    return tag & 0xFF == P2M_RAM_BROKEN


def is_read_only(tag: int) -> bool:
    """Whether the guest may only read the page."""
    return tag in (P2M_RAM_RO, P2M_RAM_BROKEN | _WAS_READ_ONLY)


def as_broken(tag: int) -> int:
    """The tag of a page that a machine check poisons."""
    return P2M_RAM_BROKEN | (_WAS_READ_ONLY if is_read_only(tag) else 0)


def as_repaired(tag: int) -> int:
    """The tag of a page whose poison was cleared."""
    return P2M_RAM_RO if is_read_only(tag) else P2M_RAM_RW


class P2mEntry(NamedTuple):
    """Where one guest frame leads.

    mfn: machine frame.
    type: page type, P2M_RAM_RW, P2M_RAM_RO or P2M_RAM_BROKEN.
    pmem: whether it is persistent memory.
    """

    mfn: int
    type: int
    pmem: bool

    @property
    def broken(self) -> bool:
        """Whether a machine check poisoned the page."""
        return is_broken(self.type)


class EntryCounts(NamedTuple):
    """Entries of a hardware table, by page size."""

    small: int  # 4 KiB
    large: int  # 2 MiB
    huge: int  # 1 GiB


class P2M:
    """One domain's table: ``ram`` and ``pmem``, gfn to mfn, tagged with the page type. They never overlap."""

    __slots__ = ("pmem", "ram")

    def __init__(self, ram: LinearMap, pmem: LinearMap) -> None:
        self.ram = ram
        self.pmem = pmem

    def lookup(self, gfn: int) -> P2mEntry | None:
        """What one guest frame is mapped to; None for a hole (which traps as MMIO)."""
        if found := self.ram.lookup(gfn):
            return P2mEntry(*found, pmem=False)
        if found := self.pmem.lookup(gfn):
            return P2mEntry(*found, pmem=True)
        return None

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any gfn in ``[start, end)`` is mapped."""
        return self.ram.overlaps(start, end) or self.pmem.overlaps(start, end)

    def entry_counts(self, *, pmem: bool) -> EntryCounts:
        """How many entries of each size map the domain's RAM, or its persistent memory."""
        table = self.pmem if pmem else self.ram
        totals = [0, 0, 0]
        for start, end, base in zip(table.starts, table.ends, table.bases, strict=True):
            if end - start < 1 << ORDER_2M:
                totals[0] += end - start
            else:
                totals = list(map(add, totals, entries(start, base, end - start)))
        return EntryCounts(*totals)


class M2P(LinearMap):
    """Owned persistent memory: mfn to gfn, tagged with the owner's domid."""

    __slots__ = ()

    @classmethod
    def inverse(cls, tables: Iterable[tuple[int, LinearMap]]) -> M2P:
        """The table that belongs to the pmem maps of all domains, given as ``(domid, p2m.pmem)``.

        Raises:
            ValueError: a page is in two of them.
        """
        made = cls()
        for domid, p2m in tables:
            sizes = map(sub, p2m.ends, p2m.starts)
            made.add_columns(p2m.bases, list(map(add, p2m.bases, sizes)), p2m.starts, [domid] * len(p2m))
        return made

    def drop(self, domid: int) -> None:
        """Remove all that a domain owns."""
        keep = list(map(domid.__ne__, self.tags))
        self.starts, self.ends, self.bases, self.tags = (
            list(compress(column, keep)) for column in (self.starts, self.ends, self.bases, self.tags)
        )

    def parts(self, first: int, last: int) -> set[int]:
        """Which of the parts ``first`` to ``last`` have something, see ``part_of``."""
        found = set()
        at = bisect_left(self.starts, first << PART_BITS)
        while at < len(self.starts) and (part := part_of(self.starts[at])) <= last:
            found.add(part)
            at = bisect_left(self.starts, part + 1 << PART_BITS)
        return found

    def dump_part(self, number: int) -> list[Any]:
        """One part, as ``dump``."""
        begin, end = (bisect_left(self.starts, at << PART_BITS) for at in (number, number + 1))
        made = M2P()
        made.starts, made.ends = self.starts[begin:end], self.ends[begin:end]
        made.bases, made.tags = self.bases[begin:end], self.tags[begin:end]
        return made.dump()

    def load_part(self, columns: list[Any]) -> None:
        """Add a part behind those that are there."""
        part = M2P().load(columns)
        self.starts += part.starts
        self.ends += part.ends
        self.bases += part.bases
        self.tags += part.tags


def part_of(mfn: int) -> int:
    """The part of an M2P to which a run belongs that begins at a frame: parts are stored by themselves."""
    return mfn >> PART_BITS


def entries(gfn: int, mfn: int, count: int) -> EntryCounts:
    """How many entries of each size map ``count`` pages at ``gfn`` to ``mfn``.

    Every stretch gets the largest page that its ends and the congruence of gfn and mfn allow (EPT orders 0, 9, 18).
    """
    found = {}
    left = [(gfn, gfn + count)]
    for order in (ORDER_1G, ORDER_2M):
        size = 1 << order
        found[order] = 0
        rest = []
        for start, end in left:
            first, last = -(-start // size) * size, end // size * size
            if first < last and (gfn - mfn) % size == 0:
                found[order] += (last - first) // size
                rest += [(start, first), (last, end)]
            else:
                rest.append((start, end))
        left = rest
    return EntryCounts(sum(end - start for start, end in left), found[ORDER_2M], found[ORDER_1G])


def order_at(run: LinearPiece, gfn: int) -> int:
    """Order of the entry that maps ``gfn`` of a run (EPT: 0, 9 or 18): the largest that ends and congruence allow."""
    for order in (ORDER_1G, ORDER_2M):
        size = 1 << order
        first = gfn // size * size
        if run.start <= first and first + size <= run.end and (run.start - run.base) % size == 0:
            return order
    return 0
