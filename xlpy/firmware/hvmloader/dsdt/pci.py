"""The host bridge: its address space, interrupt links and routes, and 31 hot-pluggable slots."""

from __future__ import annotations

from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.aml.resources import WRITE_COMBINING
from xlpy.firmware.hvmloader.board import LEVEL_IRQS
from xlpy.firmware.hvmloader.dsdt.isa import present_if
from xlpy.firmware.layout import DEBUG_PORT, FOUR_GIB, HOLE_END, HOLE_START, HPET

SLOTS = range(1, 32)
_HOTPLUG = 0xAE00  # up u32, down u32, eject u32, removable u32
_LINKS = "ABCD"
_MEMORY32, _MEMORY64 = 0x52, 0x6C  # where the two windows lie in the bridge's resources
_DEVICE_CHECK, _EJECT_REQUEST = 1, 3


def host_bridge(isa: bytes) -> bytes:
    """``PCI0`` with all its children.

    Args:
        isa: the ISA bridge.
    """
    return aml.device(
        "PCI0",
        aml.name("_HID", aml.eisaid("PNP0A03")),
        aml.name("_UID", 0),
        aml.name("_ADR", 0),
        aml.name("_BBN", 0),
        _resources(),
        aml.device(
            "VGA",
            aml.name("_ADR", 0x00020000),
            *(aml.method(f"_S{n}D", 0, aml.return_(0)) for n in (1, 2, 3)),
        ),
        _hpet(),
        isa,
        aml.device(
            "HP0",
            aml.name("_HID", aml.eisaid("PNP0C02")),
            aml.name(
                "_CRS",
                aml.resource_template(aml.io(_HOTPLUG, _HOTPLUG, 0, 0x10), aml.io(DEBUG_PORT, DEBUG_PORT, 0, 4)),
            ),
        ),
        _links(),
        _routes(),
        _slots(),
    )


def _resources() -> bytes:
    """``_CRS``: fixed ranges, and the two memory windows that firmware chose.

    The maximum of the high window is its end less one, except where there is no window.
    """
    template = aml.resource_template(
        _subtractive(aml.word_bus_number(0, 0xFF)),
        aml.io(0xCF8, 0xCF8, 1, 8),
        aml.word_io(0, 0xCF7),
        aml.word_io(0xD00, 0xFFFF),
        aml.dword_memory(0xA0000, 0xBFFFF, cache=WRITE_COMBINING),
        aml.dword_memory(HOLE_START, HOLE_END - 1),
        aml.qword_memory(FOUR_GIB, 2 * FOUR_GIB - 1),
    )
    crs, low, high = aml.local(0), aml.local(1), aml.local(2)

    def wide(name: str) -> bytes:
        return aml.or_(aml.shift_left(aml.ref(f"\\_SB.H{name}"), 32), aml.ref(f"\\_SB.L{name}"))

    none = aml.land(aml.lnot(aml.ref("\\_SB.HMIN")), aml.lnot(aml.ref("\\_SB.LLEN")))
    return aml.method(
        "_CRS",
        0,
        aml.store(template, crs),
        aml.create_dword_field(crs, _MEMORY32 + 0x0A, "MIN3"),
        aml.create_dword_field(crs, _MEMORY32 + 0x0E, "MAX3"),
        aml.create_dword_field(crs, _MEMORY32 + 0x16, "LEN3"),
        aml.store(aml.ref("\\_SB.PMIN"), aml.ref("MIN3")),
        aml.store(aml.ref("\\_SB.PLEN"), aml.ref("LEN3")),
        aml.store(aml.subtract(aml.add(aml.ref("MIN3"), aml.ref("LEN3")), 1), aml.ref("MAX3")),
        aml.create_qword_field(crs, _MEMORY64 + 0x0E, "MIN6"),
        aml.create_qword_field(crs, _MEMORY64 + 0x16, "MAX6"),
        aml.create_qword_field(crs, _MEMORY64 + 0x26, "LEN6"),
        aml.store(wide("MIN"), low),
        aml.store(wide("LEN"), high),
        aml.store(low, aml.ref("MIN6")),
        aml.store(high, aml.ref("LEN6")),
        aml.store(aml.add(low, high), aml.ref("MAX6")),
        aml.if_(aml.lnot(none), aml.decrement(aml.ref("MAX6"))),
        aml.return_(crs),
        serialized=True,
    )


def _subtractive(descriptor: bytes) -> bytes:
    """An address space descriptor with its decoding set to subtractive (ACPI 6.5, 6.4.3.5: general flags, bit 1)."""
    return descriptor[:4] + bytes([descriptor[4] | 2]) + descriptor[5:]


