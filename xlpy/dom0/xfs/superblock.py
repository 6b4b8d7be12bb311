"""The superblock of XFS: geometry, features, checksums. Layouts are those of xfs_format.h, Linux 6.1; big-endian."""

from __future__ import annotations

import _struct as struct

from xlpy.addr import PAGE
from xlpy.dom0.ext4.checksum import crc32c
from xlpy.dom0.ext4.superblock import features
from xlpy.errors import FormatError, Unsafe
from xlpy.records import NamedTuple

SUPERBLOCK_SIZE = 512  # of which its fields need no more; its checksum covers a whole sector
SECTORS = (512, 1024, 2048, 4096)  # mkfs.xfs takes 4096 on a pmem device
MAGIC = b"XFSB"
_FRESH = 0xFFFFFFFF
_CHECKSUM = 224
_CAPITALS = 0x4000  # in sb_versionnum
_AG_HEADERS = 4  # sectors: superblock, AGF, AGI, AGFL

INCOMPAT_FTYPE = 0x1
INCOMPAT_META_UUID = 0x4
_INCOMPAT_KNOWN = (
    0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80
)  # ftype spinodes meta_uuid bigtime nrext64 exchrange parent
_INCOMPAT_NAMES = {0x10: "needsrepair", 0x100: "metadir"}
_RO_COMPAT_KNOWN = 0x1 | 0x2 | 0x8  # finobt rmapbt inobtcount
_RO_COMPAT_NAMES = {0x4: "reflink (a store to one file could change another)"}


class XfsSuperblock(NamedTuple):
    """Geometry. Sizes are bytes, except ``blocks`` and what counts them; ``*_log`` are powers of two.

    uuid: that metadata blocks carry. sector: what an allocation group's headers take each. log_start: file system
    block of the internal log.
    """

    uuid: bytes
    sector: int
    block_size: int
    block_log: int
    blocks: int
    free_blocks: int
    root: int
    ag_blocks: int
    ag_block_log: int
    ag_count: int
    ag_header_blocks: int
    log_start: int
    log_blocks: int
    inode_size: int
    inode_log: int
    directory_log: int
    has_types: bool

    def place(self, block: int, count: int = 1) -> int:
        """The byte on the device at which ``count`` blocks from file system block ``block`` on lie.

        Raises:
            FormatError: they do not lie in one allocation group.
        """
        group, within = block >> self.ag_block_log, block & ((1 << self.ag_block_log) - 1)
        first = group * self.ag_blocks + within
        if within + count > self.ag_blocks or first + count > self.blocks:
            raise damaged(
                f"block {block:#x}", f"with {count - 1} more in no allocation group of {self.ag_blocks} blocks"
            )
        return first << self.block_log

    def block_at(self, place: int) -> int:
        """The file system block at a byte of the device."""
        group, within = divmod(place >> self.block_log, self.ag_blocks)
        return group << self.ag_block_log | within

    def inode_place(self, number: int) -> int:
        """The offset of an inode on the device. FormatError: there can be no such inode."""
        per_block = self.block_log - self.inode_log
        group, within = number >> self.ag_block_log + per_block, number & ((1 << self.ag_block_log + per_block) - 1)
        block = group << self.ag_block_log | within >> per_block
        if within >> per_block < self.ag_header_blocks:
            raise damaged(f"inode {number}", "on the header of an allocation group")
        return self.place(block) + ((within & ((1 << per_block) - 1)) << self.inode_log)


def checksum(raw: bytes, at: int) -> int:
    """The checksum of a structure whose own little-endian checksum is at byte ``at``."""
    return crc32c(_FRESH, raw[:at] + bytes(4) + raw[at + 4 :]) ^ _FRESH


def check(what: str, raw: bytes, at: int, offset: int) -> None:
    """FormatError when a structure that was found at byte ``offset`` of the device does not have its checksum."""
    stored, computed = struct.unpack_from("<I", raw, at)[0], checksum(raw, at)
    if stored != computed:
        raise damaged(f"{what}.crc", f"{stored:#010x}, the bytes give {computed:#010x}", offset + at)


