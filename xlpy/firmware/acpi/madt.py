"""The Multiple APIC Description Table, signature APIC (ACPI 6.5, 5.2.12)."""

from __future__ import annotations

from construct import Construct, ExprAdapter, GreedyBytes, Int8ul, Padding, Prefixed, Struct, Switch, Terminated, this

from xlpy.firmware.acpi.gas import U8, U16, U32, U64
from xlpy.firmware.acpi.sdt import TableFormat, ToEnd
from xlpy.typing import Any

PCAT_COMPAT = 1  # table flag: there are 8259s too
ENABLED, ONLINE_CAPABLE = 1, 2  # flags of a local APIC

LOCAL_APIC, IO_APIC, INTERRUPT_OVERRIDE, NMI_SOURCE, LOCAL_APIC_NMI, LOCAL_APIC_ADDRESS = range(6)
LOCAL_X2APIC, LOCAL_X2APIC_NMI = 9, 10

BODIES: dict[int, Construct[Any, Any]] = {
    LOCAL_APIC: Struct("processor_id" / U8, "apic_id" / U8, "flags" / U32, Terminated),
    IO_APIC: Struct("io_apic_id" / U8, Padding(1), "address" / U32, "gsi_base" / U32, Terminated),
    INTERRUPT_OVERRIDE: Struct("bus" / U8, "source" / U8, "gsi" / U32, "flags" / U16, Terminated),
    NMI_SOURCE: Struct("flags" / U16, "gsi" / U32, Terminated),
    LOCAL_APIC_NMI: Struct("processor_id" / U8, "flags" / U16, "lint" / U8, Terminated),
    LOCAL_APIC_ADDRESS: Struct(Padding(2), "address" / U64, Terminated),
    LOCAL_X2APIC: Struct(Padding(2), "x2apic_id" / U32, "flags" / U32, "uid" / U32, Terminated),
    LOCAL_X2APIC_NMI: Struct("flags" / U16, "uid" / U32, "lint" / U8, Padding(3), Terminated),
}


def entry(bodies: dict[int, Construct[Any, Any]]) -> Construct[Any, Any]:
    """A structure of type, length of the whole, and what the type says; unknown types keep their bytes."""
    length: Construct[int, int] = ExprAdapter(Int8ul, lambda whole, _: whole - 2, lambda rest, _: rest + 2)
    return Struct("type" / Int8ul, "body" / Prefixed(length, Switch(this.type, bodies, GreedyBytes)))


MADT = TableFormat("APIC", Struct("local_apic_address" / U32, "flags" / U32, "entries" / ToEnd(entry(BODIES))))
