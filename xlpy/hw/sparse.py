"""Copying sparse files: holes stay holes, so that the cost follows what was ever written."""

from __future__ import annotations

import errno
import os

from xlpy.addr import MIB, PAGE
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = MIB


def written(fd: int, start: int, length: int, chunk: int = CHUNK) -> Iterator[tuple[int, bytes]]:
    """(offset, data) of the parts of ``[start, start + length)`` that are not holes, page aligned, in chunks.

    Args:
        fd: of the file. start, length: what part of it.
        chunk: bytes of the largest piece.
    """
    at, end = start, start + length
    while at < end:
        try:
            first = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole follows
                return
            raise
        first = max(first // PAGE * PAGE, at)
        if first >= end:
            return
        stop = min(-(-os.lseek(fd, first, os.SEEK_HOLE) // PAGE) * PAGE, end)
        at = first
        while at < stop:
            data = os.pread(fd, min(chunk, stop - at), at)
            if not data:  # the file is shorter than it was
                return
            yield at, data
            at += len(data)


def copy(source: int, start: int, length: int, target: int, at: int = 0) -> None:
    """Copy a range of one descriptor to offset ``at`` of another, where nothing but a hole is."""
    for offset, data in written(source, start, length):
        os.pwrite(target, data, at + offset - start)
