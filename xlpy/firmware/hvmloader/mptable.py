"""MP and PIR tables for operating systems without ACPI (Intel MultiProcessor Specification 1.4; Microsoft $PIR 1.0)."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

from xlpy.firmware.acpi.header import set_checksum
from xlpy.firmware.hvmloader.pci import ISA_DEVFN, ISA_IRQS
from xlpy.firmware.hvmloader.processors import IOAPIC_ID, LEVEL_IRQS, apic_id
from xlpy.firmware.layout import IOAPIC, LAPIC

if TYPE_CHECKING:
    from xlpy.addr import Gpa
    from xlpy.firmware.hvm_info import HvmInfo
    from xlpy.firmware.hvmloader.cpu import Cpu
    from xlpy.firmware.hvmloader.memory import Memory

_FLOATING = 16
_PROCESSOR, _BUS, _IOAPIC, _IO_INTERRUPT, _LOCAL_INTERRUPT = range(5)
_INT, _NMI, _EXTINT = 0, 1, 3
_ISA_BUS, _ALL_APICS = 0, 0xFF
_LEVEL_LOW = 0x0F
_APIC_VERSION = 0x11
_PIIX3 = 0x70008086
_PIR_SLOTS = range(1, 7)


def write_mp(memory: Memory, info: HvmInfo, cpu: Cpu) -> Gpa:
    """Write the MP floating pointer, and behind it the configuration table.

    Returns:
        the address of the floating pointer.
    """
    table = _configuration(info, cpu)
    address = memory.mem_alloc(_FLOATING + len(table))
    memory.platform.write(address, _floating(address + _FLOATING) + table)
    return address


def _floating(table: int) -> bytes:
    return set_checksum(pack("<4sIBBB5s", b"_MP_", table, 1, 4, 0, bytes(5)), 10)


def _configuration(info: HvmInfo, cpu: Cpu) -> bytes:
    signature, features = cpu.identity & 0xFFFFFFFF, cpu.identity >> 32
    entries = [
        pack("<BBBBIIQ", _PROCESSOR, apic_id(n), 0x14, info.online(n) | (n == 0) << 1, signature, features, 0)
        for n in range(info.nr_vcpus)
    ]
    entries.append(pack("<BB6s", _BUS, _ISA_BUS, b"ISA   "))
    entries.append(pack("<BBBBI", _IOAPIC, IOAPIC_ID, _APIC_VERSION, 1, IOAPIC))
    for line in range(16):
        if line != 2:  # the cascade; the timer sits on its pin
            flags = _LEVEL_LOW if line in LEVEL_IRQS else 0
            pin = line or 2
            entries.append(pack("<BBHBBBB", _IO_INTERRUPT, _INT, flags, _ISA_BUS, line, IOAPIC_ID, pin))
    entries.append(pack("<BBHBBBB", _LOCAL_INTERRUPT, _EXTINT, 0, _ISA_BUS, 0, _ALL_APICS, 0))
    entries.append(pack("<BBHBBBB", _LOCAL_INTERRUPT, _NMI, 0, _ISA_BUS, 0, _ALL_APICS, 1))
    body = b"".join(entries)
    head = (b"_HVMCPU_", b"XEN".ljust(12), 0, 0, len(entries), LAPIC, 0, 0, 0)
    return set_checksum(pack("<4sHBB8s12sIHHIHBB", b"PCMP", 44 + len(body), 4, 0, *head) + body, 7)


def write_pir(memory: Memory) -> Gpa:
    """Write the PCI interrupt routing table into scratch memory: slots 1 to 6 on the four links of the PIIX3.

    Returns:
        its address.
    """
    mask = sum(1 << line for line in set(ISA_IRQS))
    slots = [
        pack("<BB", 0, slot << 3)
        + b"".join(pack("<BH", 0x60 + (slot + pin & 3), mask) for pin in range(4))
        + pack("<BB", slot, 0)
        for slot in _PIR_SLOTS
    ]
    size = 32 + 16 * len(slots)
    head = pack("<4sHHBBHII11sB", b"$PIR", 0x0100, size, 0, ISA_DEVFN, 0, _PIIX3, 0, bytes(11), 0)
    address = memory.scratch_alloc(size)
    memory.platform.write(address, set_checksum(head + b"".join(slots), 31))
    return address
