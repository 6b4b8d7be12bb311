"""Reading untrusted files: regular files only, and at most a limit of bytes.

A device or a pipe has no end, or none that comes; a file may grow while it is read. So the kind is looked at on the
open descriptor, the size before anything is read, and no more than the limit is read whatever the size was.
"""

from __future__ import annotations

import os
from stat import S_ISREG

from xlpy.addr import format_size
from xlpy.errors import Constraint, NotFound
from xlpy.functions import partial
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from xlpy.errors import XlpyError

_STEP = 1 << 20
opening: Callable[[str], str] | None = None  # called with the path of each file before it is opened; says which to open


def read_file(path: str | os.PathLike[str], limit: int, kind: type[XlpyError] = Constraint) -> bytes:
    """All bytes of a regular file.

    Args:
        path: the file, symbolic links followed.
        limit: bytes that it may have.
        kind: of the error when it is no regular file, or has more.

    Raises:
        OSError: it cannot be opened or read.
    """
    fd, size = _opened(path, kind)
    try:
        if size > limit:
            raise _too_long(os.fspath(path), limit, kind)
        return _all(partial(os.read, fd), os.fspath(path), limit, kind, max(size + 1, 1 << 16))
    finally:
        os.close(fd)


def open_plain(path: str | os.PathLike[str], kind: type[XlpyError] = Constraint) -> BinaryIO:
    """A regular file, open for reading; errors as ``read_file``."""
    return os.fdopen(_opened(path, kind)[0], "rb")


def _opened(path: str | os.PathLike[str], kind: type[XlpyError]) -> tuple[int, int]:
    """A descriptor of a regular file, and its size."""
    if opening is not None:
        path = opening(os.fspath(path))
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO without a writer does not stall
    status = os.fstat(fd)
    if S_ISREG(status.st_mode):
        return fd, status.st_size
    os.close(fd)
    raise kind(f"{os.fspath(path)} is not a plain file", hint="copy what it holds into a file, and give that")


def unreadable(
    what: str, error: OSError, kind: type[XlpyError] = Constraint, hint: str = "check the path"
) -> XlpyError:
    """The error for a file that cannot be opened: NotFound where there is none, else one of ``kind``.

    Args:
        what: the file, and what it is. hint: what to do.
    """
    missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
    return (NotFound if missing else kind)(f"{what}: {error.strerror}", hint=hint)


def read_stream(file: BinaryIO, name: str, limit: int, kind: type[XlpyError] = Constraint, step: int = _STEP) -> bytes:
    """All bytes of a stream; an error of ``kind`` as soon as there are more than ``limit``.

    Args:
        file: the stream. name: its name in the error.
        limit: bytes that it may have. kind: of the error.
        step: bytes that are asked for at a time: memory for so many is taken, used or not.
    """
    return _all(file.read, name, limit, kind, step)


def _all(read: Callable[[int], bytes], name: str, limit: int, kind: type[XlpyError], step: int) -> bytes:
    data = bytearray()
    while part := read(min(step, _STEP, limit + 1 - len(data))):
        data += part
        if len(data) > limit:
            raise _too_long(name, limit, kind)
    return bytes(data)


def _too_long(name: str, limit: int, kind: type[XlpyError]) -> XlpyError:
    return kind(
        f"{name} is longer than {format_size(limit)}, the most that is read of such a file",
        hint="is it the right file? docs/limits.md lists what is read of each",
    )