def parse_superblock(raw: bytes, device_size: int) -> XfsSuperblock:
    """Check the first sector of a device; ``raw`` has one of the largest.

    Raises:
        FormatError: it is no superblock of XFS, or damaged. Unsafe: it has features that are not read here.
    """
    if raw[:4] != MAGIC:
        raise damaged("superblock.sb_magicnum", f"{raw[:4]!r}, must be {MAGIC!r}", 0)
    version, sector = struct.unpack_from(">HH", raw, 100)
    if version & 0xF != 5:
        raise _unsupported(f"version {version & 0xF} without checksums")
    if sector not in SECTORS:
        raise damaged("superblock.sb_sectsize", f"{sector}, must be one of {', '.join(map(str, SECTORS))}", 102)
    check("superblock", raw[:sector], _CHECKSUM, 0)
    block, blocks, realtime = struct.unpack_from(">IQQ", raw, 4)
    log_start, root = struct.unpack_from(">QQ", raw, 48)
    ag_blocks, ag_count, _, log_blocks = struct.unpack_from(">IIII", raw, 84)
    inode_size, _ = struct.unpack_from(">HH", raw, 104)
    block_log, _, inode_log, _, ag_log, _, busy = raw[120:127]
    ro_compat, incompat = struct.unpack_from(">II", raw, 212)
    (free,) = struct.unpack_from(">Q", raw, 144)
    odd = features(ro_compat & ~_RO_COMPAT_KNOWN, _RO_COMPAT_NAMES, "read-only feature")
    odd += features(incompat & ~_INCOMPAT_KNOWN, _INCOMPAT_NAMES, "feature")
    odd += ["a realtime section"] * bool(realtime) + ["an external log"] * (log_start == 0)
    odd += ["an unfinished mkfs.xfs"] * bool(busy) + [f"blocks of {block} bytes"] * (block != PAGE)
    odd += ["directory blocks of more than 4096 bytes"] * bool(raw[192])
    odd += ["names that are the same in capitals (ascii-ci)"] * bool(version & _CAPITALS)
    if odd:
        raise _unsupported(", ".join(odd))
    for field, found, low, high in (
        ("sb_blocklog", block_log, 12, 12),
        ("sb_dblocks", blocks, 1, device_size // block),
        ("sb_agblocks", ag_blocks, 64, 1 << 28),
        ("sb_agcount", ag_count, -(-blocks // max(ag_blocks, 1)), -(-blocks // max(ag_blocks, 1))),
        ("sb_agblklog", ag_log, (ag_blocks - 1).bit_length(), (ag_blocks - 1).bit_length()),
        ("sb_inodelog", inode_log, 9, 11),
        ("sb_inodesize", inode_size, 1 << min(inode_log, 16), 1 << min(inode_log, 16)),
        ("sb_fdblocks", free, 0, blocks),
        ("sb_logblocks", log_blocks, 1, ag_blocks),
    ):
        if not low <= found <= high:
            raise damaged(f"superblock.{field}", f"{found}, must lie between {low} and {high}")
    uuid = raw[248:264] if incompat & INCOMPAT_META_UUID else raw[32:48]
    made = XfsSuperblock(
        uuid=uuid,
        sector=sector,
        block_size=block,
        block_log=block_log,
        blocks=blocks,
        free_blocks=free,
        root=root,
        ag_blocks=ag_blocks,
        ag_block_log=ag_log,
        ag_count=ag_count,
        ag_header_blocks=-(-_AG_HEADERS * sector // block),
        log_start=log_start,
        log_blocks=log_blocks,
        inode_size=inode_size,
        inode_log=inode_log,
        directory_log=block_log,
        has_types=bool(incompat & INCOMPAT_FTYPE),
    )
    made.place(log_start, log_blocks)
    return made


def _unsupported(what: str) -> Unsafe:
    return Unsafe(
        f"the XFS file system has what cannot be read safely here: {what}",
        code="XLPY-XFS-FEATURE",
        hint="make it with: mkfs.xfs -b size=4096 -m crc=1,reflink=0",
    )


def damaged(path: str, found: str, offset: int | None = None) -> FormatError:
    """The error for metadata that contradicts itself; ``path`` names the field, ``offset`` is its byte offset."""
    return FormatError(
        f"damaged XFS file system: {path} is {found}",
        offset=offset,
        path=path,
        code="XLPY-XFS-DAMAGED",
        hint="check it with xfs_repair -n",
    )
