"""The HPET table (IA-PC HPET specification 1.0a, 3.2.4)."""

from __future__ import annotations

from construct import Struct

from xlpy.firmware.acpi.gas import GAS, U8, U16, U32
from xlpy.firmware.acpi.sdt import TableFormat

HPET = TableFormat(
    "HPET",
    Struct("event_timer_block_id" / U32, "base_address" / GAS, "hpet_number" / U8, "min_tick" / U16, "protection" / U8),
)
