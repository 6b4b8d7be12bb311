"""Columns of numbers, processed as a whole: a file may have tens of thousands of extents.

A column is one long integer with a lane of 64 bits for each number. A sum or a comparison of all numbers is then one
operation of the interpreter: some nanoseconds a number, where a loop takes fifty. The top bit of each lane stays clear,
so that a comparison can borrow it: no lane ever borrows from its neighbour.
"""

from __future__ import annotations

import _struct as struct
from itertools import compress, repeat

from xlpy.functions import lru_cache
from xlpy.typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

R = TypeVar("R", bound="tuple[Any, ...]")

_BITS, _BYTES = 64, 8
_TOP = _BITS - 1
LIMIT = 1 << _TOP  # numbers are below it
PART = 2720  # numbers in a part, or about as many


@lru_cache(maxsize=8)
def _ones(count: int) -> int:
    """The number 1 in each lane."""
    return int.from_bytes((1).to_bytes(_BYTES, "little") * count, "little")


@lru_cache(maxsize=16)  # the parts of a column are compared with the same numbers
def _repeated(number: int, count: int) -> int:
    """A number in each lane."""
    return number * _ones(count)


@lru_cache(maxsize=8)
def _tops(count: int) -> int:
    """The top bit of each lane."""
    return _ones(count) << _TOP


