"""Two sets of ACPI tables, compared: field by field where the format is known, object by object where there is AML.

What follows from other differences is marked as derived: lengths, checksums, and addresses of tables. Without it, two
machines of one kind differ in what they are told, not in where their firmware happened to put it.
"""

from __future__ import annotations

from xlpy.errors import FormatError
from xlpy.firmware.acpi.asl import AML, disassemble
from xlpy.firmware.acpi.lint import table_names
from xlpy.firmware.acpi.text import decode
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xlpy.firmware.acpi.asl import Listing
    from xlpy.firmware.acpi.walk import Found

ADDED, REMOVED, CHANGED = "added", "removed", "changed"

Value = int | str | list[str] | None  # lines of ASL are a list

# Fields that follow from others: of every header, and of tables that point to tables
_HEADER = ("length", "checksum")
_POINTERS = {
    "RSDP": ("checksum", "extended_checksum", "rsdt_address", "xsdt_address"),
    "RSDT": ("entries",),
    "XSDT": ("entries",),
    "FACP": ("firmware_ctrl", "x_firmware_ctrl", "dsdt", "x_dsdt"),
}
# What tells the structures of a table apart, by their type or record
_KEYS = {
    "SpaRange": ("spa_index",),
    "RegionMap": ("handle", "region_id"),
    "Interleave": ("interleave_index",),
    "ControlRegion": ("control_index",),
    "DataWindow": ("control_index",),
    "FlushHints": ("handle",),
}


class Difference(NamedTuple):
    """One difference.

    table: its name, such as ``ssdt2``. change: ``added`` (only the second has it), ``removed`` or ``changed``. where:
    the field, structure or object; empty for the table as a whole. old, new: values: numbers, texts, or the lines of
    ASL; None where there is none. derived: whether it follows from other differences.
    """

    table: str
    change: str
    where: str
    old: Value
    new: Value
    derived: bool = False


def compare(old: Sequence[Found], new: Sequence[Found]) -> list[Difference]:
    """Every difference between two machines' tables, in the order of the first one's."""
    listings = [_listings(tables) for tables in (old, new)]
    names = [dict(zip(map(id, tables), table_names(tables), strict=True)) for tables in (old, new)]
    found: list[Difference] = []
    for one, other in _pairs(old, new, *listings):
        if one is None and other is not None:
            found.append(Difference(names[1][id(other)], ADDED, "", None, f"{len(other.data)} bytes"))
        elif one is not None and other is None:
            found.append(Difference(names[0][id(one)], REMOVED, "", f"{len(one.data)} bytes", None))
        elif one is not None and other is not None and one.data != other.data:
            name = names[0][id(one)]
            texts = [of.get(id(table)) for of, table in zip(listings, (one, other), strict=True)]
            found += _table(name, one, other, *texts)
    return found


def _listings(tables: Sequence[Found]) -> dict[int, Listing]:
    """The AML of each definition block, by the table's identity; those that are too short for a header have none."""
    blocks = [table for table in tables if table.signature in AML and len(table.data) >= 36]
    return dict(zip(map(id, blocks), disassemble([block.data for block in blocks]), strict=True))


def _pairs(
    old: Sequence[Found], new: Sequence[Found], mine: Mapping[int, Listing], theirs: Mapping[int, Listing]
) -> Iterator[tuple[Found | None, Found | None]]:
    """Which table is which: the equal ones first, then those that have most in common."""
    left = list(new)
    waiting, partner = [], {}
    for table in old:
        same = next((other for other in left if other.signature == table.signature and other.data == table.data), None)
        if same is None:
            waiting.append(table)
        else:
            left.remove(same)
            partner[id(table)] = same
    for table in waiting:
        kin = [other for other in left if other.signature == table.signature]
        if kin:
            best = max(kin, key=lambda other: _likeness(table, other, mine, theirs))
            left = [other for other in left if other is not best]
            partner[id(table)] = best
    for table in old:
        yield table, partner.get(id(table))
    for table in left:
        yield None, table


def _likeness(
    one: Found, other: Found, mine: Mapping[int, Listing], theirs: Mapping[int, Listing]
) -> tuple[float, bool]:
    """How much two tables of one signature have in common: objects of AML, and the OEM table id."""
    shared = 0.0
    if id(one) in mine and id(other) in theirs:
        paths, others = mine[id(one)].objects.keys(), theirs[id(other)].objects.keys()
        shared = len(paths & others) / (len(paths | others) or 1)
    return shared, one.data[16:24] == other.data[16:24]


def _table(name: str, one: Found, other: Found, mine: Listing | None, theirs: Listing | None) -> Iterator[Difference]:
    fields = [_flat(one), _flat(other)]
    derived = _POINTERS.get(one.signature, ()) + (() if one.signature == "RSDP" else _HEADER)
    for change, where, old, new in _changes(*fields):
        yield Difference(name, change, where, old, new, where.partition("[")[0].rpartition(".")[2] in derived)
    if mine is not None and theirs is not None:
        texts = [{path: [thing.kind, *thing.lines] for path, thing in of.objects.items()} for of in (mine, theirs)]
        changes = list(_changes(*texts))
        yield from (Difference(name, *change) for change in changes)
        if not changes and one.data[36:] != other.data[36:]:  # what makes no object, such as statements between them
            yield Difference(name, CHANGED, "statements", mine.text.split("\n"), theirs.text.split("\n"))


def _changes(old: Mapping[str, Value], new: Mapping[str, Value]) -> Iterator[tuple[str, str, Value, Value]]:
    for where, value in old.items():
        if where not in new:
            yield REMOVED, where, value, None
        elif new[where] != value:
            yield CHANGED, where, value, new[where]
    for where, value in new.items():
        if where not in old:
            yield ADDED, where, None, value


def _flat(table: Found) -> dict[str, Value]:
    """The fields of a table by their paths; its bytes, a row each, where the format is not known."""
    if table.signature in AML:
        decoded = _header(table)
    else:
        decoded = decode(table.signature, table.data)
        decoded.pop("signature", None)
        if "error" in decoded or "data" in decoded:
            decoded.pop("data", None)
            body = 0 if "revision" not in decoded else 36
            rows = range(body, len(table.data), 16)
            decoded["bytes"] = {f"{at:#x}": table.data[at : at + 16].hex(" ") for at in rows}
    found: dict[str, Value] = {}
    _flatten(decoded, "", found)
    return found


def _header(table: Found) -> dict[str, Any]:
    from xlpy.firmware.acpi.header import Header

    try:
        return Header.parse(table.data)._asdict()
    except FormatError:
        return {"length": len(table.data)}


def _flatten(value: Any, path: str, found: dict[str, Value]) -> None:  # noqa: ANN401 - any decoded value
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(
                inner, f"{path}.{key}" if path and key != "fields" else path or ("" if key == "fields" else key), found
            )
    elif isinstance(value, list):
        seen: dict[str, int] = {}
        for item in value:
            label = _label(item)
            seen[label] = seen.get(label, -1) + 1
            number = str(seen[label]) if not label or seen[label] or " " not in label else ""
            _flatten(item, f"{path}[{' '.join(filter(None, (label, number)))}]", found)
    else:
        found[path] = value


def _label(item: Any) -> str:  # noqa: ANN401 - any decoded value
    """What a structure of a list is: its kind, and the indices that tell it from others of its kind."""
    if not isinstance(item, dict):
        return ""
    kind = item.get("kind") or (f"type {item['type']}" if "type" in item else "")
    keys = [f"{item[key]:#x}" for key in _KEYS.get(kind, ())]
    return " ".join((kind, *keys))
