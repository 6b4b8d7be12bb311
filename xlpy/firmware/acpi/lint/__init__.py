"""A lint for sets of ACPI tables: what an operating system would reject, and what it would silently misread.

    for finding in check(Source(tables)):
        print(finding.severity, finding.code, finding.table, finding.offset, finding.message)

Severities and codes are in ``findings``; each rule has one home among the other modules.
"""

from __future__ import annotations

from collections import Counter

from xlpy.firmware.acpi.lint import affinity, blocks, headers, interrupts, pointers
from xlpy.firmware.acpi.lint.findings import ERROR, NOTE, RULES, SEVERITIES, WARNING, Finding, Rule, finding
from xlpy.firmware.acpi.lint.sources import TableSource, read_tables
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from xlpy.firmware.acpi.walk import Found

__all__ = [
    "ERROR",
    "NOTE",
    "RULES",
    "SEVERITIES",
    "WARNING",
    "Finding",
    "Rule",
    "TableSource",
    "check",
    "read_tables",
]

# Tables of which there may be several: definition blocks, OEM tables, and UEFI tables, which a GUID tells apart
MANY = ("SSDT", "PSDT", "UEFI", "FACP")  # hvmloader builds an FADT for the RSDT and another for the XSDT
_RULES: dict[str, Callable[[str, bytes], list[Finding]]] = {
    "APIC": interrupts.check,
    "SRAT": affinity.check_srat,
    "SLIT": affinity.check_slit,
    "FACP": pointers.check_fadt,
}


def check(source: TableSource) -> list[Finding]:
    """Everything that is wrong with the tables of one machine, by table, those that concern several at the end."""
    tables = source.tables
    names = table_names(tables)
    found = [finding("dump-row", error.path or "dump", None, error.message) for error in source.problems]
    sound = []
    for name, table in zip(names, tables, strict=True):
        broken = headers.check(name, table)
        found += broken
        if not any(one.code in ("table-short", "table-layout", "rsdp-invalid") for one in broken):
            sound.append((name, table))
    nodes = next((affinity.domains(table.data) for _, table in sound if table.signature == "SRAT"), None)
    for name, table in sound:
        rules = _RULES.get(table.signature)
        if rules:
            found += rules(name, table.data)
        elif table.signature == "NFIT":
            from xlpy.firmware.acpi.lint import nfit_table

            found += nfit_table.check(name, table.data, nodes)
    found += _copies(names, tables)
    found += _pointers(names, source)
    return found + blocks.check(names, tables)


def table_names(tables: Iterable[Found]) -> list[str]:
    """What findings call each table: ``dsdt``, ``ssdt``, ``ssdt2``, ..."""
    seen: Counter[str] = Counter()
    names = []
    for table in tables:
        seen[table.signature] += 1
        number = seen[table.signature]
        names.append(table.signature.strip().lower() + (str(number) if number > 1 else ""))
    return names


def _copies(names: Sequence[str], tables: Sequence[Found]) -> list[Finding]:
    """Tables that may be there once are there once. The FACS of the RSDT's FADT and that of the XSDT's are two."""
    first: dict[str, bytes] = {}
    found = []
    for name, table in zip(names, tables, strict=True):
        signature = table.signature
        if signature in MANY or signature.startswith("OEM"):
            continue
        data = first.setdefault(signature, table.data)
        if data is table.data:
            continue
        if data == table.data or signature == "FACS":
            found.append(finding("table-copy", name, None, f"a copy of {signature.lower()}"))
        else:
            what = f"a second {signature}; an operating system uses the first only"
            found.append(finding("table-twice", name, None, what))
    return found


def _pointers(names: Sequence[str], source: TableSource) -> list[Finding]:
    """Pointers, as far as the input says where tables were; and once, what it lacks."""
    tables = source.tables
    addresses = {table.address for table in tables}
    located = len(addresses) > 1 or (source.walked and addresses != {0})
    lacks = [what for what in ("RSDP", "DSDT") if not any(table.signature == what for table in tables)]
    missing: list[Finding] = []
    found = pointers.check(names, tables, missing) if located else []
    if source.walked:
        return found + missing
    if located and not lacks:
        found, missing = found + missing, []
    parts = [f"no {what}" for what in lacks]
    if len(tables) == 1:
        parts = [f"one table, {names[0]}"]
    elif not located:
        parts.append("no addresses" if addresses == {0} else f"one address, {min(addresses):#x}, for all tables")
    if missing:
        parts.append(f"{len(missing)} tables that others point to are missing")
    if parts:
        text = f"a partial dump: {', '.join(parts)}; nothing is said about what is not in it"
        found.append(finding("dump-partial", "dump", None, text))
    return found
