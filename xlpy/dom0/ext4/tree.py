"""The extent tree of an inode: from the 60 bytes in the inode down to the leaves, each block checked.

A node is a header (magic, entries, room, depth, generation) and entries of 12 bytes: indexes
(first logical block, low and high part of the child's block) or extents (first logical block, length, high and low part
of the first physical block). A length above 32768 marks an unwritten extent of ``length - 32768`` blocks.
"""

from __future__ import annotations

import _struct as struct
from _bisect import bisect_right

from xlpy.columns import Column
from xlpy.dom0.ext4.checksum import crc32c_blocks
from xlpy.dom0.ext4.superblock import damaged
from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN, Extents
from xlpy.errors import Constraint
from xlpy.limits import EXTENTS
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

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
I_BLOCK = 40  # where in an inode the root of the tree is


class _Node(NamedTuple):
    """The location of a node, and the logical blocks that its parent assigns to it."""

    block: int
    first: int
    end: int


class _Leaf(NamedTuple):
    """A leaf, and its entries; it has some."""

    node: _Node
    raw: Raw

    def in_bounds(self) -> bool:
        """Whether it keeps to the logical blocks that its parent gives it."""
        (first,) = _FIRST.unpack_from(self.raw)
        last, count = _LAST.unpack_from(self.raw, len(self.raw) - _ENTRY)
        count -= MAX_WRITTEN if count > MAX_WRITTEN else 0
        return bool(self.node.first <= first and last + count <= self.node.end)


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
    leaves = _leaves(superblock, inode, read, where, [] if nodes is None else nodes)
    entries = _Entries(b"".join([leaf.raw for leaf in leaves]))
    if leaves and not (all(map(_Leaf.in_bounds, leaves)) and entries.sound(superblock)):
        leaf = next(leaf for leaf in leaves if not (leaf.in_bounds() and _Entries(bytes(leaf.raw)).sound(superblock)))
        raise damaged(
            where,
            f"with extents that are empty, out of order or outside its {superblock.blocks} blocks"
            f" (logical blocks {leaf.node.first} to {leaf.node.end})",
            leaf.node.block * superblock.block_size or None,
        )
    return entries.in_bytes(superblock.block_size)


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


