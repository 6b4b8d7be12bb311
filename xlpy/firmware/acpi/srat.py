"""The System Resource Affinity Table (ACPI 6.5, 5.2.16)."""

from __future__ import annotations

from construct import Bytes, Construct, Default, Int32ul, Padding, Struct, Terminated

from xlpy.firmware.acpi.gas import U8, U32, U64
from xlpy.firmware.acpi.madt import entry
from xlpy.firmware.acpi.sdt import TableFormat, ToEnd
from xlpy.typing import Any

ENABLED, HOT_PLUGGABLE, NON_VOLATILE = 1, 2, 4  # flags of a memory range; a processor has only the first

PROCESSOR, MEMORY, X2APIC = range(3)

BODIES: dict[int, Construct[Any, Any]] = {
    PROCESSOR: Struct(
        "proximity_low" / U8,
        "apic_id" / U8,
        "flags" / U32,
        "sapic_eid" / U8,
        "proximity_high" / Default(Bytes(3), bytes(3)),
        "clock_domain" / U32,
        Terminated,
    ),
    MEMORY: Struct(
        "proximity" / U32,
        Padding(2),
        "base" / U64,
        "length" / U64,
        Padding(4),
        "flags" / U32,
        Padding(8),
        Terminated,
    ),
    X2APIC: Struct(
        Padding(2),
        "proximity" / U32,
        "x2apic_id" / U32,
        "flags" / U32,
        "clock_domain" / U32,
        Padding(4),
        Terminated,
    ),
}

SRAT = TableFormat("SRAT", Struct("table_revision" / Default(Int32ul, 1), Padding(8), "entries" / ToEnd(entry(BODIES))))
