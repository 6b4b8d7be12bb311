"""Arithmetic on the extents of a file that is being edited: what lacks blocks, what is unwritten, what is aligned."""

from __future__ import annotations

from xlpy.addr import align_up
from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.dom0.extents import Extent


def missing(tree: Iterable[Extent], first: int, end: int) -> int:
    """How many bytes of [first, end) have nothing allocated."""
    return end - first - sum(max(0, min(end, e.logical + e.length) - max(first, e.logical)) for e in tree)


def aligned(
    allocated: Iterable[tuple[int, int, int]], blocks: int, unit: int, first: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]], int]:
    """Which parts of ``runs`` that are allocated lie on multiples of ``unit``, counted from ``first``.

    Returns:
        (physical, count) of what is taken; (first, last) logical block of what is not; how many blocks are lacking.
    """
    pieces, drop, left = [], [], blocks
    for logical, physical, count in allocated:
        start = align_up(physical - first, unit) + first - physical
        usable = max(0, count - start)
        taken = left if usable >= left else usable // unit * unit
        if not taken:
            drop.append((logical, logical + count - 1))
            continue
        drop += [(logical, logical + start - 1)] * (start > 0)
        drop += [(logical + start + taken, logical + count - 1)] * (start + taken < count)
        pieces.append((physical + start, taken))
        left -= taken
    return pieces, drop, left


def runs(tree: Iterable[Extent], size: int) -> Iterator[tuple[int, int, int]]:
    """(logical, physical, count) of what follows each other both in the file and on the device, in blocks."""
    run: list[int] = []
    for extent in tree:
        logical, physical, count = extent.logical // size, extent.physical // size, extent.length // size
        if run and (run[0] + run[2], run[1] + run[2]) == (logical, physical):
            run[2] += count
            continue
        if run:
            yield run[0], run[1], run[2]
        run = [logical, physical, count]
    if run:
        yield run[0], run[1], run[2]


def unwritten(tree: Iterable[Extent], end: int) -> list[Extent]:
    return [extent for extent in tree if extent.flags & FIEMAP_EXTENT_UNWRITTEN and extent.logical < end]


def written_at(tree: Iterable[Extent], offset: int) -> int | None:
    """The offset of a written byte of the file on the device, if there is one."""
    for extent in tree:
        if extent.logical <= offset < extent.logical + extent.length and not extent.flags & FIEMAP_EXTENT_UNWRITTEN:
            return extent.physical + offset - extent.logical
    return None
