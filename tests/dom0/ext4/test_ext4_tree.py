"""Extent trees, entry by entry: what the columns accept and answer is what a loop would."""

import struct
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.dom0.ext4 import tree
from xlpy.dom0.ext4.tree import read_tree
from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN, Extent
from xlpy.errors import FormatError

SIZE, FIRST_DATA, BLOCKS = 1024, 1, 1 << 33
SUPERBLOCK = SimpleNamespace(block_size=SIZE, first_data_block=FIRST_DATA, blocks=BLOCKS, checksums=False)


def node(depth, entries, room):
    return struct.pack("<HHHHI", 0xF30A, len(entries), room, depth, 0) + b"".join(entries)


def leaf_entry(logical, count, physical):
    return struct.pack("<IHHI", logical, count, physical >> 32, physical & 0xFFFFFFFF)


def tree_of(*leaves):
    """An inode, and the device: the inode holds indexes of leaves at blocks 100, 101, ..."""
    indexes = [struct.pack("<IIHxx", first, 100 + at, 0) for at, (first, _) in enumerate(leaves)]
    blocks = [node(0, [leaf_entry(*row) for row in rows], 84).ljust(SIZE, b"\0") for _, rows in leaves]
    inode = SimpleNamespace(number=12, root=node(1, indexes, 4).ljust(60, b"\0"), sectors=2 * len(leaves), seed=0)
    return inode, lambda offset, length: b"".join(blocks)[offset - 100 * SIZE :][:length]


def one_by_one(leaves):
    """The extents; None when an entry is wrong."""
    found, bounds = [], [*(first for first, _ in leaves[1:]), 1 << 32]
    for (first, rows), end in zip(leaves, bounds, strict=True):
        point = first
        for logical, count, physical in rows:
            blocks = count - 32768 if count > 32768 else count
            if not (blocks and point <= logical and logical + blocks <= end):
                return None
            if physical + blocks > BLOCKS:
                return None
            flags = FIEMAP_EXTENT_UNWRITTEN if count > 32768 else 0
            found.append(Extent(logical * SIZE, physical * SIZE, blocks * SIZE, flags))
            point = logical + blocks
    return found


COUNTS = st.sampled_from([1, 2, 32767, 32768, 32769, 65535]) | st.integers(1, 5)
PHYSICAL = st.integers(2, 99) | st.integers(1 << 32, BLOCKS - 32768)
STEPS = st.lists(st.tuples(st.integers(0, 2), COUNTS, PHYSICAL), min_size=1, max_size=4)
DAMAGE = st.sampled_from(
    [
        lambda logical, count, physical: (logical, 0, physical),
        lambda logical, count, physical: (max(logical - 1, 0), count, physical),
        lambda logical, count, physical: (logical + 3, count, physical),
        lambda logical, count, physical: ((1 << 32) - 1, count, physical),
        lambda logical, count, physical: (logical, count, BLOCKS),
        lambda logical, count, physical: (logical, 1, BLOCKS - 1),
    ]
)


@st.composite
def leaves(draw):
    """Leaves that are right, or have one wrong entry."""
    made, point = [], 0
    for steps in draw(st.lists(STEPS, min_size=1, max_size=3)):
        first, rows = point, []
        for hole, count, physical in steps:
            point += hole
            rows.append((point, count, physical))
            point += count - 32768 if count > 32768 else count
        made.append((first, rows))
    if draw(st.booleans()):
        _, rows = draw(st.sampled_from(made))
        at = draw(st.integers(0, len(rows) - 1))
        rows[at] = draw(DAMAGE)(*rows[at])
    return made


@settings(max_examples=100, deadline=None)
@given(leaves(), st.integers(1, 3), st.integers(1, 3))
def test_every_entry_counts(made, read, part):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "_READ", read * SIZE)
        patch.setattr(tree, "_PART", part * SIZE)
        check(made)


