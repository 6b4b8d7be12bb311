"""The text format of acpidump, as ``acpixtract`` reads it, and its file names."""

from __future__ import annotations

import re
from collections import Counter

from xlpy.errors import FormatError
from xlpy.firmware.acpi.walk import Found
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TITLE = re.compile(r"(\w{4}) @ (0x[0-9A-Fa-f]+)\s*", re.ASCII)
_ROW = re.compile(r"\s+([0-9A-Fa-f]{4,}):((?: [0-9A-Fa-f]{2}){1,16})(?:  .*)?")
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


def from_hex(text: str) -> list[Found]:
    """The tables of such a text.

    Raises:
        FormatError: a line that is neither title nor row nor empty, or a row at another offset than it says.
    """
    tables: list[tuple[str, int, bytearray]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if title := _TITLE.fullmatch(line):
            tables.append((title[1], int(title[2], 16), bytearray()))
        elif row := _ROW.fullmatch(line):
            if not tables or int(row[1], 16) != len(tables[-1][2]):
                raise FormatError(f"line {number}: a row at {row[1]} does not follow the lines before it")
            tables[-1][2].extend(bytes.fromhex(row[2]))
        elif line.strip():
            raise FormatError(
                f"line {number}: not a line of acpidump's output: {line[:60]!r}",
                hint='a table is "SIGN @ 0xADDRESS" and rows of up to 16 bytes: "    0000: 46 41 43 50 ..."',
            )
    return [Found(signature, address, bytes(data)) for signature, address, data in tables]


def file_names(tables: Sequence[Found]) -> list[str]:
    """A file name for each table, as ``acpidump -b`` names them: ``facp.dat``; ``ssdt1.dat`` if there are several."""
    total = Counter(table.signature for table in tables)
    seen: Counter[str] = Counter()
    names = []
    for table in tables:
        seen[table.signature] += 1
        number = str(seen[table.signature]) if total[table.signature] > 1 else ""
        names.append(f"{table.signature.lower()}{number}.dat")
    return names
