"""MP and PIR tables for operating systems without ACPI (Intel MultiProcessor Specification 1.4; Microsoft $PIR 1.0)."""

from __future__ import annotations

from _struct import pack

from xlpy.firmware.acpi.header import set_checksum
from xlpy.firmware.hvmloader.board import IOAPIC_ID, LEVEL_IRQS
from xlpy.firmware.hvmloader.pci import ISA_DEVFN, ISA_IRQS
from xlpy.firmware.layout import IOAPIC, LAPIC, apic_id
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.addr import Gpa
    from xlpy.firmware.hvm_info import HvmInfo
    from xlpy.firmware.hvmloader.memory import FirmwareMemory

_FLOATING = 16
_PROCESSOR, _BUS, _IOAPIC, _IO_INTERRUPT = range(4)
_INT, _EXTINT = 0, 3
_ISA_BUS = 0
_ENABLED = 1
_LEVEL_LOW = 0x0F
_LAPIC_VERSION, _IOAPIC_VERSION = 0x11, 0
_PENTIUM_PRO = 0x600, 0x201  # signature and features (FPU, APIC), whatever the processor is
_PIIX = 0x122E8086  # the router that the PIIX3 is compatible with
_PIR_SLOTS = range(6)


def write_mp(memory: FirmwareMemory, info: HvmInfo) -> Gpa:
    """Write the MP floating pointer, and behind it the configuration table.

    Returns:
        the address of the floating pointer.
    """
    table = _configuration(info)
    address = memory.mem_alloc(_FLOATING + len(table))
    memory.platform.write(address, _floating(address + _FLOATING) + table)
    return address


def _floating(table: int) -> bytes:
    return set_checksum(pack("<4sIBBB5s", b"_MP_", table, 1, 4, 0, bytes(5)), 10)


def _configuration(info: HvmInfo) -> bytes:
    entries = [
        pack("<BBBBIIQ", _PROCESSOR, apic_id(n), _LAPIC_VERSION, _ENABLED | (n == 0) << 1, *_PENTIUM_PRO, 0)
        for n in range(info.nr_vcpus)
    ]
    entries.append(pack("<BB6s", _BUS, _ISA_BUS, b"ISA   "))
    entries.append(pack("<BBBBI", _IOAPIC, IOAPIC_ID, _IOAPIC_VERSION, 1, IOAPIC))
    entries.append(pack("<BBHBBBB", _IO_INTERRUPT, _EXTINT, 0, _ISA_BUS, 0, IOAPIC_ID, 0))
    for line in range(16):
        if line != 2:  # the cascade; the timer sits on its pin
            flags = _LEVEL_LOW if line in LEVEL_IRQS else 0
            pin = line or 2
            entries.append(pack("<BBHBBBB", _IO_INTERRUPT, _INT, flags, _ISA_BUS, line, IOAPIC_ID, pin))
    body = b"".join(entries)
    head = (b"_HVMCPU_", b"XEN".ljust(12), 0, 0, len(entries), LAPIC, 0, 0, 0)
    return set_checksum(pack("<4sHBB8s12sIHHIHBB", b"PCMP", 44 + len(body), 4, 0, *head) + body, 7)


def write_pir(memory: FirmwareMemory) -> Gpa:
    """Write the PCI interrupt routing table into scratch memory: slots 0 to 5 on the four links of the PIIX3.

    Returns:
        its address.
    """
    mask = sum(1 << line for line in set(ISA_IRQS))
    slots = [
        pack("<BB", 0, slot << 3)
        + b"".join(pack("<BH", 0x60 + (slot + pin + 1 & 3), mask) for pin in range(4))
        + pack("<BB", slot, 0)
        for slot in _PIR_SLOTS
    ]
    size = 32 + 16 * len(slots)
    head = pack("<4sHHBBHII11sB", b"$PIR", 0x0100, size, 0, ISA_DEVFN, 0, _PIIX, 0, bytes(11), 0)
    address = memory.scratch_alloc(size)
    memory.platform.write(address, set_checksum(head + b"".join(slots), 31))
    return address
