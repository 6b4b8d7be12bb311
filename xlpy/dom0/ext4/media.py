"""Touching the bytes of an image file: opening it for stores, and zeroing ranges without using space."""

from __future__ import annotations

import os

from xlpy.contexts import contextmanager
from xlpy.errors import NotFound
from xlpy.hw import media
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 20


@contextmanager
def opened(image: str | os.PathLike[str]) -> Iterator[int]:
    """A descriptor for stores into an image.

    Raises:
        NotFound: no such image. Constraint: it cannot be written, or its file system is full.
    """
    try:
        fd = os.open(image, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)
    except FileNotFoundError as error:
        raise NotFound(f"{os.fspath(image)}: {error.strerror}") from error
    except OSError as error:
        raise media.trouble(image, error) from error


def punch(fd: int, offset: int, length: int) -> None:
    """Make a range of a file read as zeros: as a hole where the file system can make one, else by writing.

    Raises:
        OSError: the file cannot be written.
    """
    if length == 0 or media.punch(fd, offset, length):
        return
    zeros = bytes(min(length, _CHUNK))
    for at in range(offset, offset + length, _CHUNK):
        os.pwrite(fd, zeros[: offset + length - at], at)
