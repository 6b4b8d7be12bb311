"""From table to table: the root tables and the FADT lead to tables that are there, and no two share addresses."""

from __future__ import annotations

from itertools import pairwise

from xlpy.errors import FormatError
from xlpy.firmware.acpi.fadt import LENGTHS
from xlpy.firmware.acpi.header import HEADER_SIZE
from xlpy.firmware.acpi.lint.findings import Finding, finding
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xlpy.firmware.acpi.walk import Found

_X_GPE0, _X_GPE1 = 220, 232  # offsets of generic addresses
_SYSTEM_IO = 1


def check(names: Sequence[str], tables: Sequence[Found], missing: list[Finding]) -> list[Finding]:
    """Follow every pointer.

    Args:
        names: of the tables.
        tables: all with their addresses.
        missing: where to put pointers that lead to nothing: in a dump, that may be the dump's fault.
    """
    at = {table.address: table for table in tables}
    found: list[Finding] = []
    for name, table in zip(names, tables, strict=True):
        if table.signature == "RSDP":
            found += _rsdp(name, table.data, at, missing)
        if table.signature in ("RSDT", "XSDT"):
            found += _root(name, table, at, missing)
        if table.signature == "FACP":
            found += _fadt_targets(name, table.data, at, missing)
    placed = sorted((table.address, len(table.data), name) for name, table in zip(names, tables, strict=True))
    for (first, size, one), (second, _, two) in pairwise(placed):
        if first and first + size > second and at[first].data != at[second].data:
            what = f"at {second:#x} it overlaps {one}, which ends at {first + size:#x}"
            found.append(finding("tables-overlap", two, None, what))
    return found


def check_fadt(name: str, data: bytes) -> list[Finding]:
    """What the FADT says of itself."""
    found = []
    revision = data[8]
    wanted = LENGTHS.get(revision, 0)
    if len(data) < wanted:
        found.append(finding("fadt-length", name, 4, f"{len(data)} bytes, revision {revision} has {wanted}"))
    for what, narrow, wide in (("FACS", 36, 132), ("DSDT", 40, 140)):
        low, high = _addresses(data, narrow, wide)
        if low and high and low != high:
            text = f"{what} is at {low:#x} by one field and at {high:#x} by the other"
            found.append(finding("fadt-address", name, wide, text))
    for what, place in (("X_GPE0_BLK", _X_GPE0), ("X_GPE1_BLK", _X_GPE1)):
        block = data[place : place + 12]
        if revision >= 3 and len(block) == 12 and block[1] and block[0] == _SYSTEM_IO and not block[3]:
            text = f"{what} has access width 0 (undefined); 1, a byte, is usual"
            found.append(finding("fadt-access-width", name, place + 3, text))
    return found


def _root(name: str, table: Found, at: Mapping[int, Found], missing: list[Finding]) -> Iterator[Finding]:
    width = 4 if table.signature == "RSDT" else 8
    seen = set()
    for number, where in enumerate(range(HEADER_SIZE, len(table.data) - width + 1, width)):
        entry = int.from_bytes(table.data[where : where + width], "little")
        if entry in seen and entry:
            yield finding("rsdt-entry-twice", name, where, f"entry {number} points to {entry:#x}, as another does")
        elif entry not in at and entry and table.signature == "XSDT":
            text = f"entry {number} points to {entry:#x}: no table there"
            missing.append(finding("rsdt-target", name, where, text))
        seen.add(entry)


def _rsdp(name: str, data: bytes, at: Mapping[int, Found], missing: list[Finding]) -> Iterator[Finding]:
    from xlpy.firmware.acpi.roots import parse_rsdp

    try:
        rsdp = parse_rsdp(data)
    except FormatError:
        return  # reported already
    for root, address, where in (("RSDT", rsdp.rsdt_address, 16), ("XSDT", rsdp.xsdt_address, 24)):
        target = at.get(address)
        if not address:
            continue
        if target is None:
            what = f"{root} is said to be at {address:#x}, nothing is there"
            missing.append(finding("rsdp-target", name, where, what))
        elif target.signature != root:
            what = f"{root} is said to be at {address:#x}, {target.signature} is there"
            yield finding("rsdp-target", name, where, what)
    if not rsdp.rsdt_address and not rsdp.xsdt_address:
        yield finding("rsdp-target", name, 16, "it points to no RSDT and no XSDT")


def _addresses(data: bytes, narrow: int, wide: int) -> tuple[int, int]:
    low = int.from_bytes(data[narrow : narrow + 4], "little")
    return low, int.from_bytes(data[wide : wide + 8], "little") if len(data) >= wide + 8 else 0


def _fadt_targets(name: str, data: bytes, at: Mapping[int, Found], missing: list[Finding]) -> Iterator[Finding]:
    for what, narrow, wide in (("FACS", 36, 132), ("DSDT", 40, 140)):
        low, high = _addresses(data, narrow, wide)
        target = at.get(high or low)
        if target is None and what == "DSDT":  # a FACS is optional where hardware is reduced
            missing.append(finding("fadt-target", name, narrow, f"no DSDT at {high or low:#x}"))
        elif target is not None and target.signature != what:
            text = f"{what} is said to be at {high or low:#x}, {target.signature} is there"
            yield finding("fadt-target", name, narrow, text)
