"""Files that commands read and write: those that are named, or the standard streams."""

from __future__ import annotations

import os
import sys
from errno import EIO

from xlpy.cli.show import binary
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import BinaryIO, Self

    from xlpy.cli.ndctl.session import NdctlSession


def _told(session: NdctlSession, path: str, error: OSError) -> None:
    session.err(f"failed to open: {path}: ({error.strerror})")


class Output:
    """Where a command's data go; a context that closes it.

    Args:
        session: for warnings.
        stream: for bytes.
        standard: it is standard output.
    """

    def __init__(self, session: NdctlSession, stream: BinaryIO, standard: bool) -> None:
        self.warning, self.release = session.warning, session.release
        self._stream = stream
        self.standard = standard

    @classmethod
    def open(cls, session: NdctlSession, path: str | None) -> Output | int:
        """A file by name, emptied first, or standard output; a negative errno (reported) on failure."""
        if path is None:
            return cls(session, binary(), standard=True)
        try:
            return cls(session, open(path, "w+b", opener=private), standard=False)
        except OSError as error:
            _told(session, path, error)
            return -(error.errno or EIO)

    def write(self, data: bytes) -> None:
        """Write bytes."""
        self._stream.write(data)

    def out(self, *texts: str) -> None:
        """Write text."""
        self._stream.write("".join(texts).encode("utf-8", "surrogateescape"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.standard:
            self._stream.flush()
        else:
            self._stream.close()


class Input:
    """Where a command's data come from.

    Args:
        data: all of it, up to the limit.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    @classmethod
    def open(cls, session: NdctlSession, path: str | None, limit: int) -> Input | None:
        """A file by name, or standard input; None when it cannot be opened, which has been reported."""
        try:
            if path is None:
                return cls(sys.stdin.buffer.read(limit) if sys.stdin else b"")
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(fd, "rb") as stream:
                return cls(stream.read(limit) or b"")
        except OSError as error:
            _told(session, path or "<stdin>", error)
            return None

    def read(self, length: int) -> bytes:
        """The first ``length`` bytes."""
        return self._data[:length]
