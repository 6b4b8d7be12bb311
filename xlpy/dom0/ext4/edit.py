"""Changing an ext4 file system inside an image with debugfs: no mount, no root.

debugfs leaves holes for written zeros and makes unwritten extents with ``fallocate``; neither can be mapped into a
guest. So ``prepare`` fills the holes with unwritten extents, zeroes those blocks on the media, and only then rewrites
the leaf entries as written, through debugfs' own extent editor, which keeps checksums right. All of it happens on a
copy of the metadata and comes to the media as one edit, whatever becomes of debugfs.

A pinned file carries the immutable flag, which the kernel obeys and debugfs ignores: here it is obeyed too.
"""

from __future__ import annotations

import os

from xlpy.addr import LIMIT, align_up
from xlpy.contexts import contextmanager
from xlpy.dom0.ext4.guard import editing
from xlpy.dom0.ext4.inode import ROOT, Inode, refuse_unreadable
from xlpy.dom0.ext4.inplace import InPlace
from xlpy.dom0.ext4.layout import aligned, missing, runs, unwritten, written_at
from xlpy.dom0.ext4.media import opened, punch
from xlpy.dom0.ext4.reader import Ext4Image
from xlpy.dom0.ext4.scratch import ScratchCopy
from xlpy.dom0.ext4.superblock import INCOMPAT_INLINE_DATA
from xlpy.dom0.ext4.tools import debugfs, no_space, quote
from xlpy.dom0.ext4.tree import MAX_WRITTEN
from xlpy.dom0.image import written_places
from xlpy.errors import Conflict, Constraint, FormatError, NotFound, Unsafe, UsageError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xlpy.dom0.ext4.reader import Ext4

MODE = 0o100644
ENTRIES_PER_NODE = 340  # of an extent tree with 4 KiB blocks
MAX_UNWRITTEN = 32767  # blocks of an extent that is unwritten
STATES = ("written", "unwritten", "sparse", "fragmented")


