"""Atomic edits of a file system, which can be undone.

An edit is a list of byte ranges with what they held and what they are to hold. It is written to a file beside the image
before the first of them is stored: from the file, the next command stores all of them, or what was there before. The
file has its name only once it is complete.
"""

from __future__ import annotations

import _struct as struct
import os
import time

from xlpy.contexts import suppress
from xlpy.dom0.ext4.media import opened, punch
from xlpy.hw.media import trouble
from xlpy.private import private
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAGIC = b"xlpyedit"
_HEAD = struct.Struct("<QI")  # offset in the file system, length; then the bytes before, then those after


class ByteEdit(NamedTuple):
    """One byte range of an edit.

    at: offset in the file system. before, after: what it held, and what it is to hold; equally long.
    """

    at: int
    before: bytes
    after: bytes


class Journal:
    """The edits of one file system.

    Args:
        image: the file that holds the device.
        offset: where the device lies in it, in bytes.
    """

    def __init__(self, image: str | os.PathLike[str], offset: int) -> None:
        self._image = os.path.abspath(image)  # noqa: PTH100 - pathlib would double the start-up time
        self._offset = offset
        self._stem = f"{self._image}.ext4-{offset:x}.edit-"

    def write(self, stores: Sequence[ByteEdit]) -> str:
        """Keep an edit that is about to be made; its name. HostTrouble: no space for it."""
        name = f"{time.time_ns():020d}"
        new = f"{self._stem}{name}.new"
        parts = [_MAGIC]
        for at, before, after in stores:
            parts += (_HEAD.pack(at, len(before)), before, after)
        try:
            fd = private(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                rest = memoryview(b"".join(parts))
                while rest:
                    rest = rest[os.write(fd, rest) :]
            finally:
                os.close(fd)
            os.rename(new, self._stem + name)  # noqa: PTH104
        except OSError as error:
            with suppress(OSError):
                os.unlink(new)  # noqa: PTH108
            raise trouble(new, error) from error
        return name

    def pending(self) -> list[str]:
        """The names of all edits that are kept, oldest first; what was not finished is removed."""
        folder, stem = os.path.split(self._stem)
        names = sorted(name[len(stem) :] for name in os.listdir(folder) if name.startswith(stem))  # noqa: PTH208
        for name in names:
            if name.endswith(".new"):
                with suppress(FileNotFoundError):
                    os.unlink(self._stem + name)  # noqa: PTH108
        return [name for name in names if not name.endswith(".new")]

    def redo(self, name: str) -> None:
        """Store what an edit is to store. Constraint: the image cannot be written."""
        with opened(self._image) as fd:
            for at, _, after in self._read(name):
                os.pwrite(fd, after, self._offset + at)

    def undo(self, name: str) -> None:
        """Store what was there before an edit. It takes no space that was not taken before."""
        with opened(self._image) as fd:
            for at, before, _ in reversed(list(self._read(name))):
                if os.pread(fd, len(before), self._offset + at) == before:
                    continue
                if any(before):
                    os.pwrite(fd, before, self._offset + at)
                else:
                    punch(fd, self._offset + at, len(before))

    def forget(self, name: str) -> None:
        """An edit stays as it is: it is not kept any longer."""
        with suppress(FileNotFoundError):
            os.unlink(self._stem + name)  # noqa: PTH108

    def _read(self, name: str) -> Iterator[ByteEdit]:
        path = self._stem + name
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                raw = file.read()
        except OSError as error:
            raise trouble(path, error) from error
        at = len(_MAGIC)
        while raw.startswith(_MAGIC) and at < len(raw):
            offset, length = _HEAD.unpack_from(raw, at)
            at += _HEAD.size
            yield ByteEdit(offset, raw[at : at + length], raw[at + length : at + 2 * length])
            at += 2 * length
