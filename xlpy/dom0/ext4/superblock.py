"""The superblock of an ext4 file system and its group descriptors (kernel documentation, "ext4 Data Structures").

Nothing is believed before it is checked: sizes and counts against each other and against the device, checksums where
the file system has them, and features that would make a plain reading wrong are refused.
"""

from __future__ import annotations

import _struct as struct

from xlpy.dom0.ext4.checksum import crc16, crc32c
from xlpy.errors import FormatError, Unsafe
from xlpy.limits import GROUPS
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SUPERBLOCK_OFFSET = 1024
SUPERBLOCK_SIZE = 1024
MAGIC = 0xEF53
FRESH = 0xFFFFFFFF

STATE_ERRORS = 0x2

COMPAT_HAS_JOURNAL = 0x4
COMPAT_SPARSE_SUPER2 = 0x200
COMPAT_ORPHAN_FILE = 0x1000
INCOMPAT_FILETYPE = 0x2
INCOMPAT_RECOVER = 0x4
INCOMPAT_META_BG = 0x10
INCOMPAT_64BIT = 0x80
INCOMPAT_MMP = 0x100
INCOMPAT_CSUM_SEED = 0x2000
INCOMPAT_INLINE_DATA = 0x8000
RO_COMPAT_SPARSE_SUPER = 0x1
RO_COMPAT_GDT_CSUM = 0x10
RO_COMPAT_QUOTA = 0x100
RO_COMPAT_METADATA_CSUM = 0x400
RO_COMPAT_SHARED_BLOCKS = 0x4000
_RO_COMPAT_CHANGEABLE = 0x1E67F  # with other features Linux mounts it with -o ro alone
_RO_COMPAT_UNCHANGEABLE = {RO_COMPAT_QUOTA: "quota (debugfs does not keep its accounts)", 0x1000: "read-only"}

# features whose presence does not change how superblock, inodes, extents and directories are read; files and
# directories that use inline data, encryption, case folding or large attributes carry their own flag and are refused
# one by one
_INCOMPAT_KNOWN = {
    INCOMPAT_FILETYPE: "filetype",
    INCOMPAT_META_BG: "meta_bg",
    0x40: "extent",
    INCOMPAT_64BIT: "64bit",
    INCOMPAT_MMP: "mmp",
    0x200: "flex_bg",
    0x400: "ea_inode",
    INCOMPAT_CSUM_SEED: "metadata_csum_seed",
    0x4000: "large_dir",
    INCOMPAT_INLINE_DATA: "inline_data",
    0x10000: "encrypt",
    0x20000: "casefold",
}
_INCOMPAT_REFUSED = {0x1: "compression", 0x8: "journal_dev", 0x1000: "dirdata"}

_HEAD = struct.Struct("<13I6H4I2HI2H3I16s")
GROUP_CHECKSUM = 0x1E
_GROUP_INODE_UNINIT = 0x1


class Group(NamedTuple):
    """The part of a group descriptor that reading needs: first block of the inode table, and whether it is in use."""

    inode_table: int
    inodes_unused: bool


