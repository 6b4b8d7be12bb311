"""The Firmware ACPI Control Structure (ACPI 6.5, 5.2.10): no common header, no checksum."""

from __future__ import annotations

from construct import Const, Default, Int32ul, Padding, Struct

from xlpy.firmware.acpi.gas import U8, U32, U64
from xlpy.firmware.acpi.sdt import Plain

_LAYOUT = Struct(
    "signature" / Const(b"FACS"),
    "length" / Default(Int32ul, 64),
    "hardware_signature" / U32,
    "firmware_waking_vector" / U32,
    "global_lock" / U32,
    "flags" / U32,
    "x_firmware_waking_vector" / U64,
    "version" / U8,
    Padding(3),
    "ospm_flags" / U32,
    Padding(24),
)
assert _LAYOUT.sizeof() == 64

FACS = Plain("FACS", _LAYOUT)
