"""The extent tree of an inode: from the 60 bytes in the inode down to the leaves, each block checked.

A node is a header (magic, entries, room, depth, generation) and entries of 12 bytes: indexes
(first logical block, low and high part of the child's block) or extents (first logical block, length, high and low part
of the first physical block). A length above 32768 marks an unwritten extent of ``length - 32768`` blocks.
"""

from __future__ import annotations

import _struct as struct
from _bisect import bisect_right
from itertools import starmap

from xlpy.columns import Column
from xlpy.dom0.ext4.checksum import crc32c, first_wrong
from xlpy.dom0.ext4.superblock import damaged
from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN, Extents, MapPart
from xlpy.errors import Constraint
from xlpy.limits import EXTENTS
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.dom0.ext4.inode import Inode
    from xlpy.dom0.ext4.superblock import Superblock

    Raw = bytes | memoryview

MAGIC = 0xF30A
MAX_DEPTH = 5
MAX_WRITTEN = 32768  # blocks in one written extent; one less in an unwritten one
MAX_LOGICAL = 1 << 32

_HEADER = struct.Struct("<HHHHI")
_INDEX = struct.Struct("<IIHxx")
_FIRST, _LAST = struct.Struct("<I"), struct.Struct("<IH6x")
_ENTRY = 12
_READ, _PART = 128 << 10, 32 << 10  # bytes of nodes that are read, and of leaves that make a part
I_BLOCK = 40  # where in an inode the root of the tree is


class _Node(NamedTuple):
    """The location of a node, and the logical blocks that its parent assigns to it."""

    block: int
    first: int
    end: int


def read_tree(
    superblock: Superblock, inode: Inode, read: Callable[[int, int], bytes], nodes: list[int] | None = None
) -> Extents:
    """All entries in the leaves of an inode in logical order, in bytes, with no flag but UNWRITTEN.

    Args:
        read: ``read(offset, length)`` gives bytes of the device.
        nodes: called with the blocks of the tree itself.

    Raises:
        FormatError: a checksum, a header or an entry is wrong. A loop is impossible, since every step must go one level
            down and forward in logical order.
    """
    where = f"inode {inode.number} extent tree"
    return Extents(list(_parts(superblock, inode, read, where, [] if nodes is None else nodes)))