class Superblock(NamedTuple):
    """The checked superblock. Sizes are bytes, counts and positions are blocks unless named otherwise.

    reserved_gdt: blocks behind each copy of the descriptors that are kept for more of them. mmp_block: 0 for none.
    own_inodes: what belongs to the file system itself, by inode number, in words.
    """

    uuid: bytes
    block_size: int
    blocks: int
    free_blocks: int
    first_data_block: int
    blocks_per_group: int
    cluster_blocks: int
    inodes: int
    inodes_per_group: int
    inode_size: int
    descriptor_size: int
    first_meta_bg: int
    backup_groups: tuple[int, int]
    reserved_gdt: int
    mmp_block: int
    own_inodes: dict[int, str]
    compat: int
    incompat: int
    ro_compat: int
    seed: int

    @property
    def checksums(self) -> bool:
        """Whether metadata carries CRC-32C checksums."""
        return bool(self.ro_compat & RO_COMPAT_METADATA_CSUM)

    @property
    def groups(self) -> int:
        """The number of block groups."""
        return -(-(self.blocks - self.first_data_block) // self.blocks_per_group)

    def descriptor_position(self, group: int) -> int:
        """The byte offset of a group descriptor. With meta_bg each run of groups holds its own block of them."""
        per_block = self.block_size // self.descriptor_size
        index, within = divmod(group, per_block)
        logical_superblock = SUPERBLOCK_OFFSET // self.block_size
        if not self.incompat & INCOMPAT_META_BG or index < self.first_meta_bg:
            block = logical_superblock + 1 + index
        else:
            first = index * per_block
            block = self.first_data_block + first * self.blocks_per_group + self.holds_superblock(first)
            if self.block_size == 1024 and index == 0 and self.first_data_block == 0:
                block += 1  # bigalloc with 1 KiB blocks: the boot block comes before the superblock
        return block * self.block_size + within * self.descriptor_size

    def descriptor_copies(self) -> Iterable[tuple[int, int]]:
        """(group, block) of each copy of a block of descriptors with meta_bg: three for each run of groups."""
        if not self.incompat & INCOMPAT_META_BG:
            return
        per_block = self.block_size // self.descriptor_size
        groups, boot = self.groups, 1024 // self.block_size
        for first in range(self.first_meta_bg * per_block, groups, per_block):
            for group in sorted({first, first + 1, first + per_block - 1}):
                if group < groups:
                    yield group, max(self.group_start(group), boot) + self.holds_superblock(group)

    def group_start(self, group: int) -> int:
        """The first block of a group."""
        return self.first_data_block + group * self.blocks_per_group

    def superblock_groups(self) -> Iterable[int]:
        """The groups that begin with a copy of the superblock."""
        groups = self.groups
        if self.compat & COMPAT_SPARSE_SUPER2:
            return sorted({0, *(group for group in self.backup_groups if group < groups)})
        if not self.ro_compat & RO_COMPAT_SPARSE_SUPER:
            return range(groups)
        powers = {base**power for base in (3, 5, 7) for power in range(groups.bit_length())}
        return sorted(group for group in {0, 1, *powers} if group < groups)

    def holds_superblock(self, group: int) -> bool:
        """Whether a group begins with a copy of the superblock."""
        if group == 0:
            return True
        if self.compat & COMPAT_SPARSE_SUPER2:
            return group in self.backup_groups
        if not self.ro_compat & RO_COMPAT_SPARSE_SUPER or group == 1:
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))


def _is_power(value: int, base: int) -> bool:
    while value > 1 and value % base == 0:
        value //= base
    return value == 1


