"""The owners of blocks: the metadata of a file system, and the blocks of inodes that were read.

Linux keeps such a list of a mounted file system ("system zones", fs/ext4/block_validity.c) and refuses a file whose
extents reach into it. Here it is made when the first extents are looked at: from the superblock, from all group
descriptors (with flex_bg the bitmaps and tables of a group may lie anywhere), and from the few inodes that belong to
the file system itself. It has one entry for each run of neighbouring groups, not for each group.
"""

from __future__ import annotations

import _struct as struct
from _bisect import bisect_left
from itertools import accumulate

from xlpy.columns import Column
from xlpy.dom0.ext4.checksum import crc32c_blocks
from xlpy.dom0.ext4.inode import EXTENTS_FL, ROOT, parse_inode
from xlpy.dom0.ext4.superblock import GROUP_CHECKSUM, INCOMPAT_META_BG, damaged, parse_group
from xlpy.dom0.ext4.tree import read_tree
from xlpy.dom0.extents import Extent, Extents
from xlpy.errors import Unsafe
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from xlpy.dom0.ext4.inode import Inode
    from xlpy.dom0.ext4.superblock import Superblock

_BAD_BLOCKS, _RESIZE = 1, 7
_RESERVED = range(1, 11)  # the inodes that every file system sets aside
_NAMES = {_BAD_BLOCKS: "the list of bad blocks", ROOT: "the root directory", _RESIZE: "the resize inode"}
_DIRECT = 12  # block numbers in an inode without an extent tree, before the three indirect ones
_DOUBLE = 13
_CHUNK = 1 << 20  # bytes of descriptors in one read


