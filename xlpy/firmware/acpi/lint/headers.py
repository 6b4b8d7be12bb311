"""One table by itself: header, length, checksum, and whether its body can be parsed."""

from __future__ import annotations

from xlpy.errors import FormatError
from xlpy.firmware.acpi.formats import FORMATS
from xlpy.firmware.acpi.header import HEADER_SIZE, verify
from xlpy.firmware.acpi.lint.findings import WARNING, Finding, finding
from xlpy.firmware.acpi.lint.structures import Reserved, Structure, reserved
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.firmware.acpi.walk import Found

# Tables with rules of their own, each of which tells more than the format would; and the bytes that the rules need
# Tables that are one structure, and what must be 0 in them. FADT flags: bits 0 to 23 have a meaning
_RESERVED = {
    "FACP": (
        Reserved("IA-PC boot flags", 109, 2, 0x3F),
        Reserved("byte 111", 111, 1),
        Reserved("flags", 112, 4, 0xFFFFFF),
    ),
    "FACS": (Reserved("flags", 20, 4, 0b11), Reserved("the reserved field", 33, 3), Reserved("OSPM flags", 36, 4, 1)),
    "RSDP": (Reserved("the reserved field", 33, 3),),
    "WAET": (Reserved("flags", 36, 4, 0b11),),
}
_LEAST = {"APIC": 44, "SRAT": 48, "SLIT": 44, "NFIT": 40, "FACP": 116}


def check(name: str, table: Found) -> list[Finding]:
    """Header, length, checksum and layout."""
    data = table.data
    if table.signature == "RSDP":
        from xlpy.firmware.acpi.roots import parse_rsdp

        return tried("rsdp-invalid", name, lambda: parse_rsdp(data)) or _reserved(name, table)
    if table.signature == "FACS":
        return tried("facs-layout", name, lambda: FORMATS["FACS"].parse(data)) or _reserved(name, table)
    if len(data) < HEADER_SIZE:
        return [finding("table-short", name, len(data), f"{len(data)} bytes, a header has {HEADER_SIZE}")]
    found = []
    if not all(0x20 <= byte < 0x7F for byte in data[:4]):
        found.append(finding("table-signature", name, 0, f"signature {data[:4].hex()} is not printable"))
    length = int.from_bytes(data[4:8], "little")
    if length != len(data):
        found.append(finding("table-length", name, 4, f"length says {length} of {len(data)} bytes"))
    if not verify(data):
        right = (data[9] - sum(data)) & 0xFF
        severity = WARNING if table.signature.startswith("OEM") else None  # no operating system uses those by itself
        what = f"checksum {data[9]:#04x}, {right:#04x} is required"
        found.append(finding("table-checksum", name, 9, what, severity))
    if len(data) < _LEAST.get(table.signature, 0):
        what = f"{len(data)} bytes, {_LEAST[table.signature]} are required"
        return [*found, finding("table-layout", name, len(data), what)]
    form = FORMATS.get(table.signature)
    if form is not None and not found and table.signature not in _LEAST:
        found += tried("table-layout", name, lambda: form.parse(data))
    return found or _reserved(name, table)


def _reserved(name: str, table: Found) -> list[Finding]:
    return reserved(name, [Structure(0, 0, table.data)], {0: _RESERVED.get(table.signature, ())})


def tried(code: str, name: str, act: Callable[[], object]) -> list[Finding]:
    """What a reader of a format says, as a finding; nothing when it is content."""
    try:
        act()
    except FormatError as error:
        return [finding(code, name, error.offset, error.message)]
    return []
