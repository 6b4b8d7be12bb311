"""statx(2), which reports what stat(2) does not: whether a file uses DAX.

Python has it from 3.15 on; here it is called through the C library (glibc 2.28, musl 1.2.2 or later).
"""

from __future__ import annotations

import ctypes
import os
from _struct import Struct

from xlpy.records import NamedTuple

AT_FDCWD = -100
STATX_ATTR_ENCRYPTED = 0x800
STATX_ATTR_VERITY = 0x100000
STATX_ATTR_DAX = 0x200000

_HEAD = Struct("<IIQ")  # mask, block size, attributes
_ATTRIBUTES_MASK_AT = 56
_SIZE = 256


class Attributes(NamedTuple):
    """``stx_attributes``, and ``stx_attributes_mask``: which of them the file system and kernel report."""

    bits: int
    known: int


def attributes(path: str) -> Attributes | None:
    """The attributes of a file, symbolic links followed; None where the C library has no statx.

    Raises:
        OSError: as stat(2).
    """
    try:
        call = ctypes.CDLL(None, use_errno=True).statx
    except AttributeError:
        return None
    buffer = ctypes.create_string_buffer(_SIZE)
    if call(AT_FDCWD, os.fsencode(path), 0, 0, buffer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return decode(buffer.raw)


def decode(reply: bytes) -> Attributes:
    """What a ``struct statx`` says of attributes."""
    _, _, bits = _HEAD.unpack_from(reply)
    return Attributes(bits, int.from_bytes(reply[_ATTRIBUTES_MASK_AT:][:8], "little"))
