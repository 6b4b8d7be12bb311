"""Interleave arithmetic against worked tables and by round trips."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.errors import FormatError
from xlpy.hw.interleave import Interleave, Way

BASE = 0x10000000

# two devices, no region offsets; (offset in the device's part, SPA of device 0, SPA of device 1)
PLAIN = Interleave(4096, (Way(lines=(0,)), Way(lines=(1,))))
MIXED = Interleave(64, (Way(lines=(0, 2, 5, 7)), Way(lines=(1, 3, 4, 6))))


@pytest.mark.parametrize(
    ("table", "offset", "first", "second"),
    [
        (PLAIN, 0x0, 0x10000000, 0x10001000),
        (PLAIN, 0xFFF, 0x10000FFF, 0x10001FFF),
        (PLAIN, 0x1000, 0x10002000, 0x10003000),
        (PLAIN, 0x1234, 0x10002234, 0x10003234),
        (PLAIN, 0x3FFFFFF, 0x17FFEFFF, 0x17FFFFFF),
        (MIXED, 0x0, 0x10000000, 0x10000040),
        (MIXED, 0x40, 0x10000080, 0x100000C0),
        (MIXED, 0x80, 0x10000140, 0x10000100),
        (MIXED, 0xC0, 0x100001C0, 0x10000180),
        (MIXED, 0x1040, 0x10002080, 0x100020C0),
    ],
)
def test_worked_table(table, offset, first, second):
    assert BASE + table.to_region(0, offset) == first
    assert BASE + table.to_region(1, offset) == second
    assert table.to_device(first - BASE) == (0, offset)
    assert table.to_device(second - BASE) == (1, offset)


def test_the_skew_may_be_in_either_place():
    robin = Interleave.round_robin(2, 4096)
    assert [way.offset for way in robin.ways] == [0, 4096]
    assert all(
        robin.to_region(way, offset) == PLAIN.to_region(way, offset) for way in (0, 1) for offset in (0, 1, 4096, 99999)
    )


def test_one_way_is_linear():
    table = Interleave.round_robin(1, 256)
    assert [table.to_region(0, x) for x in (0, 255, 256, 1 << 50)] == [0, 255, 256, 1 << 50]


@settings(max_examples=100)
@given(st.integers(1, 16), st.integers(8, 13), st.integers(0, 1 << 52))
def test_round_trip_round_robin(ways, shift, offset):
    table = Interleave.round_robin(ways, 1 << shift)
    way, inner = table.to_device(offset)
    assert table.to_region(way, inner) == offset


@settings(max_examples=100)
@given(st.data(), st.integers(1, 6), st.integers(1, 5), st.sampled_from([64, 256, 4096]))
def test_round_trip_any_table(data, ways, rows, line):
    slots = data.draw(st.permutations(range(ways * rows)))
    table = Interleave(line, tuple(Way(lines=tuple(slots[i * rows : (i + 1) * rows])) for i in range(ways)))
    offset = data.draw(st.integers(0, 5 * table.block))
    way, inner = table.to_device(offset)
    assert table.to_region(way, inner) == offset


@pytest.mark.parametrize(
    ("line", "ways"),
    [
        (4096, ()),
        (0, (Way(),)),
        (4096, (Way(lines=()),)),
        (4096, (Way(), Way())),  # both claim line 0
        (4096, (Way(0), Way(4096, (1,)))),  # skew counted twice
        (4096, (Way(0, (0, 2)), Way(0, (1,)))),  # tables of different lengths
        (4096, (Way(0), Way(2048))),  # not a whole line
        (4096, (Way(0), Way(8192))),  # beyond the block
        (4096, (Way(-4096), Way(0))),
    ],
)
def test_what_does_not_tile_is_refused(line, ways):
    with pytest.raises(FormatError):
        Interleave(line, ways)
