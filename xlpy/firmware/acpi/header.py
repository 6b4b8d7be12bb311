"""What all tables share: the header and the checksum (ACPI 6.5, 5.2.3 and 5.2.6).

Importing this costs nothing. ``sdt`` has the formats, for taking tables apart.
"""

from __future__ import annotations

from _struct import Struct

from xlpy.errors import FormatError
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypedDict

    class Identity(TypedDict, total=False):
        """Who made a table: the keyword arguments of ``build_table`` with these names."""

        oem_id: str
        oem_table_id: str
        oem_revision: int
        creator_id: str
        creator_revision: int


_HEADER = Struct("<4sIBB6s8sI4sI")
HEADER_SIZE = _HEADER.size
CHECKSUM_AT = 9


class Header(NamedTuple):
    """The fields of a table's header; ``length`` in bytes, header included. Texts are without the NULs behind them."""

    signature: str
    length: int
    revision: int
    checksum: int
    oem_id: str
    oem_table_id: str
    oem_revision: int
    creator_id: str
    creator_revision: int

    @classmethod
    def parse(cls, table: bytes) -> Header:
        """Read the first 36 bytes; FormatError when there are fewer."""
        if len(table) < HEADER_SIZE:
            name = next(name for name, end in zip(cls._fields, _ENDS, strict=True) if end > len(table))
            raise FormatError(
                f"header: it ends inside {name}, after {len(table)} bytes", offset=len(table), path=f"header.{name}"
            )
        texts = (
            one.rstrip(b"\0").decode("latin-1") if isinstance(one, bytes) else one for one in _HEADER.unpack_from(table)
        )
        return cls._make(texts)


_ENDS = (4, 8, 9, 10, 16, 24, 28, 32, 36)


def checksum(data: bytes) -> int:
    """The byte that brings ``data`` to a sum of 0 modulo 256, when ``data`` holds 0 in its place."""
    return -sum(data) & 0xFF


def verify(data: bytes) -> bool:
    """Whether all bytes of ``data`` sum to 0 modulo 256."""
    return sum(data) & 0xFF == 0


def build_table(
    signature: str,
    body: bytes,
    revision: int = 1,
    oem_id: str = "Xen",
    oem_table_id: str = "HVM",
    oem_revision: int = 0,
    creator_id: str = "HVML",
    creator_revision: int = 0,
) -> bytes:
    """A whole table: the header, then ``body``, with length and checksum right. The identity defaults to libacpi's.

    Texts are padded with NUL, and cut where they are too long.
    """
    names = (text.encode("latin-1") for text in (signature, oem_id, oem_table_id, creator_id))
    kind, oem, table, creator = names
    length = HEADER_SIZE + len(body)
    head = _HEADER.pack(kind, length, revision, 0, oem, table, oem_revision, creator, creator_revision)
    return set_checksum(head + body, CHECKSUM_AT)


def set_checksum(data: bytes, at: int, size: int | None = None) -> bytes:
    """``data`` with the byte at ``at`` chosen so that the first ``size`` bytes (default: all) sum to 0."""
    head = bytearray(data)
    head[at] = 0
    head[at] = checksum(bytes(head[:size]))
    return bytes(head)


def check_header(table: bytes, signature: str) -> Header:
    """The header of ``table``; FormatError unless signature, length and checksum are right."""
    path = signature.lower()
    head = Header.parse(table)
    if head.signature != signature:
        raise FormatError(f"{path}: signature {head.signature!r}, {signature!r} is required", offset=0, path=path)
    if head.length != len(table):
        raise FormatError(f"{path}: length says {head.length} of {len(table)} bytes", offset=4, path=f"{path}.length")
    if not verify(table):
        right = (head.checksum - sum(table)) & 0xFF
        raise FormatError(
            f"{path}: checksum {head.checksum:#04x}, {right:#04x} is required", offset=9, path=f"{path}.checksum"
        )
    return head