def check(made):
    inode, read = tree_of(*made)
    expected = one_by_one(made)
    if expected is None:
        with pytest.raises(FormatError, match="empty, out of order or outside"):
            read_tree(SUPERBLOCK, inode, read)
    else:
        assert read_tree(SUPERBLOCK, inode, read) == expected


def test_the_leaf_that_is_wrong_is_named():
    inode, read = tree_of((0, [(0, 4, 50)]), (8, [(8, 4, 60), (10, 4, 70)]))
    with pytest.raises(FormatError, match="logical blocks 8 to 4294967296") as caught:
        read_tree(SUPERBLOCK, inode, read)
    assert caught.value.offset == 101 * SIZE


def test_a_leaf_may_not_reach_into_the_next():
    inode, read = tree_of((0, [(0, 9, 50)]), (8, [(9, 4, 60)]))
    with pytest.raises(FormatError, match="logical blocks 0 to 8"):
        read_tree(SUPERBLOCK, inode, read)


def chain(depth, leaf=None):
    """An inode whose tree has one node a level, at blocks 100, 101, ..., and the device."""
    entries = [leaf_entry(0, 4, 50)] if leaf is None else leaf
    root = node(depth, [struct.pack("<IIHxx", 0, 100, 0)] if depth else entries, 4).ljust(60, b"\0")
    blocks = {}
    for at in range(depth):
        level = depth - 1 - at
        below = [struct.pack("<IIHxx", 0, 101 + at, 0)] if level else entries
        blocks[100 + at] = node(level, below, 84).ljust(SIZE, b"\0")
    inode = SimpleNamespace(number=12, root=root, sectors=2 * depth, seed=0)
    return inode, lambda offset, length: blocks[offset // SIZE][:length]


@pytest.mark.parametrize("depth", range(6))
def test_a_tree_of_every_depth(depth):
    nodes = []
    assert read_tree(SUPERBLOCK, *chain(depth), nodes) == [Extent(0, 50 * SIZE, 4 * SIZE, 0)]
    assert nodes == list(range(100, 100 + depth))


def test_a_tree_that_is_too_deep():
    with pytest.raises(FormatError, match="eh_depth is 6, must be at most 5"):
        read_tree(SUPERBLOCK, *chain(6))


@pytest.mark.parametrize("leaves", [1, 3])
def test_a_tree_has_as_many_blocks_as_its_inode_says(leaves):
    inode, read = tree_of(*[(8 * n, [(8 * n, 1, 50 + n)]) for n in range(leaves)])
    assert len(read_tree(SUPERBLOCK, inode, read)) == leaves
    inode.sectors -= 1
    with pytest.raises(FormatError, match="of more blocks than i_blocks"):
        read_tree(SUPERBLOCK, inode, read)


@pytest.mark.parametrize(
    ("block", "fits"), [(FIRST_DATA, False), (FIRST_DATA + 1, True), (BLOCKS - 1, True), (BLOCKS, False)]
)
def test_where_a_node_may_lie(block, fits):
    root = node(1, [struct.pack("<IIHxx", 0, block & 0xFFFFFFFF, block >> 32)], 4).ljust(60, b"\0")
    inode = SimpleNamespace(number=12, root=root, sectors=2, seed=0)
    leaf = node(0, [leaf_entry(0, 4, 50)], 84).ljust(SIZE, b"\0")
    if fits:
        assert len(read_tree(SUPERBLOCK, inode, lambda _offset, length: leaf[:length])) == 1
    else:
        with pytest.raises(FormatError, match="ei_leaf"):
            read_tree(SUPERBLOCK, inode, lambda _offset, length: leaf[:length])


@pytest.mark.parametrize(("physical", "fits"), [(BLOCKS - 4, True), (BLOCKS - 3, False)])
def test_where_an_extent_may_end(physical, fits):
    if fits:
        assert len(read_tree(SUPERBLOCK, *chain(1, [leaf_entry(0, 4, physical)]))) == 1
    else:
        with pytest.raises(FormatError, match="outside its"):
            read_tree(SUPERBLOCK, *chain(1, [leaf_entry(0, 4, physical)]))
