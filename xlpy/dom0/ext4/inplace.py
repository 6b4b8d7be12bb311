"""Changes that are single stores into an ext4 image, and how every change reaches the media.

No program is started for them, and none of what starting one needs is loaded: each domain that is made pins its files.
"""

from __future__ import annotations

from xlpy.dom0.ext4.guard import editing
from xlpy.dom0.ext4.inode import IMMUTABLE_FL, with_flags
from xlpy.dom0.ext4.journal import ByteEdit, Journal
from xlpy.dom0.ext4.reader import Ext4Image
from xlpy.errors import XlpyError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence


class InPlace:
    """One file system in an image. Paths start at its root.

    Args:
        image: the file that holds the device.
        offset, size: where the device lies in it, in bytes.
        keep: called with the name of each edit before it is made; the edit can be undone until ``Journal.forget``.
            None: an edit is final once it is made.
    """

    def __init__(
        self, image: str | os.PathLike[str], offset: int, size: int, *, keep: Callable[[str], None] | None = None
    ) -> None:
        self._image, self._offset, self._size = image, offset, size
        self._keep = keep
        self.journal = Journal(image, offset)

    def set_immutable(self, number: int, on: bool, told: Callable[[int, int], None] | None = None) -> None:
        """Set or clear an inode's immutable flag: the pin under which no kernel moves, shrinks or removes the file.

        Args:
            number: of the inode. on: whether it is set. told: as for ``editing``.
        """
        with editing(self._image, self._offset, told), Ext4Image(*self._where, guarded=False) as fs:
            raw, at = fs.inode_bytes(number)
            inode = fs.inode(number)
            flags = inode.flags | IMMUTABLE_FL if on else inode.flags & ~IMMUTABLE_FL
            self._make([ByteEdit(at, raw, with_flags(fs.superblock, inode, raw, flags))])

    def recover(self, done: Callable[[str], bool] | None = None) -> None:
        """Decide on all edits in the journal: complete them, or undo them.

        Args:
            done: whether the edit of this name is to stay; None: each is.
        """
        names = self.journal.pending()
        if not names:
            return
        with editing(self._image, self._offset):
            for name in reversed(names):
                if done is not None and not done(name):
                    self.journal.undo(name)
                    self.journal.forget(name)
            for name in names:
                if done is None or done(name):
                    self.journal.redo(name)
                    self.journal.forget(name)

    def take_back(self, done: Callable[[str], bool]) -> None:
        """Take back the kept edits that are not to stay; the others are still kept."""
        names = [name for name in self.journal.pending() if not done(name)]
        if names:
            with editing(self._image, self._offset):
                for name in reversed(names):
                    self.journal.undo(name)
                    self.journal.forget(name)

    @property
    def _where(self) -> tuple[str | os.PathLike[str], int, int]:
        return self._image, self._offset, self._size

    def _make(self, stores: Sequence[ByteEdit]) -> None:
        """Make an edit, while the image is held: all of it or, when an error is raised, none."""
        if not stores:
            return
        name = self.journal.write(stores)
        if self._keep:
            self._keep(name)
        try:
            self.journal.redo(name)
        except XlpyError:
            self.journal.undo(name)
            self.journal.forget(name)
            raise
        if not self._keep:
            self.journal.forget(name)
