"""Changes that are single stores into an ext4 image, and the guard around every change.

No program is started for them, and none of what starting one needs is loaded: each domain that is made pins its files.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from xlpy.dom0.ext4.guard import editing, interrupted
from xlpy.dom0.ext4.inode import IMMUTABLE_FL, with_flags
from xlpy.dom0.ext4.media import opened
from xlpy.dom0.ext4.reader import Ext4Image
from xlpy.errors import FormatError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class InPlace:
    """One file system in an image. Paths start at its root.

    Args:
        image: the file that holds the device.
        offset, size: where the device lies in it, in bytes.
    """

    def __init__(self, image: str | os.PathLike[str], offset: int, size: int) -> None:
        self._image, self._offset, self._size = image, offset, size
        self._hold = -1

    def set_immutable(self, path: str, on: bool) -> None:
        """Set or clear the immutable flag: the pin under which no kernel moves, shrinks or removes the file.

        One store of one inode, and so not worth starting a program.
        """
        with self._editing(), self._open() as fs:
            inode = fs.lookup(path)
            raw, at = fs.inode_bytes(inode.number)
            flags = inode.flags | IMMUTABLE_FL if on else inode.flags & ~IMMUTABLE_FL
            with opened(self._image) as fd:
                os.pwrite(fd, with_flags(fs.superblock, inode, raw, flags), self._offset + at)

    def recover(self) -> None:
        """Repair the file system when the last program that changed it was killed."""
        if interrupted(self._image, self._offset):
            with self._editing():
                pass

    @contextmanager
    def _editing(self) -> Iterator[None]:
        with editing(self._image, self._offset, self._repair) as self._hold:
            yield

    def _repair(self, hold: int) -> None:
        from xlpy.dom0.ext4.tools import device_argument, run

        status, output, errors = run(hold, "e2fsck", "-fy", device_argument(self._image, self._offset))
        if status & ~3:
            raise FormatError(
                f"{os.fspath(self._image)}: e2fsck could not repair the file system (status {status})",
                code="XLPY-EXT4-DAMAGED",
                details=(output + errors).splitlines()[-5:],
            )

    def _open(self) -> Ext4Image:
        return Ext4Image(self._image, self._offset, self._size, guarded=False)
