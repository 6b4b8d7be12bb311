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
from typing import TYPE_CHECKING

from xlpy.errors import Conflict, Constraint, StateError, XlpyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK_SECONDS = 10.0


class Interrupted(StateError):
    """A program that was changing the image was killed; ``recover`` mends it."""

    code = "XLPY-EXT4-INTERRUPTED"


def lock_path(image: str | os.PathLike[str], offset: int) -> str:
    """The lock file of the file system at ``offset`` of an image."""
    return f"{os.fspath(image)}.ext4-{offset:x}.lock"


def wait_until_whole(image: str | os.PathLike[str], offset: int) -> None:
    """Return when no editor is at work.

    Raises:
        Conflict: one is, for longer than ``LOCK_SECONDS``. Interrupted: one was killed at work.
    """
    path = lock_path(image, offset)
    if not _marked(path):
        return
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        _lock(fd, path)
        if _marked(path):
            raise Interrupted(
                f"{os.fspath(image)}: a program was killed while it changed the file system",
                hint="the next command that changes it repairs it first; by hand: e2fsck -fy",
            )
    finally:
        os.close(fd)


@contextmanager
def editing(image: str | os.PathLike[str], offset: int, repair: Callable[[], None]) -> Iterator[None]:
    """Hold the image for changes.

    Args:
        repair: called first when the previous editor was killed.

    Raises:
        Conflict: another editor holds it for longer than ``LOCK_SECONDS``. Constraint: no lock file can be made.
    """
    path = lock_path(image, offset)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Constraint(f"{path}: {error.strerror}", hint="the folder of the image must be writable") from error
    try:
        _lock(fd, path)
        if _marked(path):
            repair()
        else:
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        try:
            yield
        except Interrupted:
            raise
        except XlpyError:
            os.ftruncate(fd, 0)  # refused or failed in order: the programs closed the file system properly
            raise
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _marked(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0  # noqa: PTH116 - pathlib would double the start-up time
    except OSError:
        return False


def _lock(fd: int, path: str) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Conflict(
                    f"{path}: another process changes the file system", hint="run the command again when it has ended"
                ) from None
            time.sleep(0.01)
        else:
            return