class Ext4Editor(InPlace):
    """Changes to one file system. Paths start at its root.

    Args:
        image: the file that holds the device.
        offset, size: where the device lies in it, in bytes.
        zero: zero(offset, length) on the device; by default holes are punched into the image.
        now: seconds since 1970 for new time stamps; None for the clock.
        keep: as for ``InPlace``.

    Every method raises Unsafe or FormatError where the file system cannot be read safely, NotFound for a missing path,
    Conflict for a pinned file or a file system that another process is changing, Constraint where space is lacking, and
    MissingTool without debugfs.
    """

    def __init__(
        self,
        image: str | os.PathLike[str],
        offset: int,
        size: int,
        *,
        zero: Callable[[int, int], None] | None = None,
        now: int | None = None,
        keep: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(image, offset, size, keep=keep)
        self._zero_device = zero
        self._preamble = [] if now is None else [f"set_current_time @{now}"]

    def mkdir(self, path: str) -> None:
        """Make a directory and those above it; no error when it exists."""
        with self._editing():
            self._mkdir(path)

    def mkfile(
        self, path: str, size: int, state: str = "written", chunk: int = 16, align: int = 0, base: int = 0
    ) -> None:
        """Make a new file, and the directories above it.

        Args:
            path: must not exist yet.
            size: bytes.
            state: ``written`` (zeros, ready for mapping), ``unwritten`` (as fallocate leaves it), ``sparse`` (one
                hole), or ``fragmented`` (written, in pieces that lie in reverse order).
            chunk: blocks in one piece of a fragmented file.
            align: bytes; each piece of the file lies in memory as it lies in the file, modulo this. 0: anywhere.
            base: where the device lies in memory, in bytes.

        Raises:
            Conflict: the path exists. Constraint: no space, or none that is so aligned.
        """
        if state not in STATES:
            raise UsageError(f"file state {state!r}", hint=f"one of {', '.join(STATES)}")
        if not 0 <= size < LIMIT or not 1 <= chunk <= MAX_WRITTEN:
            raise UsageError(f"a file of {size} bytes in pieces of {chunk} blocks")
        with self._editing():
            fs = self._open()
            blocks = 0 if state == "sparse" else -(-size // fs.block_size)
            pieces = -(-blocks // chunk) if state == "fragmented" else 0
            _check_space(fs, blocks + pieces // (ENTRIES_PER_NODE // 2) + 4, f"{path} needs {blocks} blocks")
            if size > fs.block_size << 32:
                raise Constraint(f"{path}: a file of {size} bytes; ext4 ends at {fs.block_size << 32}")
            if blocks and fs.superblock.incompat & INCOMPAT_INLINE_DATA:
                raise Unsafe(
                    "the file system has inline_data: debugfs makes a new file inside its inode and cannot add blocks",
                    code="XLPY-EXT4-FEATURE",
                    hint="make the file in a guest, or the file system with mke2fs -t ext4 -b 4096",
                )
            if _exists(fs, path):
                raise Conflict(f"{path} exists already", hint="choose another name, or: xlpy pmem prepare PATH")
            folder, _, name = path.rstrip("/").rpartition("/")
            word, here = quote(name), _here(name)
            parent = self._mkdir(folder)
            create = [
                f"cd <{parent}>",
                f"write /dev/null {word}",
                f"sif {here} mode 0{MODE:o}",
                f"sif {here} size {size}",
            ]
            if align > fs.block_size and blocks:
                self._debugfs(create)
                self._align(path, blocks, align // fs.block_size, base // fs.block_size)
            else:
                self._debugfs([*create, f"fallocate {here} 0 {blocks - 1}"] if blocks else create)
            if blocks and state in ("written", "fragmented"):
                self._prepare(path)
            if state == "fragmented":
                self._fragment(path, chunk)

    def prepare(self, path: str) -> bool:
        """Make every block of a file allocated and written, so that it can be mapped; existing data stays.

        Returns:
            whether anything had to be done.

        Raises:
            Constraint: no space for the holes, or the file is empty.
        """
        with self._editing():
            return self._prepare(path)

    def fallocate(self, path: str, start: int, length: int) -> None:
        """Allocate a range as fallocate(2) does: unwritten, and growing the file to its end.

        Args:
            start, length: bytes, widened to whole blocks.
        """
        with self._editing():
            fs = self._open()
            inode = _changeable(fs, path)
            first, last = start // fs.block_size, -(-(start + length) // fs.block_size) - 1
            lacking = missing(fs.tree(inode), first * fs.block_size, (last + 1) * fs.block_size)
            _check_space(fs, lacking // fs.block_size, path)
            grow = [f"sif <{inode.number}> size {start + length}"] if start + length > inode.size else []
            if last >= first:
                self._debugfs([f"fallocate <{inode.number}> {first} {last}", *grow])

    def punch(self, path: str, start: int, length: int) -> None:
        """Make a hole of whole blocks: ``start`` and ``length`` are bytes, multiples of the block size."""
        with self._editing():
            fs = self._open()
            inode = _changeable(fs, path)
            if start % fs.block_size or length % fs.block_size or length <= 0:
                raise Constraint(f"a hole of {length} bytes at {start}; it must be whole {fs.block_size}-byte blocks")
            first = start // fs.block_size
            self._debugfs([f"punch <{inode.number}> {first} {first + length // fs.block_size - 1}"])

    def truncate(self, path: str, size: int) -> None:
        """Set the size in bytes; growing leaves a hole."""
        with self._editing():
            fs = self._open()
            inode = _changeable(fs, path)
            block = fs.block_size
            if not 0 <= size <= block << 32:
                raise Constraint(f"{path}: a size of {size} bytes; ext4 ends at {block << 32}")
            tail = written_at(fs.tree(inode), size)
            commands = [f"sif <{inode.number}> size {size}"]
            if size < inode.size:
                commands.append(f"punch <{inode.number}> {-(-size // block)}")
                if size % block and tail is not None:
                    self._scratch.write(tail, bytes(block - size % block))
            self._debugfs(commands)

    def unlink(self, path: str) -> None:
        """Remove a file."""
        with self._editing():
            fs = self._open()
            inode = fs.lookup(path, follow=False)
            if inode.kind == "dir":
                raise Constraint(f"{path} is a directory; only files are removed")
            _refuse_pinned(inode, path)
            fs.tree(inode)  # debugfs frees what hangs on it
            parent = fs.lookup(path.rstrip("/").rpartition("/")[0] or "/")
            self._debugfs([f"cd <{parent.number}>", f"rm {_here(path.rstrip('/').rpartition('/')[2])}"])

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Store into existing written blocks, as a process does that has the file mapped with DAX.

        Raises:
            Unsafe: part of the range is a hole or unwritten, or lies beyond the end.
        """
        with editing(self._image, self._offset), Ext4Image(*self._where, guarded=False) as fs:
            inode = fs.lookup(path)
            end = offset + len(data)
            pieces = list(written_places(fs.fiemap(inode, path), offset, end))
            if sum(last - first for first, last, _ in pieces) < len(data) or end > inode.size:
                raise Unsafe(
                    f"{path}: [{offset:#x}, {end:#x}) is not written in full", hint=f"xlpy pmem prepare {path}"
                )
            with opened(self._image) as fd:
                for first, last, physical in pieces:
                    os.pwrite(fd, data[first - offset : last - offset], self._offset + physical)

    # --- inside one edit -------------------------------------------------------------------------------------------

    @contextmanager
    def _editing(self) -> Iterator[None]:
        """Work on a copy; at the end all that has changed comes to the media, or none of it when there is an error."""
        with editing(self._image, self._offset), ScratchCopy(*self._where) as self._scratch:
            yield
            self._make(self._scratch.changes())

    def _open(self) -> Ext4:
        return self._scratch.open()

    def _debugfs(self, commands: Sequence[str]) -> None:
        debugfs(self._scratch.fd, [*self._preamble, *commands])

    def _zero(self, offset: int, length: int) -> None:
        if self._zero_device:
            self._zero_device(offset, length)
            return
        with opened(self._image) as fd:
            punch(fd, self._offset + offset, length)

    def _mkdir(self, path: str) -> int:
        """The inode number of a directory, made where missing."""
        fs = self._open()
        inode, parts = fs.inode(ROOT), [part for part in path.split("/") if part]
        done = 0
        while done < len(parts) and inode.kind == "dir" and _exists(fs, "/".join(parts[: done + 1])):
            done += 1
            inode = fs.lookup("/".join(parts[:done]))
        if inode.kind != "dir":
            raise Conflict(f"/{'/'.join(parts[:done])} is a {inode.kind}, not a directory")
        if done == len(parts):
            return inode.number
        commands = [f"cd <{inode.number}>"]
        for part in parts[done:]:
            commands += [f"mkdir {quote(part)}", f"cd {_here(part)}"]
        self._debugfs(commands)
        fs = self._open()
        return fs.lookup(path).number

    def _prepare(self, path: str) -> bool:
        fs = self._open()
        inode = _file(fs, path)
        size = fs.block_size
        end = align_up(inode.size, size)
        if not end:
            raise Constraint(f"{path} is empty: there is nothing to prepare", hint="xlpy pmem mkfile SIZE PATH")
        tree = fs.tree(inode)
        holes = missing(tree, 0, end) // size
        if not holes and not unwritten(tree, end):
            return False
        _refuse_pinned(inode, path)
        _check_space(fs, holes, f"{path} lacks {holes} blocks")
        if holes:
            self._debugfs([f"fallocate <{inode.number}> 0 {end // size - 1}"])
            fs = self._open()
            tree = fs.tree(fs.inode(inode.number))
        commands = [f"extent_open <{inode.number}>"]
        for extent in unwritten(tree, end):
            inside = min(extent.length, end - extent.logical)
            self._zero(extent.physical, inside)
            logical, count, physical = extent.logical // size, inside // size, extent.physical // size
            commands += [f"goto_block {logical}", f"replace_node {logical} {count} {physical}"]
            beyond = (extent.length - inside) // size  # the end of the file: blocks after it stay unwritten
            if beyond:
                commands.append(f"insert_node --after --uninit {logical + count} {beyond} {physical + count}")
        self._debugfs([*commands, "extent_close"])
        fs = self._open()
        tree = fs.tree(fs.inode(inode.number))
        if missing(tree, 0, end) or unwritten(tree, end):
            raise FormatError(f"{path}: debugfs left parts of it unwritten", code="XLPY-EXT4-DEBUGFS")
        return True

    def _align(self, path: str, blocks: int, unit: int, base: int) -> None:
        """Allocate the blocks of an empty file, unwritten, each run of them on a multiple of ``unit`` blocks.

        More than needed is allocated, what does not lie well is given back, and the rest moves together.
        """
        fs = self._open()
        number, size, free = fs.lookup(path).number, fs.block_size, fs.superblock.free_blocks - 8
        first = -base % unit  # the first block of the device that is aligned in memory
        wanted, left = blocks + 2 * unit, blocks
        while left:
            if wanted > free:
                raise no_space(f"{path} needs {blocks} blocks on multiples of {unit}, {left} of them are not free so")
            self._debugfs([f"fallocate <{number}> 0 {wanted - 1}"])
            fs = self._open()
            pieces, drop, left = aligned(runs(fs.tree(fs.inode(number)), size), blocks, unit, first)
            if left:
                self._debugfs([f"punch <{number}> 0 {wanted - 1}"])
                wanted = free if wanted < free < 4 * wanted else 4 * wanted
        self._debugfs([f"punch <{number}> {one} {last}" for one, last in drop])
        fs = self._open()
        tree = list(fs.tree(fs.inode(number)))
        commands = [f"extent_open <{number}>"]
        for extent in tree:
            commands += [f"goto_block {extent.logical // size}", "delete_node"]
        logical, most = 0, MAX_UNWRITTEN // unit * unit or MAX_UNWRITTEN
        for physical, count in pieces:
            for at in range(0, count, most):
                part = min(most, count - at)
                commands.append(f"insert_node --after --uninit {logical} {part} {physical + at}")
                logical += part
        self._debugfs([*commands, "extent_close"])

    def _fragment(self, path: str, chunk: int) -> None:
        """Give the blocks of a fresh file to it again, ``chunk`` at a time and in reverse order."""
        fs = self._open()
        inode = fs.lookup(path)
        tree = fs.tree(inode)
        size = fs.block_size
        pieces = [
            ((extent.physical + first) // size, min(chunk, (extent.length - first) // size))
            for extent in tree
            for first in range(0, extent.length, chunk * size)
        ]
        commands = [f"extent_open <{inode.number}>"]
        for extent in tree:
            commands += [f"goto_block {extent.logical // size}", "delete_node"]
        logical = 0
        for physical, count in reversed(pieces):
            commands.append(f"insert_node --after {logical} {count} {physical}")
            logical += count
        self._debugfs([*commands, "extent_close"])


def _here(name: str) -> str:
    """A name in debugfs' current directory; without the dot, ``<5>`` would mean inode 5."""
    quote(name)
    return quote(name).replace('"', '"./', 1)


def _exists(fs: Ext4, path: str) -> bool:
    try:
        fs.lookup(path, follow=False)
    except NotFound:
        return False
    return True


def _file(fs: Ext4, path: str) -> Inode:
    inode = fs.lookup(path)
    if inode.kind != "file":
        raise Unsafe(f"{path} is a {inode.kind}, not a regular file", code="XLPY-PMEM-KIND")
    refuse_unreadable(inode, path)
    return inode


def _changeable(fs: Ext4, path: str) -> Inode:
    inode = _file(fs, path)
    _refuse_pinned(inode, path)
    return inode


def _refuse_pinned(inode: Inode, path: str) -> None:
    if inode.immutable:
        raise Conflict(
            f"{path} is immutable: a domain holds it, or chattr +i was used",
            code="XLPY-PMEM-PINNED",
            hint="destroy the domain first",
        )


def _check_space(fs: Ext4, blocks: int, what: str) -> None:
    if blocks > fs.superblock.free_blocks:
        raise no_space(f"{what}, {fs.superblock.free_blocks} of {fs.block_size} bytes are free")