def way_down(
    superblock: Superblock, inode: Inode, place: int, offset: int, read: Callable[[int, int], bytes]
) -> list[int]:
    """Where on the device the entries are that lead to a byte of a file, from the inode's down to the leaf's.

    Args:
        inode: whose tree ``read_tree`` has found sound. place: of its bytes on the device.
        offset: of the byte in the file.
        read: as for ``read_tree``.
    """
    logical, raw, at, found = offset // superblock.block_size, inode.root, place + I_BLOCK, []
    while True:
        entries, depth = _header(raw, f"inode {inode.number} extent tree", at, room=len(raw) // _ENTRY)
        firsts = [_FIRST.unpack_from(raw, _ENTRY * (1 + entry))[0] for entry in range(entries)]
        entry = _ENTRY * max(bisect_right(firsts, logical), 1)
        found.append(at + entry)
        if not depth or len(found) > MAX_DEPTH:
            return found
        _, low, high = _INDEX.unpack_from(raw, entry)
        at = (low | high << 32) * superblock.block_size
        raw = read(at, superblock.block_size)


def has_nodes(inode: Inode) -> bool:
    """Whether the map of an inode is in blocks of its own too, and not all in the inode."""
    return inode.root[6:8] != b"\0\0"


def _parts(
    superblock: Superblock, inode: Inode, read: Callable[[int, int], bytes], where: str, tree: list[int]
) -> Iterator[MapPart]:
    """The entries in logical order, those of a few leaves at a time; everything is checked."""
    size = superblock.block_size
    top = _Node(0, 0, MAX_LOGICAL)
    entries, level = _header(inode.root, where, 0, room=4)
    if level > MAX_DEPTH:
        raise damaged(f"{where}.eh_depth", f"{level}, must be at most {MAX_DEPTH}")
    if not level:
        if entries:
            yield _part(superblock, where, [(top, _cut(inode.root, entries))])
        return
    nodes = _indexes(superblock, inode.root, entries, top, where)
    budget = inode.sectors * 512 // size
    few, many = max(_PART // size, 1), max(_READ // size, 1)
    while level:
        level -= 1
        tree += [node.block for node in nodes]
        budget -= len(nodes)
        if budget < 0:
            raise damaged(where, f"of more blocks than i_blocks ({inode.sectors} sectors) allows")
        total, below = 0, []
        for at in range(0, len(nodes), many):
            leaves = []
            for node, raw in _read_nodes(superblock, inode, nodes[at : at + many], read, where):
                entries, depth = _header(raw, where, node.block * size, room=(size - _ENTRY) // _ENTRY)
                if depth != level or not entries:
                    problem = f"at depth {depth} with {entries} entries, not at {level}"
                    raise damaged(f"{where} block {node.block}", problem)
                if level:
                    below += _indexes(superblock, raw, entries, node, where)
                else:
                    leaves.append((node, _cut(raw, entries)))
                    total += entries
            if max(total, len(below)) > EXTENTS:
                raise Constraint(
                    f"inode {inode.number} has more than {EXTENTS} extents, the most that are read of a file",
                    hint="copy it into a new file, whose blocks lie together",
                )
            yield from (_part(superblock, where, leaves[i : i + few]) for i in range(0, len(leaves), few))
        nodes = below


def _part(superblock: Superblock, where: str, leaves: list[tuple[_Node, Raw]]) -> MapPart:
    """The entries of leaves, in bytes. FormatError: they are not sound."""
    part = _in_blocks(b"".join([raw for _, raw in leaves]))
    if not (all(starmap(_in_bounds, leaves)) and _sound(superblock, part)):
        node = next(n for n, raw in leaves if not (_in_bounds(n, raw) and _sound(superblock, _in_blocks(bytes(raw)))))
        raise damaged(
            where,
            f"with extents that are empty, out of order or outside its {superblock.blocks} blocks"
            f" (logical blocks {node.first} to {node.end})",
            node.block * superblock.block_size or None,
        )
    return part.scaled(superblock.block_size)


def _in_bounds(node: _Node, raw: Raw) -> bool:
    """Whether a leaf keeps to the logical blocks that its parent gives it."""
    (first,) = _FIRST.unpack_from(raw)
    last, count = _LAST.unpack_from(raw, len(raw) - _ENTRY)
    count -= MAX_WRITTEN if count > MAX_WRITTEN else 0
    return bool(node.first <= first and last + count <= node.end)


def _in_blocks(raw: bytes) -> MapPart:
    """Entries of leaves as columns."""
    logical = Column.field(raw, _ENTRY, (0, 1, 2, 3))
    physical = Column.field(raw, _ENTRY, (8, 9, 10, 11, 6, 7))
    counts = Column.field(raw, _ENTRY, (4, 5))
    if raw[5::_ENTRY].isascii():  # the higher bytes of the lengths
        return MapPart(logical, physical, counts, Column.repeated(0, len(counts)))
    unwritten = counts.above(MAX_WRITTEN)
    return MapPart(logical, physical, counts - unwritten * MAX_WRITTEN, unwritten * FIEMAP_EXTENT_UNWRITTEN)


def _sound(superblock: Superblock, part: MapPart) -> bool:
    """Whether entries are in order, none empty, and none ends beyond the file system."""
    return not (part.disordered or part.bounds[1] > superblock.blocks or part.any_empty)


def _cut(raw: Raw, entries: int) -> Raw:
    """The entries of a node."""
    return raw[_ENTRY : _ENTRY + entries * _ENTRY]


def _header(raw: Raw, where: str, offset: int, room: int) -> tuple[int, int]:
    magic, entries, most, depth, _ = _HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise damaged(f"{where}.eh_magic", f"{magic:#06x}, must be {MAGIC:#06x}", offset or None)
    if not entries <= most <= room or not most:
        raise damaged(f"{where}.eh_entries", f"{entries} of at most {most} in room for {room}", offset or None)
    return entries, depth


def _read_nodes(
    superblock: Superblock, inode: Inode, nodes: list[_Node], read: Callable[[int, int], bytes], where: str
) -> Iterator[tuple[_Node, memoryview]]:
    """The nodes and their blocks, which have the right checksums; neighbours on the device come in one read."""
    size, blocks, at = superblock.block_size, [], 0
    while at < len(nodes):
        run = 1
        while at + run < len(nodes) and nodes[at + run].block == nodes[at].block + run:
            run += 1
        raw = memoryview(read(nodes[at].block * size, run * size))
        blocks += [raw[i : i + size] for i in range(0, run * size, size)]
        at += run
    if superblock.checksums:
        _check(superblock, inode, nodes, blocks, where)
    return zip(nodes, blocks, strict=True)


def _check(superblock: Superblock, inode: Inode, nodes: list[_Node], blocks: list[memoryview], where: str) -> None:
    """Compare the checksum in each block's tail, which follows the room for ``eh_max`` entries."""
    tails = [_ENTRY + _ENTRY * (raw[4] | raw[5] << 8) for raw in blocks]
    for node, tail in zip(nodes, tails, strict=True):
        if tail + 4 > superblock.block_size:
            raise damaged(f"{where}.eh_max", f"beyond block {node.block}")
    wrong = first_wrong(inode.seed, [raw[: tail + 4] for raw, tail in zip(blocks, tails, strict=True)])
    if wrong is not None:
        raw, block, tail = blocks[wrong], nodes[wrong].block, tails[wrong]
        (stored,) = struct.unpack_from("<I", raw, tail)
        raise damaged(
            f"{where}.et_checksum",
            f"{stored:#010x} in block {block}, the bytes give {crc32c(inode.seed, raw[:tail]):#010x}",
            block * superblock.block_size + tail,
        )


def _indexes(superblock: Superblock, raw: Raw, entries: int, node: _Node, where: str) -> list[_Node]:
    if not entries:
        raise damaged(f"{where}.eh_entries", "0 in an index node")
    blocks: list[int] = []
    firsts: list[int] = []
    last = node.first - 1
    for first, low, high in _INDEX.iter_unpack(_cut(raw, entries)):
        block = low | high << 32
        if not superblock.first_data_block < block < superblock.blocks:
            raise damaged(f"{where}.ei_leaf", f"block {block} of {superblock.blocks}")
        if not last < first < node.end:
            raise damaged(f"{where}.ei_block", f"{first} out of order")
        last = first
        blocks.append(block)
        firsts.append(first)
    return list(map(_Node, blocks, firsts, [*firsts[1:], node.end]))
