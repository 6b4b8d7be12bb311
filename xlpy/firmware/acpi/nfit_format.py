"""The NFIT as bytes: layouts of its structures 0 to 7 (ACPI 6.5, 5.2.25.2 to 5.2.25.9), building and parsing.

Each layout describes what follows a structure's type and length, with the field names of its record in ``nfit``. They
are read by ``struct`` and not by construct, unlike other tables: every look at a guest takes an NFIT apart, and to
import construct would be a third of that command.
"""

from __future__ import annotations

from _struct import Struct, calcsize, error, pack, unpack_from  # type: ignore[attr-defined]  # error is there

from xlpy.errors import FormatError
from xlpy.firmware.acpi import nfit
from xlpy.firmware.acpi.guid import guid_bytes, guid_text
from xlpy.firmware.acpi.header import HEADER_SIZE, build_table, check_header
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Unpack

    from xlpy.firmware.acpi.header import Identity


class StructureLayout:
    """The fields of a structure.

    Args:
        fields: ``name code`` of each, by the codes of ``struct``; of what is reserved only the code. The last one may
            be ``name *code``, as many as the field ``count`` says, ``name *s``, all that is left, or ``name ?code``,
            there only with the flag for a location cookie.
    """

    def __init__(self, *fields: str) -> None:
        parts = [("", field) if " " not in field else field.split(" ") for field in fields]
        self._last = parts.pop() if parts[-1][1][0] in "*?" else None
        self._parts = parts
        self._names = [name for name, _ in parts if name]
        self._fixed = Struct("<" + "".join(code for _, code in parts))
        self.size = self._fixed.size

    def parse(self, body: bytes, where: str, offset: int) -> dict[str, Any]:
        """The fields of ``body``, which must be all of it. FormatError: it is not; ``body`` begins at ``offset``."""
        if len(body) < self.size:
            raise _short(body, self._inside(len(body)), where, offset)
        values: dict[str, Any] = dict(zip(self._names, self._fixed.unpack_from(body), strict=True))
        at = self.size
        if self._last:
            name, code = self._last
            count = self._count(values) if code != "*s" else len(body) - at
            what = f"<{count}{code[1]}"
            if at + calcsize(what) > len(body):
                raise _short(body, name, where, offset)
            found = unpack_from(what, body, at)
            values[name] = found if code[0] == "*" and code != "*s" else found[0] if found else 0
            at += calcsize(what)
        if at != len(body):
            raise FormatError(f"{where}: {len(body) - at} bytes follow its last field", offset=offset + at, path=where)
        return values

    def build(self, values: Mapping[str, Any], where: str) -> bytes:
        """The bytes of a structure's fields; FormatError when one does not fit."""
        try:
            data = self._fixed.pack(*(values[name] for name in self._names))
            if self._last:
                name, code = self._last
                count = self._count(values) if code != "*s" else len(values[name])
                many = values[name] if code[0] == "*" and code != "*s" else (values[name],) * (code == "*s" or count)
                data += pack(f"<{count}{code[1]}", *many)
        except error as reason:
            raise FormatError(f"{where}: {reason}", path=where) from reason
        return data

    def _count(self, values: Mapping[str, Any]) -> int:
        return int(values["count"] if "count" in values else bool(values["flags"] & nfit.COOKIE_VALID))

    def _inside(self, length: int) -> str:
        """The field in which a structure of ``length`` bytes ends."""
        end = 0
        for name, code in self._parts:
            end += calcsize(f"<{code}")
            if end > length:
                return name
        raise AssertionError("it does not end before its last field")


def _short(body: bytes, field: str, where: str, offset: int) -> FormatError:
    return FormatError(
        f"{where}: it ends inside {field or 'a reserved field'}, after {len(body)} bytes",
        offset=offset + len(body),
        path=f"{where}.{field}" if field else where,
    )


_IDENTITY = (
    "control_index H",
    "vendor_id H",
    "device_id H",
    "revision_id H",
    "subsystem_vendor_id H",
    "subsystem_device_id H",
    "subsystem_revision_id H",
    "valid_fields B",
    "manufacturing_location B",
    "manufacturing_date H",
    "2x",
    "serial_number I",
    "interface_code H",
    "windows H",
)
_WINDOWS = ("window_size Q", "command_offset Q", "command_size Q", "status_offset Q", "status_size Q", "flags H", "6x")

