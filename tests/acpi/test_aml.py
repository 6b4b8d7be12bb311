# ruff: noqa: F403, F405 -- the whole vocabulary of the builder is under test
"""The AML builder against iasl: the ASL, the bytes that iasl makes of it, and the call that makes the same here."""

import pytest
from acpi.judges import compile_asl
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.errors import FormatError
from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.aml import *

EXTRA = "External (FOO, IntObj) External (DEV, DeviceObj) External (MTX, MutexObj)\n"


def in_method(asl):
    """A statement, as it is written inside ``Method (TEST)``."""
    return f"Method (TEST, 7, Serialized) {{ {asl} }}"


NAMED = [  # ASL, bytes of iasl, bytes of the builder
    # integers
    ("Name (FOO, Zero)", "08 46 4f 4f 5f 00", name("FOO", 0)),
    ("Name (FOO, 1)", "08 46 4f 4f 5f 01", name("FOO", 1)),
    ("Name (FOO, 2)", "08 46 4f 4f 5f 0a 02", name("FOO", 2)),
    ("Name (FOO, 0xFF)", "08 46 4f 4f 5f 0a ff", name("FOO", 0xFF)),
    ("Name (FOO, 0x100)", "08 46 4f 4f 5f 0b 00 01", name("FOO", 0x100)),
    ("Name (FOO, 0xFFFF)", "08 46 4f 4f 5f 0b ff ff", name("FOO", 0xFFFF)),
    ("Name (FOO, 0x10000)", "08 46 4f 4f 5f 0c 00 00 01 00", name("FOO", 0x10000)),
    ("Name (FOO, 0xFFFFFFFF)", "08 46 4f 4f 5f 0c ff ff ff ff", name("FOO", 0xFFFFFFFF)),
    ("Name (FOO, 0x100000000)", "08 46 4f 4f 5f 0e 00 00 00 00 01 00 00 00", name("FOO", 0x100000000)),
    ("Name (FOO, Ones)", "08 46 4f 4f 5f ff", name("FOO", ones())),
    # other data
    ('Name (FOO, "")', "08 46 4f 4f 5f 0d 00", name("FOO", string(""))),
    ('Name (_HID, "ACPI0012")', "08 5f 48 49 44 0d 41 43 50 49 30 30 31 32 00", name("_HID", string("ACPI0012"))),
    ('Name (_HID, EisaId ("PNP0A03"))', "08 5f 48 49 44 0c 41 d0 0a 03", name("_HID", eisaid("PNP0A03"))),
    ('Name (_CID, EisaId ("PNP0C80"))', "08 5f 43 49 44 0c 41 d0 0c 80", name("_CID", eisaid("PNP0C80"))),
    ("Name (FOO, Buffer () {})", "08 46 4f 4f 5f 11 02 00", name("FOO", buffer())),
    ("Name (FOO, Buffer (1) {1})", "08 46 4f 4f 5f 11 03 01 01", name("FOO", buffer(b"\1"))),
    ("Name (FOO, Buffer (0x1000) {1, 2})", "08 46 4f 4f 5f 11 06 0b 00 10 01 02", name("FOO", buffer(b"\1\2", 0x1000))),
    (
        'Name (FOO, ToUUID ("2f10e7a4-9e91-11e4-89d3-123b93f75cba"))',
        "08 46 4f 4f 5f 11 13 0a 10 a4 e7 10 2f 91 9e e4 11 89 d3 12 3b 93 f7 5c ba",
        name("FOO", touuid("2f10e7a4-9e91-11e4-89d3-123b93f75cba")),
    ),
    ("Name (FOO, Package () {})", "08 46 4f 4f 5f 12 02 00", name("FOO", package())),
    (
        'Name (FOO, Package (3) {0xFFFF, "A", Package () {1}})',
        "08 46 4f 4f 5f 12 0c 03 0b ff ff 0d 41 00 12 03 01 01",
        name("FOO", package(0xFFFF, string("A"), package(1))),
    ),
    # names
    ("Name (\\_SB.FOO, 1)", "08 5c 2e 5f 53 42 5f 46 4f 4f 5f 01", name("\\_SB.FOO", 1)),
    (
        "External (\\_SB.PCI0.ISA, DeviceObj) Name (\\_SB.PCI0.ISA.FOO, 1)",
        "08 5c 2f 04 5f 53 42 5f 50 43 49 30 49 53 41 5f 46 4f 4f 5f 01",
        name("\\_SB.PCI0.ISA.FOO", 1),
    ),
    (
        "Scope (\\_SB) { Device (A) { Name (^FOO, 1) } }",
        "10 14 5c 5f 53 42 5f 5b 82 0c 41 5f 5f 5f 08 5e 46 4f 4f 5f 01",
        scope("\\_SB", device("A", name("^FOO", 1))),
    ),
    ("Scope (\\) { Name (FOO, 1) }", "10 09 5c 00 08 46 4f 4f 5f 01", scope("\\", name("FOO", 1))),
    (
        "Name (FOO, 1) Alias (FOO, BAR)",
        "08 46 4f 4f 5f 01 06 46 4f 4f 5f 42 41 52 5f",
        name("FOO", 1) + alias("FOO", "BAR"),
    ),
    # objects
    ("Device (NV01) { Name (_ADR, 2) }", "5b 82 0c 4e 56 30 31 08 5f 41 44 52 0a 02", device("NV01", name("_ADR", 2))),
    ("Processor (PR00, 0, 0xB010, 6) {}", "5b 83 0b 50 52 30 30 00 10 b0 00 00 06", processor("PR00", 0, 0xB010, 6)),
    ("PowerResource (PWR, 3, 0x102) {}", "5b 84 08 50 57 52 5f 03 02 01", power_resource("PWR", 3, 0x102)),
    (
        "ThermalZone (TZ0) { Name (_TMP, 5) }",
        "5b 85 0c 54 5a 30 5f 08 5f 54 4d 50 0a 05",
        thermal_zone("TZ0", name("_TMP", 5)),
    ),
    ("Mutex (MTX, 3)", "5b 01 4d 54 58 5f 03", mutex("MTX", 3)),
    ("Event (EVT)", "5b 02 45 56 54 5f", event("EVT")),
    (
        "External (\\_SB.FOO, DeviceObj) Scope (\\_SB.FOO) { Name (X, 1) }",
        "a0 0f 00 15 5c 2e 5f 53 42 5f 46 4f 4f 5f 06 00 10 11 5c 2e 5f 53 42 5f 46 4f 4f 5f 08 58 5f 5f 5f 01",
        if_(0, external("\\_SB.FOO", 6)) + scope("\\_SB.FOO", name("X", 1)),
    ),
    ("Method (FOO) {}", "14 06 46 4f 4f 5f 00", method("FOO", 0)),
    ("Method (FOO, 5, Serialized) {}", "14 06 46 4f 4f 5f 0d", method("FOO", 5, serialized=True)),
    (
        "Method (FOO, 2, Serialized, 3) { Return (Arg1) }",
        "14 08 46 4f 4f 5f 3a a4 69",
        method("FOO", 2, return_(arg(1)), serialized=True, sync=3),
    ),
    # regions and fields
    (
        "OperationRegion (NPIO, SystemIO, 0x0A18, 4)",
        "5b 80 4e 50 49 4f 01 0b 18 0a 0a 04",
        op_region("NPIO", RegionSpace.SYSTEM_IO, 0xA18, 4),
    ),
    (
        """OperationRegion (REG, SystemMemory, 0x1000, 0x1000)
           Field (REG, DWordAcc, NoLock, Preserve) { RLEN, 32, ODAT, 32736 }""",
        "5b 80 52 45 47 5f 00 0b 00 10 0b 00 10 5b 81 12 52 45 47 5f 03 52 4c 45 4e 20 4f 44 41 54 80 fe 07",
        op_region("REG", RegionSpace.SYSTEM_MEMORY, 0x1000, 0x1000)
        + field("REG", [("RLEN", 32), ("ODAT", 32736)], AccessType.DWORD),
    ),
    (
        """OperationRegion (REG, PCI_Config, 0x60, 4)
           Field (REG, ByteAcc, Lock, WriteAsOnes) { , 3, PIRA, 5, Offset (2), PIRB, 8 }""",
        "5b 80 52 45 47 5f 02 0a 60 0a 04 5b 81 14 52 45 47 5f 31 00 03 50 49 52 41 05 00 08 50 49 52 42 08",
        op_region("REG", RegionSpace.PCI_CONFIG, 0x60, 4)
        + field(
            "REG",
            [(None, 3), ("PIRA", 5), ("", 8), ("PIRB", 8)],
            AccessType.BYTE,
            lock=True,
            update=Update.WRITE_AS_ONES,
        ),
    ),
    (
        """OperationRegion (REG, SystemIO, 0x70, 2)
           Field (REG, ByteAcc, NoLock, Preserve) { IDX, 8, DAT, 8 }
           IndexField (IDX, DAT, ByteAcc, NoLock, WriteAsZeros) { , 64, SEC, 8 }""",
        "5b 80 52 45 47 5f 01 0a 70 0a 02 5b 81 10 52 45 47 5f 01 49 44 58 5f 08 44 41 54 5f 08 5b 86 12 "
        "49 44 58 5f 44 41 54 5f 41 00 40 04 53 45 43 5f 08",
        op_region("REG", RegionSpace.SYSTEM_IO, 0x70, 2)
        + field("REG", [("IDX", 8), ("DAT", 8)], AccessType.BYTE)
        + index_field("IDX", "DAT", [("", 64), ("SEC", 8)], AccessType.BYTE, update=Update.WRITE_AS_ZEROS),
    ),
    (
        """OperationRegion (REG, SystemIO, 0x70, 8)
           Field (REG, AnyAcc, NoLock, Preserve) { BNK, 8 }
           BankField (REG, BNK, 2, WordAcc, NoLock, Preserve) { , 16, VAL, 16 }""",
        "5b 80 52 45 47 5f 01 0a 70 0a 08 5b 81 0b 52 45 47 5f 00 42 4e 4b 5f 08 5b 87 13 52 45 47 5f 42 "
        "4e 4b 5f 0a 02 02 00 10 56 41 4c 5f 10",
        op_region("REG", RegionSpace.SYSTEM_IO, 0x70, 8)
        + field("REG", [("BNK", 8)])
        + bank_field("REG", "BNK", 2, [("", 16), ("VAL", 16)], AccessType.WORD),
    ),
    # resources
    ("Name (_CRS, ResourceTemplate () {})", "08 5f 43 52 53 11 05 0a 02 79 00", name("_CRS", resource_template())),
    (
        """Name (_CRS, ResourceTemplate () {
            WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0xFF, 0, 0x100) })""",
        "08 5f 43 52 53 11 15 0a 12 88 0d 00 02 0c 00 00 00 00 00 ff 00 00 00 00 01 79 00",
        name("_CRS", resource_template(word_bus_number(0, 0xFF))),
    ),
    (
        "Name (_CRS, ResourceTemplate () { IO (Decode16, 0xCF8, 0xCFF, 1, 8) })",
        "08 5f 43 52 53 11 0d 0a 0a 47 01 f8 0c ff 0c 01 08 79 00",
        name("_CRS", resource_template(io(0xCF8, 0xCFF, 1, 8))),
    ),
    (
        """Name (_CRS, ResourceTemplate () {
            WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0xD00, 0xFFFF, 0, 0xF300) })""",
        "08 5f 43 52 53 11 15 0a 12 88 0d 00 01 0c 03 00 00 00 0d ff ff 00 00 00 f3 79 00",
        name("_CRS", resource_template(word_io(0xD00, 0xFFFF))),
    ),
    (
        """Name (_CRS, ResourceTemplate () { DWordMemory (ResourceConsumer, PosDecode, MinFixed, MaxFixed,
            WriteCombining, ReadWrite, 0, 0xA0000, 0xBFFFF, 0, 0x20000) })""",
        "08 5f 43 52 53 11 1f 0a 1c 87 17 00 00 0d 05 00 00 00 00 00 00 0a 00 ff ff 0b 00 00 00 00 00 00 "
        "00 02 00 79 00",
        name("_CRS", resource_template(dword_memory(0xA0000, 0xBFFFF, cache=2, producer=False))),
    ),
    (
        """Name (_CRS, ResourceTemplate () { QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
            Cacheable, ReadOnly, 0, 0x100000000, 0x100000FFF, 0, 0x1000) })""",
        "08 5f 43 52 53 11 33 0a 30 8a 2b 00 00 0c 02 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 ff "
        "0f 00 00 01 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00 00 00 00 79 00",
        name(
            "_CRS",
            resource_template(qword_memory(0x100000000, 0x100000FFF, cache=1, writable=False)),
        ),
    ),
    (
        "Name (_CRS, ResourceTemplate () { Memory32Fixed (ReadOnly, 0xFED00000, 0x400) })",
        "08 5f 43 52 53 11 11 0a 0e 86 09 00 00 00 00 d0 fe 00 04 00 00 79 00",
        name("_CRS", resource_template(memory32fixed(0xFED00000, 0x400, writable=False))),
    ),
    (
        """Name (_CRS, ResourceTemplate () { IRQ (Level, ActiveLow, Shared) {5, 10, 11} IRQ (Edge, ActiveHigh) {4}
            IRQNoFlags () {8}
            DMA (Compatibility, NotBusMaster, Transfer8) {2} DMA (TypeF, BusMaster, Transfer16) {4} })""",
        "08 5f 43 52 53 11 16 0a 13 23 20 0c 18 23 10 00 01 22 00 01 2a 04 00 2a 10 66 79 00",
        name(
            "_CRS",
            resource_template(
                irq(5, 10, 11, level=True, low=True, shared=True),
                irq(4),
                irq_noflags(8),
                dma(2),
                dma(4, speed=3, bus_master=True, transfer=2),
            ),
        ),
    ),
]

