"""Fletcher-64, the checksum of info blocks, index blocks, labels and interleave-set cookies (UEFI 2.7, 13.19)."""

from __future__ import annotations

import _struct as struct
from itertools import accumulate

_LOW = 0xFFFFFFFF


def fletcher64(data: bytes | bytearray | memoryview) -> int:
    """The checksum of ``data``, whose length is a multiple of 4: two running sums over little-endian 32-bit words.

    The lower sum wraps at 32 bits. The upper one adds up the lower one after each word and is shifted into the upper
    half, where only its low 32 bits survive: so neither needs to wrap before the end.
    """
    words: tuple[int, ...] = struct.unpack(f"<{len(data) // 4}I", data)
    return (sum(accumulate(words)) & _LOW) << 32 | sum(words) & _LOW


def seal(block: bytearray, field: int) -> bytes:
    """``block`` with its checksum written at byte ``field``; the field counts as zero while summing."""
    block[field : field + 8] = bytes(8)
    struct.pack_into("<Q", block, field, fletcher64(block))
    return bytes(block)


def sealed(block: bytes | memoryview, field: int) -> tuple[int, int]:
    """(stored, computed) checksum of a block that keeps it at byte ``field``; equal when the block is intact."""
    (stored,) = struct.unpack_from("<Q", block, field)
    blank = bytearray(block)
    blank[field : field + 8] = bytes(8)
    return stored, fletcher64(blank)