FORMS: tuple[tuple[type[nfit.Structure], StructureLayout], ...] = (
    (
        nfit.SpaRange,
        StructureLayout(
            "spa_index H",
            "flags H",
            "4x",
            "proximity_domain I",
            "range_type 16s",
            "base Q",
            "length Q",
            "attributes Q",
            "location_cookie ?Q",
        ),
    ),
    (
        nfit.RegionMap,
        StructureLayout(
            "handle I",
            "physical_id H",
            "region_id H",
            "spa_index H",
            "control_index H",
            "region_size Q",
            "region_offset Q",
            "dpa_base Q",
            "interleave_index H",
            "interleave_ways H",
            "flags H",
            "2x",
        ),
    ),
    (
        nfit.InterleaveStructure,
        StructureLayout("interleave_index H", "2x", "count I", "line_size I", "line_offsets *I"),
    ),
    (nfit.Smbios, StructureLayout("4x", "data *s")),
    (nfit.ControlRegion, StructureLayout(*_IDENTITY, *_WINDOWS)),
    (
        nfit.DataWindow,
        StructureLayout(
            "control_index H", "windows H", "start_offset Q", "window_size Q", "capacity Q", "first_block Q"
        ),
    ),
    (nfit.FlushHints, StructureLayout("handle I", "count H", "6x", "addresses *Q")),
    (nfit.Capabilities, StructureLayout("highest B", "3x", "capabilities I", "4x")),
)
_KINDS = {record: number for number, (record, _) in enumerate(FORMS)}
_HEAD = StructureLayout("type H", "length H")
_SHORT = StructureLayout(*_IDENTITY)  # a control region without windows may end here


def _layout(record: type[nfit.Structure], size: int) -> StructureLayout:
    """The layout of a record in a structure of ``size`` bytes."""
    return _SHORT if record is nfit.ControlRegion and size == _HEAD.size + _SHORT.size else FORMS[_KINDS[record]][1]


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
        head = _HEAD.parse(data[at : at + _HEAD.size], where, offset + at)
        length = head["length"]
        if not _HEAD.size <= length <= len(data) - at:
            raise FormatError(
                f"{where}: length {length}, {len(data) - at} bytes are left in the table",
                offset=offset + at + 2,
                path=f"{where}.length",
            )
        body = data[at + _HEAD.size : at + length]
        found.append(_parse_structure(head["type"], body, where, offset + at + _HEAD.size))
        at += length
    return found


def _build_structure(structure: nfit.Structure) -> bytes:
    """The bytes of one structure."""
    if isinstance(structure, nfit.Unknown):
        kind, body = structure.type, structure.data
    else:
        record = type(structure)
        where = f"nfit.{record.__name__}"
        layout = _layout(record, structure.size if isinstance(structure, nfit.ControlRegion) else 0)
        kind, values = _KINDS[record], structure._asdict()
        if isinstance(structure, nfit.SpaRange):
            values["range_type"] = guid_bytes(structure.range_type)
        elif isinstance(structure, nfit.InterleaveStructure):
            values["count"] = len(structure.line_offsets)
        elif isinstance(structure, nfit.FlushHints):
            values["count"] = len(structure.addresses)
        elif layout is _SHORT and values["windows"]:
            raise _too_short(where, values["windows"])
        body = layout.build(values, where)
    return _HEAD.build({"type": kind, "length": _HEAD.size + len(body)}, "nfit.length") + body


def _parse_structure(kind: int, body: bytes, where: str, offset: int) -> nfit.Structure:
    if kind >= len(FORMS):
        return nfit.Unknown(kind, body)
    record = FORMS[kind][0]
    layout = _layout(record, _HEAD.size + len(body))
    values = layout.parse(body, where, offset)
    values.pop("count", None)
    if record is nfit.SpaRange:
        values["range_type"] = guid_text(values["range_type"])
    elif record is nfit.ControlRegion:
        values["size"] = _HEAD.size + len(body)
        if layout is _SHORT and values["windows"]:
            raise _too_short(where, values["windows"], offset + len(body))
    return record(**values)


def _too_short(where: str, windows: int, offset: int | None = None) -> FormatError:
    return FormatError(f"{where}: too short for its {windows} block control windows", offset=offset, path=where)