def _leaves(
    superblock: Superblock, inode: Inode, read: Callable[[int, int], bytes], where: str, tree: list[int]
) -> list[_Leaf]:
    """The leaves in logical order; everything above them and around their entries is checked."""
    size = superblock.block_size
    top = _Node(0, 0, MAX_LOGICAL)
    entries, depth = _header(inode.root, where, 0, room=4)
    if depth > MAX_DEPTH:
        raise damaged(f"{where}.eh_depth", f"{depth}, must be at most {MAX_DEPTH}")
    if not depth:
        return [_Leaf(top, _cut(inode.root, entries))] if entries else []
    nodes = _indexes(superblock, inode.root, entries, top, where)
    budget = inode.sectors * 512 // size
    for level in range(depth - 1, -1, -1):
        tree += [node.block for node in nodes]
        budget -= len(nodes)
        if budget < 0:
            raise damaged(where, f"of more blocks than i_blocks ({inode.sectors} sectors) allows")
        blocks = _read_nodes(superblock, nodes, read)
        if superblock.checksums:
            _check(superblock, inode, nodes, blocks, where)
        leaves: list[_Leaf] = []
        total = 0
        below: list[_Node] = []
        for node, raw in zip(nodes, blocks, strict=True):
            entries, depth = _header(raw, where, node.block * size, room=(size - _ENTRY) // _ENTRY)
            if depth != level or not entries:
                raise damaged(f"{where} block {node.block}", f"at depth {depth} with {entries} entries, not at {level}")
            if level:
                below += _indexes(superblock, raw, entries, node, where)
            else:
                leaves.append(_Leaf(node, _cut(raw, entries)))
                total += entries
        if total > EXTENTS or len(below) > EXTENTS:
            raise Constraint(
                f"inode {inode.number} has more than {EXTENTS} extents, the most that are read of a file",
                hint="copy it into a new file, whose blocks lie together",
            )
        nodes = below
    return leaves


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


def _read_nodes(superblock: Superblock, nodes: list[_Node], read: Callable[[int, int], bytes]) -> list[memoryview]:
    """The blocks of the nodes; neighbours on the device come in one read."""
    size, blocks, at = superblock.block_size, [], 0
    while at < len(nodes):
        run = 1
        while at + run < len(nodes) and run < 256 and nodes[at + run].block == nodes[at].block + run:
            run += 1
        raw = memoryview(read(nodes[at].block * size, run * size))
        blocks += [raw[i : i + size] for i in range(0, run * size, size)]
        at += run
    return blocks


def _check(superblock: Superblock, inode: Inode, nodes: list[_Node], blocks: list[memoryview], where: str) -> None:
    """Compare the checksum in each block's tail, which follows the room for ``eh_max`` entries."""
    by_tail: dict[int, list[int]] = {}
    for at, raw in enumerate(blocks):
        (most,) = struct.unpack_from("<H", raw, 4)
        by_tail.setdefault(_ENTRY + _ENTRY * most, []).append(at)
    for tail, members in by_tail.items():
        if tail + 4 > superblock.block_size:
            raise damaged(f"{where}.eh_max", f"beyond block {nodes[members[0]].block}")
        sums = crc32c_blocks(inode.seed, [blocks[at][:tail] for at in members])
        for at, computed in zip(members, sums, strict=True):
            (stored,) = struct.unpack_from("<I", blocks[at], tail)
            if stored != computed:
                raise damaged(
                    f"{where}.et_checksum",
                    f"{stored:#010x} in block {nodes[at].block}, the bytes give {computed:#010x}",
                    nodes[at].block * superblock.block_size + tail,
                )


def _indexes(superblock: Superblock, raw: Raw, entries: int, node: _Node, where: str) -> list[_Node]:
    found: list[_Node] = []
    if not entries:
        raise damaged(f"{where}.eh_entries", "0 in an index node")
    for first, low, high in _INDEX.iter_unpack(_cut(raw, entries)):
        block = low | high << 32
        if not superblock.first_data_block < block < superblock.blocks:
            raise damaged(f"{where}.ei_leaf", f"block {block} of {superblock.blocks}")
        if not (found[-1].first < first if found else node.first <= first) or first >= node.end:
            raise damaged(f"{where}.ei_block", f"{first} out of order")
        if found:
            found[-1] = found[-1]._replace(end=first)
        found.append(_Node(block, first, node.end))
    return found


class _Entries:
    """Entries of leaves as columns, in blocks."""

    def __init__(self, raw: bytes) -> None:
        self._logical = Column.field(raw, _ENTRY, (0, 1, 2, 3))
        self._physical = Column.field(raw, _ENTRY, (8, 9, 10, 11, 6, 7))
        counts = Column.field(raw, _ENTRY, (4, 5))
        self._unwritten = counts.above(MAX_WRITTEN)
        self._counts = counts - self._unwritten * MAX_WRITTEN

    def sound(self, superblock: Superblock) -> bool:
        """Whether they are in order, none empty, and none ends beyond the file system."""
        ends = self._logical + self._counts
        disordered = ends.any_above(self._logical.following(ends.last))
        outside = (self._physical + self._counts).any_above(superblock.blocks)
        return not (disordered or outside or self._counts.any_below(1))

    def in_bytes(self, block_size: int) -> Extents:
        """As FIEMAP reports them, except for LAST."""
        logical, physical, length = (column * block_size for column in (self._logical, self._physical, self._counts))
        return Extents(logical, physical, length, self._unwritten * FIEMAP_EXTENT_UNWRITTEN)
