"""The image of a file system: the part of a file that is its device, read in place; no mount, no root."""

from __future__ import annotations

import os

from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN
from xlpy.errors import FormatError, file_error
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from xlpy.dom0.extents import Extent


class ImageFile:
    """A device inside a file.

    Args:
        path: the file, or a path below ``/proc/self/fd``.
        offset: where the device begins, in bytes.
        size: bytes of the device; None up to the end of the file.

    Attributes:
        size: bytes of the device that there are.

    Raises:
        NotFound: no such file. Constraint: it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], offset: int = 0, size: int | None = None) -> None:
        self.path, self.offset, self._fd = path, offset, -1
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise file_error(error) from error
        available = max(os.fstat(self._fd).st_size - offset, 0)
        self.size = available if size is None else min(size, available)

    def read(self, at: int, length: int) -> bytes:
        """Bytes of the device. FormatError: not all of them are there."""
        where = f"{os.fspath(self.path)} at {self.offset + at:#x}"
        try:
            data = os.pread(self._fd, length, self.offset + at)
        except OSError as error:
            raise FormatError(f"{where}: {error.strerror}", offset=at) from error
        if len(data) < length:
            raise FormatError(f"{where}: {length} bytes lie beyond its end", offset=at)
        return data

    def close(self) -> None:
        """Release the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def __del__(self) -> None:
        self.close()


def written_places(extents: Iterable[Extent], start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Where on the device the written parts of ``[start, end)`` of a file are: (first byte, behind the last, place)."""
    for extent in extents:
        first, last = max(start, extent.logical), min(end, extent.logical + extent.length)
        if first < last and not extent.flags & FIEMAP_EXTENT_UNWRITTEN:
            yield first, last, extent.physical + first - extent.logical


def read_mapped(
    read: Callable[[int, int], bytes], extents: Iterable[Extent], size: int, offset: int, length: int
) -> bytes:
    """Bytes of a file, cut at its end; holes and unwritten extents read as zeros.

    Args:
        read: as ``ImageFile.read``.
        extents: of the file.
        size: of the file in bytes.
        offset, length: which bytes.
    """
    end = min(offset + length, size)
    data = bytearray(max(end - offset, 0))
    for first, last, place in written_places(extents, offset, end):
        data[first - offset : last - offset] = read(place, last - first)
    return bytes(data)
