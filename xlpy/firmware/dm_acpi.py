"""The dm-acpi stream: how a device model passes ACPI tables and namespace devices to hvmloader in guest memory.

The design (vNVDIMM for Xen, section 4.3.1) puts entries one after another, without padding; a key in xenstore gives the
stream's length. An entry is

| offset | size | field |
|---|---|---|
| 0 | 1 | type: 0 a complete table, 1 a namespace device |
| 1 | 4 | length of the blob, little-endian, unaligned, not 0 |
| 5 | length | blob |

A table's blob is the table itself, header and correct checksum included. A device's blob is its name, 4 characters
padded with ``_``, and the AML of its body, which may be empty. The device model builds the stream, hvmloader reads it
strictly: a stream that one of them takes and the other does not would be a device that silently is not there.
"""

from __future__ import annotations

from _struct import Struct

from xlpy.errors import FormatError
from xlpy.firmware.acpi.header import verify
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TABLE, DEVICE = 0, 1

_HEAD = Struct("<BI")
HEAD_SIZE = _HEAD.size
_SDT_HEADER = 36
_NAME = 4

_LEAD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_FOLLOW = _LEAD | frozenset(b"0123456789")
# Of one kind the OS takes only one table, except of these, which carry AML.
_MANY = frozenset({b"SSDT"})
_FRAMING = "the length key counts the stream's bytes exactly; entries follow each other without padding"


class DmAcpiEntry(NamedTuple):
    """One entry: its type and its blob, as they stand in the stream."""

    type: int
    blob: bytes

    @property
    def label(self) -> str:
        """The table's signature or the device's name."""
        return self.blob[:4].decode("latin-1")

    @property
    def body(self) -> bytes:
        """A device's AML."""
        return self.blob[_NAME:]


def table_entry(table: bytes) -> DmAcpiEntry:
    """An entry that holds a complete ACPI table."""
    return DmAcpiEntry(TABLE, table)


def device_entry(name: str, body: bytes) -> DmAcpiEntry:
    r"""An entry that becomes ``Device (name) {body}`` in ``\_SB``; the name is padded with ``_`` to 4 characters."""
    return DmAcpiEntry(DEVICE, name.encode("latin-1").ljust(_NAME, b"_") + body)


def build_stream(entries: Iterable[DmAcpiEntry]) -> bytes:
    """The entries as bytes.

    Raises:
        FormatError: an entry that `parse_stream` would refuse.
    """
    stream = b"".join(_HEAD.pack(entry.type, len(entry.blob)) + entry.blob for entry in entries)
    parse_stream(stream)
    return stream


def parse_stream(stream: bytes) -> list[DmAcpiEntry]:
    """All entries of a stream.

    Args:
        stream: exactly the bytes that the length key announces.

    Raises:
        FormatError: anything that is not as this module says; ``offset`` is that of the offending field.
    """
    check = EntryCheck()
    return [check(entry, offset) for offset, entry in split_stream(stream)]


def split_stream(stream: bytes) -> Iterator[tuple[int, DmAcpiEntry]]:
    """The entries with their offsets, as far as the framing goes: types and lengths are checked, blobs are not.

    Raises:
        FormatError: truncated head, unknown type, length 0 or beyond the stream, or no entry at all.
    """
    if not stream:
        raise _error("the stream is empty", 0, 0, "LENGTH", _FRAMING)
    offset = index = 0
    while offset < len(stream):
        left = len(stream) - offset
        if left < HEAD_SIZE:
            what = f"{left} bytes are left where an entry's head of {HEAD_SIZE} starts"
            raise _error(what, index, offset, "TRUNCATED", _FRAMING)
        kind, length = _HEAD.unpack_from(stream, offset)
        if kind not in (TABLE, DEVICE):
            raise _error(f"type is {kind}, required 0 (table) or 1 (device)", index, offset, "TYPE", _FRAMING)
        if length == 0:
            raise _error("length is 0", index, offset + 1, "LENGTH", _FRAMING)
        if length > left - HEAD_SIZE:
            what = f"length is {length}, {left - HEAD_SIZE} bytes are left in the stream"
            raise _error(what, index, offset + 1, "TRUNCATED", _FRAMING)
        blob = offset + HEAD_SIZE
        yield offset, DmAcpiEntry(kind, stream[blob : blob + length])
        offset, index = blob + length, index + 1


class EntryCheck:
    """Checks the entries of one stream, one call each, in order."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, bytes]] = set()
        self._index = 0

    def __call__(self, entry: DmAcpiEntry, offset: int) -> DmAcpiEntry:
        """The entry itself, when its blob is good.

        Args:
            entry: the next entry.
            offset: where it starts in its stream.

        Raises:
            FormatError: a table shorter than its header, whose length field is not the blob's length, whose signature
                is not printable or whose checksum is bad; a device whose name is not 4 characters of ``A-Z``, ``0-9``
                and ``_``; a second table of one signature (but ``SSDT``) or a second device of one name.
        """
        index, blob, at = self._index, entry.blob, offset + HEAD_SIZE
        self._index += 1
        (_check_table if entry.type == TABLE else _check_device)(blob, index, at)
        key = (entry.type, blob if entry.type == TABLE and blob[:4] in _MANY else blob[:4])
        if key in self._seen:
            kind = "table" if entry.type == TABLE else "device"
            hint = "pass each table and each device once"
            raise _error(f"a second {kind} {entry.label}", index, at, "DUPLICATE", hint)
        self._seen.add(key)
        return entry


def _check_table(blob: bytes, index: int, at: int) -> None:
    if len(blob) < _SDT_HEADER:
        what = f"a table of {len(blob)} bytes is shorter than its {_SDT_HEADER}-byte header"
        raise _error(what, index, at, "TABLE", "pass a whole ACPI table")
    if not all(0x20 < c < 0x7F for c in blob[:4]):
        raise _error(f"the signature {blob[:4]!r} is not printable", index, at, "TABLE", "use 4 ASCII characters")
    name, length = blob[:4].decode(), int.from_bytes(blob[4:8], "little")
    if length != len(blob):
        what = f"table {name} says it has {length} bytes, its entry has {len(blob)}"
        raise _error(what, index, at + 4, "TABLE", "the two lengths must be equal")
    if not verify(blob):
        what = f"table {name} has a bad checksum: its bytes sum to {sum(blob) & 0xFF:#04x}, required 0"
        raise _error(what, index, at + 9, "CHECKSUM", "set it in the device model; hvmloader does not correct it")


def _check_device(blob: bytes, index: int, at: int) -> None:
    name = blob[:_NAME]
    if len(name) < _NAME or name[0] not in _LEAD or not _FOLLOW.issuperset(name):
        hint = "names have 4 characters, A-Z 0-9 _, no leading digit, padded with _ (ACPI 6.x, 5.3)"
        raise _error(f"{name!r} is not a device name", index, at, "NAME", hint)


def _error(what: str, index: int, offset: int, code: str, hint: str) -> FormatError:
    return FormatError(
        f"dm-acpi: entry {index}: {what}",
        offset=offset,
        path=f"dm-acpi[{index}]",
        code=f"XLPY-DMACPI-{code}",
        hint=hint,
    )
