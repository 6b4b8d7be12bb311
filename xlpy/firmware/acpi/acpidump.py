"""The text format of acpidump, as ``acpixtract`` reads it, and its file names."""

from __future__ import annotations

import re
from collections import Counter

from xlpy.errors import FormatError
from xlpy.firmware.acpi.walk import Found
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Titles as all versions of acpidump write them: "DSDT @ 0xbffe0000", "RSD PTR @ 0xf6cd0", "ASF! @ ...", "SSDT @ (nil)".
# A signature becomes part of a file's name: no slashes.
_TITLE = r"(RSD PTR|[!-.0-?A-\[\]-~][ -.0-?A-\[\]-~]{3}) +@ (?:0[xX])?([0-9A-Fa-f]+|\(nil\))(?![^\s(,])"
TITLE = re.compile(_TITLE, re.ASCII)
TITLE_BYTES = re.compile(_TITLE.encode())
_ROW = re.compile(r"[ \t]+([0-9A-Fa-f]+):[ \t]((?:[0-9A-Fa-f]{2}(?:[ \r\n]|$)){1,16})", re.ASCII)
_WHOLE = 3 * 16 - 1  # characters of sixteen bytes
_ROW_OF_ANY = re.compile(r"[ \t]+[0-9A-Fa-f]+:", re.ASCII)
_PRINTABLE = bytes(code if 0x20 <= code < 0x7F else 0x2E for code in range(256))


def to_hex(tables: Iterable[Found]) -> str:
    """A text with a paragraph for each table: title, and 16 bytes a line."""
    return "\n".join(map(_paragraph, tables))


def _paragraph(table: Found) -> str:
    rows = [f"{table.signature} @ 0x{table.address:016X}"]
    for at in range(0, len(table.data), 16):
        row = table.data[at : at + 16]
        rows.append(f"    {at:04X}: {row.hex(' ').upper():<47}  {row.translate(_PRINTABLE).decode()}")
    return "\n".join(rows) + "\n"


def from_hex(lines: Iterable[str], problems: dict[int, FormatError] | None = None) -> list[Found]:
    """The tables of such a text.

    Whatever acpixtract passes over is passed over: the kernel's warnings between tables, rows without title, comments.

    Args:
        lines: the text, or its lines; a line's end may be there or not.
        problems: where to put what is wrong, by the number of the table, and go on; without it the first trouble is
            raised.

    Raises:
        FormatError: a row at another offset than it says.
    """
    tables: list[tuple[str, int, bytearray]] = []
    rows: bytearray | None = None
    for number, line in enumerate(lines.splitlines() if isinstance(lines, str) else lines, 1):
        row = _ROW.match(line)
        if row and rows is not None and len(row[2]) >= _WHOLE and int(row[1], 16) == len(rows):
            rows += bytes.fromhex(row[2])
        elif rows is not None and _ROW_OF_ANY.match(line):
            if row and int(row[1], 16) == len(rows) and (line[row.end() :] + " ")[0].isspace():
                rows += bytes.fromhex(row[2])
                continue
            what = (
                f"a row at {row[1]} does not follow the lines before it" if row else "a row with half a byte, or none"
            )
            error = FormatError(
                f"line {number}: {what}: {len(rows):#x} is next",
                path=tables[-1][0].lower(),
                hint="the text was cut or edited: take the dump anew",
            )
            if problems is None:
                raise error
            problems[len(tables) - 1] = error
            rows = None  # one report is enough: what follows in this table is out of place as well
        elif " @ " in line and (title := TITLE.match(line)):
            rows = bytearray()
            signature = "RSDP" if title[1].startswith("RSD ") else title[1]
            tables.append((signature, 0 if title[2] == "(nil)" else int(title[2], 16), rows))
    return [Found(signature, address, bytes(data)) for signature, address, data in tables]


def is_dump(data: bytes) -> bool:
    """Whether there is a title in a text of one byte a character."""
    at = data.find(b" @ ")
    while at >= 0:
        start = max(data.rfind(b"\n", max(0, at - 16), at), data.rfind(b"\r", max(0, at - 16), at)) + 1
        if at - start <= len("RSD PTR") and TITLE_BYTES.match(data, start):
            return True
        at = data.find(b" @ ", at + 1)
    return False


def file_names(tables: Sequence[Found]) -> list[str]:
    """A file name for each table, as ``acpidump -b`` names them: ``facp.dat``; ``ssdt1.dat`` if there are several.

    Characters of a broken signature that have a meaning in paths, or none, become ``_``.
    """
    total = Counter(table.signature for table in tables)
    seen: Counter[str] = Counter()
    names = []
    for table in tables:
        seen[table.signature] += 1
        number = str(seen[table.signature]) if total[table.signature] > 1 else ""
        stem = re.sub(r"[^ -.0-?A-\[\]-~]", "_", table.signature.lower())
        names.append(f"{stem}{number}.dat")
    return names
