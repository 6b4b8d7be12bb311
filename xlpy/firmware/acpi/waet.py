"""The Windows ACPI Emulated devices Table (Microsoft): what a guest may leave out on emulated devices."""

from __future__ import annotations

from construct import Struct

from xlpy.firmware.acpi.gas import U32
from xlpy.firmware.acpi.sdt import TableFormat

RTC_NO_ACK, PM_TIMER_ONE_READ = 1, 2

WAET = TableFormat("WAET", Struct("flags" / U32))
