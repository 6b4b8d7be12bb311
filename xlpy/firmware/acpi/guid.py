"""GUIDs as tables and AML store them: the first three groups little-endian, the last two in text order."""

from __future__ import annotations

from xlpy.errors import FormatError

_GROUPS = [8, 4, 4, 4, 12]
_DIGITS = frozenset("0123456789abcdefABCDEF")


def guid_bytes(text: str) -> bytes:
    """The 16 stored bytes of ``aabbccdd-eeff-gghh-iijj-kkllmmnnoopp``; FormatError when it is not such a text."""
    groups = text.split("-")
    if [len(group) for group in groups] != _GROUPS or not _DIGITS.issuperset("".join(groups)):
        raise FormatError(f"not a GUID: {text!r}", hint="a GUID has 8-4-4-4-12 hexadecimal digits")
    a, b, c, d, e = map(bytes.fromhex, groups)
    return a[::-1] + b[::-1] + c[::-1] + d + e


def guid_text(data: bytes) -> str:
    """The text, in lower case, of 16 stored bytes."""
    groups = (data[3::-1], data[5:3:-1], data[7:5:-1], data[8:10], data[10:16])
    return "-".join(group.hex() for group in groups)
