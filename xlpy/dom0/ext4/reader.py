"""Reading an ext4 file system in place: paths to inodes, inodes to extents and bytes; no mount, no root."""

from __future__ import annotations

import os

from xlpy.contexts import contextmanager
from xlpy.dom0.ext4 import MAX_NAME, directory
from xlpy.dom0.ext4.inode import CASEFOLD_FL, EXTENTS_FL, ROOT, Inode, lookup, parse_inode, refuse_unreadable, walk
from xlpy.dom0.ext4.superblock import (
    SUPERBLOCK_OFFSET,
    SUPERBLOCK_SIZE,
    Group,
    damaged,
    parse_group,
    parse_superblock,
)
from xlpy.dom0.ext4.tree import has_nodes, read_tree, way_down
from xlpy.dom0.ext4.zones import Zones
from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN, Extents
from xlpy.dom0.image import ImageFile, read_mapped
from xlpy.errors import Constraint, NotFound, Unsafe
from xlpy.functions import wraps
from xlpy.limits import DIRECTORIES
from xlpy.typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

P = ParamSpec("P")
R = TypeVar("R")

_RUN = 256  # directory blocks in one read
_KNOWN = 64  # inodes that are kept: those on the way to files that are looked at again and again


def _held(method: Callable[Concatenate[Ext4, P], R]) -> Callable[Concatenate[Ext4, P], R]:
    """Around a call that reads: an image does not change meanwhile."""

    @wraps(method)
    def held(self: Ext4, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not self._guarded:  # as `_hold` would find, which costs more
            return method(self, *args, **kwargs)
        with self._hold():
            return method(self, *args, **kwargs)

    return held


class Ext4:
    """One file system.

    Args:
        read: ``read(offset, length)`` gives exactly ``length`` bytes of the device, or raises.
        size: bytes of the device.

    Raises:
        FormatError: there is no ext4 file system, or it is damaged.
        Unsafe: it cannot be read as it is (journal not replayed, errors noted, unknown features).
    """

    _guarded = False  # whether a call has to keep the device from changing meanwhile
    _kept = False  # whether what was found stays true until ``_load`` is called

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read = read
        self._size = size
        self._load()

    def _load(self) -> None:
        whole = self._size >= SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE
        raw = self._read(SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE) if whole else b""
        self.superblock = parse_superblock(raw, self._size)
        self._groups: dict[int, Group] = {}
        self._zones: Zones | None = None
        self._names: dict[tuple[int, bytes], int | None] = {}  # inode numbers by directory and name
        self._maps: dict[Inode, Extents] = {}  # of inodes that hold all of their map themselves
        self._inodes: dict[int, tuple[bytes, Inode]] = {}  # what was found to be sound, and its bytes then

    @contextmanager
    def _hold(self) -> Iterator[None]:
        """Around every call: keeps the device from changing meanwhile, where it may."""
        yield

    @property
    def block_size(self) -> int:
        """Bytes in a block."""
        return self.superblock.block_size

    @_held
    def inode(self, number: int) -> Inode:
        """The inode of this number.

        Raises:
            FormatError: the number is impossible, or group descriptor or inode are damaged.
        """
        raw, offset = self.inode_bytes(number)
        known = self._inodes.get(number)
        if known is None or known[0] != raw:
            known = raw, parse_inode(self.superblock, number, raw, offset)
            if len(self._inodes) >= _KNOWN:
                self._inodes.clear()
            self._inodes[number] = known
        return known[1]

    @_held
    def inode_bytes(self, number: int) -> tuple[bytes, int]:
        """The bytes of an inode, unchecked, and where on the device they are; errors as ``inode``."""
        superblock = self.superblock
        if not 0 < number <= superblock.inodes:
            raise damaged("a directory entry", f"for inode {number} of {superblock.inodes}")
        index, within = divmod(number - 1, superblock.inodes_per_group)
        group = self._groups.get(index)
        if group is None:
            raw = self._read(superblock.descriptor_position(index), superblock.descriptor_size)
            group = self._groups[index] = parse_group(superblock, index, raw)
        if group.inodes_unused:
            raise damaged(f"inode {number}", f"in group {index}, whose inode table is marked as never used")
        offset = group.inode_table * superblock.block_size + within * superblock.inode_size
        return self._read(offset, superblock.inode_size), offset

    @_held
    def lookup(self, path: str, follow: bool = True) -> Inode:
        """The inode behind a path that starts at the root of the file system; relative symbolic links are followed.

        Args:
            path: such as ``/vm1.img``.
            follow: whether a link at the very end is followed too.

        Raises:
            NotFound: no such path.
            Unsafe: a symbolic link that leaves the file system, a loop of them, or an unreadable directory.
        """
        found = self._names if self._kept else {}
        searched = 0

        def child(parent: Inode, name: str) -> int | None:
            nonlocal searched
            place = parent.number, os.fsencode(name)
            if place not in found:
                searched += parent.size
                if searched > DIRECTORIES:
                    raise Constraint(f"{path}: more than {DIRECTORIES} bytes of directories lie on the way")
                found[place] = self._find(parent, place[1], path)
            return found[place]

        return lookup(
            path, [self.inode(ROOT)], child, self.inode, lambda inode: self.readlink(inode, path), follow=follow
        )

    def readlink(self, inode: Inode, path: str) -> str:
        """What a symbolic link says. FormatError: more than a block."""
        if inode.size < len(inode.root) and not inode.flags & EXTENTS_FL:
            return os.fsdecode(inode.root[: inode.size])
        if inode.size > self.block_size:
            raise damaged(f"inode {inode.number}.i_size", f"{inode.size}, a symbolic link has at most one block")
        return os.fsdecode(self.read_file(inode, 0, inode.size, path))

    def _find(self, parent: Inode, name: bytes, path: str) -> int | None:
        if len(name) > MAX_NAME:
            return None
        for chunk in self._directory(parent, path):
            hits = [block for block in chunk if name in block[1]]
            directory.check_blocks(self.superblock, parent, hits)
            for at, raw in hits:
                for entry, number, _ in directory.entries(self.superblock, parent, at, raw):
                    if entry == name:
                        return number
        for chunk in self._directory(parent, path):  # its absence counts only when every block is sound
            directory.check_blocks(self.superblock, parent, chunk)
        return None

    def walk(self) -> Iterator[tuple[str, Inode]]:
        """Path and inode of every regular file; raises as ``listdir``, and when a directory is in two places.

        An image does not change until the iterator has ended or is closed.
        """
        with self._hold():
            yield from walk(self.lookup("/"), self.listdir, self.inode, damaged)

    @_held
    def listdir(self, inode: Inode, path: str = "the directory") -> dict[str, int]:
        """Names and inode numbers of a directory, without ``.`` and ``..``."""
        found: dict[bytes, int] = {}
        for chunk in self._directory(inode, path):
            directory.check_blocks(self.superblock, inode, chunk)
            for at, raw in chunk:
                found |= {name: number for name, number, _ in directory.entries(self.superblock, inode, at, raw)}
        return {os.fsdecode(name): number for name, number in found.items() if name not in (b".", b"..")}

    @_held
    def entry(self, folder: Inode, name: str) -> tuple[int, int]:
        """The inode number that a directory gives a name, and where on the device that entry is.

        Raises:
            NotFound: it has no such name. Others as ``listdir``.
        """
        wanted, size = os.fsencode(name), self.block_size
        for chunk in self._directory(folder, name):
            for at, raw in chunk:
                if wanted in raw:
                    directory.check_blocks(self.superblock, folder, [(at, raw)])
                    for found, number, position in directory.entries(self.superblock, folder, at, raw):
                        if found == wanted:
                            extent = self.fiemap(folder).holding(at * size)
                            assert extent is not None  # the block was read from there
                            return number, extent.physical + at * size - extent.logical + position
        raise NotFound(f"{name}: no such file in the directory with inode {folder.number}")

    @_held
    def extent_places(self, inode: Inode, offset: int) -> list[int]:
        """Where on the device the entries of the extent tree are that lead to a byte of a file: the leaf's last.

        Args:
            offset: of the byte, which ``fiemap`` has an extent for.
        """
        return way_down(self.superblock, inode, self.inode_bytes(inode.number)[1], offset, self._read)

    def _directory(self, inode: Inode, path: str) -> Iterator[list[tuple[int, bytes]]]:
        """The blocks of a directory, some at a time, as (number inside the directory, bytes)."""
        if inode.kind != "dir":
            raise NotFound(f"{path} is a {inode.kind}, not a directory")
        refuse_unreadable(inode, f"{path}: the directory with inode {inode.number}")
        if inode.flags & CASEFOLD_FL:
            raise Unsafe(f"{path}: the directory folds case", code="XLPY-EXT4-FEATURE")
        if inode.size % self.block_size:
            raise damaged(f"directory {inode.number}.i_size", f"{inode.size}, must be whole blocks")
        if inode.size > DIRECTORIES:
            raise Constraint(f"{path}: a directory of {inode.size} bytes; at most {DIRECTORIES} are searched")
        size = self.block_size
        for extent in self.fiemap(inode, path):
            if extent.flags & FIEMAP_EXTENT_UNWRITTEN:
                raise damaged(f"directory {inode.number}", "unwritten in part")
            used = min(extent.length, inode.size - extent.logical)
            for first in range(0, used, _RUN * size):
                raw = self._read(extent.physical + first, min(_RUN * size, used - first))
                at = (extent.logical + first) // size
                yield [(at + i // size, raw[i : i + size]) for i in range(0, len(raw), size)]

    @_held
    def tree(self, inode: Inode, path: str = "the file") -> Extents:
        """The entries of the extent tree as stored, unmerged.

        Args:
            path: how the file is called in error messages.

        Raises:
            FormatError: damaged metadata. Unsafe: it gives the file blocks that are not its own.
        """
        nodes: list[int] = []
        extents = read_tree(self.superblock, inode, self._read, nodes)
        if self._zones is None:
            self._zones = Zones(self.superblock, self._read, self.inode_bytes)
        self._zones.check(inode, extents, nodes, path)
        return extents

    @_held
    def fiemap(self, inode: Inode, path: str = "the file") -> Extents:
        """What FIEMAP answers for the whole file: blocks beyond its end included, holes left out, neighbours merged.

        Args:
            path: how the file is called in error messages.

        Raises:
            Unsafe: the data does not lie in plain blocks under an extent tree, or not in blocks of the file's own.
            FormatError: damaged metadata.
        """
        refuse_unreadable(inode, path)
        extents = self._maps.get(inode)
        if extents is None:
            extents = self.tree(inode, path).merged().marked_last()
            if self._kept and not has_nodes(inode):
                self._maps[inode] = extents
        return extents

    @_held
    def read_file(self, inode: Inode, offset: int, length: int, path: str = "the file") -> bytes:
        """Bytes of a file, cut at its end; holes and unwritten extents read as zeros."""
        refuse_unreadable(inode, path)
        return read_mapped(self._read, self.fiemap(inode, path), inode.size, offset, length)


class Ext4Image(Ext4):
    """A file system inside an image file. Each call locks it against editors and reads its current contents.

    Args:
        path: the image.
        offset: where the file system begins, in bytes.
        size: bytes of its device; None up to the end of the image.
        guarded: False for the editor itself, which holds the image already.

    Every call raises Conflict when another process keeps changing it.

    Raises:
        NotFound: no such image. As ``Ext4`` otherwise.
    """

    def __init__(
        self, path: str | os.PathLike[str], offset: int = 0, size: int | None = None, *, guarded: bool = True
    ) -> None:
        self._guarded = self._kept = guarded  # an editor sees its own changes while it holds the image
        self._edition: int | None = None  # when the edit ended that was seen last
        self._file = ImageFile(path, offset, size)
        try:
            super().__init__(self._file.read, self._file.size)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _hold(self) -> Iterator[None]:
        if not self._guarded:
            yield
            return
        from xlpy.dom0.ext4.guard import reading

        with reading(self._file.path, self._file.offset) as edition:
            self._guarded = False  # calls inside this one are held already
            try:
                if self._edition not in (None, edition):
                    super()._load()
                self._edition = edition
                yield
            finally:
                self._guarded = True

    def _load(self) -> None:
        with self._hold():
            super()._load()

    def only_flags_changed(self, before: int, after: int) -> None:
        """An edit has changed the flags of inodes, which are read each time, and nothing else.

        Args:
            before, after: when the last edit before it ended, and when it did.
        """
        if self._edition == before:
            self._edition = after

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def __enter__(self) -> Ext4Image:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
