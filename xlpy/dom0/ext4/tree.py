"""The extent tree of an inode: from the 60 bytes in the inode down to the leaves, each block checked.

A node is a header (magic, entries, room, depth, generation) and entries of 12 bytes: indexes
(first logical block, low and high part of the child's block) or extents (first logical block, length, high and low part
of the first physical block). A length above 32768 marks an unwritten extent of ``length - 32768`` blocks.
"""

from __future__ import annotations

import struct
from itertools import repeat
from operator import add, eq, le
from typing import TYPE_CHECKING

from xlpy.dom0.ext4.checksum import crc32c_blocks
from xlpy.dom0.ext4.superblock import damaged
from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN, Extent, merge
from xlpy.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.dom0.ext4.inode import Inode
    from xlpy.dom0.ext4.superblock import Superblock

MAGIC = 0xF30A
MAX_DEPTH = 5
MAX_WRITTEN = 32768  # blocks in one written extent; one less in an unwritten one
MAX_LOGICAL = 1 << 32

_HEADER = struct.Struct("<HHHHI")
_INDEX = struct.Struct("<IIHxx")
_ENTRY = 12


class _Node(NamedTuple):
    """Where a node lies, and which logical blocks its parent gives it."""

    block: int
    first: int
    end: int


def read_tree(
    superblock: Superblock, inode: Inode, read: Callable[[int, int], bytes], *, merged: bool = True
) -> list[Extent]:
    """All extents of an inode in logical order, in bytes, with no flag but UNWRITTEN.

    Args:
        read: ``read(offset, length)`` gives bytes of the device.
        merged: join entries that continue each other; False gives the entries as they stand in the leaves.

    Raises:
        FormatError: a checksum, a header or an entry is wrong. A loop is impossible, since every step must go one level
            down and forward in logical order.
    """
    where = f"inode {inode.number} extent tree"
    size = superblock.block_size
    top = _Node(0, 0, MAX_LOGICAL)
    leaves = _Leaves(superblock, where)
    entries, depth = _header(inode.root, where, 0, room=4)
    if depth > MAX_DEPTH:
        raise damaged(f"{where}.eh_depth", f"{depth}, must be at most {MAX_DEPTH}")
    if not depth:
        if entries:
            leaves.add(inode.root, entries, top)
        return leaves.extents(merged)
    nodes = _indexes(superblock, inode.root, entries, top, where)
    budget = inode.sectors * 512 // size
    for level in range(depth - 1, -1, -1):
        budget -= len(nodes)
        if budget < 0:
            raise damaged(where, f"of more blocks than i_blocks ({inode.sectors} sectors) allows")
        blocks = _read_nodes(superblock, nodes, read)
        if superblock.checksums:
            _check(superblock, inode, nodes, blocks, where)
        below: list[_Node] = []
        for node, raw in zip(nodes, blocks, strict=True):
            entries, depth = _header(raw, where, node.block * size, room=(size - _ENTRY) // _ENTRY)
            if depth != level or not entries:
                raise damaged(f"{where} block {node.block}", f"at depth {depth} with {entries} entries, not at {level}")
            if level:
                below += _indexes(superblock, raw, entries, node, where)
            else:
                leaves.add(raw, entries, node)
        nodes = below
    return leaves.extents(merged)


def _header(raw: bytes, where: str, offset: int, room: int) -> tuple[int, int]:
    magic, entries, most, depth, _ = _HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise damaged(f"{where}.eh_magic", f"{magic:#06x}, must be {MAGIC:#06x}", offset or None)
    if not entries <= most <= room or not most:
        raise damaged(f"{where}.eh_entries", f"{entries} of at most {most} in room for {room}", offset or None)
    return entries, depth


def _read_nodes(superblock: Superblock, nodes: list[_Node], read: Callable[[int, int], bytes]) -> list[bytes]:
    """The blocks of the nodes; neighbours on the device come in one read."""
    size, blocks, at = superblock.block_size, [], 0
    while at < len(nodes):
        run = 1
        while at + run < len(nodes) and run < 256 and nodes[at + run].block == nodes[at].block + run:
            run += 1
        raw = read(nodes[at].block * size, run * size)
        blocks += [raw[i : i + size] for i in range(0, run * size, size)]
        at += run
    return blocks


def _check(superblock: Superblock, inode: Inode, nodes: list[_Node], blocks: list[bytes], where: str) -> None:
    """Compare the checksum in each block's tail, which follows the room for ``eh_max`` entries."""
    by_tail: dict[int, list[int]] = {}
    for at, raw in enumerate(blocks):
        (most,) = struct.unpack_from("<H", raw, 4)
        by_tail.setdefault(_ENTRY + _ENTRY * most, []).append(at)
    for tail, members in by_tail.items():
        if tail + 4 > superblock.block_size:
            raise damaged(f"{where}.eh_max", f"beyond block {nodes[members[0]].block}")
        sums = crc32c_blocks(inode.seed, b"".join([blocks[at][:tail] for at in members]), tail)
        for at, computed in zip(members, sums, strict=True):
            (stored,) = struct.unpack_from("<I", blocks[at], tail)
            if stored != computed:
                raise damaged(
                    f"{where}.et_checksum",
                    f"{stored:#010x} in block {nodes[at].block}, the bytes give {computed:#010x}",
                    nodes[at].block * superblock.block_size + tail,
                )


def _indexes(superblock: Superblock, raw: bytes, entries: int, node: _Node, where: str) -> list[_Node]:
    found: list[_Node] = []
    if not entries:
        raise damaged(f"{where}.eh_entries", "0 in an index node")
    for first, low, high in _INDEX.iter_unpack(raw[_ENTRY : _ENTRY + entries * _ENTRY]):
        block = low | high << 32
        if not superblock.first_data_block < block < superblock.blocks:
            raise damaged(f"{where}.ei_leaf", f"block {block} of {superblock.blocks}")
        if not (found[-1].first < first if found else node.first <= first) or first >= node.end:
            raise damaged(f"{where}.ei_block", f"{first} out of order")
        if found:
            found[-1] = found[-1]._replace(end=first)
        found.append(_Node(block, first, node.end))
    return found


class _Leaves:
    """The entries of all leaves, as columns in blocks: several times as fast as entry by entry."""

    def __init__(self, superblock: Superblock, where: str) -> None:
        self._superblock, self._where = superblock, where
        self._logical: list[int] = []
        self._physical: list[int] = []
        self._counts: list[int] = []
        self._flags: list[int] = []

    def add(self, raw: bytes, entries: int, node: _Node) -> None:
        """Append one leaf. FormatError: its entries contradict each other, its parent or the file system's size."""
        words = struct.unpack_from(f"<{3 * entries}I", raw, _ENTRY)
        logical, counts, physical = words[0::3], words[1::3], words[2::3]
        flags = [0] * entries
        if max(counts) > MAX_WRITTEN:  # unwritten ones, or upper halves of block numbers above the lengths
            physical = tuple(low | word >> 16 << 32 for low, word in zip(physical, counts, strict=True))
            counts = tuple(word & 0xFFFF for word in counts)
            flags = [FIEMAP_EXTENT_UNWRITTEN if count > MAX_WRITTEN else 0 for count in counts]
            counts = tuple(count - MAX_WRITTEN if count > MAX_WRITTEN else count for count in counts)
        ends = tuple(map(add, logical, counts))
        in_order = node.first <= logical[0] and all(map(le, ends, logical[1:])) and ends[-1] <= node.end
        lowest, highest = self._superblock.first_data_block, self._superblock.blocks
        inside = lowest < min(physical) and max(map(add, physical, counts)) <= highest
        if not (in_order and inside and min(counts)):
            raise damaged(
                self._where,
                f"with extents that are empty, out of order or outside its {highest} blocks"
                f" (logical blocks {node.first} to {node.end})",
                node.block * self._superblock.block_size or None,
            )
        self._logical += logical
        self._physical += physical
        self._counts += counts
        self._flags += flags

    def extents(self, merged: bool) -> list[Extent]:
        """All of them in bytes, neighbours joined where that is wanted."""
        size, physical, counts = self._superblock.block_size, self._physical, self._counts
        in_bytes = [[block * size for block in column] for column in (self._logical, physical, counts)]
        rows = zip(*in_bytes, self._flags, strict=True)
        found: list[Extent] = list(map(tuple.__new__, repeat(Extent), rows))  # three times as fast as Extent(...)
        touching = merged and any(map(eq, map(add, physical, counts), physical[1:]))
        return merge(found) if touching else found
