"""Reading untrusted files: regular files only, and at most a limit of bytes.

A device or a pipe has no end, or none that comes; a file may grow while it is read. So the kind is looked at on the
open descriptor, the size before anything is read, and no more than the limit is read whatever the size was.
"""

from __future__ import annotations

import os
from errno import EISDIR, ENOTDIR, ENXIO
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK, S_ISDIR

from xlpy.addr import format_size
from xlpy.errors import HostTrouble, file_error
from xlpy.functions import partial
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

_STEP = 1 << 20
_KINDS = {S_IFIFO: "a FIFO", S_IFSOCK: "a socket", S_IFCHR: "a character device", S_IFBLK: "a block device"}
opening: Callable[[str], str] | None = None  # called with the path of each file before it is opened; says which to open


def read_file(path: str | os.PathLike[str], limit: int, name: str | None = None, *, nonempty: bool = False) -> bytes:
    """All bytes of a regular file.

    Args:
        path: the file, symbolic links followed.
        limit: bytes that it may have.
        name: what messages call it; None: the path.
        nonempty: whether it must have some.

    Raises:
        NotFound: there is none. HostTrouble: it is no regular file, may not be read, or has more bytes, or none.
    """
    name = os.fspath(path) if name is None else name
    fd, size = _opened(path, name, nonempty)
    try:
        if size > limit:
            raise _too_long(name, limit)
        return _all(partial(os.read, fd), name, limit, max(size + 1, 1 << 16))
    except OSError as error:
        raise file_error(error, name) from None
    finally:
        os.close(fd)


def open_plain(path: str | os.PathLike[str], name: str | None = None, *, nonempty: bool = False) -> BinaryIO:
    """A regular file, open for reading; arguments and errors as ``read_file``."""
    return os.fdopen(_opened(path, os.fspath(path) if name is None else name, nonempty)[0], "rb")


def _opened(path: str | os.PathLike[str], name: str, nonempty: bool) -> tuple[int, int]:
    """A descriptor of a regular file, and its size."""
    if opening is not None:
        path = opening(os.fspath(path))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO without a writer does not stall
    except OSError as error:
        if error.errno == ENXIO:  # a socket
            refuse_special(os.stat(path).st_mode, name)
        raise file_error(error, name) from None
    status = os.fstat(fd)
    try:
        refuse_special(status.st_mode, name)
        if nonempty and not status.st_size:
            raise HostTrouble(f"{name}: Is empty", hint="is it the right file? if so, make it again")
    except HostTrouble:
        os.close(fd)
        raise
    return fd, status.st_size


def refuse_special(mode: int, name: str | os.PathLike[str]) -> None:
    """HostTrouble unless what has this mode is a regular file. name: what messages call it."""
    kind = S_IFMT(mode)
    if kind == S_IFDIR:
        raise file_error(IsADirectoryError(EISDIR, os.strerror(EISDIR)), name)
    if kind != S_IFREG:
        raise HostTrouble(f"{name}: Is {_KINDS.get(kind, 'special')}, not a file", hint="name a regular file")


def require_folder(path: str | os.PathLike[str]) -> None:
    """See that something is a folder. NotFound: it is not there. HostTrouble: it is something else."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise file_error(error) from None
    if not S_ISDIR(mode):
        raise file_error(NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), path))


def read_stream(file: BinaryIO, name: str, limit: int, step: int = _STEP) -> bytes:
    """All bytes of a stream; HostTrouble as soon as there are more than ``limit``.

    Args:
        file: the stream. name: its name in the error.
        limit: bytes that it may have.
        step: bytes that are asked for at a time: memory for so many is taken, used or not.
    """
    return _all(file.read, name, limit, step)


def _all(read: Callable[[int], bytes], name: str, limit: int, step: int) -> bytes:
    data = bytearray()
    while part := read(min(step, _STEP, limit + 1 - len(data))):
        data += part
        if len(data) > limit:
            raise _too_long(name, limit)
    return bytes(data)


def _too_long(name: str, limit: int) -> HostTrouble:
    return HostTrouble(
        f"{name}: Is longer than {format_size(limit)}, the most that is read of such a file",
        hint="is it the right file? docs/limits.md lists what is read of each",
    )
