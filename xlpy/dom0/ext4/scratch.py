"""A copy of a file system's metadata in memory, on which the programs of e2fsprogs work.

They write in place and in an order of their own, so one that is killed, or meets a full disk, leaves what only e2fsck
can judge. Here it leaves a memory file that is thrown away. What is changed there comes to the media in one edit.

All metadata that every program reads is copied at once: superblock, group descriptors, bitmaps, and the inode tables as
far as they are in use. The rest is copied when our own reader looks at it: the directories on a path, the extent tree
of a file. A program that changes what was not copied is noticed.
"""

from __future__ import annotations

import _struct as struct
import os

from xlpy.dom0.ext4.journal import ByteEdit
from xlpy.dom0.ext4.reader import Ext4
from xlpy.dom0.ext4.superblock import RO_COMPAT_GDT_CSUM, RO_COMPAT_METADATA_CSUM, refuse_changes
from xlpy.errors import FormatError, file_error
from xlpy.hw.media import trouble
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.dom0.ext4.superblock import Superblock

_UNIT = 4096  # at least what the file systems of the machine keep a hole or a copy in
_BLOCK = 1024  # the least that a block has
_RUN = 1 << 20
_INODES_UNUSED, _BLOCKS_UNUSED = 0x1, 0x2  # flags of a group descriptor


class _Group(NamedTuple):
    """The location of the metadata of a block group, in blocks; inodes: how many of its table are in use."""

    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    flags: int
    inodes: int


