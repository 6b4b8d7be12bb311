"""Locking: one process edits an image at a time, and none reads it then. Each image has a lock file beside it.

Its time stamp says when the last edit ended, so that readers know when to look again.
"""

from __future__ import annotations

import fcntl
import os
import time

from xlpy.contexts import contextmanager
from xlpy.errors import Conflict, Constraint
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK_SECONDS = 10.0


def lock_path(image: str | os.PathLike[str], offset: int) -> str:
    """The lock file of the file system at ``offset`` of an image."""
    return f"{os.fspath(image)}.ext4-{offset:x}.lock"


@contextmanager
def reading(image: str | os.PathLike[str], offset: int) -> Iterator[int]:
    """Keep editors off an image.

    Yields:
        when the last edit ended, in nanoseconds; 0 when there was none.

    Raises:
        Conflict: an editor is at work for longer than ``LOCK_SECONDS``.
    """
    path = lock_path(image, offset)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield 0
        return
    try:
        _lock(fd, path, fcntl.LOCK_SH)
        yield os.fstat(fd).st_mtime_ns
    finally:
        os.close(fd)


@contextmanager
def editing(
    image: str | os.PathLike[str], offset: int, told: Callable[[int, int], None] | None = None
) -> Iterator[int]:
    """Hold the image for changes.

    Args:
        image: the file. offset: where the file system begins in it.
        told: when the last edit ended and when this one did, in nanoseconds, before anybody else can begin another.

    Yields:
        the descriptor that holds the lock, for a program that is to hold it even when this process dies.

    Raises:
        Conflict: an editor or reader holds the image for longer than ``LOCK_SECONDS``.
        Constraint: no lock file can be made.
    """
    path = lock_path(image, offset)
    try:
        fd = private(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise Constraint(f"{path}: {error.strerror}", hint="the folder of the image must be writable") from error
    try:
        _lock(fd, path, fcntl.LOCK_EX)
        before = os.fstat(fd).st_mtime_ns
        try:
            yield fd
        finally:
            now = max(time.time_ns(), before + 1)  # the clock of files may stand still between two edits
            os.utime(fd, ns=(now, now))
            if told:
                told(before, os.fstat(fd).st_mtime_ns)
    finally:
        os.close(fd)


def _lock(fd: int, path: str, kind: int) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Conflict(
                    f"{path}: another process uses the file system", hint="run the command again when it has ended"
                ) from None
            time.sleep(0.01)
        else:
            return