def parse_superblock(raw: bytes, device_size: int) -> Superblock:
    """Check the 1024 bytes at offset 1024 of a device.

    Args:
        raw: the superblock.
        device_size: bytes of the device or partition that holds the file system.

    Raises:
        FormatError: not an ext4 superblock, or a damaged one.
        Unsafe: the file system needs its journal replayed, is marked as having errors, or has features unknown here.
    """
    _require_magic(raw)
    head = _HEAD.unpack_from(raw)
    inodes, blocks_low, _, free_low, _, first_data, log_block, log_cluster, per_group, _, inodes_per_group = head[:11]
    state, revision = head[16], head[22]
    inode_size = head[26] if revision else 128
    compat, incompat, ro_compat, uuid = head[28:32]
    if ro_compat & RO_COMPAT_METADATA_CSUM:
        _check_superblock_checksum(raw)
    _refuse_features(state, incompat, ro_compat)

    if log_block > 6:
        raise damaged("superblock.s_log_block_size", f"{log_block}, must be at most 6 (64 KiB)", 0x18)
    size = 1024 << log_block
    cluster = 1 << log_cluster - log_block if ro_compat & 0x200 and log_block <= log_cluster <= 20 else 1
    (desc_size,) = struct.unpack_from("<H", raw, 0xFE)
    wide = bool(incompat & INCOMPAT_64BIT)
    desc_size = desc_size if wide else 32
    high, _, free_high = struct.unpack_from("<III", raw, 0x150) if wide else (0, 0, 0)
    blocks = blocks_low | high << 32
    for field, value, low, most, offset in (
        ("s_first_data_block", first_data, 0, 1, 0x14),
        ("s_blocks_per_group", per_group, 8, 8 * size * cluster, 0x20),
        ("s_inodes_per_group", inodes_per_group, 1, 8 * size, 0x28),
        ("s_blocks_count", blocks, first_data + 1, device_size // size, 0x04),
        ("s_inode_size", inode_size, 128, size, 0x58),
        ("s_desc_size", desc_size, 64 if wide else 32, min(size, 1024), 0xFE),
    ):
        if not low <= value <= most:
            raise damaged(f"superblock.{field}", f"{value}, must lie between {low} and {most}", offset)
    if inode_size & inode_size - 1 or desc_size & desc_size - 1:
        raise damaged(
            "superblock.s_inode_size", f"{inode_size} with descriptors of {desc_size}, both must be powers of two", 0x58
        )
    _check_groups(-(-(blocks - first_data) // per_group), inodes, inodes_per_group)
    seed = struct.unpack_from("<I", raw, 0x270)[0] if incompat & INCOMPAT_CSUM_SEED else crc32c(FRESH, uuid)
    return Superblock(
        uuid=uuid,
        block_size=size,
        blocks=blocks,
        free_blocks=free_low | free_high << 32,
        first_data_block=first_data,
        blocks_per_group=per_group,
        cluster_blocks=cluster,
        inodes=inodes,
        inodes_per_group=inodes_per_group,
        inode_size=inode_size,
        descriptor_size=desc_size,
        first_meta_bg=struct.unpack_from("<I", raw, 0x104)[0],
        backup_groups=struct.unpack_from("<II", raw, 0x24C),
        reserved_gdt=struct.unpack_from("<H", raw, 0xCE)[0],
        mmp_block=struct.unpack_from("<Q", raw, 0x168)[0] if incompat & INCOMPAT_MMP else 0,
        own_inodes=_own_inodes(raw, compat, ro_compat),
        compat=compat,
        incompat=incompat,
        ro_compat=ro_compat,
        seed=seed,
    )


def _require_magic(raw: bytes) -> None:
    if len(raw) < SUPERBLOCK_SIZE or struct.unpack_from("<H", raw, 0x38)[0] != MAGIC:
        raise FormatError(
            "no ext4 file system: the superblock has no magic number 0xef53",
            offset=SUPERBLOCK_OFFSET + 0x38,
            path="superblock.s_magic",
            code="XLPY-EXT4-NONE",
            hint="make one with mke2fs, or check the start of the partition",
        )


def _check_groups(groups: int, inodes: int, inodes_per_group: int) -> None:
    if groups > GROUPS:
        raise Unsafe(
            f"the file system has {groups} block groups; at most {GROUPS} are read",
            code="XLPY-EXT4-FEATURE",
            hint="make the file system with mke2fs -t ext4 -b 4096, and no -g",
        )
    if inodes != groups * inodes_per_group:
        raise damaged("superblock.s_inodes_count", f"{inodes}, must be {groups} groups of {inodes_per_group}", 0x00)


def _own_inodes(raw: bytes, compat: int, ro_compat: int) -> dict[int, str]:
    """The inodes that the superblock names, as long as their feature is on."""
    found = {}
    for on, offset, what in (
        (compat & COMPAT_HAS_JOURNAL, 0xE0, "the journal"),
        (ro_compat & RO_COMPAT_QUOTA, 0x240, "the quota of users"),
        (ro_compat & RO_COMPAT_QUOTA, 0x244, "the quota of groups"),
        (ro_compat & RO_COMPAT_QUOTA, 0x26C, "the quota of projects"),
        (compat & COMPAT_ORPHAN_FILE, 0x280, "the orphan file"),
    ):
        (number,) = struct.unpack_from("<I", raw, offset)
        if on and number:
            found[number] = what
    return found


def _check_superblock_checksum(raw: bytes) -> None:
    kind = raw[0x175]
    if kind != 1:
        raise Unsafe(
            f"the file system uses metadata checksums of type {kind}; only crc32c (1) is known",
            code="XLPY-EXT4-FEATURE",
        )
    (stored,) = struct.unpack_from("<I", raw, 0x3FC)
    computed = crc32c(FRESH, raw[:0x3FC])
    if stored != computed:
        raise damaged("superblock.s_checksum", f"{stored:#010x}, the bytes give {computed:#010x}", 0x3FC)


def _refuse_features(state: int, incompat: int, ro_compat: int) -> None:
    if incompat & INCOMPAT_RECOVER:
        raise Unsafe(
            "the file system was not unmounted cleanly: newer metadata waits in its journal (needs_recovery)",
            code="XLPY-EXT4-JOURNAL",
            hint="replay it: mount and unmount the file system, or run e2fsck -fp on it",
        )
    refused = [name for bit, name in _INCOMPAT_REFUSED.items() if incompat & bit]
    refused += features(incompat & ~sum(_INCOMPAT_KNOWN | _INCOMPAT_REFUSED), {}, "unknown incompatible feature")
    if ro_compat & RO_COMPAT_SHARED_BLOCKS:
        refused.append("shared_blocks (a store to one file would change another)")
    if refused:
        raise Unsafe(
            f"the file system has features that cannot be read safely: {', '.join(refused)}",
            code="XLPY-EXT4-FEATURE",
            hint="make the file system without them: mke2fs -t ext4 -b 4096",
        )
    if state & STATE_ERRORS:
        raise Unsafe(
            "the file system is marked as having errors", code="XLPY-EXT4-ERRORS", hint="repair it with e2fsck -f"
        )


def refuse_changes(superblock: Superblock) -> None:
    """Refuse a file system that Linux does not change either, or that would not be right after debugfs had changed it.

    Raises:
        Unsafe: with the features that it has.
    """
    odd = features(superblock.ro_compat & ~_RO_COMPAT_CHANGEABLE, _RO_COMPAT_UNCHANGEABLE, "unknown read-only feature")
    if odd:
        raise Unsafe(
            f"the file system has features with which it is not changed here: {', '.join(odd)}",
            code="XLPY-EXT4-FEATURE",
            hint="remove them with tune2fs -O, or make the file in a guest",
        )


def features(bits: int, names: Mapping[int, str], kind: str) -> list[str]:
    """The bits that are set, in words: their names, or what kind they are of and their number."""
    return [names.get(1 << at, f"{kind} {1 << at:#x}") for at in range(32) if bits >> at & 1]


def parse_group(superblock: Superblock, number: int, raw: bytes) -> Group:
    """Check one group descriptor.

    Raises:
        FormatError: its checksum or its inode table is wrong.
    """
    where = f"group {number} descriptor"
    offset = superblock.descriptor_position(number)
    (stored,) = struct.unpack_from("<H", raw, GROUP_CHECKSUM)
    computed = stored
    tag = struct.pack("<I", number)
    if superblock.checksums:
        blank = tag + raw[:GROUP_CHECKSUM] + bytes(2) + raw[GROUP_CHECKSUM + 2 :]
        computed = crc32c(superblock.seed, blank) & 0xFFFF
    elif superblock.ro_compat & RO_COMPAT_GDT_CSUM:
        body = raw[:GROUP_CHECKSUM] + (raw[GROUP_CHECKSUM + 2 :] if superblock.descriptor_size > 32 else b"")
        computed = crc16(0xFFFF, superblock.uuid + tag + body)
    if stored != computed:
        raise damaged(f"{where}.bg_checksum", f"{stored:#06x}, the bytes give {computed:#06x}", offset)
    flags = struct.unpack_from("<H", raw, 0x12)[0]
    if not (superblock.checksums or superblock.ro_compat & RO_COMPAT_GDT_CSUM):
        flags = 0
    table = struct.unpack_from("<I", raw, 8)[0]
    if superblock.descriptor_size >= 64:
        table |= struct.unpack_from("<I", raw, 0x28)[0] << 32
    length = -(-superblock.inodes_per_group * superblock.inode_size // superblock.block_size)
    if not superblock.first_data_block < table <= superblock.blocks - length:
        raise damaged(f"{where}.bg_inode_table", f"block {table} of {superblock.blocks}", offset + 8)
    return Group(table, bool(flags & _GROUP_INODE_UNINIT))


def damaged(path: str, found: str, offset: int | None = None) -> FormatError:
    """The error for metadata that contradicts itself; ``path`` names the field, ``offset`` is its byte offset."""
    return FormatError(
        f"damaged ext4 file system: {path} is {found}",
        offset=offset,
        path=path,
        code="XLPY-EXT4-DAMAGED",
        hint="check it with e2fsck -fn, repair it with e2fsck -f",
    )
