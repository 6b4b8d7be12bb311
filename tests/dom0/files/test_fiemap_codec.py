"""struct fiemap as bytes, flags as filefrag prints them, and joining neighbours."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlpy import columns
from xlpy.columns import LIMIT, PART
from xlpy.dom0 import extents as extents_module
from xlpy.dom0.extents import (
    FIEMAP_EXTENT_LAST,
    FIEMAP_EXTENT_UNWRITTEN,
    FIEMAP_FLAG_SYNC,
    FIEMAP_MAX_OFFSET,
    FS_IOC_FIEMAP,
    Extent,
    Extents,
    decode_reply,
    encode_request,
    flag_names,
)
from xlpy.errors import FormatError

# a file of 1 MiB in two extents, asked for with SYNC and room for two: as a kernel answered
REQUEST = "0000000000000000 ffffffffffffffff 01000000 00000000 02000000 00000000"
FIRST = "0000000000000000 0000900700000000 0000010000000000" + "00" * 16 + "00000000" + "00" * 12
SECOND = "0000010000000000 0000b00700000000 00000f0000000000" + "00" * 16 + "01000000" + "00" * 12
EXTENTS = [Extent(0, 126877696, 65536, 0), Extent(65536, 128974848, 983040, FIEMAP_EXTENT_LAST)]


def test_ioctl_number():
    """_IOWR('f', 11, struct fiemap of 32 bytes)"""
    assert 3 << 30 | 32 << 16 | ord("f") << 8 | 11 == FS_IOC_FIEMAP


def test_request():
    request = encode_request(0, FIEMAP_MAX_OFFSET, FIEMAP_FLAG_SYNC, 2)
    assert request[:32].hex() == REQUEST.replace(" ", "")
    assert request[32:] == bytes(2 * 56)


def test_reply():
    reply = bytearray.fromhex(REQUEST + FIRST + SECOND)
    reply[20] = 2  # fm_mapped_extents
    assert decode_reply(reply) == (2, EXTENTS)


@pytest.mark.parametrize("length", [0, 31, 32, 87, 143])
def test_a_reply_that_is_cut_off(length):
    reply = bytearray.fromhex(REQUEST + FIRST + SECOND)
    reply[20] = 2
    with pytest.raises(FormatError):
        decode_reply(reply[:length])


def test_a_count_without_extents():
    """Capacity 0 asks for the number of extents only."""
    request = encode_request(0, FIEMAP_MAX_OFFSET, 0, 0)
    request[20] = 9
    assert decode_reply(request) == (9, [])


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (0, []),
        (0x1, ["last"]),
        (0x801, ["last", "unwritten"]),
        (0x7, ["last", "unknown_loc", "delalloc"]),
        (0x301, ["last", "not_aligned", "inline"]),
        (0x2001, ["last", "shared"]),
        (0x1488, ["encoded", "encrypted", "tail_packed", "merged"]),
        (0x4010, ["0x10", "0x4000"]),
    ],
)
def test_flag_names(flags, names):
    assert flag_names(flags) == tuple(names)


@pytest.mark.parametrize(
    ("extents", "merged"),
    [
        ([], []),
        ([(0, 8192, 4096, 0), (4096, 12288, 4096, 1)], [(0, 8192, 8192, 1)]),
        ([(0, 8192, 4096, 0x800), (4096, 12288, 4096, 1)], [(0, 8192, 4096, 0x800), (4096, 12288, 4096, 1)]),
        ([(0, 8192, 4096, 0), (8192, 12288, 4096, 1)], [(0, 8192, 4096, 0), (8192, 12288, 4096, 1)]),
        ([(0, 8192, 4096, 0), (4096, 4096, 4096, 1)], [(0, 8192, 4096, 0), (4096, 4096, 4096, 1)]),
    ],
    ids=["nothing", "both continue", "state differs", "hole between", "elsewhere on the device"],
)
def test_merge(extents, merged):
    assert Extents.of([Extent._make(one) for one in extents]).merged() == [Extent._make(one) for one in merged]


@pytest.mark.parametrize("row", [(LIMIT - 4096, 0, 4096, 0), (0, LIMIT - 1, 1, 0), (LIMIT, 0, 0, 0), (0, 0, LIMIT, 0)])
def test_no_file_reaches_so_far(row):
    with pytest.raises(FormatError):
        Extents.of([Extent._make(row)])
    assert Extents.of([Extent(0, 0, LIMIT - 1, 1)])[0].length == LIMIT - 1


def joined_one_by_one(extents):
    """What ``merged`` means."""
    merged = []
    for extent in extents:
        last = merged[-1] if merged else None
        if (
            last
            and last.logical + last.length == extent.logical
            and last.physical + last.length == extent.physical
            and not (last.flags ^ extent.flags) & ~FIEMAP_EXTENT_LAST
        ):
            merged[-1] = Extent(last.logical, last.physical, last.length + extent.length, extent.flags)
        else:
            merged.append(extent)
    return merged


@given(
    st.lists(st.builds(Extent, *[st.integers(0, 3)] * 3, st.sampled_from([0, 1, 0x800, 0x801]))),
    st.integers(1, 4) | st.just(PART),
)
def test_merging_columns_is_merging_one_by_one(extents, size):
    with pytest.MonkeyPatch.context() as patch:
        for module in (columns, extents_module):
            patch.setattr(module, "PART", size)  # of extents, as if there were thousands
        found = Extents.of(extents)
        assert list(found) == extents
        assert found.merged() == joined_one_by_one(extents)
        assert found.marked_last() == [*extents[:-1], *(e._replace(flags=e.flags | 1) for e in extents[-1:])]


@given(st.lists(st.builds(Extent, *[st.integers(0, 3)] * 3, st.just(0)), min_size=1, max_size=4))
def test_facts_of_a_part(extents):
    (part,) = Extents.of(extents).parts
    pairs = list(pairwise(extents))
    assert part.gapless == all(a.logical + a.length == b.logical for a, b in pairs)
    assert part.disordered == any(a.logical + a.length > b.logical for a, b in pairs)
    assert part.any_empty == any(not a.length for a in extents)
    assert part.rising == all(a.physical + a.length <= b.physical for a, b in pairs)
    assert part.falling == (not part.any_empty and all(b.physical + b.length <= a.physical for a, b in pairs))
    assert part.bounds == (min(e.physical for e in extents), max(e.physical + e.length for e in extents))
    assert part.end == extents[-1].logical + extents[-1].length
    larger = part.scaled(4096)
    assert [list(column) for column in larger.columns[:3]] == [[n * 4096 for n in c] for c in part.columns[:3]]
    assert (larger.gapless, larger.rising, larger.falling) == (part.gapless, part.rising, part.falling)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(0, 3), st.booleans())))
def test_merge_keeps_every_byte(steps):
    """Expanding to single blocks gives the same before and after, and no two neighbours are left to join."""
    extents, logical, physical = [], 0, 100
    for length, hole, jump, unwritten in steps:
        logical, physical = logical + hole, physical + jump
        extents.append(Extent(logical, physical, length, FIEMAP_EXTENT_UNWRITTEN * unwritten))
        logical, physical = logical + length, physical + length

    def blocks(some):
        return [(e.logical + i, e.physical + i, e.flags) for e in some for i in range(e.length)]

    joined = Extents.of(extents).merged()
    assert blocks(joined) == blocks(extents)
    assert joined.merged() == joined
    assert all(
        (a.logical + a.length, a.physical + a.length, a.flags) != (b.logical, b.physical, b.flags)
        for a, b in pairwise(joined)
    )
