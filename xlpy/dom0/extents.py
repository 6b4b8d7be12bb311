"""Extents: where the bytes of a file lie on its block device, as the FIEMAP ioctl tells it.

``struct fiemap`` and ``struct fiemap_extent`` (linux/fiemap.h) are little-endian here: the layout of the machines that
have NVDIMMs. All offsets and lengths are bytes; ``physical`` is relative to the block device of the file system.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING

from xlpy.errors import FormatError
from xlpy.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

FS_IOC_FIEMAP = 0xC020660B
FIEMAP_MAX_OFFSET = (1 << 64) - 1
FIEMAP_FLAG_SYNC = 0x1

FIEMAP_EXTENT_LAST = 0x0001
FIEMAP_EXTENT_UNKNOWN = 0x0002
FIEMAP_EXTENT_DELALLOC = 0x0004
FIEMAP_EXTENT_ENCODED = 0x0008
FIEMAP_EXTENT_DATA_ENCRYPTED = 0x0080
FIEMAP_EXTENT_NOT_ALIGNED = 0x0100
FIEMAP_EXTENT_DATA_INLINE = 0x0200
FIEMAP_EXTENT_DATA_TAIL = 0x0400
FIEMAP_EXTENT_UNWRITTEN = 0x0800
FIEMAP_EXTENT_MERGED = 0x1000
FIEMAP_EXTENT_SHARED = 0x2000

# in the order and with the words of filefrag(8)
FLAG_NAMES = {
    FIEMAP_EXTENT_LAST: "last",
    FIEMAP_EXTENT_UNKNOWN: "unknown_loc",
    FIEMAP_EXTENT_DELALLOC: "delalloc",
    FIEMAP_EXTENT_ENCODED: "encoded",
    FIEMAP_EXTENT_DATA_ENCRYPTED: "encrypted",
    FIEMAP_EXTENT_NOT_ALIGNED: "not_aligned",
    FIEMAP_EXTENT_DATA_INLINE: "inline",
    FIEMAP_EXTENT_DATA_TAIL: "tail_packed",
    FIEMAP_EXTENT_UNWRITTEN: "unwritten",
    FIEMAP_EXTENT_MERGED: "merged",
    FIEMAP_EXTENT_SHARED: "shared",
}

_REQUEST = struct.Struct("<QQIIII")
_EXTENT = struct.Struct("<QQQ16xI12x")


class Extent(NamedTuple):
    """``length`` bytes at file offset ``logical`` lie at device offset ``physical``; ``flags`` are FIEMAP_EXTENT_*."""

    logical: int
    physical: int
    length: int
    flags: int


@cache
def flag_names(flags: int) -> tuple[str, ...]:
    """The words of filefrag(8) for a set of flags; bits without a name as hexadecimal numbers."""
    names = [name for bit, name in FLAG_NAMES.items() if flags & bit]
    return (*names, *(f"{1 << i:#x}" for i in range(32) if flags >> i & 1 and 1 << i not in FLAG_NAMES))


def merge(extents: Iterable[Extent]) -> list[Extent]:
    """Join neighbours that continue each other in the file and on the device and differ at most in LAST.

    The kernel may report such neighbours as one or as many, so only merged lists can be compared.
    """
    merged: list[Extent] = []
    for extent in extents:
        if merged:
            last = merged[-1]
            if (
                last.logical + last.length == extent.logical
                and last.physical + last.length == extent.physical
                and not (last.flags ^ extent.flags) & ~FIEMAP_EXTENT_LAST
            ):
                merged[-1] = Extent(last.logical, last.physical, last.length + extent.length, extent.flags)
                continue
        merged.append(extent)
    return merged


def encode_request(start: int, length: int, flags: int, capacity: int) -> bytearray:
    """A ``struct fiemap`` that asks about ``[start, start + length)``, with room for ``capacity`` extents."""
    return bytearray(_REQUEST.pack(start, length, flags, 0, capacity, 0)) + bytearray(capacity * _EXTENT.size)


def decode_reply(reply: bytes | bytearray) -> tuple[int, list[Extent]]:
    """(fm_mapped_extents, the extents that were copied out) of an answered ``struct fiemap``.

    Raises:
        FormatError: the reply is shorter than the extents it claims.
    """
    if len(reply) < _REQUEST.size:
        raise FormatError(f"fiemap reply of {len(reply)} bytes; the header alone has {_REQUEST.size}", offset=0)
    _start, _length, _flags, mapped, capacity, _ = _REQUEST.unpack_from(reply)
    end = _REQUEST.size + min(mapped, capacity) * _EXTENT.size
    if len(reply) < end:
        raise FormatError(f"fiemap reply of {len(reply)} bytes claims {mapped} extents, which need {end}", offset=20)
    return mapped, [Extent._make(raw) for raw in _EXTENT.iter_unpack(memoryview(reply)[_REQUEST.size : end])]
