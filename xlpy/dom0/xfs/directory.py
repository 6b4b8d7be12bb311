"""Entries of XFS directories: in the inode (short form), or in data blocks, indexed or not."""

from __future__ import annotations

import _struct as struct

from xlpy.addr import SECTOR
from xlpy.dom0.xfs.superblock import check, damaged
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.dom0.xfs.inode import Core
    from xlpy.dom0.xfs.superblock import XfsSuperblock

INDEX = 32 << 30  # offset in the directory from which on there is only its index
_HEADER = 64
_CHECKSUM = 4
_UNUSED = 0xFFFF


def short_entries(superblock: XfsSuperblock, core: Core) -> Iterator[tuple[bytes, int, int]]:
    """(name, inode number, where in the fork) of a directory that fits into its inode, without dot entries.

    Raises:
        FormatError: an entry ends behind the directory.
    """
    raw = core.inode.root[: core.inode.size]
    where = f"directory {core.inode.number}"
    if len(raw) < core.inode.size or len(raw) < 6:
        raise damaged(where, f"of {core.inode.size} bytes in an inode")
    width = 8 if raw[1] else 4
    at = 2 + width
    for _ in range(raw[0]):
        end = at + 3 + (raw[at] if at < len(raw) else 0) + superblock.has_types + width
        if end > len(raw) or not raw[at]:
            raise damaged(where, f"cut off at byte {at}")
        yield raw[at + 3 : at + 3 + raw[at]], int.from_bytes(raw[end - width : end], "big"), at
        at = end


def block_entries(superblock: XfsSuperblock, core: Core, raw: bytes, place: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, inode number, where in the block) of one directory block that lies at byte ``place`` of the device.

    Raises:
        FormatError: its checksum is wrong, it is not of this directory, or an entry ends behind it.
    """
    where = f"directory {core.inode.number}, block at {place:#x}"
    check(where, raw, _CHECKSUM, place)
    magic, _, at, _, uuid, owner = struct.unpack_from(">4sIQQ16sQ", raw)
    if magic not in (b"XDB3", b"XDD3") or (at, uuid, owner) != (place // SECTOR, superblock.uuid, core.inode.number):
        raise damaged(where, f"no data block of it ({magic!r}, of inode {owner})", place)
    end = len(raw)
    if magic == b"XDB3":
        end -= 8 + 8 * struct.unpack_from(">I", raw, end - 8)[0]
    at = _HEADER
    while at < end:
        tag, length = struct.unpack_from(">HH", raw, at)
        if tag != _UNUSED:
            name = raw[at + 8] if at + 8 < end else 0
            length = (8 + 1 + name + superblock.has_types + 2 + 7) & ~7
            if name and at + length <= end:
                yield raw[at + 9 : at + 9 + name], int.from_bytes(raw[at : at + 8], "big"), at
            else:
                length = 0
        if length == 0 or length % 8 or at + length > end:
            raise damaged(where, f"cut off at byte {at}", place + at)
        at += length
