"""Tables for people and for scripts: decoded field by field, as text or as JSON values."""

from __future__ import annotations

from xlpy.errors import FormatError
from xlpy.firmware.acpi.formats import FORMATS
from xlpy.firmware.acpi.guid import guid_text
from xlpy.firmware.acpi.header import HEADER_SIZE, Header
from xlpy.typing import Any

AML = ("DSDT", "SSDT", "PSDT")
_BYTES_SHOWN = 64


def decode(signature: str, data: bytes) -> dict[str, Any]:
    """A table as plain values.

    Args:
        signature: as ``walk`` gives it; ``RSDP`` for the root pointer.
        data: the whole table.

    Returns:
        the header's fields (none for RSDP and FACS), then ``fields``, or ``structures`` for an NFIT, or ``objects`` for
        AML; ``error`` where the body cannot be taken apart.
    """
    name = signature.strip()
    shown: dict[str, Any] = {"signature": name}
    try:
        if name == "RSDP":
            from xlpy.firmware.acpi.roots import parse_rsdp

            return {**shown, "fields": parse_rsdp(data)._asdict()}
        if name != "FACS":
            shown |= Header.parse(data)._asdict()
        if name == "NFIT":
            from xlpy.firmware.acpi.nfit_format import parse_nfit

            structures = parse_nfit(data)
            return {**shown, "structures": [{"kind": type(s).__name__, **_plain(s._asdict())} for s in structures]}
        if name in AML:
            return {**shown, **_objects(data)}
        form = FORMATS.get(name)
        if form is not None:
            return {**shown, "fields": _plain(form.parse(data))}
    except FormatError as error:
        return {**shown, "error": str(error)}
    return {**shown, "data": data[HEADER_SIZE:].hex()}


def to_json(signature: str, data: bytes) -> dict[str, Any]:
    """As ``decode``: integers stay integers, bytes become hex."""
    return decode(signature, data)


def to_text(signature: str, data: bytes, address: int) -> str:
    """A table as indented ``name: value`` lines, numbers in hexadecimal."""
    decoded = decode(signature, data)
    lines = [f"{decoded['signature']} at {address:#x}, {len(data)} bytes"]
    for key, value in decoded.items():
        if key != "signature":
            lines += _lines(key, value, "  ")
    return "\n".join(lines) + "\n"


def _lines(key: str, value: object, indent: str) -> list[str]:
    if isinstance(value, dict):
        head = value.get("kind") or value.get("path")
        rest = {k: v for k, v in value.items() if k not in ("kind", "path")}
        if set(rest) <= {"type", "value"}:
            return [f"{indent}{head or key} {rest.get('type', '')}".rstrip() + _value_of(rest)]
        inner = [line for k, v in rest.items() for line in _lines(k, v, indent + "  ")]
        return [f"{indent}{head or key}:", *inner]
    if isinstance(value, list):
        if all(isinstance(item, int) for item in value):
            return [f"{indent}{key}: {' '.join(f'{item:#x}' for item in value)}"]
        return [
            f"{indent}{key}:",
            *(line for at, item in enumerate(value) for line in _lines(str(at), item, indent + "  ")),
        ]
    if isinstance(value, int) and not isinstance(value, bool):
        return [f"{indent}{key}: {value:#x}"]
    return [f"{indent}{key}: {value}"]


def _value_of(fields: dict[str, Any]) -> str:
    value = fields.get("value")
    if value is None:
        return ""
    text = f"{value:#x}" if isinstance(value, int) else str(value)
    return f" = {text if len(text) <= _BYTES_SHOWN else text[: _BYTES_SHOWN - 3] + '...'}"


def _plain(value: Any, key: str = "") -> Any:  # noqa: ANN401 - any parsed value
    """Containers, GUIDs and bytes as JSON values; padding and construct's own keys left out."""
    if isinstance(value, dict):
        return {k: _plain(v, k) for k, v in value.items() if not k.startswith("_") and v is not None}
    if isinstance(value, (bytes, bytearray)):
        return guid_text(bytes(value)) if key == "range_type" and len(value) == 16 else bytes(value).hex()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, int):
        return int(value)
    return value if value is None or isinstance(value, str) else str(value)


def _objects(table: bytes) -> dict[str, Any]:
    """Every object that a definition block makes, loaded by itself: path, type, and the value of constants.

    One that opens a scope of another table ends there, and ``error`` says so.
    """
    from xlpy.firmware.acpi.eval import Interpreter

    interpreter = Interpreter()
    before = {entry["path"] for entry in _flat(interpreter.namespace())}
    interpreter.load(table, strict=False)
    made = [entry for entry in _flat(interpreter.namespace()) if entry["path"] not in before]
    return {"objects": made} | ({"error": str(interpreter.problems[0])} if interpreter.problems else {})


def _flat(entry: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - an evaluator's Entry
    found: dict[str, Any] = {"path": entry.path, "type": entry.type.name.lower()}
    if entry.value is not None:
        found["value"] = entry.value.hex() if isinstance(entry.value, bytes) else _plain(entry.value)
    return [found, *(item for child in entry.children for item in _flat(child))]