class Column:
    """Numbers in ``[0, LIMIT)``.

    No operation looks whether its results are such numbers: its caller knows that they are. The other operand is
    a column as long as this one, or a number that stands for a column of equal ones.

    Args:
        lanes: the numbers, the first one in the lowest bits.
        count: how many.
        each: what all of them are, where that is known.
    """

    __slots__ = ("_count", "_each", "_lanes")

    def __init__(self, lanes: int, count: int, each: int | None = None) -> None:
        self._lanes, self._count, self._each = lanes, count, each

    @classmethod
    def repeated(cls, number: int, count: int) -> Column:
        """A column of equal numbers; those of the same number and length share their lanes."""
        return cls(_repeated(number, count), count, number)

    @classmethod
    def of(cls, numbers: Sequence[int]) -> Column:
        """A column of these numbers. OverflowError: one of them is not in ``[0, LIMIT)``."""
        if numbers and not 0 <= min(numbers) <= max(numbers) < LIMIT:
            raise OverflowError(f"{max(numbers, key=abs)} has no place in a column")
        return cls(int.from_bytes(struct.pack(f"<{len(numbers)}Q", *numbers), "little"), len(numbers))

    @classmethod
    def field(cls, records: bytes, size: int, places: Iterable[int]) -> Column:
        """A field of records.

        Args:
            records: of ``size`` bytes each.
            places: of the field's bytes in a record, the lowest one first; fewer than eight.
        """
        count = len(records) // size
        planes = [records[place::size] for place in places]
        if all(plane == plane[:1] * count for plane in planes):
            return cls.repeated(int.from_bytes(b"".join(plane[:1] for plane in planes), "little"), count)
        lanes = bytearray(count * _BYTES)
        for to, plane in enumerate(planes):
            lanes[to::_BYTES] = plane
        return cls(int.from_bytes(lanes, "little"), count)

    @classmethod
    def joined(cls, columns: Sequence[Column]) -> Column:
        """The numbers of one column after those of the other."""
        if len(columns) == 1:
            return columns[0]
        return cls(int.from_bytes(b"".join(map(bytes, columns)), "little"), sum(map(len, columns)))

    def parts(self) -> list[Column]:
        """The numbers in columns of ``PART``, the last one perhaps shorter."""
        raw, step = bytes(self), PART * _BYTES
        pieces = (raw[at : at + step] for at in range(0, len(raw), step))
        return [Column(int.from_bytes(piece, "little"), len(piece) // _BYTES) for piece in pieces]

    def __len__(self) -> int:
        return self._count

    def __bytes__(self) -> bytes:
        """The numbers as little-endian words of eight bytes."""
        return self._lanes.to_bytes(self._count * _BYTES, "little")

    def numbers(self) -> tuple[int, ...]:
        """The numbers."""
        return struct.unpack(f"<{self._count}Q", bytes(self))

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Column) and (self._lanes, self._count) == (other._lanes, other._count)

    __hash__ = None  # type: ignore[assignment]

    @property
    def first(self) -> int:
        """The first number of a column that has one."""
        return self._lanes & (1 << _BITS) - 1

    @property
    def last(self) -> int:
        """The last number of a column that has one."""
        return self._lanes >> _BITS * (self._count - 1)

    def head(self, count: int) -> Column:
        """The first ``count`` numbers."""
        return self if count == self._count else Column(self._lanes & (1 << _BITS * count) - 1, count)

    def ending(self, last: int) -> Column:
        """The same with another last number; there must be one."""
        return Column(self._lanes ^ (self.last ^ last) << _BITS * (self._count - 1), self._count)

    def following(self, last: int) -> Column:
        """What follows each number, and ``last`` after the last."""
        return Column(self._lanes >> _BITS | last << _BITS * (self._count - 1), self._count)

    def where(self, choice: Iterable[object]) -> Column:
        """The numbers whose counterpart is true."""
        return Column.of(tuple(compress(self, choice)))

    def _lanes_of(self, other: Column | int) -> int:
        return other._lanes if isinstance(other, Column) else _repeated(other, self._count)

    def __add__(self, other: Column | int) -> Column:
        return Column(self._lanes + self._lanes_of(other), self._count)

    def __sub__(self, other: Column | int) -> Column:
        return Column(self._lanes - self._lanes_of(other), self._count)

    def __mul__(self, factor: int) -> Column:
        if self._each is not None:
            return Column.repeated(self._each * factor, self._count)
        if not factor or factor & factor - 1:
            return Column(self._lanes * factor, self._count)
        return Column(self._lanes << factor.bit_length() - 1, self._count)  # by a power of two: a third of the time

    def __floordiv__(self, divisor: int) -> Column:
        """Each number is a multiple of ``divisor``."""
        return Column(self._lanes // divisor, self._count)

    def __or__(self, other: Column | int) -> Column:
        return Column(self._lanes | self._lanes_of(other), self._count)

    def __and__(self, other: Column | int) -> Column:
        return Column(self._lanes & self._lanes_of(other), self._count)

    def below(self, other: Column | int) -> Column:
        """1 for each number that is less than the other, else 0."""
        return _less(self._lanes, self._lanes_of(other), self._count)

    def above(self, other: Column | int) -> Column:
        """1 for each number that is greater than the other, else 0."""
        return _less(self._lanes_of(other), self._lanes, self._count)

    def any_below(self, other: Column | int) -> bool:
        """Whether one of the numbers is less than the other."""
        return _any_less(self._lanes, self._lanes_of(other), self._count)

    def any_above(self, other: Column | int) -> bool:
        """Whether one of the numbers is greater than the other."""
        return _any_less(self._lanes_of(other), self._lanes, self._count)

    def same(self, other: Column | int) -> Column:
        """1 for each number that is equal to the other, else 0."""
        return Column(self._lanes ^ self._lanes_of(other), self._count).below(1)

    def equal(self) -> bool:
        """Whether all numbers are the same."""
        if self._each is not None:
            return True
        return self.first == self.last and self._lanes == _repeated(self.first, self._count)

    def ones(self) -> int:
        """How many of the numbers are 1; the others are 0."""
        return self._lanes.bit_count()

    def any(self) -> bool:
        """Whether one of the numbers is not 0."""
        return self._lanes != 0


def _any_less(one: int, other: int, count: int) -> bool:
    """Whether ``one`` is less than ``other`` in any lane: the first such lane borrows, and so gets its top bit set."""
    return one - other & _tops(count) != 0


def _less(one: int, other: int, count: int) -> Column:
    """1 in each lane where ``one`` is less than ``other``: the difference has had to borrow its top bit."""
    if not _any_less(one, other, count):
        return Column(0, count)
    tops = _tops(count)
    return Column(((one | tops) - other & tops ^ tops) >> _TOP, count)


def interleave(columns: Sequence[Column]) -> bytearray:
    """The first number of each column, then the second of each, ..., as little-endian words of eight bytes."""
    rows = bytearray(_BYTES * sum(map(len, columns)))
    words = memoryview(rows).cast("Q")
    for at, column in enumerate(columns):
        words[at :: len(columns)] = memoryview(bytes(column)).cast("Q")
    return rows


def records(kind: type[R], columns: Sequence[Column]) -> list[R]:
    """A record for each number of the columns: ``kind`` is a tuple with a field for each column."""
    rows = struct.iter_unpack(f"<{len(columns)}Q", interleave(columns))
    return list(map(tuple.__new__, repeat(kind), rows))  # three times as fast as kind(...)