L0, L1, L2 = local(0), local(1), local(2)
A0, A1, A2 = arg(0), arg(1), arg(2)

STATEMENTS = [
    ("Store (Arg0, Local0)", "14 09 54 45 53 54 0f 70 68 60", store(A0, L0)),
    ("Store (FOO, Local6)", "14 0c 54 45 53 54 0f 70 46 4f 4f 5f 66", store(ref("FOO"), local(6))),
    ('Store ("x", Debug)', "14 0c 54 45 53 54 0f 70 0d 78 00 5b 31", store(string("x"), debug())),
    ("CopyObject (Arg6, FOO)", "14 0c 54 45 53 54 0f 9d 6e 46 4f 4f 5f", copy_object(arg(6), ref("FOO"))),
    ("Add (Arg0, 4, Local0)", "14 0b 54 45 53 54 0f 72 68 0a 04 60", add(A0, 4, L0)),
    ("Subtract (Arg0, 4, Local0)", "14 0b 54 45 53 54 0f 74 68 0a 04 60", subtract(A0, 4, L0)),
    ("Multiply (Arg0, Arg1, Local0)", "14 0a 54 45 53 54 0f 77 68 69 60", multiply(A0, A1, L0)),
    ("Divide (Arg0, Arg1, Local0, Local1)", "14 0b 54 45 53 54 0f 78 68 69 60 61", divide(A0, A1, L0, L1)),
    ("Divide (Arg0, Arg1, , Local1)", "14 0b 54 45 53 54 0f 78 68 69 00 61", divide(A0, A1, quotient=L1)),
    ("Mod (Arg0, Arg1, Local0)", "14 0a 54 45 53 54 0f 85 68 69 60", mod(A0, A1, L0)),
    ("ShiftLeft (Arg0, 3, Local0)", "14 0b 54 45 53 54 0f 79 68 0a 03 60", shift_left(A0, 3, L0)),
    ("ShiftRight (Arg0, 3, Local0)", "14 0b 54 45 53 54 0f 7a 68 0a 03 60", shift_right(A0, 3, L0)),
    ("And (Arg0, Arg1, Local0)", "14 0a 54 45 53 54 0f 7b 68 69 60", and_(A0, A1, L0)),
    ("NAnd (Arg0, Arg1, Local0)", "14 0a 54 45 53 54 0f 7c 68 69 60", nand(A0, A1, L0)),
    ("Or (Arg0, Arg1, Local0)", "14 0a 54 45 53 54 0f 7d 68 69 60", or_(A0, A1, L0)),
    ("NOr (Arg0, Arg1, Local0)", "14 0a 54 45 53 54 0f 7e 68 69 60", nor(A0, A1, L0)),
    ("XOr (Arg0, Arg1, Local0)", "14 0a 54 45 53 54 0f 7f 68 69 60", xor(A0, A1, L0)),
    ("Not (Arg0, Local0)", "14 09 54 45 53 54 0f 80 68 60", not_(A0, L0)),
    ("FindSetLeftBit (Arg0, Local0)", "14 09 54 45 53 54 0f 81 68 60", find_set_left_bit(A0, L0)),
    ("FindSetRightBit (Arg0, Local0)", "14 09 54 45 53 54 0f 82 68 60", find_set_right_bit(A0, L0)),
    ("Increment (Arg0)", "14 08 54 45 53 54 0f 75 68", increment(A0)),
    ("Decrement (FOO)", "14 0b 54 45 53 54 0f 76 46 4f 4f 5f", decrement(ref("FOO"))),
    ("Return (LAnd (Arg0, Arg1))", "14 0a 54 45 53 54 0f a4 90 68 69", return_(land(A0, A1))),
    ("Return (LOr (Arg0, LNot (Arg1)))", "14 0b 54 45 53 54 0f a4 91 68 92 69", return_(lor(A0, lnot(A1)))),
    ("Return (LEqual (Arg0, 0x10000))", "14 0e 54 45 53 54 0f a4 93 68 0c 00 00 01 00", return_(equal(A0, 0x10000))),
    ("Return (LNotEqual (Arg0, 1))", "14 0b 54 45 53 54 0f a4 92 93 68 01", return_(not_equal(A0, 1))),
    ("Return (LGreater (Arg0, 1))", "14 0a 54 45 53 54 0f a4 94 68 01", return_(greater(A0, 1))),
    ("Return (LLess (Arg0, 1))", "14 0a 54 45 53 54 0f a4 95 68 01", return_(less(A0, 1))),
    ("Return (LGreaterEqual (Arg0, 1))", "14 0b 54 45 53 54 0f a4 92 95 68 01", return_(greater_equal(A0, 1))),
    ("Return (LLessEqual (Arg0, 1))", "14 0b 54 45 53 54 0f a4 92 94 68 01", return_(less_equal(A0, 1))),
    ("Store (RefOf (FOO), Local0)", "14 0d 54 45 53 54 0f 70 71 46 4f 4f 5f 60", store(ref_of(ref("FOO")), L0)),
    (
        "Store (CondRefOf (FOO, Local1), Local0)",
        "14 0f 54 45 53 54 0f 70 5b 12 46 4f 4f 5f 61 60",
        store(cond_ref_of(ref("FOO"), L1), L0),
    ),
    (
        "Return (DerefOf (Index (Arg3, 0)))",
        "14 0c 54 45 53 54 0f a4 83 88 6b 00 00",
        return_(deref_of(index(arg(3), 0))),
    ),
    ("Index (Arg3, 1, Local0)", "14 0a 54 45 53 54 0f 88 6b 01 60", index(arg(3), 1, L0)),
    ("Return (SizeOf (Arg0))", "14 09 54 45 53 54 0f a4 87 68", return_(size_of(A0))),
    ("Return (ObjectType (Arg0))", "14 09 54 45 53 54 0f a4 8e 68", return_(object_type(A0))),
    ("Concatenate (Arg0, Arg1, Local0)", "14 0a 54 45 53 54 0f 73 68 69 60", concatenate(A0, A1, L0)),
    ("Mid (Arg0, 1, Arg1, Local0)", "14 0b 54 45 53 54 0f 9e 68 01 69 60", mid(A0, 1, A1, L0)),
    ("ToBuffer (Arg0, Local0)", "14 09 54 45 53 54 0f 96 68 60", to_buffer(A0, L0)),
    ("ToInteger (Arg0, Local0)", "14 09 54 45 53 54 0f 99 68 60", to_integer(A0, L0)),
    ("ToHexString (Arg0, Local0)", "14 09 54 45 53 54 0f 98 68 60", to_hex_string(A0, L0)),
    ("ToDecimalString (Arg0, Local0)", "14 09 54 45 53 54 0f 97 68 60", to_decimal_string(A0, L0)),
    ("ToString (Arg0, 5, Local0)", "14 0b 54 45 53 54 0f 9c 68 0a 05 60", to_string(A0, 5, L0)),
    (
        "CreateField (Arg0, 0, Arg1, OBUF)",
        "14 0f 54 45 53 54 0f 5b 13 68 00 69 4f 42 55 46",
        create_field(A0, 0, A1, "OBUF"),
    ),
    ("CreateBitField (Arg0, 3, FLD)", "14 0e 54 45 53 54 0f 8d 68 0a 03 46 4c 44 5f", create_bit_field(A0, 3, "FLD")),
    ("CreateByteField (Arg0, 3, FLD)", "14 0e 54 45 53 54 0f 8c 68 0a 03 46 4c 44 5f", create_byte_field(A0, 3, "FLD")),
    ("CreateWordField (Arg0, 3, FLD)", "14 0e 54 45 53 54 0f 8b 68 0a 03 46 4c 44 5f", create_word_field(A0, 3, "FLD")),
    (
        "CreateDWordField (Arg0, 4, SLSA)",
        "14 0e 54 45 53 54 0f 8a 68 0a 04 53 4c 53 41",
        create_dword_field(A0, 4, "SLSA"),
    ),
    (
        "CreateQWordField (Arg0, 3, FLD)",
        "14 0e 54 45 53 54 0f 8f 68 0a 03 46 4c 44 5f",
        create_qword_field(A0, 3, "FLD"),
    ),
    ("If (Arg0) { Return (1) }", "14 0b 54 45 53 54 0f a0 04 68 a4 01", if_(A0, return_(1))),
    (
        "If (LEqual (Arg0, 0)) { Return (1) } ElseIf (Arg1) { Return (2) } Else { Return (3) }",
        "14 1a 54 45 53 54 0f a0 06 93 68 00 a4 01 a1 0c a0 05 69 a4 0a 02 a1 04 a4 0a 03",
        if_(equal(A0, 0), return_(1)) + else_(if_(A1, return_(2)), else_(return_(3))),
    ),
    (
        "While (LLess (Arg0, 3)) { If (Arg1) { Break } If (Arg2) { Continue } Noop Increment (Arg0) }",
        "14 17 54 45 53 54 0f a2 10 95 68 0a 03 a0 03 69 a5 a0 03 6a 9f a3 75 68",
        while_(less(A0, 3), if_(A1, break_()), if_(A2, continue_()), noop(), increment(A0)),
    ),
    ("Notify (DEV, 0x80)", "14 0d 54 45 53 54 0f 86 44 45 56 5f 0a 80", notify(ref("DEV"), 0x80)),
    ("Sleep (10)", "14 0a 54 45 53 54 0f 5b 22 0a 0a", sleep(10)),
    ("Stall (20)", "14 0a 54 45 53 54 0f 5b 21 0a 14", stall(20)),
    (
        "If (LEqual (Acquire (MTX, 0x64), 0)) { Release (MTX) }",
        "14 18 54 45 53 54 0f a0 11 93 5b 23 4d 54 58 5f 64 00 00 5b 27 4d 54 58 5f",
        if_(equal(acquire(ref("MTX"), 100), 0), release(ref("MTX"))),
    ),
    ("Fatal (2, 0x10, Arg0)", "14 0e 54 45 53 54 0f 5b 32 02 10 00 00 00 68", fatal(2, 0x10, A0)),
    (
        "Return (TEST (1, Arg1, 3, Arg3, 5, Arg5, 7))",
        "14 15 54 45 53 54 0f a4 54 45 53 54 01 69 0a 03 6b 0a 05 6d 0a 07",
        return_(call("TEST", 1, A1, 3, arg(3), 5, arg(5), 7)),
    ),
    ("Return (Buffer (Arg0) {1})", "14 0b 54 45 53 54 0f a4 11 03 68 01", return_(buffer(b"\1", A0))),
    ("Return (Package (Arg0) {1})", "14 0b 54 45 53 54 0f a4 13 03 68 01", return_(var_package(A0, 1))),
]

