"""The NFIT as bytes: layouts of its structures 0 to 7 (ACPI 6.5, 5.2.25.2 to 5.2.25.9), building and taking apart.

Each construct describes what follows a structure's type and length, with the field names of its record in ``nfit``.
"""

from __future__ import annotations

from typing import Unpack

from construct import (
    Array,
    Bytes,
    Check,
    Construct,
    ExprAdapter,
    GreedyBytes,
    If,
    Int8ul,
    Int16ul,
    Int32ul,
    Int64ul,
    Padding,
    Rebuild,
    Struct,
    len_,
    this,
)

from xlpy.errors import FormatError
from xlpy.firmware.acpi import nfit
from xlpy.firmware.acpi.guid import guid_bytes, guid_text
from xlpy.firmware.acpi.sdt import HEADER_SIZE, build, build_table, check_header, parse
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.firmware.acpi.header import Identity

GUID: Construct[str, str] = ExprAdapter(Bytes(16), lambda data, _: guid_text(data), lambda words, _: guid_bytes(words))

SPA_RANGE = Struct(
    "spa_index" / Int16ul,
    "flags" / Int16ul,
    Padding(4),
    "proximity_domain" / Int32ul,
    "range_type" / GUID,
    "base" / Int64ul,
    "length" / Int64ul,
    "attributes" / Int64ul,
    "location_cookie" / If(this.flags & nfit.COOKIE_VALID, Int64ul),
)

REGION_MAP = Struct(
    "handle" / Int32ul,
    "physical_id" / Int16ul,
    "region_id" / Int16ul,
    "spa_index" / Int16ul,
    "control_index" / Int16ul,
    "region_size" / Int64ul,
    "region_offset" / Int64ul,
    "dpa_base" / Int64ul,
    "interleave_index" / Int16ul,
    "interleave_ways" / Int16ul,
    "flags" / Int16ul,
    Padding(2),
)

INTERLEAVE = Struct(
    "interleave_index" / Int16ul,
    Padding(2),
    "count" / Rebuild(Int32ul, len_(this.line_offsets)),
    "line_size" / Int32ul,
    "line_offsets" / Array(this.count, Int32ul),
)

SMBIOS = Struct(Padding(4), "data" / GreedyBytes)

IDENTITY = Struct(
    "control_index" / Int16ul,
    "vendor_id" / Int16ul,
    "device_id" / Int16ul,
    "revision_id" / Int16ul,
    "subsystem_vendor_id" / Int16ul,
    "subsystem_device_id" / Int16ul,
    "subsystem_revision_id" / Int16ul,
    "valid_fields" / Int8ul,
    "manufacturing_location" / Int8ul,
    "manufacturing_date" / Int16ul,
    Padding(2),
    "serial_number" / Int32ul,
    "interface_code" / Int16ul,
    "windows" / Int16ul,
)

CONTROL_REGION = IDENTITY + Struct(
    "window_size" / Int64ul,
    "command_offset" / Int64ul,
    "command_size" / Int64ul,
    "status_offset" / Int64ul,
    "status_size" / Int64ul,
    "flags" / Int16ul,
    Padding(6),
)

CONTROL_REGION_SHORT = IDENTITY + Struct(Check(this.windows == 0))  # the rest is left out when there are no windows

DATA_WINDOW = Struct(
    "control_index" / Int16ul,
    "windows" / Int16ul,
    "start_offset" / Int64ul,
    "window_size" / Int64ul,
    "capacity" / Int64ul,
    "first_block" / Int64ul,
)

FLUSH_HINTS = Struct(
    "handle" / Int32ul,
    "count" / Rebuild(Int16ul, len_(this.addresses)),
    Padding(6),
    "addresses" / Array(this.count, Int64ul),
)

CAPABILITIES = Struct(
    "highest" / Int8ul,
    Padding(3),
    "capabilities" / Int32ul,
    Padding(4),
)

HEAD = Struct("type" / Int16ul, "length" / Int16ul)