class ScratchCopy:
    """The copy. Positions are bytes from the start of the file system.

    Args:
        image: the file that holds the device.
        offset, size: where the device lies in it, in bytes.

    Raises:
        NotFound: no such image. HostTrouble: it cannot be read, or a limit forbids memory files of that size. As
            ``Ext4`` otherwise.
    """

    def __init__(self, image: str | os.PathLike[str], offset: int, size: int) -> None:
        self._offset, self._size = offset, size
        self._copied: set[int] = set()  # units as the media have them
        self._written: set[int] = set()  # units that a program had written before they could be copied
        try:
            self._media = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise file_error(error) from error
        self.fd = os.memfd_create("ext4")
        try:
            try:
                os.ftruncate(self.fd, size)
            except OSError as error:
                raise trouble("a copy of the file system's metadata in memory", error, size) from error
            self._superblock = Ext4(self.read, size).superblock
            refuse_changes(self._superblock)
            self._groups = list(self._read_groups(self._superblock))
            self._copy_metadata(self._superblock)
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> str:
        """Its name for a program that inherits ``fd``."""
        return f"/proc/self/fd/{self.fd}"

    def open(self) -> Ext4:
        """The file system as it is now. What is looked at is copied."""
        return Ext4(self.read, self._size)

    def read(self, at: int, length: int) -> bytes:
        """Bytes of the copy; what it lacks is copied first."""
        self._copy(at, length)
        data = os.pread(self.fd, length, at)
        if len(data) < length:
            raise FormatError(f"{length} bytes at {at:#x} lie beyond the end of the device", offset=at)
        return data

    def write(self, at: int, data: bytes) -> None:
        """Store into the copy."""
        self._copy(at, len(data))
        os.pwrite(self.fd, data, at)

    def changes(self) -> list[ByteEdit]:
        """What differs from the media, block by block.

        Raises:
            FormatError: a program has changed a block in use that was not copied.
        """
        found: list[ByteEdit] = []
        size = self._superblock.block_size
        for start, end in _data(self.fd, 0, self._size):
            for first in range(start, end, _RUN):
                length = min(_RUN, end - first)
                new = os.pread(self.fd, length, first)
                old = os.pread(self._media, length, self._offset + first)
                if new == old:
                    continue
                for at in range(0, length, size):
                    after, before = new[at : at + size], old[at : at + size]
                    if after == before:
                        continue
                    if (first + at) // _UNIT not in self._copied:
                        if not any(after):  # it was not written: a unit is larger than a block
                            continue
                        self._refuse_in_use((first + at) // size)
                    found.append(ByteEdit(first + at, before, after))
        return found

    def close(self) -> None:
        """Throw it away."""
        os.close(self._media)
        os.close(self.fd)

    def __enter__(self) -> ScratchCopy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _copy(self, at: int, length: int) -> None:
        """Copy a range, widened to whole units, but for what is there already."""
        first, last = at // _UNIT, -(-min(at + length, self._size) // _UNIT)
        while first < last:
            if self._has(first):
                first += 1
                continue
            end = first + 1
            while end < last and not self._has(end):
                end += 1
            self._copied.update(range(first, end))
            base = self._offset + first * _UNIT
            for start, stop in _data(self._media, base, base + (end - first) * _UNIT):
                for piece in range(start, stop, _RUN):
                    data = os.pread(self._media, min(_RUN, stop - piece), piece)
                    self._fill(data, piece - self._offset)
            first = end

    def _has(self, unit: int) -> bool:
        return unit in self._copied or unit in self._written

    def _fill(self, data: bytes, at: int) -> None:
        """Store what was copied, but not over blocks that a program has written."""
        mine = os.pread(self.fd, len(data), at)
        if any(mine):
            for first in range(0, len(data), _UNIT):
                if any(mine[first : first + _UNIT]):
                    unit = (at + first) // _UNIT
                    self._copied.discard(unit)
                    self._written.add(unit)
            pieces = [(mine[i : i + _BLOCK], data[i : i + _BLOCK]) for i in range(0, len(data), _BLOCK)]
            data = b"".join(new if any(new) else old for new, old in pieces)
        os.pwrite(self.fd, data[: self._size - at], at)

    def _copy_metadata(self, superblock: Superblock) -> None:
        size = superblock.block_size
        if superblock.mmp_block:
            self._copy(superblock.mmp_block * size, size)
        for _, block in superblock.descriptor_copies():
            self._copy(block * size, size)
        for group in self._groups:
            if not group.flags & _BLOCKS_UNUSED:
                self._copy(group.block_bitmap * size, size)
            if not group.flags & _INODES_UNUSED:
                self._copy(group.inode_bitmap * size, size)
                self._copy(group.inode_table * size, group.inodes * superblock.inode_size)

    def _read_groups(self, superblock: Superblock) -> Iterator[_Group]:
        wide = superblock.descriptor_size >= 64
        lazy = superblock.ro_compat & (RO_COMPAT_GDT_CSUM | RO_COMPAT_METADATA_CSUM)
        for number in range(superblock.groups):
            raw = self.read(superblock.descriptor_position(number), superblock.descriptor_size)
            low, high = struct.unpack_from("<3I", raw), struct.unpack_from("<3I", raw, 0x20) if wide else (0, 0, 0)
            flags, unused = struct.unpack_from("<H8xH", raw, 0x12)
            if wide:
                unused |= struct.unpack_from("<H", raw, 0x32)[0] << 16
            if not lazy:
                flags, unused = 0, 0
            block_bitmap, inode_bitmap, table = (part | more << 32 for part, more in zip(low, high, strict=True))
            yield _Group(block_bitmap, inode_bitmap, table, flags, max(superblock.inodes_per_group - unused, 0))

    def _refuse_in_use(self, block: int) -> None:
        """FormatError when a block was in use before: the program has written over what it had never read."""
        superblock = self._superblock
        for group in self._groups:
            inodes = -(-superblock.inodes_per_group * superblock.inode_size // superblock.block_size)
            if block in (group.block_bitmap, group.inode_bitmap) or 0 <= block - group.inode_table < inodes:
                return  # it had never been used, or it would have been copied
        number, within = divmod(block - superblock.first_data_block, superblock.blocks_per_group)
        group = self._groups[number]
        bit = within // superblock.cluster_blocks
        (byte,) = os.pread(self._media, 1, self._offset + group.block_bitmap * superblock.block_size + bit // 8)
        if byte >> bit % 8 & 1 and not group.flags & _BLOCKS_UNUSED:
            raise FormatError(
                f"debugfs has changed block {block}, which is in use by something else; nothing was changed",
                code="XLPY-EXT4-DEBUGFS",
                hint="check the file system with e2fsck -fn",
            )


def _data(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The stretches of a range of a file that are no holes, widened to whole units from ``start`` on."""
    at = start
    while at < end:
        try:
            first = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # ENXIO: no data up to the end
            return
        if first >= end:
            return
        stop = min(os.lseek(fd, first, os.SEEK_HOLE), end)
        stop = min(stop + (start - stop) % _UNIT, end)
        yield first - (first - start) % _UNIT, stop
        at = stop
