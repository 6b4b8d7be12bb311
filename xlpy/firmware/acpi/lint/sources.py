"""Tables made elsewhere: folders of raw tables, single tables, and dumps as text."""

from __future__ import annotations

from xlpy import limits
from xlpy.errors import FormatError
from xlpy.firmware.acpi.header import HEADER_SIZE
from xlpy.firmware.acpi.walk import Found
from xlpy.inputs import read_file, read_stream
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import BinaryIO

SUFFIXES = (".dat", ".aml", ".bin")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")  # what a redirection in PowerShell writes


class TableSource(NamedTuple):
    """What was read.

    tables: in the order in which they were found; addresses are 0 where nothing says them. problems: what is wrong with
    the text, by table. walked: whether the tables were found by following pointers, so that none of them is missing.
    """

    tables: Sequence[Found]
    problems: Sequence[FormatError] = ()
    walked: bool = False


def read_tables(path: Path) -> list[TableSource]:
    """The tables of each machine: a folder of raw tables or one raw table is one machine, a dump may hold several.

    Raises:
        FormatError: no table. Others as ``read_file``.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise FormatError(f"{path}: no table in this folder", hint="tables end in .dat, .aml or .bin")
        left, tables = limits.TABLES, []
        for file in files:
            tables.append(_raw(data := read_file(file, left)))
            left -= len(data)
        return [TableSource(tables)]
    return tables_in(read_file(path, limits.TABLES, nonempty=True), str(path))


def tables_in(data: bytes, name: str) -> list[TableSource]:
    """As ``read_tables``, of a file's content; ``name`` is for messages."""
    lines = _lines(data)
    if lines is None:
        return [TableSource(_bare(data, name))]
    from xlpy.firmware.acpi.acpidump import from_hex

    problems: dict[int, FormatError] = {}
    tables = from_hex(lines, problems)
    if not tables:
        raise FormatError(f"{name}: no table in this text", hint='a table begins with a line such as "DSDT @ 0x1000"')
    sources, start = [], 0
    for part in by_machine(tables):
        end = start + len(part)
        sources.append(TableSource(part, [error for at, error in problems.items() if start <= at < end]))
        start = end
    return sources


def _bare(data: bytes, name: str) -> list[Found]:
    """One table, or several back to back, as ``acpixtract -m`` and acpi_firmware have them.

    Raises:
        FormatError: it does not look like a table at all.
    """
    if data[:8] == b"RSD PTR ":
        return [_raw(data)]
    if len(data) < HEADER_SIZE or data[7]:  # a length of 16 MiB and more is text, or anything else
        raise FormatError(
            f"{name} is neither an ACPI table nor a dump of any",
            hint='a table begins with its signature and its length; a dump has lines such as "DSDT @ 0x1000"',
        )
    found, at = [], 0
    while at + HEADER_SIZE <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append(_raw(data[at : at + length]))
        if length < HEADER_SIZE:
            break
        at += length
    return found if at == len(data) and all(one.signature.isascii() for one in found) else [_raw(data)]


def from_stream(file: BinaryIO, name: str) -> list[TableSource]:
    """As ``read_tables``, of a stream, such as standard input."""
    return tables_in(read_stream(file, name, limits.TABLES), name)


def by_machine(tables: Sequence[Found]) -> list[list[Found]]:
    """Tables of several machines, one dump behind the other, apart.

    A machine has one RSDP, one XSDT and one DSDT: where one of these comes again, a DSDT with other content, the next
    begins.
    Tables that a dump has before its first of these belong to the machine whose tables they stand among.
    """
    starts: list[int] = [0]
    seen: dict[str, bytes] = {}
    first_of_machine = tables[0].signature if tables else ""
    for number, table in enumerate(tables):
        if table.signature not in ("RSDP", "XSDT", "DSDT"):
            continue
        if table.signature in seen and (table.signature != "DSDT" or seen["DSDT"] != table.data):
            start = number
            while start > starts[-1] + 1 and tables[start].signature != first_of_machine:
                start -= 1
            starts.append(start if tables[start].signature == first_of_machine else number)
            seen = {one.signature: one.data for one in tables[starts[-1] : number]}
        seen[table.signature] = table.data
    return [list(tables[start:end]) for start, end in zip(starts, [*starts[1:], len(tables)], strict=True)]


def _lines(data: bytes) -> Iterable[str] | None:
    """The lines of a dump; None for anything else. Line ends of all three kinds may be mixed."""
    from io import BytesIO, TextIOWrapper

    from xlpy.firmware.acpi.acpidump import is_dump

    wide = data[:2] in _UTF16
    if not wide and (int.from_bytes(data[4:8], "little") == len(data) or not is_dump(data)):
        return None
    return TextIOWrapper(BytesIO(data), "utf-16" if wide else "latin-1", "replace")


def _raw(data: bytes) -> Found:
    signature = "RSDP" if data[:8] == b"RSD PTR " else data[:4].decode("latin-1")
    return Found(signature, 0, data)
