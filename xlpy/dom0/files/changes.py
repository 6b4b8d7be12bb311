"""Making, preparing, cutting and removing files of the emulated Dom0."""

from __future__ import annotations

from xlpy.addr import align_up
from xlpy.dom0.files.edits import refuse_read_only, refuse_xfs
from xlpy.errors import Conflict, Constraint, NotFound
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.dom0.ext4.edit import Ext4Editor
    from xlpy.dom0.files.edits import Edits
    from xlpy.dom0.files.pinning import Pinning
    from xlpy.dom0.files.vfs import Vfs


class Prepared(NamedTuple):
    """What ``prepare`` did, in bytes: the file's size, and how much of it had to be zeroed."""

    size: int
    zeroed: int


class FileChanges:
    """System calls that change files. What a domain holds is refused (EPERM).

    Args:
        vfs: whose files they are.
        edits: what changes file systems.
        pinning: who holds what.
    """

    def __init__(self, vfs: Vfs, edits: Edits, pinning: Pinning) -> None:
        self._vfs = vfs
        self._edits = edits
        self._pinning = pinning

    def mkfile(self, path: str, size: int, state: str, dry_run: bool) -> None:
        """As ``EmulatedDom0.mkfile``."""
        vfs = self._vfs
        mount, inner = vfs.place(path)
        if mount not in vfs.disk_mounts:
            raise Constraint(
                f"{path}: files can be made on a pmem device's file system only",
                hint="below: " + (", ".join(m.mountpoint for m in vfs.disk_mounts) or "nothing is mounted"),
            )
        refuse_read_only(path, mount)
        refuse_xfs(mount)
        if size < 1:
            raise Constraint(f"{path}: a file of {size} bytes cannot be mapped", hint="at least one page: 4K")
        image = vfs.image(mount)
        try:
            image.lookup(inner, follow=False)
        except NotFound:
            pass
        else:
            raise Conflict(f"{path} exists already", hint=f"choose another name, or: xlpy pmem prepare {path}")
        free = image.superblock.free_blocks * image.block_size
        if state != "sparse" and align_up(size, image.block_size) > free:
            raise Constraint(
                f"{path}: {size} bytes are wanted, {free} are free on {mount.mountpoint}",
                code="XLPY-EXT4-NO-SPACE",
                hint="remove files from it, or make the namespace larger",
            )
        if not dry_run:
            self._edits.editor(mount).mkfile(inner, size, state)

    def prepare(self, path: str, dry_run: bool) -> Prepared:
        """As ``EmulatedDom0.prepare``."""
        from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN

        mount, inner, inode = self._vfs.file(path)
        written = sum(
            max(0, min(e.logical + e.length, inode.size) - e.logical)
            for e in self._vfs.image(mount).fiemap(inode, path)
            if not e.flags & FIEMAP_EXTENT_UNWRITTEN
        )
        if written < inode.size:
            refuse_read_only(path, mount)
            self._pinning.refuse_held(path, mount, inode)
            refuse_xfs(mount)
        if not dry_run and not (written == inode.size and mount.fstype == "xfs"):
            self._edits.editor(mount).prepare(inner)
        return Prepared(inode.size, inode.size - written)

    def truncate(self, path: str, size: int) -> None:
        """truncate(2)."""
        editor, inner = self._changeable(path)
        editor.truncate(inner, size)

    def punch(self, path: str, start: int, length: int) -> None:
        """fallocate(2) with FALLOC_FL_PUNCH_HOLE, whole blocks."""
        editor, inner = self._changeable(path)
        editor.punch(inner, start, length)

    def unlink(self, path: str) -> None:
        """unlink(2)."""
        editor, inner = self._changeable(path)
        editor.unlink(inner)

    def _changeable(self, path: str) -> tuple[Ext4Editor, str]:
        """The editor for a file that may be changed, and its path inside the mount."""
        mount, inner, inode = self._vfs.file(path)
        refuse_read_only(path, mount)
        self._pinning.refuse_held(path, mount, inode)
        return self._edits.editor(mount), inner
