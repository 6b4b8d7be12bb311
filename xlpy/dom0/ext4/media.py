"""Zeroing ranges of an image file without using space."""

from __future__ import annotations

import errno
import os

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_CHUNK = 1 << 20


def punch(fd: int, offset: int, length: int) -> None:
    """Make a range of a file read as zeros: as a hole where the file system can, else by writing.

    Raises:
        OSError: the file cannot be written.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    fallocate = libc.fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    if length == 0 or fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length) == 0:
        return
    error = ctypes.get_errno()
    if error not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM):
        raise OSError(error, os.strerror(error))
    zeros = bytes(min(length, _CHUNK))
    for at in range(offset, offset + length, _CHUNK):
        os.pwrite(fd, zeros[: offset + length - at], at)
