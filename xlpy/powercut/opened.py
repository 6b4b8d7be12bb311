"""Whether a file was open for writing: by inotify, since its timestamps do not show it.

On tmpfs a store through a mapping changes no time when its page was read before (``findings/tmpfs-mapped-stores.sh``).
"""

from __future__ import annotations

import ctypes
import os

from xlpy.contexts import suppress
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

IN_CLOSE_WRITE = 0x8  # the last descriptor and the last mapping of an opening for writing have gone
_ROOM = 1 << 12


class Writers:
    """Watches one file.

    Where there is no inotify (no watch is left: ``fs.inotify.max_user_instances``), no opening is ever seen.
    """

    def __init__(self, path: Path) -> None:
        self._fd = -1
        with suppress(OSError):
            library = ctypes.CDLL(None, use_errno=True)
            self._fd = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            if self._fd >= 0:
                library.inotify_add_watch(self._fd, os.fsencode(path), ctypes.c_uint32(IN_CLOSE_WRITE))

    def seen(self) -> bool:
        """Whether the file, since it was watched, has been closed after it was open for writing."""
        try:
            return self._fd >= 0 and bool(os.read(self._fd, _ROOM))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Watch no longer."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
