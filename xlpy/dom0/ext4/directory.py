"""Directories of ext4, read linearly: the hash tree over the same leaves is not needed, only skipped and checked."""

from __future__ import annotations

import _struct as struct

from xlpy.dom0.ext4.checksum import crc32c, first_wrong
from xlpy.dom0.ext4.inode import INDEX_FL
from xlpy.dom0.ext4.superblock import damaged
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.dom0.ext4.inode import Inode
    from xlpy.dom0.ext4.superblock import Superblock

_TAIL = 12  # a fake entry at the end of a leaf: inode 0, length 12, name length 0, type 0xDE, checksum
_TAIL_ENTRY = (0, _TAIL, 0xDE)
_ROOT_LIMIT, _NODE_LIMIT = 0x20, 0x08  # offsets of limit and count in a hash tree block


def check_blocks(superblock: Superblock, inode: Inode, blocks: list[tuple[int, bytes]]) -> None:
    """Compare the checksums of directory blocks, given as (number inside the directory, bytes).

    Raises:
        FormatError: one is wrong or missing.
    """
    if not superblock.checksums:
        return
    size = superblock.block_size
    leaves = []
    for at, raw in blocks:
        limit = _index_limit(inode, at, raw, size)
        if limit:
            _check_index(inode, at, raw, limit)
        else:
            leaves.append((at, raw))
    wrong = [at for at, (_, raw) in enumerate(leaves) if struct.unpack_from("<IHxB", raw, size - _TAIL) != _TAIL_ENTRY]
    pieces = [raw[:-_TAIL] + raw[-4:] for _, raw in leaves]
    found = wrong[0] if wrong else first_wrong(inode.seed, pieces)
    if found is not None:
        at, raw = leaves[found]
        (stored,) = struct.unpack_from("<I", raw, size - 4)
        raise damaged(
            f"directory {inode.number} block {at} checksum",
            f"{stored:#010x}, the bytes give {crc32c(inode.seed, raw[:-_TAIL]):#010x}",
        )


def _index_limit(inode: Inode, at: int, raw: bytes, size: int) -> int:
    """The offset of the limit field when the block belongs to the hash tree itself, else 0."""
    if not inode.flags & INDEX_FL:
        return 0
    if at == 0:
        return _ROOT_LIMIT
    number, length = struct.unpack_from("<IH", raw)
    return _NODE_LIMIT if number == 0 and _record_length(length, size) == size else 0


def _check_index(inode: Inode, at: int, raw: bytes, where: int) -> None:
    most, count = struct.unpack_from("<HH", raw, where)
    tail = where + most * 8
    if count > most or tail + 8 > len(raw):
        raise damaged(f"directory {inode.number} block {at} hash tree", f"of {count} entries in room for {most}")
    reserved, stored = struct.unpack_from("<4sI", raw, tail)
    computed = crc32c(crc32c(inode.seed, raw[: where + count * 8]), reserved + bytes(4))
    if stored != computed:
        raise damaged(
            f"directory {inode.number} block {at} checksum", f"{stored:#010x}, the bytes give {computed:#010x}"
        )


def entries(superblock: Superblock, inode: Inode, at: int, raw: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, inode number, where in the block) of the entries of one directory block.

    Raises:
        FormatError: a record does not fit its block, or names an impossible inode.
    """
    position, size, most, head = 0, len(raw), superblock.inodes, struct.Struct("<IHB").unpack_from
    while position < size:
        if size - position < 8:
            raise damaged(_entry(inode, at, position), "cut off by the end of the block")
        number, length, name_length = head(raw, position)
        if size >= 65536:
            length = _record_length(length, size)
        if length < 8 + name_length or length % 4 or position + length > size:
            raise damaged(_entry(inode, at, position), f"{length} bytes long with a name of {name_length}")
        if number > most:
            raise damaged(_entry(inode, at, position), f"for inode {number} of {most}")
        if number and name_length:
            yield raw[position + 8 : position + 8 + name_length], number, position
        position += length


def _entry(inode: Inode, at: int, position: int) -> str:
    return f"directory {inode.number} block {at} entry at {position:#x}"


def _record_length(length: int, size: int) -> int:
    """Blocks of 64 KiB hold lengths that 16 bits cannot: the two low bits become the high ones."""
    if size < 65536:
        return length
    return size if length in (0, 0xFFFF) else length & 0xFFFC | (length & 3) << 16