CASES = NAMED + [(in_method(asl), data, method("TEST", 7, body, serialized=True)) for asl, data, body in STATEMENTS]


@pytest.mark.parametrize(("asl", "expected", "built"), CASES, ids=[case[0] for case in CASES])
def test_builder_makes_the_bytes_of_iasl(asl, expected, built):
    assert built.hex(" ") == expected


def test_iasl_makes_these_bytes(tmp_path):
    """The literals above are iasl's (External declarations, which only help iasl, are left out of them)."""
    tables = compile_asl(tmp_path, [EXTRA + asl if asl.startswith("Method (TEST") else asl for asl, _, _ in CASES])
    for (asl, expected, _), table in zip(CASES, tables, strict=True):
        assert table[36:].hex(" ").endswith(expected), asl


# Bytes of QEMU's NVDIMM SSDT
@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (method("NCAL", 5, bytes(0x15B - 7), serialized=True)[:8], "14 4b 15 4e 43 41 4c 0d"),
        (scope("\\_SB", bytes(0x6E8 - 7))[:8], "10 48 6e 5c 5f 53 42 5f"),
        (device("NVDR", bytes(0x6DF - 6))[:8], "5b 82 4f 6d 4e 56 44 52"),
        (store(ref("MEMA"), local(6)), "70 4d 45 4d 41 66"),
        (op_region("NRAM", RegionSpace.SYSTEM_MEMORY, local(6), 0x1000), "5b 80 4e 52 41 4d 00 66 0b 00 10"),
        (if_(equal(arg(4), 0), bytes(0x1A - 4)).removesuffix(bytes(22)), "a0 1a 93 6c 00"),
        (lor(equal(local(6), 0), lnot(equal(arg(0), local(0)))), "91 93 66 00 92 93 68 60"),
        (return_(buffer(b"\1")), "a4 11 03 01 01"),
        (buffer(b"x" * 16)[:4], "11 13 0a 10"),
        (subtract(ref("RLEN"), 4, local(1)), "74 52 4c 45 4e 0a 04 61"),
        (create_field(ref("ODAT"), 0, local(1), "OBUF"), "5b 13 4f 44 41 54 00 61 4f 42 55 46"),
        (create_dword_field(local(0), 4, "SLSA"), "8a 60 0a 04 53 4c 53 41"),
        (store(package(ref("STTS"), ref("LSA")), local(1)), "70 12 0a 02 53 54 54 53 4c 53 41 5f 61"),
        (
            method("_DSM", 4, return_(call("NCAL", arg(0), arg(1), arg(2), arg(3), 1))),
            "14 10 5f 44 53 4d 04 a4 4e 43 41 4c 68 69 6a 6b 01",
        ),
        (name("MEMA", dword(0x07FFE000)), "08 4d 45 4d 41 0c 00 e0 ff 07"),
        (touuid("4309ac30-0d11-11e4-9191-0800200c9a66")[4:], "30 ac 09 43 11 0d e4 11 91 91 08 00 20 0c 9a 66"),
        (touuid("648b9cf2-cda1-4312-8ad9-49c4af32bd62")[4:], "f2 9c 8b 64 a1 cd 12 43 8a d9 49 c4 af 32 bd 62"),
        (byte(1) + word(1) + dword(1) + qword(1), "0a 01 0b 01 00 0c 01 00 00 00 0e 01 00 00 00 00 00 00 00"),
    ],
)
def test_vectors(built, expected):
    assert built.hex(" ") == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "01"),
        (0x3E, "3f"),  # total 0x3f: the last that fits in one byte
        (0x3F, "41 04"),
        (0xFFF - 2, "4f ff"),
        (0xFFF - 1, "81 00 01"),
        (0xFFFFF - 3, "8f ff ff"),
        (0xFFFFF - 2, "c1 00 00 01"),
        (0xFFFFFFF - 4, "cf ff ff ff"),
    ],
)
def test_pkg_length(size, expected):
    assert pkg_length(size).hex(" ") == expected


