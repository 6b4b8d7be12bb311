"""Interval maps whose value advances with the key: the shape of P2M and M2P.

A run maps keys ``[start, end)`` to ``base, base + 1, ...`` and carries one tag. Kept as four parallel lists, so that
tens of thousands of runs are checked, inserted and written out by whole-column operations.
"""

from __future__ import annotations

from _bisect import bisect_left, bisect_right
from _operator import ge, gt, ne, or_
from _struct import pack, unpack
from binascii import a2b_base64, b2a_base64
from itertools import compress, count, islice, pairwise, starmap

from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self


class LinearPiece(NamedTuple):
    """Keys ``[start, end)`` mapped to values from ``base`` on."""

    start: int
    end: int
    base: int
    tag: int

    @property
    def size(self) -> int:
        """The number of keys."""
        return self.end - self.start

    def clip(self, start: int, end: int) -> LinearPiece:
        """The part inside ``[start, end)``; the two must overlap."""
        first = max(self.start, start)
        return LinearPiece(first, min(self.end, end), self.base + first - self.start, self.tag)


class LinearMap:
    """Disjoint runs in ascending key order.

    The columns ``starts``, ``ends``, ``bases`` and ``tags`` may be read, not changed.
    """

    __slots__ = ("bases", "ends", "starts", "tags")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.bases: list[int] = []
        self.tags: list[int] = []

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[LinearPiece]:
        return starmap(LinearPiece, list(zip(self.starts, self.ends, self.bases, self.tags, strict=True)))

    def add(self, start: int, end: int, base: int, tag: int) -> None:
        """Insert one run; ValueError when it is empty or overlaps another."""
        self.add_columns([start], [end], [base], [tag])

    def add_columns(
        self, starts: Sequence[int], ends: Sequence[int], bases: Sequence[int], tags: Sequence[int]
    ) -> None:
        """Insert many runs at once, all or none.

        Args:
            starts, ends, bases, tags: columns of equal length, in any order.

        Raises:
            ValueError: a run is empty, or overlaps another or what is there already; nothing is inserted.
        """
        if not starts:
            return
        if not ascending(starts, ends):
            rows = sorted(zip(starts, ends, bases, tags, strict=True))
            starts, ends, bases, tags = zip(*rows, strict=True)
        at = bisect_right(self.starts, starts[0])
        there = slice(at, at)
        if self.overlaps(starts[0], ends[-1]):  # the new runs go between existing ones: merge
            first, last = self.window(starts[0], ends[-1])
            there = slice(first, last)
            old = zip(self.starts[there], self.ends[there], self.bases[there], self.tags[there], strict=True)
            rows = sorted([*old, *zip(starts, ends, bases, tags, strict=True)])
            starts, ends, bases, tags = zip(*rows, strict=True)
        if not ascending(starts, ends) or any(map(ge, starts, ends)):
            raise ValueError("a run is empty or overlaps another one")
        self.starts[there], self.ends[there], self.bases[there], self.tags[there] = starts, ends, bases, tags

    def stretches(self) -> list[LinearPiece]:
        """Runs that follow each other and have the same tag as one, wherever they lead; base: of the first key."""
        gaps = map(ne, self.ends, islice(self.starts, 1, None))
        turns = map(ne, self.tags, islice(self.tags, 1, None))
        behind = [at + 1 for at in compress(count(), map(or_, gaps, turns))]
        edges = [0, *behind, len(self.starts)] if self.starts else []
        return [
            LinearPiece(self.starts[first], self.ends[end - 1], self.bases[first], self.tags[first])
            for first, end in pairwise(edges)
        ]

    def at(self, key: int) -> LinearPiece | None:
        """The whole run that contains ``key``, or None."""
        i = bisect_right(self.starts, key) - 1
        if i >= 0 and key < self.ends[i]:
            return LinearPiece(self.starts[i], self.ends[i], self.bases[i], self.tags[i])
        return None

    def lookup(self, key: int) -> tuple[int, int] | None:
        """Value and tag of one key, or None."""
        i = bisect_right(self.starts, key) - 1
        if i >= 0 and key < self.ends[i]:
            return self.bases[i] + key - self.starts[i], self.tags[i]
        return None

    def window(self, start: int, end: int) -> tuple[int, int]:
        """The half-open index range of the runs that share a key with ``[start, end)``."""
        first = bisect_right(self.ends, start)
        return first, max(first, bisect_left(self.starts, end))

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any run shares a key with ``[start, end)``."""
        first = bisect_right(self.ends, start)
        return start < end and first < len(self.starts) and self.starts[first] < end

    def clip(self, start: int, end: int) -> list[LinearPiece]:
        """What ``[start, end)`` holds, cut to it, in order."""
        if start >= end:
            return []
        first, last = self.window(start, end)
        found = [LinearPiece(self.starts[i], self.ends[i], self.bases[i], self.tags[i]) for i in range(first, last)]
        if found:
            found[0] = found[0].clip(start, end)
            found[-1] = found[-1].clip(start, end)
        return found

    def take(self, start: int, end: int) -> list[LinearPiece]:
        """Remove ``[start, end)``, splitting runs at its ends, and return what was there."""
        removed = self.clip(start, end)
        if not removed:
            return []
        first, last = self.window(start, end)
        kept = []
        if self.starts[first] < start:
            kept.append(LinearPiece(self.starts[first], start, self.bases[first], self.tags[first]))
        if self.ends[last - 1] > end:
            run = LinearPiece(self.starts[last - 1], self.ends[last - 1], self.bases[last - 1], self.tags[last - 1])
            kept.append(run.clip(end, run.end))
        there = slice(first, last)
        self.starts[there] = [run.start for run in kept]
        self.ends[there] = [run.end for run in kept]
        self.bases[there] = [run.base for run in kept]
        self.tags[there] = [run.tag for run in kept]
        return removed

    def remove_columns(self, starts: Sequence[int], ends: Sequence[int]) -> None:
        """Remove many ranges at once, splitting runs at their ends; what is not there is passed over.

        Args:
            starts, ends: columns of equal length, in any order, not empty; the ranges do not overlap.
        """
        ranges = sorted(zip(starts, ends, strict=True))
        there, at, kept = slice(*self.window(ranges[0][0], ranges[-1][1])), 0, []
        rows = zip(self.starts[there], self.ends[there], self.bases[there], self.tags[there], strict=True)
        for start, end, base, tag in rows:
            left = start  # where what is left of the run begins
            while at < len(ranges) and ranges[at][0] < end:
                low, high = ranges[at]
                if left < low:
                    kept.append((left, low, base + left - start, tag))
                left = max(left, high)
                if high > end:
                    break
                at += 1
            if left < end:
                kept.append((left, end, base + left - start, tag))
        columns = zip(*kept, strict=True) if kept else ((),) * 4
        self.starts[there], self.ends[there], self.bases[there], self.tags[there] = columns

    def clear(self) -> None:
        """Remove everything."""
        for column in (self.starts, self.ends, self.bases, self.tags):
            column.clear()

    def retag(self, start: int, end: int, tag: int) -> None:
        """Give the runs inside ``[start, end)`` another tag."""
        for run in self.take(start, end):
            self.add(run.start, run.end, run.base, tag)

    def dump(self) -> list[Any]:
        """The runs as JSON: three packed columns, and the tags as one number where they are all the same."""
        if not self.starts:
            return []
        uniform = self.tags.count(self.tags[0]) == len(self.tags)
        tags = self.tags[0] if uniform else _pack(self.tags)
        return [_pack(self.starts), _pack(self.ends), _pack(self.bases), tags]

    def load(self, columns: list[Any]) -> Self:
        """Fill an empty map with what ``dump`` gave."""
        if columns:
            self.starts, self.ends, self.bases = map(_unpack, columns[:3])
            tags = columns[3]
            self.tags = [tags] * len(self.starts) if isinstance(tags, int) else _unpack(tags)
        return self


def ascending(starts: Sequence[int], ends: Sequence[int]) -> bool:
    """Whether runs ``[starts[i], ends[i])`` come in order and do not overlap."""
    return not any(map(gt, ends, islice(starts, 1, None)))


def _pack(column: list[int]) -> str:
    return b2a_base64(pack(f"<{len(column)}Q", *column), newline=False).decode()


def _unpack(text: str) -> list[int]:
    column = a2b_base64(text)
    return list(unpack(f"<{len(column) // 8}Q", column))
