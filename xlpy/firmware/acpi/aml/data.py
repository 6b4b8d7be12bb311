"""Data objects: integers, strings, buffers, packages, and the ids that are encoded in them (ACPI 6.5, 20.2.3)."""

from __future__ import annotations

import re

from xlpy.errors import FormatError
from xlpy.firmware.acpi.encoding import Term, integer, number, packaged, term, terms
from xlpy.firmware.acpi.guid import guid_bytes

__all__ = [
    "buffer",
    "byte",
    "dword",
    "eisaid",
    "integer",
    "ones",
    "package",
    "qword",
    "string",
    "touuid",
    "var_package",
    "word",
]

_EISA_ID = re.compile(r"[A-Z]{3}[0-9A-F]{4}")


def byte(value: int) -> bytes:
    """ByteConst, whatever the value."""
    return b"\x0a" + number(value, 1)


def word(value: int) -> bytes:
    """WordConst, whatever the value."""
    return b"\x0b" + number(value, 2)


def dword(value: int) -> bytes:
    """DWordConst, whatever the value: four bytes that can be patched later."""
    return b"\x0c" + number(value, 4)


def qword(value: int) -> bytes:
    """QWordConst, whatever the value."""
    return b"\x0e" + number(value, 8)


def ones() -> bytes:
    """OnesOp: all bits of an integer, 32 or 64 as the DSDT's revision says."""
    return b"\xff"


def string(text: str) -> bytes:
    """A String; FormatError unless all characters lie in 0x01-0x7F."""
    if not all(0 < ord(c) < 0x80 for c in text):
        raise FormatError(f"not an AML string: {text!r}", hint="AML strings hold ASCII without NUL")
    return b"\x0d" + text.encode() + b"\0"


def buffer(data: bytes = b"", size: Term | None = None) -> bytes:
    """A Buffer.

    Args:
        data: its first bytes.
        size: its length in bytes, which may be computed; the rest is zeros. By default the length of ``data``.
    """
    return packaged(b"\x11", term(len(data) if size is None else size), data)


def package(*elements: Term) -> bytes:
    """A Package of at most 255 elements; a name in it is a reference."""
    return packaged(b"\x12", number(len(elements), 1), terms(elements))


def var_package(size: Term, *elements: Term) -> bytes:
    """A Package whose number of elements is computed."""
    return packaged(b"\x13", term(size), terms(elements))


def eisaid(text: str) -> bytes:
    """An EISA id such as ``PNP0A03`` as an integer: three letters of five bits, big-endian, and four hex digits.

    The constant is the shortest that holds it, as iasl writes it: ``PNP0000`` is a word.
    """
    if not _EISA_ID.fullmatch(text):
        raise FormatError(f"not an EISA id: {text!r}", hint="an EISA id is three capitals and four hexadecimal digits")
    letters = 0
    for letter in text[:3]:
        letters = letters << 5 | ord(letter) - 0x40
    return integer(int.from_bytes(letters.to_bytes(2, "big") + bytes.fromhex(text[3:]), "little"))


def touuid(text: str) -> bytes:
    """A UUID as a Buffer of its 16 bytes in mixed-endian order."""
    return buffer(guid_bytes(text))
