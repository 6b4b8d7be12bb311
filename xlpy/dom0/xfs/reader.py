"""Reading an XFS in place: paths to inodes, inodes to extents and bytes; no mount, no root."""

from __future__ import annotations

import os

from xlpy.dom0.ext4.inode import lookup, walk
from xlpy.dom0.extents import Extents
from xlpy.dom0.image import ImageFile, read_mapped
from xlpy.dom0.xfs import directory
from xlpy.dom0.xfs.fork import read_extents, way_down
from xlpy.dom0.xfs.groups import Groups
from xlpy.dom0.xfs.inode import FORK, parse_inode
from xlpy.dom0.xfs.log import require_empty
from xlpy.dom0.xfs.superblock import SECTORS, damaged, parse_superblock
from xlpy.errors import Constraint, NotFound, Unsafe
from xlpy.limits import DIRECTORIES
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.dom0.ext4.inode import Inode
    from xlpy.dom0.xfs.inode import Core


class XfsImage:
    """A file system inside an image file.

    Args:
        path: the image, or a path below ``/proc/self/fd``.
        offset: where the file system begins, in bytes.
        size: bytes of its device; None up to the end of the image.

    Raises:
        NotFound: no such image. FormatError: there is no XFS, or it is damaged. Unsafe: it cannot be read as it is
            (log not replayed, features that are not read here).
    """

    def __init__(self, path: str | os.PathLike[str], offset: int = 0, size: int | None = None) -> None:
        self._file = ImageFile(path, offset, size)
        self._read = self._file.read
        try:
            whole = self._file.size >= SECTORS[-1]
            self.superblock = parse_superblock(self._read(0, SECTORS[-1]) if whole else b"", self._file.size)
            require_empty(self.superblock, self._read)
        except BaseException:
            self.close()
            raise

    @property
    def block_size(self) -> int:
        """Bytes in a block."""
        return self.superblock.block_size

    def inode(self, number: int) -> Inode:
        """The inode of this number. FormatError: the number is impossible, or it is damaged."""
        return self._core(number).inode

    def inode_bytes(self, number: int) -> tuple[bytes, int]:
        """The bytes of an inode, unchecked, and where on the device they are; errors as ``inode``."""
        place = self.superblock.inode_place(number)
        return self._read(place, self.superblock.inode_size), place

    def _core(self, number: int) -> Core:
        return parse_inode(self.superblock, number, *self.inode_bytes(number))

    def lookup(self, path: str, follow: bool = True) -> Inode:
        """The inode behind a path that starts at the root of the file system; relative symbolic links are followed.

        Args:
            path: such as ``/vm1.img``.
            follow: whether a link at the very end is followed too.

        Raises:
            NotFound: no such path. Unsafe: a symbolic link that leaves the file system, or a loop of them.
        """
        return lookup(
            path,
            [self.inode(self.superblock.root)],
            lambda parent, name: self.listdir(parent, path).get(name),
            self.inode,
            lambda inode: self.readlink(inode, path),
            follow=follow,
        )

    def listdir(self, inode: Inode, path: str = "the directory") -> dict[str, int]:
        """Names and inode numbers of a directory, without ``.`` and ``..``; errors as ``lookup``."""
        return {os.fsdecode(name): at for name, at, _ in self._entries(inode, path) if name not in (b".", b"..")}

    def entry(self, folder: Inode, name: str) -> tuple[int, int]:
        """The inode number that a directory gives a name, and where on the device that entry is.

        Raises:
            NotFound: it has no such name. Others as ``lookup``.
        """
        wanted = os.fsencode(name)
        for found, number, place in self._entries(folder, name):
            if found == wanted:
                return number, place
        raise NotFound(f"{name}: no such file in the directory with inode {folder.number}")

    def readlink(self, inode: Inode, path: str) -> str:
        """The target of a symbolic link. Unsafe: it is not stored in its inode."""
        if self._core(inode.number).format != "local":
            raise Unsafe(f"{path} leads through a symbolic link that is too long", code="XLPY-EXT4-SYMLINK")
        return os.fsdecode(inode.root[: inode.size])

    def extent_places(self, inode: Inode, offset: int) -> list[int]:
        """Where on the device the records are that lead to a byte of a file: that of the extent is the last.

        Args:
            offset: of the byte, which ``fiemap`` has an extent for.
        """
        place = self.superblock.inode_place(inode.number)
        return way_down(self.superblock, self._core(inode.number), place, offset, self._read)

    def _entries(self, inode: Inode, path: str) -> Iterator[tuple[bytes, int, int]]:
        """(name, inode number, where on the device) of each entry."""
        if inode.kind != "dir":
            raise NotFound(f"{path} is a {inode.kind}, not a directory")
        core = self._core(inode.number)
        if core.format == "local":
            fork = self.superblock.inode_place(inode.number) + FORK
            yield from ((name, at, fork + place) for name, at, place in directory.short_entries(self.superblock, core))
            return
        if inode.size > DIRECTORIES:
            raise Constraint(f"{path}: a directory of {inode.size} bytes; at most {DIRECTORIES} are searched")
        size = 1 << self.superblock.directory_log
        for extent in Extents.of(read_extents(self.superblock, core, self._read)).merged():
            if extent.logical >= directory.INDEX:
                return
            if extent.length % size or extent.logical + extent.length > inode.size:
                raise damaged(f"directory {inode.number}", f"of {inode.size} bytes, in pieces of {extent.length}")
            for at in range(extent.physical, extent.physical + extent.length, size):
                for name, number, place in directory.block_entries(self.superblock, core, self._read(at, size), at):
                    yield name, number, at + place

    def walk(self) -> Iterator[tuple[str, Inode]]:
        """Path and inode of every regular file; raises as ``listdir``, and when a directory is in two places."""
        return walk(self.lookup("/"), self.listdir, self.inode, damaged)

    def fiemap(self, inode: Inode, path: str = "the file") -> Extents:
        """What FIEMAP answers for the whole file: blocks beyond its end included, holes left out, neighbours merged.

        Raises:
            FormatError: damaged metadata. Unsafe: the blocks are not the file's own.
        """
        del path  # every file here has its data in blocks
        found = read_extents(self.superblock, self._core(inode.number), self._read)
        groups, superblock = Groups(self.superblock, self._read), self.superblock
        for extent in found:
            block, count = superblock.block_at(extent.physical), extent.length >> superblock.block_log
            groups.refuse_taken(f"inode {inode.number}", block, count)
        return Extents.of(found).merged().marked_last()

    def read_file(self, inode: Inode, offset: int, length: int, path: str = "the file") -> bytes:
        """Bytes of a file, cut at its end; holes and unwritten extents read as zeros."""
        return read_mapped(self._read, self.fiemap(inode, path), inode.size, offset, length)

    def only_flags_changed(self, before: int, after: int) -> None:
        """Nothing: no flag is ever changed here."""

    def close(self) -> None:
        """Release the file."""
        self._file.close()
