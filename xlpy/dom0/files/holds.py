"""A copy of the list of pinned files beside the media, in case the state is lost: one empty file for each.

So a change of one hold costs the same however many there are.
"""

from __future__ import annotations

import os

from xlpy.contexts import suppress
from xlpy.private import folder, private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Hold = tuple[int, int]  # where the device of the file starts in host memory, and the file's inode


class Holds:
    """The copy.

    Args:
        where: its folder, made when something is held.
    """

    def __init__(self, where: str) -> None:
        self._where = where

    def set(self, hold: Hold, held: bool) -> None:
        """Add or remove one; what cannot be written is left as it is."""
        path = os.path.join(self._where, "{:x}.{}".format(*hold))
        with suppress(OSError):
            if held:
                folder(self._where)
                os.close(private(path, os.O_WRONLY | os.O_CREAT))
            else:
                os.unlink(path)

    def all(self) -> list[Hold]:
        """Those that are there."""
        found = []
        with suppress(OSError):
            for name in sorted(os.listdir(self._where)):
                start, _, inode = name.partition(".")
                with suppress(ValueError):
                    found.append((int(start, 16), int(inode)))
        return found

    def replace(self, holds: Iterable[Hold]) -> None:
        """Make the copy right, whatever it was."""
        wanted, there = set(holds), set(self.all())
        for hold in wanted ^ there:
            self.set(hold, hold in wanted)
