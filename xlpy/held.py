"""Folders that belong to a process: locked while it runs, so that folders of killed processes can be recognised."""

from __future__ import annotations

import fcntl
import os
import shutil
import time

from xlpy.contexts import suppress
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FRESH = 10  # seconds in which a folder may have been made and not been locked yet


def hold(folder: Path) -> int:
    """A descriptor that holds a folder. BlockingIOError: another process holds it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def sweep(place: Path, prefix: str) -> None:
    """Remove our user's folders there whose names begin so and that are not held."""
    for left in place.glob(f"{prefix}*"):
        with suppress(OSError):
            found = left.lstat()
            if found.st_uid == os.geteuid() and time.time() - found.st_mtime > FRESH:
                lock = hold(left)
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)
