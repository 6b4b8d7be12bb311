"""The Generic Address Structure (ACPI 6.5, 5.2.3.2), and fields that may be left out when building."""

from __future__ import annotations

from construct import Construct, Default, Int8ul, Int16ul, Int32ul, Int64ul, Struct

from xlpy.typing import Any

U8, U16, U32, U64 = (Default(form, 0) for form in (Int8ul, Int16ul, Int32ul, Int64ul))

SYSTEM_MEMORY, SYSTEM_IO = 0, 1
BYTE_ACCESS = 1  # access_size

ADDRESS = Struct("space_id" / U8, "bit_width" / U8, "bit_offset" / U8, "access_size" / U8, "address" / U64)
assert ADDRESS.sizeof() == 12

GAS: Construct[Any, Any] = Default(ADDRESS, {})
