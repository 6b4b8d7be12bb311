"""The use of blocks in allocation groups: blocks of a file are neither free, nor inodes, nor part of the groups' trees.

Linux looks at a group's trees when it allocates. Code that maps a file's blocks for long looks beforehand: were they
free, the next file would get them as well. Its cost grows with the logarithm of a group's size, for each extent.
"""

from __future__ import annotations

import _struct as struct
from _bisect import bisect_right

from xlpy.addr import SECTOR
from xlpy.dom0.xfs.superblock import check, damaged
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.dom0.xfs.superblock import XfsSuperblock

AGF, AGI = 1, 2  # sectors of a group
_HEADER = 56  # of a block of a tree
_CHECKSUM = 52
_DEEPEST = 8
_CHUNK = 64  # inodes in a record
_HOLE = 4  # inodes for each bit of a mask of holes


class Tree(NamedTuple):
    """One kind of tree. record, key: layouts; a pointer has 4 bytes behind a key. header: the sector that has its root.

    root, level: where there. uuid, checksum: of that sector.
    """

    name: str
    magic: bytes
    record: struct.Struct
    key: struct.Struct
    header: int
    header_magic: bytes
    root: int
    level: int
    uuid: int
    checksum: int


FREE = Tree("free space", b"AB3B", struct.Struct(">II"), struct.Struct(">I4x"), AGF, b"XAGF", 16, 28, 64, 216)
INODES = Tree("inode", b"IAB3", struct.Struct(">IH10x"), struct.Struct(">I"), AGI, b"XAGI", 20, 24, 296, 312)


class Groups:
    """The groups of one file system; each block is read and checked once.

    Args:
        superblock: of it.
        read: ``read(offset, length)`` of the device.
    """

    def __init__(self, superblock: XfsSuperblock, read: Callable[[int, int], bytes]) -> None:
        self._superblock, self._read = superblock, read
        self._roots: dict[tuple[int, str], tuple[int, int]] = {}
        self._blocks: dict[tuple[int, int], tuple[bytes, int]] = {}

    def refuse_taken(self, what: str, block: int, count: int) -> None:
        """Check blocks that a file has.

        Args:
            what: whose, for the message.
            block, count: file system blocks, all in one group.

        Raises:
            FormatError: they are free, or hold inodes or a tree of the group; or the group is damaged.
        """
        log = self._superblock.ag_block_log
        group, first = block >> log, block & (1 << log) - 1
        end = first + count
        own = f"a file with blocks {first:#x} to {end - 1:#x} of allocation group {group}"
        found = self._last(FREE, group, end - 1)
        if found is not None and found[0] + found[1] > first:
            raise damaged(what, f"{own}, of which some are free")
        found = self._last(INODES, group, (end << self._per_block) - 1)
        if found is not None and self._has_inodes(*found, first, end):
            raise damaged(what, f"{own}, of which some hold inodes")
        if any(number == group and first <= within < end for number, within in self._blocks):
            raise damaged(what, f"{own}, of which one is of a tree of the group")

    @property
    def _per_block(self) -> int:
        return self._superblock.block_log - self._superblock.inode_log

    def _has_inodes(self, start: int, holes: int, first: int, end: int) -> bool:
        """Whether a record of the inode tree has an inode in blocks from ``first`` to ``end``."""
        lowest, highest = max(first << self._per_block, start), min(end << self._per_block, start + _CHUNK)
        return any(not holes >> (at - start) // _HOLE & 1 for at in range(lowest, highest, _HOLE))

    def _last(self, tree: Tree, group: int, most: int) -> tuple[int, int] | None:
        """The last record of a tree that begins at ``most`` or before it."""
        at, level = self._root(tree, group)
        while True:
            level -= 1
            raw, count = self._block(tree, group, at, level)
            layout = tree.key if level else tree.record
            firsts = [layout.unpack_from(raw, _HEADER + entry * layout.size)[0] for entry in range(count)]
            if firsts != sorted(set(firsts)):
                raise damaged(_named(tree, group, at), "out of order")
            entry = bisect_right(firsts, most) - 1
            if entry < 0:
                return None
            if not level:
                start, second = layout.unpack_from(raw, _HEADER + entry * layout.size)
                return start, second
            room = (len(raw) - _HEADER) // (layout.size + 4)
            (at,) = struct.unpack_from(">I", raw, _HEADER + room * layout.size + entry * 4)

    def _root(self, tree: Tree, group: int) -> tuple[int, int]:
        """The block of a tree's root, and how many levels there are."""
        known = self._roots.get((group, tree.name))
        if known is not None:
            return known
        superblock = self._superblock
        place = group * superblock.ag_blocks * superblock.block_size + tree.header * superblock.sector
        raw = self._read(place, superblock.sector)
        where = f"header {tree.header_magic.decode()} of allocation group {group}"
        check(where, raw, tree.checksum, place)
        magic, version, number, length = struct.unpack_from(">4sIII", raw)
        expected = min(superblock.ag_blocks, superblock.blocks - group * superblock.ag_blocks)
        uuid = raw[tree.uuid : tree.uuid + 16]
        if (magic, version, number, length, uuid) != (tree.header_magic, 1, group, expected, superblock.uuid):
            raise damaged(where, f"none of this group ({magic!r}, group {number}, {length} blocks)", place)
        (root,) = struct.unpack_from(">I", raw, tree.root)
        (level,) = struct.unpack_from(">I", raw, tree.level)
        if not 0 < level <= _DEEPEST:
            raise damaged(where, f"with a tree of {level} levels", place)
        self._roots[group, tree.name] = root, level
        return root, level

    def _block(self, tree: Tree, group: int, within: int, level: int) -> tuple[bytes, int]:
        """A block of a tree, and how many entries it has."""
        known = self._blocks.get((group, within))
        if known is None:
            superblock = self._superblock
            place = superblock.place(group << superblock.ag_block_log | within)
            known = self._read(place, superblock.block_size), place
            check(_named(tree, group, within), known[0], _CHECKSUM, place)
            self._blocks[group, within] = known
        raw, place = known
        magic, depth, count, _, _, at, _, uuid, owner = struct.unpack_from(">4sHHIIQQ16sI", raw)
        layout = tree.key if level else tree.record
        room = (len(raw) - _HEADER) // (layout.size + (4 if level else 0))
        expected = (tree.magic, level, place // SECTOR, self._superblock.uuid, group)
        if (magic, depth, at, uuid, owner) != expected or count > room or (level and not count):
            raise damaged(
                _named(tree, group, within),
                f"no block of level {level} of it ({magic!r}, level {depth}, {count} entries)",
                place,
            )
        return raw, count


def _named(tree: Tree, group: int, within: int) -> str:
    return f"{tree.name} tree of allocation group {group}, block {within:#x}"
