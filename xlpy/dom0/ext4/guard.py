"""Keeping an image whole: one editor at a time, and a mark by which the next one sees that an editor was killed.

The programs of e2fsprogs write metadata in place and allocation bitmaps at the end. An editor that dies between the two
leaves blocks in use that count as free. So each image has a lock file beside it, which is not empty while an editor is
at work.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager

from xlpy.errors import Conflict, Constraint, StateError, XlpyError
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK_SECONDS = 10.0


class Interrupted(StateError):
    """A program that was changing the image was killed; ``recover`` mends it."""

    code = "XLPY-EXT4-INTERRUPTED"


def lock_path(image: str | os.PathLike[str], offset: int) -> str:
    """The lock file of the file system at ``offset`` of an image."""
    return f"{os.fspath(image)}.ext4-{offset:x}.lock"


@contextmanager
def reading(image: str | os.PathLike[str], offset: int) -> Iterator[int]:
    """Keep editors off an image.

    Yields:
        when the last edit ended, in nanoseconds; 0 when there was none.

    Raises:
        Conflict: an editor is at work for longer than ``LOCK_SECONDS``. Interrupted: one was killed at work.
    """
    path = lock_path(image, offset)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield 0
        return
    try:
        _lock(fd, path, fcntl.LOCK_SH)
        found = os.fstat(fd)
        if found.st_size:
            raise Interrupted(
                f"{os.fspath(image)}: a program was killed while it changed the file system",
                hint="the next command that changes it repairs it first; by hand: e2fsck -fy",
            )
        yield found.st_mtime_ns
    finally:
        os.close(fd)


def interrupted(image: str | os.PathLike[str], offset: int) -> bool:
    """Whether an editor was killed at work, or is at work."""
    path = lock_path(image, offset)
    return os.path.exists(path) and os.path.getsize(path) > 0  # noqa: PTH110, PTH202 - as all of this room


@contextmanager
def editing(image: str | os.PathLike[str], offset: int, repair: Callable[[int], None]) -> Iterator[int]:
    """Hold the image for changes.

    The programs that change it inherit the descriptor: should this process die, the image stays held until they end.

    Args:
        repair: called with the descriptor first, when the previous editor was killed.

    Yields:
        the descriptor that holds the lock.

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
        if os.fstat(fd).st_size:
            repair(fd)
        try:
            os.pwrite(fd, b"editing\n", 0)
        except OSError as error:
            raise Constraint(f"{path}: {error.strerror}", hint="free some space and run the command again") from error
        try:
            yield fd
        except Interrupted:
            raise
        except XlpyError:
            os.ftruncate(fd, 0)  # refused or failed in order: the programs have closed the file system properly
            raise
        os.ftruncate(fd, 0)
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
