"""Interval maps: everything that would be per page is kept per extent.

The p2m, the ownership of frames, RAM, checks and reservations are all ``RangeMap``s, so that their cost grows with the
number of extents and never with the size of a device.
"""

from __future__ import annotations

from _bisect import bisect_left, bisect_right

from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

V = TypeVar("V")


class Run(NamedTuple, Generic[V]):
    """One stretch ``[start, end)`` that carries ``value``."""

    start: int
    end: int
    value: V


class RangeMap(Generic[V]):
    """Disjoint half-open integer ranges, each with a value, in ascending order.

    Neighbours are never merged: the caller decides what one stretch is. Point look-up is O(log n).
    """

    __slots__ = ("_ends", "_starts", "_values")

    def __init__(self, runs: Iterable[tuple[int, int, V]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._values: list[V] = []
        for start, end, value in runs:
            self.add(start, end, value)

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Run[V]]:
        return map(Run, list(self._starts), list(self._ends), list(self._values))

    def add(self, start: int, end: int, value: V) -> None:
        """Insert ``[start, end)``; ValueError when it is empty or touches what is there already."""
        if start >= end:
            raise ValueError(f"empty range [{start:#x}, {end:#x})")
        at = bisect_right(self._starts, start)
        if (at and self._ends[at - 1] > start) or (at < len(self._starts) and self._starts[at] < end):
            raise ValueError(f"range [{start:#x}, {end:#x}) overlaps an existing one")
        self._starts.insert(at, start)
        self._ends.insert(at, end)
        self._values.insert(at, value)

    def join(self, start: int, end: int, value: V) -> None:
        """Insert ``[start, end)``, made one with all runs that it touches; nothing when it is empty."""
        if start >= end:
            return
        touched = self.overlapping(start - 1, end + 1)
        if touched:
            start, end = min(start, touched[0].start), max(end, touched[-1].end)
            self.remove(start, end)
        self.add(start, end, value)

    def at(self, point: int) -> Run[V] | None:
        """The run that contains ``point``, or None."""
        i = bisect_right(self._starts, point) - 1
        if i >= 0 and point < self._ends[i]:
            return Run(self._starts[i], self._ends[i], self._values[i])
        return None

    def overlapping(self, start: int, end: int) -> list[Run[V]]:
        """Whole runs that share a point with ``[start, end)``, in order."""
        if start >= end:
            return []
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        return [Run(self._starts[i], self._ends[i], self._values[i]) for i in range(first, last)]

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any run shares a point with ``[start, end)``."""
        first = bisect_right(self._ends, start)
        return start < end and first < len(self._starts) and self._starts[first] < end

    def covers(self, start: int, end: int) -> bool:
        """Whether every point of ``[start, end)`` lies in some run."""
        return not self.gaps(start, end)

    def gaps(self, start: int, end: int) -> list[tuple[int, int]]:
        """The stretches of ``[start, end)`` that no run holds."""
        found, point = [], start
        for run in self.overlapping(start, end):
            if run.start > point:
                found.append((point, run.start))
            point = max(point, run.end)
        if point < end:
            found.append((point, end))
        return found

    def remove(self, start: int, end: int, cut: Callable[[Run[V], int, int], V] | None = None) -> list[Run[V]]:
        """Take ``[start, end)`` out, splitting runs at its ends.

        Args:
            start: first point to remove.
            end: first point to keep again.
            cut: gives the value of a remaining or removed part ``[a, b)`` of a run; by default the run's own value
                (right for values that do not depend on position).

        Returns:
            the removed parts, in order.
        """
        value_of = cut or (lambda run, _a, _b: run.value)
        hit = self.overlapping(start, end)
        if not hit:
            return []
        first = bisect_left(self._starts, hit[0].start)
        keep = []
        if hit[0].start < start:
            keep.append((hit[0].start, start, value_of(hit[0], hit[0].start, start)))
        if hit[-1].end > end:
            keep.append((end, hit[-1].end, value_of(hit[-1], end, hit[-1].end)))
        removed = []
        for run in hit:
            a, b = max(run.start, start), min(run.end, end)
            whole = (a, b) == (run.start, run.end)
            removed.append(Run(a, b, run.value if whole else value_of(run, a, b)))
        last = first + len(hit)
        self._starts[first:last] = [k[0] for k in keep]
        self._ends[first:last] = [k[1] for k in keep]
        self._values[first:last] = [k[2] for k in keep]
        return removed

    def total(self) -> int:
        """The number of points in all runs."""
        return sum(self._ends) - sum(self._starts)
