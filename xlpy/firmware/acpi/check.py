"""Lint for a set of ACPI tables: what an operating system would stumble over, and what it would silently get wrong."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from xlpy.errors import FormatError
from xlpy.firmware.acpi.fadt import LENGTHS
from xlpy.firmware.acpi.formats import FORMATS
from xlpy.firmware.acpi.header import verify
from xlpy.firmware.acpi.sdt import HEADER_SIZE
from xlpy.firmware.acpi.walk import Found
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path


ERROR, WARNING = "error", "warning"
MANY = ("SSDT", "PSDT", "OEM0", "OEM1", "OEM2")  # tables of which there may be several
AML = ("DSDT", "SSDT", "PSDT")


class Finding(NamedTuple):
    """One thing that is wrong.

    severity: ``error`` (an operating system refuses or misreads it) or ``warning``. table: its name, such as ``ssdt2``.
    offset: byte offset in the table, or None. message: what was found and what is required.
    """

    severity: str
    table: str
    offset: int | None
    message: str

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at {self.offset:#x}"
        return f"{self.severity}: {self.table}{place}: {self.message}"


def read_tables(path: Path) -> list[Found]:
    """Tables from outside: a folder of ``*.dat`` files, one raw table, or a text that acpidump made.

    Returns:
        the tables by file name; addresses are 0 where nothing says them.

    Raises:
        FormatError: no table, or a text that is none of these.
    """
    from xlpy.firmware.acpi.acpidump import from_hex

    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in (".dat", ".aml", ".bin"))
        if not files:
            raise FormatError(f"{path}: no table in this folder", hint="tables end in .dat, .aml or .bin")
        return [_raw(file.read_bytes()) for file in files]
    data = path.read_bytes()
    if b" @ 0x" in data[:64].split(b"\n")[0]:
        return from_hex(data.decode("utf-8", "replace"))
    return [_raw(data)]


def _raw(data: bytes) -> Found:
    signature = "RSDP" if data[:8] == b"RSD PTR " else data[:4].decode("latin-1")
    return Found(signature, 0, data)


def check(tables: Sequence[Found]) -> list[Finding]:
    """Everything that is wrong with a set of tables.

    Args:
        tables: from ``walk`` or ``read_tables``. Pointers are followed where the tables have addresses.
    """
    names = _names(tables)
    found: list[Finding] = []
    for name, table in zip(names, tables, strict=True):
        found += _one(name, table)
    count = Counter(table.signature for table in tables)
    for signature, many in count.items():
        # hvmloader builds an FADT for the RSDT and another for the XSDT; whoever has an XSDT sees one
        if many > 1 and signature not in MANY and not signature.startswith("OEM") and signature != "FACP":
            found.append(
                Finding(ERROR, signature.lower(), None, f"{many} tables; an operating system uses the first only")
            )
    if any(table.address for table in tables):
        found += _pointers(names, tables)
    for name, table in zip(names, tables, strict=True):
        if table.signature == "NFIT":
            found += _nfit(name, table.data)
    return found + _aml(names, tables)


def _names(tables: Iterable[Found]) -> list[str]:
    seen: Counter[str] = Counter()
    names = []
    for table in tables:
        seen[table.signature] += 1
        number = seen[table.signature]
        names.append(table.signature.strip().lower() + (str(number) if number > 1 else ""))
    return names


def _one(name: str, table: Found) -> list[Finding]:
    """Header, length, checksum and layout of one table."""
    data = table.data
    if table.signature == "RSDP":
        from xlpy.firmware.acpi.roots import parse_rsdp

        return _tried(name, lambda: parse_rsdp(data))
    if table.signature == "FACS":
        return _tried(name, lambda: FORMATS["FACS"].parse(data))
    if len(data) < HEADER_SIZE:
        return [Finding(ERROR, name, len(data), f"{len(data)} bytes, a header has {HEADER_SIZE}")]
    found = []
    if not all(0x20 <= byte < 0x7F for byte in data[:4]):
        found.append(Finding(ERROR, name, 0, f"signature {data[:4].hex()} is not printable"))
    length = int.from_bytes(data[4:8], "little")
    if length != len(data):
        found.append(Finding(ERROR, name, 4, f"length says {length} of {len(data)} bytes"))
    if not verify(data):
        found.append(Finding(ERROR, name, 9, f"bytes sum to {sum(data) & 0xFF:#04x}, 0 is required"))
    form = FORMATS.get(table.signature)
    if form is not None and not found:
        found += _tried(name, lambda: form.parse(data))
    return found


def _tried(name: str, act: Callable[[], object]) -> list[Finding]:
    try:
        act()
    except FormatError as error:
        return [Finding(ERROR, name, error.offset, error.message)]
    return []


def _pointers(names: Sequence[str], tables: Sequence[Found]) -> list[Finding]:
    """Root tables and FADT point to tables that are there, and tables do not overlap."""
    from xlpy.firmware.acpi.roots import RSDT, XSDT

    at = {table.address: table for table in tables}
    found = []
    for name, table in zip(names, tables, strict=True):
        if table.signature == "RSDP":
            found += _rsdp(name, table.data, at)
        if table.signature in ("RSDT", "XSDT"):
            try:
                entries = (RSDT if table.signature == "RSDT" else XSDT).parse(table.data).entries
            except FormatError:
                continue  # reported already
            width = 4 if table.signature == "RSDT" else 8
            for number, entry in enumerate(entries):
                where = HEADER_SIZE + width * number
                if entry in entries[:number]:
                    found.append(Finding(ERROR, name, where, f"entry {number} points to {entry:#x}, as another does"))
                elif entry not in at and table.signature == "XSDT":
                    found.append(Finding(ERROR, name, where, f"entry {number} points to {entry:#x}: no table there"))
        if table.signature == "FACP":
            found += _fadt(name, table.data, at)
    placed = sorted((table.address, len(table.data), name) for name, table in zip(names, tables, strict=True))
    for (first, size, one), (second, _, two) in pairwise(placed):
        if first and first + size > second:
            found.append(
                Finding(ERROR, two, None, f"at {second:#x} it overlaps {one}, which ends at {first + size:#x}")
            )
    return found


def _rsdp(name: str, data: bytes, at: dict[int, Found]) -> list[Finding]:
    from xlpy.firmware.acpi.roots import parse_rsdp

    try:
        rsdp = parse_rsdp(data)
    except FormatError:
        return []  # reported already
    found = []
    for root, address, where in (("RSDT", rsdp.rsdt_address, 16), ("XSDT", rsdp.xsdt_address, 24)):
        target = at.get(address)
        if address and (target is None or target.signature != root):
            there = target.signature if target else "nothing"
            found.append(Finding(ERROR, name, where, f"{root} is said to be at {address:#x}, {there} is there"))
    if not rsdp.rsdt_address and not rsdp.xsdt_address:
        found.append(Finding(ERROR, name, 16, "it points to no RSDT and no XSDT"))
    return found


def _fadt(name: str, data: bytes, at: dict[int, Found]) -> list[Finding]:
    if len(data) < HEADER_SIZE:
        return []  # reported already
    found = []
    wanted = LENGTHS.get(data[8], len(data))
    if len(data) < wanted:
        found.append(Finding(WARNING, name, 4, f"{len(data)} bytes, revision {data[8]} has {wanted}"))
    for what, narrow, wide in (("FACS", 36, 132), ("DSDT", 40, 140)):
        low = int.from_bytes(data[narrow : narrow + 4], "little")
        high = int.from_bytes(data[wide : wide + 8], "little") if len(data) >= wide + 8 else 0
        if low and high and low != high:
            found.append(
                Finding(WARNING, name, wide, f"{what} is at {low:#x} by one field and at {high:#x} by the other")
            )
        target = at.get(high or low)
        if target is None:
            if what == "DSDT":
                found.append(Finding(ERROR, name, narrow, f"no {what} at {high or low:#x}"))
        elif target.signature != what:
            found.append(
                Finding(ERROR, name, narrow, f"{what} is said to be at {high or low:#x}, {target.signature} is there")
            )
    return found


def _nfit(name: str, data: bytes) -> list[Finding]:
    """Structures that can be taken apart and belong together."""
    from xlpy.firmware.acpi import nfit_format, nfit_links

    try:
        structures = nfit_format.parse_nfit(data)
    except FormatError as error:
        return [Finding(ERROR, name, error.offset, error.message)]
    starts, at = [], HEADER_SIZE + 4
    for _ in structures:
        starts.append(at)
        at += int.from_bytes(data[at + 2 : at + 4], "little")
    return [Finding(ERROR, name, starts[number], message) for number, message in nfit_links.problems(structures)]


def _aml(names: Sequence[str], tables: Sequence[Found]) -> list[Finding]:
    """Definition blocks load together, and each method can be compiled."""
    blocks = [(name, t) for name, t in zip(names, tables, strict=True) if t.signature in AML]
    if not blocks:
        return []
    from xlpy.firmware.acpi.eval import Interpreter

    interpreter = Interpreter()
    found, seen = [], 0
    for name, table in sorted(blocks, key=lambda block: block[1].signature != "DSDT"):
        interpreter.load(table.data, strict=False)
        found += [
            Finding(ERROR, name, problem.offset, f"{problem.status}: {problem.message}")
            for problem in interpreter.problems[seen:]
        ]
        seen = len(interpreter.problems)
    for problem in interpreter.compile_all():
        table_name = (problem.path or "aml").split(" ")[0].lower()
        found.append(Finding(ERROR, table_name, problem.offset, f"{problem.status}: {problem.message}"))
    if blocks[0][1].signature != "DSDT" and not any(t.signature == "DSDT" for _, t in blocks):
        found.append(Finding(WARNING, "dsdt", None, "there is none: SSDTs are judged without it"))
    return found
