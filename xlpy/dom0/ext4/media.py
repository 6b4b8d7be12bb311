"""Touching the bytes of an image file: opening it for stores, and zeroing ranges without using space."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from xlpy.errors import Constraint, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
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
        raise Constraint(
            f"{os.fspath(image)}: {error.strerror}", hint="see whether it is writable and there is space"
        ) from error


def punch(fd: int, offset: int, length: int) -> None:
    """Make a range of a file read as zeros: as a hole where the file system can make one, else by writing.

    Raises:
        OSError: the file cannot be written.
    """
    import ctypes

    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    if length == 0 or fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length) == 0:
        return
    error = ctypes.get_errno()
    if error not in (errno.EOPNOTSUPP, errno.ENOSYS):
        raise OSError(error, os.strerror(error))
    zeros = bytes(min(length, _CHUNK))
    for at in range(offset, offset + length, _CHUNK):
        os.pwrite(fd, zeros[: offset + length - at], at)
