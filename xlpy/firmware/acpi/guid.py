"""GUIDs as tables and AML store them: the first three groups little-endian, the last two in text order."""

from __future__ import annotations

from xlpy.errors import FormatError
from xlpy.uuids import uuid_bytes, uuid_text

NVDIMM_DEVICE = "4309ac30-0d11-11e4-9191-0800200c9a66"  # _DSM of an NVDIMM with Intel's interface


def guid_bytes(text: str) -> bytes:
    """The 16 stored bytes of ``aabbccdd-eeff-gghh-iijj-kkllmmnnoopp``; FormatError when it is not such a text."""
    try:
        return _swapped(uuid_bytes(text))
    except ValueError:
        raise FormatError(f"not a GUID: {text!r}", hint="a GUID has 8-4-4-4-12 hexadecimal digits") from None


def guid_text(data: bytes) -> str:
    """The text, in lower case, of 16 stored bytes."""
    return uuid_text(_swapped(data))


def _swapped(data: bytes) -> bytes:
    """Between text order and stored order, in either direction."""
    return data[3::-1] + data[5:3:-1] + data[7:5:-1] + data[8:16]