def _hpet() -> bytes:
    return aml.device(
        "HPET",
        aml.name("_HID", aml.eisaid("PNP0103")),
        aml.name("_UID", 0),
        present_if("HPET"),
        aml.name("_CRS", aml.resource_template(aml.dword_memory(HPET, HPET + 0x3FF, producer=False))),
    )


def _links() -> bytes:
    """Links A to D: the interrupt that firmware or OS routed each to is in the low bits of ``PIRx``; bit 7 is off."""
    template = aml.resource_template(aml.irq(*LEVEL_IRQS, level=True, low=True, shared=True))
    empty = aml.resource_template(aml.irq(level=True, low=True, shared=True))
    return b"".join(
        (
            aml.name("BUFA", template),
            aml.name("BUFB", empty),
            aml.create_word_field(aml.ref("BUFB"), 1, "IRQV"),
            *(_link(number, aml.ref(f"\\PIR{letter}")) for number, letter in enumerate(_LINKS)),
        )
    )


def _link(number: int, register: bytes) -> bytes:
    off, line = 0x80, aml.and_(register, 0x0F)
    return aml.device(
        f"LNK{_LINKS[number]}",
        aml.name("_HID", aml.eisaid("PNP0C0F")),
        aml.name("_UID", number + 1),
        aml.method("_STA", 0, aml.if_(aml.and_(register, off), aml.return_(0x09)), aml.return_(0x0B)),
        aml.method("_PRS", 0, aml.return_(aml.ref("BUFA"))),
        aml.method("_DIS", 0, aml.or_(register, off, register)),
        aml.method("_CRS", 0, aml.shift_left(1, line, aml.ref("IRQV")), aml.return_(aml.ref("BUFB"))),
        aml.method(
            "_SRS",
            1,
            aml.create_word_field(aml.arg(0), 1, "IRQ1"),
            aml.subtract(aml.find_set_right_bit(aml.ref("IRQ1")), 1, register),
            serialized=True,
        ),
    )


def _routes() -> bytes:
    """``_PRT``: to the links while the OS uses the PIC, to fixed interrupts 16 to 47 of the IO-APIC afterwards."""
    pins = [(slot, pin) for slot in SLOTS for pin in range(4)]
    pic = [aml.package(slot << 16 | 0xFFFF, pin, aml.ref(f"LNK{_LINKS[slot + pin & 3]}"), 0) for slot, pin in pins]
    apic = [aml.package(slot << 16 | 0xFFFF, pin, 0, (slot * 4 + slot // 8 + pin & 31) + 16) for slot, pin in pins]
    return b"".join(
        (
            aml.method("_PRT", 0, aml.if_(aml.ref("PICD"), aml.return_(aml.ref("PRTA"))), aml.return_(aml.ref("PRTP"))),
            aml.name("PRTP", aml.package(*pic)),
            aml.name("PRTA", aml.package(*apic)),
        )
    )


def _slots() -> bytes:
    return b"".join(
        (
            aml.op_region("SEJ", aml.RegionSpace.SYSTEM_IO, _HOTPLUG + 8, 8),
            aml.field("SEJ", (("B0EJ", 32), ("B0RM", 32)), aml.AccessType.DWORD, update=aml.Update.WRITE_AS_ZEROS),
            *map(_slot, SLOTS),
        )
    )


def _slot(number: int) -> bytes:
    bit = 1 << number
    return aml.device(
        f"S{number}",
        aml.name("_ADR", number << 16),
        aml.method("_EJ0", 1, aml.store(bit, aml.ref("B0EJ"))),
        aml.name("_SUN", number),
        aml.method("_STA", 0, aml.if_(aml.and_(aml.ref("B0RM"), bit), aml.return_(0x0F)), aml.return_(0)),
    )


def gpe_slots() -> bytes:
    r"""For ``\_GPE``: event 1 tells the OS which slots were filled, and which are to be given up."""
    up, down = aml.local(0), aml.local(1)
    checks = (
        aml.if_(aml.and_(mask, 1 << slot), aml.notify(aml.ref(f"\\_SB.PCI0.S{slot}"), value))
        for slot in SLOTS
        for mask, value in ((up, _DEVICE_CHECK), (down, _EJECT_REQUEST))
    )
    return b"".join(
        (
            aml.op_region("PCST", aml.RegionSpace.SYSTEM_IO, _HOTPLUG, 8),
            aml.field("PCST", (("PCIU", 32), ("PCID", 32)), aml.AccessType.DWORD, update=aml.Update.WRITE_AS_ZEROS),
            aml.method("_E01", 0, aml.store(aml.ref("PCIU"), up), aml.store(aml.ref("PCID"), down), *checks),
        )
    )