class Zone(NamedTuple):
    """Blocks ``[first, end)``, and what they hold.

    what: for people. group, each: with a ``{}`` in ``what``, the number that the first ``each`` blocks have in place of
    it; further ones count up. inode: whose they are, 0 for none.
    """

    first: int
    end: int
    what: str
    group: int = 0
    each: int = 1
    inode: int = 0

    def name(self, block: int) -> str:
        """What one of the blocks holds."""
        return self.what.format(self.group + (block - self.first) // self.each)


class Zones:
    """The blocks of a file system that no file may have.

    Args:
        superblock: of the file system.
        read: ``read(offset, length)`` gives bytes of the device.
        inode_bytes: the bytes of an inode, and where they are.

    Raises:
        FormatError: descriptors, or inodes of the file system itself, are damaged.
    """

    def __init__(
        self,
        superblock: Superblock,
        read: Callable[[int, int], bytes],
        inode_bytes: Callable[[int], tuple[bytes, int]],
    ) -> None:
        self._superblock = superblock
        self._read = read
        self.zones = [self._rounded(zone) for zone in (*_fixed(superblock), *_groups(superblock, read))]
        for number, what in {**{n: _NAMES.get(n, f"inode {n}") for n in _RESERVED}, **superblock.own_inodes}.items():
            if number <= superblock.inodes:
                self._add_own(number, what, *inode_bytes(number))
        self._directories: set[int] = set()

    def check(self, inode: Inode, extents: Extents, nodes: Sequence[int], path: str) -> None:
        """Refuse a map that reaches into blocks of another owner.

        Args:
            inode: whose map it is; a directory's blocks count as its own from then on.
            extents: its map, in bytes.
            nodes: the blocks of its extent tree.
            path: its name for people.

        Raises:
            Unsafe: it does; with the name of what is there.
        """
        size = self._superblock.block_size
        others = [zone for zone in self.zones if zone.inode != inode.number]
        own = [Zone(first, end, "its own extent tree") for first, end in _joined(nodes)]
        own += [Zone(block, block + 1, "its own attributes") for block in (inode.attributes,) if block]
        own_extents = Extents.of([Extent(0, z.first * size, (z.end - z.first) * size, 0) for z in own])
        for what, where, zones in (
            ("the extent at {:#x}", extents, [*others, *own]),
            ("a block of its extent tree or attributes", own_extents, others),
        ):
            hit = _meeting(where, zones, size)
            if hit:
                logical, zone, block = hit
                raise Unsafe(
                    f"{path}: {what.format(logical)} lies on {zone.name(block)} (block {block})",
                    code="XLPY-EXT4-METADATA",
                    hint="the file system is damaged, or not what it claims to be: repair it with e2fsck -f",
                )
        if inode.kind == "dir" and inode.number not in self._directories:
            self._directories.add(inode.number)
            what = f"the directory with inode {inode.number}"
            self.zones += [zone._replace(what=what, inode=inode.number) for zone in (*_runs(extents, size), *own)]

    def _rounded(self, zone: Zone) -> Zone:
        """Widened to whole clusters: bigalloc hands out no less."""
        cluster = self._superblock.cluster_blocks
        if cluster == 1:
            return zone
        return zone._replace(first=zone.first // cluster * cluster, end=-(-zone.end // cluster) * cluster)

    def _add_own(self, number: int, what: str, raw: bytes, offset: int) -> None:
        """The blocks of an inode that belongs to the file system itself."""
        superblock = self._superblock
        inode = parse_inode(superblock, number, raw, offset, in_use=False)
        found: list[Zone] = []
        if inode.flags & EXTENTS_FL:
            nodes: list[int] = []
            found += _runs(read_tree(superblock, inode, self._read, nodes), superblock.block_size)
            found += [Zone(block, block + 1, what) for block in nodes]
        elif number == _RESIZE:  # what its one pointer leads to: the reserved descriptor blocks, known from elsewhere
            block = struct.unpack_from("<I", inode.root, _DOUBLE * 4)[0]
            found += [Zone(block, block + 1, what)] if block else []
        elif any(inode.root) and inode.kind != "symlink":
            found += [Zone(block, block + 1, what) for block in _indirect(superblock, inode, self._read)]
        self.zones += [self._rounded(zone._replace(what=what, inode=number)) for zone in found]


def _fixed(superblock: Superblock) -> Iterator[Zone]:
    """What lies where the numbers of the superblock put it: superblocks, descriptors, and room for more of them."""
    per_block = superblock.block_size // superblock.descriptor_size
    blocks = -(-superblock.groups // per_block)
    meta = bool(superblock.incompat & INCOMPAT_META_BG)
    plain = min(superblock.first_meta_bg, blocks) if meta else blocks  # descriptor blocks behind each superblock
    boot = 1024 // superblock.block_size  # blocks before the first superblock: one of 1 KiB
    if boot:
        yield Zone(0, boot, "the boot block")
    for group in superblock.superblock_groups():
        first = max(superblock.group_start(group), boot)
        copy = f"of group {group}" if group else "at the start"
        yield Zone(first, first + 1, f"the superblock {copy}")
        if not meta or group < superblock.first_meta_bg * per_block:
            first += 1
            yield Zone(first, first + plain, f"the group descriptors {copy}")
            first += plain
            yield Zone(first, first + superblock.reserved_gdt, f"the room for group descriptors {copy}")
    for group, block in superblock.descriptor_copies():
        yield Zone(block, block + 1, f"the group descriptors of group {group}")
    if superblock.mmp_block:
        yield Zone(superblock.mmp_block, superblock.mmp_block + 1, "the multiple mount protection block")


def _groups(superblock: Superblock, read: Callable[[int, int], bytes]) -> Iterator[Zone]:
    """The bitmaps and inode tables of all groups."""
    raw = b"".join(_descriptors(superblock, read))
    size = superblock.descriptor_size
    _check_descriptors(superblock, raw)
    table = -(-superblock.inodes_per_group * superblock.inode_size // superblock.block_size)
    for what, at, length in (("block bitmap", 0, 1), ("inode bitmap", 4, 1), ("inode table", 8, table)):
        wide = size >= 64
        if wide and (beyond := Column.field(raw, size, (at + 34, at + 35))).any():  # 2**48 blocks and more
            group = next(number for number, value in enumerate(beyond) if value)
            raise damaged(f"group {group} descriptor", f"for a {what} beyond all blocks")
        starts = Column.field(raw, size, [*range(at, at + 4), *((at + 32, at + 33) if wide else ())])
        ends = starts + length
        goes_on = list(ends.same(starts.following(0)).ending(0))
        begins = [not on for on in (0, *goes_on[:-1])]
        numbers = [number for number, begin in enumerate(begins) if begin]
        firsts, lasts = starts.where(begins), ends.where([not on for on in goes_on])
        for group, first, end in zip(numbers, firsts, lasts, strict=True):
            if not superblock.first_data_block < first < end <= superblock.blocks:
                raise damaged(f"group {group} descriptor", f"for a {what} in blocks {first} to {end}")
            yield Zone(first, end, f"the {what} of group {{}}", group, length)


def _descriptors(superblock: Superblock, read: Callable[[int, int], bytes]) -> Iterator[bytes]:
    """The descriptors of all groups, in order; neighbours on the device come in one read."""
    size = superblock.descriptor_size
    group, groups = 0, superblock.groups
    while group < groups:
        at = superblock.descriptor_position(group)
        run = 1
        most = min(groups - group, _CHUNK // size)
        step = superblock.block_size // size
        while run < most and superblock.descriptor_position(group + run) == at + run * size:
            run = min(run + step - (group + run) % step, most)
        yield read(at, run * size)
        group += run


def _check_descriptors(superblock: Superblock, raw: bytes) -> None:
    """Compare all their checksums; what is wrong with the first wrong one is reported by its own parser."""
    size, wrong = superblock.descriptor_size, range(superblock.groups)
    if superblock.checksums:
        blocks, stored = [], []
        for number in wrong:
            one = raw[number * size : (number + 1) * size]
            stored.append(one[GROUP_CHECKSUM] | one[GROUP_CHECKSUM + 1] << 8)
            blocks.append(number.to_bytes(4, "little") + one[:GROUP_CHECKSUM] + b"\0\0" + one[GROUP_CHECKSUM + 2 :])
        sums = crc32c_blocks(superblock.seed, blocks)
        wrong = [number for number in wrong if sums[number] & 0xFFFF != stored[number]]  # type: ignore[assignment]
    for number in wrong:
        parse_group(superblock, number, raw[number * size : (number + 1) * size])


def _indirect(superblock: Superblock, inode: Inode, read: Callable[[int, int], bytes]) -> list[int]:
    """Every block of a file that is mapped by indirect blocks, those included.

    Raises:
        FormatError: there are more than its inode says, or one lies outside the file system.
    """
    size = superblock.block_size
    pointers = struct.unpack_from("<15I", inode.root)
    budget = inode.sectors * 512 // size
    found = [block for block in pointers[:_DIRECT] if block]
    for depth, block in enumerate(pointers[_DIRECT:], 1):
        layer = [block] if block else []
        for _ in range(depth):
            found += layer
            if len(found) > budget or any(block >= superblock.blocks for block in layer):
                raise damaged(f"inode {inode.number}", f"of more blocks than i_blocks ({inode.sectors} sectors) allows")
            layer = [n for at in layer for n in struct.unpack(f"<{size // 4}I", read(at * size, size)) if n]
        found += layer
    return found


def _runs(extents: Extents, size: int) -> list[Zone]:
    return [Zone(one.physical // size, (one.physical + one.length) // size, "") for one in extents]


def _joined(blocks: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Blocks as ranges, neighbours in one."""
    ends: dict[int, int] = {}  # of ranges, by where they end
    for block in sorted(blocks):
        ends[block + 1] = ends.pop(block, block)
    return ((first, end) for end, first in ends.items())


def _meeting(extents: Extents, zones: Sequence[Zone], size: int) -> tuple[int, Zone, int] | None:
    """The first zone that an extent meets: (logical offset in bytes, the zone, the block)."""
    for part in extents.parts:
        low, high = part.bounds
        near = [zone for zone in zones if zone.first * size < high and zone.end * size > low and zone.first < zone.end]
        if not near:
            continue
        begin: Sequence[int] = memoryview(bytes(part.physical)).cast("Q")
        stop: Sequence[int] = memoryview(bytes(part.ends)).cast("Q")
        if part.falling:
            begin, stop = begin[::-1], stop[::-1]
        elif not part.rising:
            rows = sorted(zip(begin, stop, strict=True))
            begin, stop = [row[0] for row in rows], list(accumulate((row[1] for row in rows), max))
        for zone in near:
            at = bisect_left(begin, zone.end * size) - 1  # the last extent that begins before the zone ends
            if at >= 0 and stop[at] > zone.first * size:
                return _place(extents, zone, zone.first * size, zone.end * size, size)
    return None


def _place(extents: Extents, zone: Zone, first: int, end: int, size: int) -> tuple[int, Zone, int]:
    """Where in the file, and on which block, the first extent meets a zone."""
    for logical, physical, length, _ in extents:
        if physical < end and physical + length > first:
            block = max(physical, first)
            return logical + block - physical, zone, block // size
    raise AssertionError("no extent meets the zone")