@pytest.mark.parametrize(
    ("bits", "expected"), [(32, "20"), (63, "3f"), (64, "40 04"), (32672, "80 fa 07"), (32736, "80 fe 07")]
)
def test_field_width(bits, expected):
    assert pkg_length(bits, counts_itself=False).hex(" ") == expected


@settings(deadline=None)
@given(st.integers(0, (1 << 28) - 5))
def test_pkg_length_says_how_much_follows(size):
    data = pkg_length(size)
    extra = data[0] >> 6
    total = data[0] if not extra else data[0] & 0xF | int.from_bytes(data[1:], "little") << 4
    assert len(data) == extra + 1
    assert total == size + len(data)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", b"\0"),
        ("\\", b"\\\0"),
        ("^", b"^\0"),
        ("A", b"A___"),
        ("^^FOO", b"^^FOO_"),
        ("\\_SB.NVDR", b"\\\x2e_SB_NVDR"),
        ("A.B.C", b"\x2f\x03A___B___C___"),
    ],
)
def test_name_string(path, expected):
    assert name_string(path) == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: name_string("foo"),
        lambda: name_string("1ABC"),
        lambda: name_string("ABCDE"),
        lambda: name_string("A..B"),
        lambda: name_string(".A"),
        lambda: name_string("\\^A"),
        lambda: name_string("A\n"),
        lambda: name_string(".".join(["A"] * 256)),
        lambda: integer(-1),
        lambda: integer(1 << 64),
        lambda: byte(256),
        lambda: dword(1 << 32),
        lambda: string("\u00e9"),
        lambda: string("a\0b"),
        lambda: eisaid("pnp0A03"),
        lambda: eisaid("PNP0A0"),
        lambda: touuid("2f10e7a4-9e91-11e4-89d3-123b93f75cb"),
        lambda: package(*[0] * 256),
        lambda: method("A", 8),
        lambda: method("A", 0, sync=16),
        lambda: local(8),
        lambda: arg(7),
        lambda: irq(16),
        lambda: dma(8),
        lambda: io(0x10000, 0x10000, 1, 1),
        lambda: pkg_length(1 << 28),
    ],
)
def test_what_cannot_be_encoded_is_refused(make):
    with pytest.raises(FormatError):
        make()


def test_every_public_name_is_listed():
    assert sorted(aml.__all__) == sorted(set(aml.__all__))
    assert all(hasattr(aml, word) for word in aml.__all__)
