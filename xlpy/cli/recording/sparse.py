"""Contents of sparse files as their non-zero pages: packed, compared, restored."""

from __future__ import annotations

import _struct as struct
import os
import zlib

from xlpy.addr import PAGE
from xlpy.digest import blake2b
from xlpy.errors import StateError
from xlpy.hw.sparse import written
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEAD = struct.Struct("<QI")
_ZEROS = bytes(PAGE)


def pages(fd: int) -> Iterator[tuple[int, bytes]]:
    """(offset, content) of the pages of a file that are not all zeros; the last may be short."""
    for offset, data in written(fd, 0, os.fstat(fd).st_size):
        if data == bytes(len(data)):
            continue
        for at in range(0, len(data), PAGE):
            page = data[at : at + PAGE]
            if page != _ZEROS[: len(page)]:
                yield offset + at, page


def checks(fd: int) -> dict[int, int]:
    """A CRC of each page that is not all zeros, by its offset."""
    return {offset: zlib.crc32(page) for offset, page in pages(fd)}


def changed(fd: int, before: dict[int, int]) -> Iterator[tuple[int, bytes]]:
    """(offset, content) of the pages that are not as ``checks`` found them."""
    left = dict(before)
    for offset, page in pages(fd):
        if left.pop(offset, None) != zlib.crc32(page):
            yield offset, page
    for offset in left:
        yield offset, os.pread(fd, PAGE, offset)


def pack(rows: Iterable[tuple[int, bytes]], size: int) -> bytes:
    """Pages as one compressed text, with the size of their file in front."""
    packer = zlib.compressobj(1)
    parts = [packer.compress(struct.pack("<Q", size))]
    for offset, data in rows:
        parts.append(packer.compress(_HEAD.pack(offset, len(data)) + data))
    return b"".join([*parts, packer.flush()])


def unpack(blob: bytes, most: int) -> tuple[int, list[tuple[int, bytes]]]:
    """(size of the file, pages).

    Args:
        most: bytes that it may have, unpacked.

    Raises:
        StateError: it is not what ``pack`` made, or has more.
    """
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(blob, most)
    except zlib.error as error:
        raise StateError(f"pages that cannot be unpacked: {error}") from None
    if unpacker.unconsumed_tail or len(data) < 8:
        raise StateError("pages that are no pages, or too many")
    rows, at = [], 8
    while at < len(data):
        if len(data) - at < _HEAD.size:
            raise StateError("pages that end too early")
        offset, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        rows.append((offset, data[at : at + length]))
        if len(rows[-1][1]) != length or offset + length > 1 << 62:
            raise StateError("pages that end too early")
        at += length
    return int.from_bytes(data[:8], "little"), rows


def digest(fd: int) -> str:
    """A digest of a file's size and content."""
    found = blake2b(str(os.fstat(fd).st_size).encode(), digest_size=12)
    for offset, page in pages(fd):
        found.update(offset.to_bytes(8, "little"))
        found.update(page)
    return found.hexdigest()
