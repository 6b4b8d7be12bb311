"""The data fork of an inode: where the blocks of a file are, from a list in the inode or a B+tree of blocks."""

from __future__ import annotations

import _struct as struct
from _bisect import bisect_right

from xlpy.addr import SECTOR
from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN, Extent
from xlpy.dom0.xfs.inode import FORK
from xlpy.dom0.xfs.superblock import check, damaged
from xlpy.errors import Constraint
from xlpy.limits import EXTENTS
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.dom0.xfs.inode import Core
    from xlpy.dom0.xfs.superblock import XfsSuperblock

RECORD = struct.Struct(">QQ")
UNWRITTEN = 1 << 63
MAX_OFFSET = UNWRITTEN - 1
_BLOCK_HEADER = 72
_BLOCK_CHECKSUM = 64
_DEEPEST = 8


def read_extents(superblock: XfsSuperblock, core: Core, read: Callable[[int, int], bytes]) -> list[Extent]:
    """The extents of a file as stored, in bytes.

    Raises:
        FormatError: damaged metadata, extents on allocation group headers or on the log included.
        Constraint: there are more than ``limits.EXTENTS``.
    """
    where = f"inode {core.inode.number}"
    if core.extents > EXTENTS:
        raise Constraint(f"{where} has {core.extents} extents; at most {EXTENTS} are read")
    if core.format == "extents":
        raw = core.inode.root[: core.extents * RECORD.size]
    elif core.format == "btree":
        raw = b"".join(_leaves(superblock, core, read))
    else:
        raise damaged(f"{where}.di_format", f"{core.format}, and its blocks are asked for")
    if len(raw) != core.extents * RECORD.size:
        raise damaged(f"{where}.di_nextents", f"{core.extents}, and there are {len(raw) // RECORD.size}")
    found: list[Extent] = []
    end = 0
    for high, low in RECORD.iter_unpack(raw):
        logical, count = high >> 9 & (1 << 54) - 1, low & (1 << 21) - 1
        block = (high & 0x1FF) << 43 | low >> 21
        if count == 0 or logical < end:
            raise damaged(
                f"{where}, extent {len(found)}", f"{count} blocks at {logical}, behind one that ends at {end}"
            )
        end = logical + count
        physical = superblock.place(block, count)
        _refuse_metadata(superblock, where, block, count)
        size, flags = superblock.block_size, FIEMAP_EXTENT_UNWRITTEN if high & UNWRITTEN else 0
        found.append(Extent(logical * size, physical, count * size, flags))
    return found


def way_down(
    superblock: XfsSuperblock, core: Core, place: int, offset: int, read: Callable[[int, int], bytes]
) -> list[int]:
    """Where on the device the keys and the record are that lead to a byte of a file, from the inode's down.

    Args:
        core: whose extents ``read_extents`` has found sound. place: of its inode on the device.
        offset: of the byte in the file.
        read: gives bytes of the device.
    """
    logical, fork, at = offset // superblock.block_size, core.inode.root, place + FORK
    if core.format == "extents":
        return [at + RECORD.size * _last(fork, 0, core.extents, RECORD.size, logical, shift=9)]
    level, count = struct.unpack_from(">HH", fork)
    raw, keys, found = fork, 4, []
    while True:
        most = (len(raw) - keys) // 16
        entry = _last(raw, keys, count, 8, logical)
        found.append(at + keys + 8 * entry)
        (block,) = struct.unpack_from(">Q", raw, keys + 8 * (most + entry))
        level -= 1
        at = superblock.place(block)
        raw, count = _block(superblock, core, block, level, read)
        keys = _BLOCK_HEADER
        if level == 0:
            return [*found, at + keys + RECORD.size * _last(raw, keys, count, RECORD.size, logical, shift=9)]


def _last(raw: bytes, at: int, count: int, width: int, logical: int, shift: int = 0) -> int:
    """The last of some entries that begins at a logical block or before it."""
    firsts = [(struct.unpack_from(">Q", raw, at + width * entry)[0] & MAX_OFFSET) >> shift for entry in range(count)]
    return max(bisect_right(firsts, logical) - 1, 0)


def _refuse_metadata(superblock: XfsSuperblock, where: str, block: int, count: int) -> None:
    within = block & (1 << superblock.ag_block_log) - 1
    log = superblock.log_start
    if within < superblock.ag_header_blocks or (block < log + superblock.log_blocks and log < block + count):
        raise damaged(where, f"a file with an extent on metadata of the file system, at block {block:#x}")


def _leaves(superblock: XfsSuperblock, core: Core, read: Callable[[int, int], bytes]) -> Iterator[bytes]:
    """The records of all leaves, in order."""
    root = core.inode.root
    level, count = struct.unpack_from(">HH", root)
    most = (len(root) - 4) // 16
    if not 0 < level <= _DEEPEST or not 0 < count <= most:
        raise damaged(f"inode {core.inode.number}.di_u", f"a root of level {level} with {count} of {most} entries")
    todo = [(at, level - 1) for at in reversed(struct.unpack_from(f">{count}Q", root, 4 + most * 8))]
    left = core.extents
    while todo:
        block, level = todo.pop()
        raw, count = _block(superblock, core, block, level, read)
        if level == 0:
            left -= count
            if left < 0:
                raise damaged(f"inode {core.inode.number}.di_nextents", f"{core.extents}, and there are more")
            yield raw[_BLOCK_HEADER : _BLOCK_HEADER + count * RECORD.size]
            continue
        if len(todo) + count > core.extents:
            raise damaged(f"inode {core.inode.number}", "a tree with more blocks than extents")
        pointers = struct.unpack_from(f">{count}Q", raw, _BLOCK_HEADER + (len(raw) - _BLOCK_HEADER) // 16 * 8)
        todo += [(at, level - 1) for at in reversed(pointers)]


def _block(
    superblock: XfsSuperblock, core: Core, block: int, level: int, read: Callable[[int, int], bytes]
) -> tuple[bytes, int]:
    """A block of the tree, and how many entries it has."""
    place = superblock.place(block)
    raw = read(place, superblock.block_size)
    where = f"extent tree of inode {core.inode.number}, block {block:#x}"
    check(where, raw, _BLOCK_CHECKSUM, place)
    magic, depth, count, _, _, at, _, uuid, owner = struct.unpack_from(">4sHHQQQQ16sQ", raw)
    most = (len(raw) - _BLOCK_HEADER) // 16
    expected = (b"BMA3", level, place // SECTOR, superblock.uuid, core.inode.number)
    if (magic, depth, at, uuid, owner) != expected or not 0 < count <= most:
        raise damaged(
            where, f"no block of level {level} of this file ({magic!r}, level {depth}, {count} entries)", place
        )
    return raw, count
