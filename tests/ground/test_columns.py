"""Columns do to all numbers at once what a loop does to each."""

import operator
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlpy import columns
from xlpy.columns import LIMIT, Column, interleave

EDGES = st.sampled_from([0, 1, 2, LIMIT // 2, LIMIT - 2, LIMIT - 1])
NUMBERS = EDGES | st.integers(0, LIMIT - 1)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=6)


@given(st.lists(NUMBERS, max_size=6))
def test_there_and_back(numbers):
    column = Column.of(numbers)
    assert list(column) == numbers
    assert len(column) == len(numbers)
    assert bytes(column) == struct.pack(f"<{len(numbers)}Q", *numbers)
    assert column == Column.of(tuple(numbers))
    assert column.any() == any(numbers)


@pytest.mark.parametrize("number", [-1, LIMIT, 1 << 64])
def test_numbers_without_a_place(number):
    with pytest.raises(OverflowError):
        Column.of([0, number])


def test_length_is_part_of_a_column():
    assert Column.of([1]) != Column.of([1, 0])


@given(PAIRS)
def test_comparisons(pairs):
    one, other = (Column.of([pair[i] for pair in pairs]) for i in (0, 1))
    assert list(one.below(other)) == [a < b for a, b in pairs]
    assert list(one.above(other)) == [a > b for a, b in pairs]
    assert one.any_below(other) == any(a < b for a, b in pairs)
    assert one.any_above(other) == any(a > b for a, b in pairs)
    assert list(one.same(other)) == [a == b for a, b in pairs]
    assert one.below(other).ones() == sum(a < b for a, b in pairs)


@given(st.lists(NUMBERS, max_size=6), NUMBERS)
def test_comparisons_with_one_number(numbers, other):
    column = Column.of(numbers)
    assert list(column.below(other)) == [a < other for a in numbers]
    assert list(column.above(other)) == [a > other for a in numbers]
    assert column.any_below(other) == any(a < other for a in numbers)
    assert column.any_above(other) == any(a > other for a in numbers)
    assert list(column.same(other)) == [a == other for a in numbers]
    assert list(column & other) == [a & other for a in numbers]
    assert list(column | other) == [a | other for a in numbers]


@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.and_, operator.or_])
@given(pairs=PAIRS)
def test_arithmetic(operation, pairs):
    pairs = [(max(pair) >> 1, min(pair) >> 1) for pair in pairs]  # no result leaves its lane
    one, other = (Column.of([pair[i] for pair in pairs]) for i in (0, 1))
    assert list(operation(one, other)) == [operation(a, b) for a, b in pairs]


@given(st.lists(st.integers(0, (1 << 51) - 1), max_size=6))
def test_scaling(numbers):
    for factor in (0, 1, 3, 512):
        assert list(Column.of(numbers) * factor) == [number * factor for number in numbers]
    column = Column.of(numbers) * 4096
    assert list(column) == [number * 4096 for number in numbers]
    assert list(column // 4096) == numbers


@given(st.lists(NUMBERS, min_size=1, max_size=6), NUMBERS, st.data())
def test_parts(numbers, last, data):
    column = Column.of(numbers)
    assert (column.first, column.last) == (numbers[0], numbers[-1])
    assert list(column.ending(last)) == [*numbers[:-1], last]
    assert list(column.following(last)) == [*numbers[1:], last]
    count = data.draw(st.integers(0, len(numbers)))
    assert list(column.head(count)) == numbers[:count]
    choice = data.draw(st.lists(st.booleans(), min_size=len(numbers), max_size=len(numbers)))
    assert list(column.where(choice)) == [number for number, chosen in zip(numbers, choice, strict=True) if chosen]


@given(st.lists(NUMBERS, max_size=6), st.integers(1, 4))
def test_in_parts(numbers, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "PART", size)
        parts = Column.of(numbers).parts()
    assert [part.numbers() for part in parts] == [tuple(numbers[at : at + size]) for at in range(0, len(numbers), size)]
    assert Column.joined(parts) == Column.of(numbers)


@given(st.lists(st.sampled_from([0, 1, LIMIT - 1]), min_size=1, max_size=4))
def test_equal_numbers(numbers):
    assert Column.of(numbers).equal() == (len(set(numbers)) == 1)
    assert Column.repeated(numbers[0], len(numbers)) == Column.of(numbers[:1] * len(numbers))
    assert Column.repeated(numbers[0], 2).ending(numbers[-1]) == Column.of([numbers[0], numbers[-1]])


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)), max_size=6))
def test_fields_of_records(rows):
    records = b"".join(struct.pack("<HI", *row) for row in rows)
    assert list(Column.field(records, 6, (0, 1))) == [row[0] for row in rows]
    assert list(Column.field(records, 6, (2, 3, 4, 5))) == [row[1] for row in rows]
    assert list(Column.field(records, 6, (4, 5, 2, 3))) == [row[1] >> 16 | (row[1] & 0xFFFF) << 16 for row in rows]


@given(PAIRS)
def test_interleaving(pairs):
    both = [Column.of([pair[i] for pair in pairs]) for i in (0, 1)]
    assert list(struct.iter_unpack("<2Q", interleave(both))) == pairs
