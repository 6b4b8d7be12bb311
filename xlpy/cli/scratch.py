"""A folder for the time of a command: it goes with the command, however that ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

PREFIX = "xlpy-dry-run-"
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class ScratchFolder:
    """The folder, held by a lock as long as the process lives; those whose process was killed are removed first."""

    def __init__(self) -> None:
        for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with suppress(OSError):
                if left.stat().st_uid == os.geteuid():
                    os.close(_held(left))
                    shutil.rmtree(left, ignore_errors=True)
        self.path = tempfile.mkdtemp(prefix=PREFIX)
        self._lock = _held(Path(self.path))
        self._before = {number: signal.signal(number, self._end) for number in _ENDING}

    def remove(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        """A signal that ends the process."""
        shutil.rmtree(self.path, ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _held(folder: Path) -> int:
    """A descriptor that holds a folder. BlockingIOError: another process holds it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd
