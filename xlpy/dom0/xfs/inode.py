"""Inodes of XFS, version 3: identity, size, flags, and the bytes of the data fork."""

from __future__ import annotations

import _struct as struct

from xlpy.addr import SECTOR
from xlpy.dom0.ext4.inode import DAX_FL, IMMUTABLE_FL, Inode
from xlpy.dom0.xfs.superblock import check, damaged
from xlpy.errors import Unsafe
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.dom0.xfs.superblock import XfsSuperblock

CHECKSUM = 100
FORK = 176
SIZE_AT = 56
FLAGS_AT = 90
REALTIME = 0x1
PREALLOCATED = 0x2
_IMMUTABLE = 0x8
_DAX, _REFLINK, _WIDE_COUNTS = 0x1, 0x2, 0x10  # of di_flags2

_KINDS = {0x1: "fifo", 0x2: "char", 0x4: "dir", 0x6: "block", 0x8: "file", 0xA: "symlink", 0xC: "socket"}
_FORMATS = {0: "device", 1: "local", 2: "extents", 3: "btree"}


class Core(NamedTuple):
    """An inode and the form of its data fork.

    inode: with the fork in ``root``, and the flags as FS_IOC_GETFLAGS tells them. format: ``local``, ``extents``,
    ``btree`` or ``device``. extents: how many.
    """

    inode: Inode
    format: str
    extents: int


def parse_inode(superblock: XfsSuperblock, number: int, raw: bytes, offset: int) -> Core:
    """Check the bytes of inode ``number``, found at byte ``offset`` of the device.

    Raises:
        FormatError: its checksum is wrong, or it is no inode in use. Unsafe: it shares blocks, or has them on the
            realtime device.
    """
    where = f"inode {number}"
    magic, mode, version, form = struct.unpack_from(">2sHBB", raw)
    if magic != b"IN" or version != 3:
        raise damaged(where, f"no inode of version 3 ({magic!r}, version {version})", offset)
    check(where, raw, CHECKSUM, offset)
    own, uuid = struct.unpack_from(">Q16s", raw, 152)
    kind, layout = _KINDS.get(mode >> 12, ""), _FORMATS.get(form, "")
    (links,) = struct.unpack_from(">I", raw, 16)
    if own != number or uuid != superblock.uuid or not (kind and layout and links):
        raise damaged(where, f"in no use, though a directory names it (it says {own}, mode {mode:#o}, {links} links)")
    size, blocks = struct.unpack_from(">QQ", raw, SIZE_AT)
    flags, generation = struct.unpack_from(">HI", raw, FLAGS_AT)
    (flags2,) = struct.unpack_from(">Q", raw, 120)
    if flags & REALTIME or flags2 & _REFLINK:
        why = "lies in the realtime section" if flags & REALTIME else "shares blocks with another one"
        raise Unsafe(f"the file with {where} {why}", code="XLPY-XFS-FEATURE", hint="copy it into a new file")
    (count,) = struct.unpack_from(">Q", raw, 24) if flags2 & _WIDE_COUNTS else struct.unpack_from(">I", raw, 76)
    end = FORK + raw[82] * 8 if raw[82] else superblock.inode_size
    if end > superblock.inode_size or size >= 1 << 63:
        raise damaged(where, f"of {size} bytes, with a data fork that ends at {end}", offset)
    inode = Inode(
        number=number,
        kind=kind,
        mode=mode,
        size=size,
        links=links,
        flags=(IMMUTABLE_FL if flags & _IMMUTABLE else 0) | (DAX_FL if flags2 & _DAX else 0),
        generation=generation,
        sectors=blocks * superblock.block_size // SECTOR,
        root=raw[FORK:end],
        attributes=0,
        seed=0,
    )
    return Core(inode, layout, count)