FORMS: tuple[tuple[type[nfit.Structure], Construct[Any, Any]], ...] = (
    (nfit.SpaRange, SPA_RANGE),
    (nfit.RegionMap, REGION_MAP),
    (nfit.Interleave, INTERLEAVE),
    (nfit.Smbios, SMBIOS),
    (nfit.ControlRegion, CONTROL_REGION),
    (nfit.DataWindow, DATA_WINDOW),
    (nfit.FlushHints, FLUSH_HINTS),
    (nfit.Capabilities, CAPABILITIES),
)
_KINDS = {record: number for number, (record, _) in enumerate(FORMS)}


def _form(record: type[nfit.Structure], size: int) -> Construct[Any, Any]:
    """The construct of a record in a structure of ``size`` bytes."""
    short = record is nfit.ControlRegion and size == HEAD.sizeof() + CONTROL_REGION_SHORT.sizeof()
    return CONTROL_REGION_SHORT if short else FORMS[_KINDS[record]][1]


def build_nfit(structures: Iterable[nfit.Structure], revision: int = 1, **identity: Unpack[Identity]) -> bytes:
    """A whole NFIT; ``identity`` as for ``sdt.build_table``."""
    return build_table("NFIT", bytes(4) + build_structures(structures), revision, **identity)


def parse_nfit(table: bytes) -> list[nfit.Structure]:
    """The structures of a whole NFIT, in order.

    Raises:
        FormatError: wrong signature, length or checksum; a structure that does not fit in the table, or whose length is
            not that of its type and content. Links between structures are not followed here.
    """
    check_header(table, "NFIT")
    start = HEADER_SIZE + 4
    if len(table) < start:
        raise FormatError(f"nfit: {len(table)} bytes, at least {start} are required", offset=len(table), path="nfit")
    return parse_structures(table[start:], start, "nfit")


def build_structures(structures: Iterable[nfit.Structure]) -> bytes:
    """The structures back to back, as ``_FIT`` returns them; FormatError when a field does not fit."""
    return b"".join(map(_build_structure, structures))


def parse_structures(data: bytes, offset: int = 0, path: str = "fit") -> list[nfit.Structure]:
    """All structures in ``data``; on their own they are what ``_FIT`` returned.

    Args:
        data: structures back to back.
        offset: where ``data`` starts in what the user knows as ``path``.
        path: for errors.

    Raises:
        FormatError: a length below 4, beyond the data, or other than the structure's type and content ask for.
    """
    found: list[nfit.Structure] = []
    at = 0
    while at < len(data):
        where = f"{path}.structures[{len(found)}]"
        head = parse(HEAD, data[at : at + HEAD.sizeof()], where, offset + at)
        if not HEAD.sizeof() <= head.length <= len(data) - at:
            raise FormatError(
                f"{where}: length {head.length}, {len(data) - at} bytes are left in the table",
                offset=offset + at + 2,
                path=f"{where}.length",
            )
        body = data[at + HEAD.sizeof() : at + head.length]
        found.append(_parse_structure(head.type, body, where, offset + at + HEAD.sizeof()))
        at += head.length
    return found


def _build_structure(structure: nfit.Structure) -> bytes:
    """The bytes of one structure."""
    if isinstance(structure, nfit.Unknown):
        kind, body = structure.type, structure.data
    else:
        record = type(structure)
        size = structure.size if isinstance(structure, nfit.ControlRegion) else 0
        kind = _KINDS[record]
        body = build(_form(record, size), structure._asdict(), f"nfit.{record.__name__}")
    return build(HEAD, {"type": kind, "length": HEAD.sizeof() + len(body)}, "nfit.length") + body


def _parse_structure(kind: int, body: bytes, where: str, offset: int) -> nfit.Structure:
    if kind >= len(FORMS):
        return nfit.Unknown(kind, body)
    record = FORMS[kind][0]
    size = HEAD.sizeof() + len(body)
    fields = parse(_form(record, size), body, where, offset)
    values = {name: fields[name] for name in record._fields if fields.get(name) is not None}
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
    if record is nfit.ControlRegion:
        values["size"] = size
    return record(**values)
