"""AML as ASL: iasl compiles the text to the same bytes, for every table that we generate and for all the language."""

from __future__ import annotations

import pytest
from acpi.judges import compile_asl, hvmloader_tables, run, tool
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.devicemodel.aml import root_body
from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.asl import disassemble
from xlpy.firmware.acpi.sdt import build_table
from xlpy.firmware.bios_tables import dsdt as host_dsdt
from xlpy.firmware.hvmloader import compiled
from xlpy.firmware.hvmloader.dm_acpi import namespace_device
from xlpy.firmware.hvmloader.dsdt import build_dsdt
from xlpy.firmware.layout import XEN_HVM
from xlpy.hw.describe import parse_machine


def ssdt(*terms, revision=2):
    return build_table("SSDT", b"".join(terms), revision)


def recompiled(folder, text):
    """What iasl makes of a text, without its own id and the checksum."""
    (folder / "t.asl").write_text(text)
    done = run(tool("iasl"), "-oa", "-vw", "3144", "t.asl", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return said((folder / "t.aml").read_bytes())


def said(table):
    return table[:9] + table[10:28] + table[36:]


MACHINE = """
name: m
ram: 4G
cpu: {count: 3, physical_bits: 46, features: [clwb]}
dimms: [{id: a, capacity: 1G, label_size: 128K, handle: 0x01}, {id: b, capacity: 1G, label_size: 128K, handle: 0x1234}]
sets: [{name: s, dimms: [a, b], line: 4K}]
"""
OURS = {
    **{name: lambda name=name: compiled.table(name) for name in ("dsdt", "sleep_s3", "sleep_s4", "laptop_slate")},
    **{name: lambda name=name: compiled.table(name) for name in ("power", "tpm12", "tpm20")},
    "dsdt in RAM": lambda: build_dsdt(0x8000000, 0x600),
    "nvdr": lambda: namespace_device("NVDR", root_body(XEN_HVM.mailbox, 8)),
    "nvdr with 256 slots": lambda: namespace_device("NVDR", root_body(XEN_HVM.mailbox, 256)),
    "host": lambda: host_dsdt(parse_machine(MACHINE, "m")),
}


@pytest.mark.parametrize("name", OURS)
def test_every_table_that_we_generate(tmp_path, name):
    table = OURS[name]()
    (listing,) = disassemble([table])
    assert list(listing.remarks) == []
    assert recompiled(tmp_path, listing.text) == said(table)


LANGUAGE = """
    OperationRegion (REG0, SystemIO, 0x80, 0x10)
    Field (REG0, ByteAcc, Lock, WriteAsOnes) { FLD0, 4, , 4, FLD1, 8, AccessAs (WordAcc), FLD2, 16, Offset (8) }
    OperationRegion (GSB0, GenericSerialBus, 0, 0x100)
    Name (I2C0, ResourceTemplate () { I2cSerialBusV2 (0x40, ControllerInitiated, 400000, AddressingMode7Bit, "\\_SB") })
    Field (GSB0, BufferAcc, NoLock, Preserve)
    {
        Connection (I2C0), AccessAs (BufferAcc, AttribBytes (8)), GSF0, 8, AccessAs (BufferAcc, AttribWord), GSF1, 8
    }
    IndexField (FLD0, FLD1, ByteAcc, NoLock, Preserve) { IDX0, 8, , 3, IDX1, 5 }
    BankField (REG0, FLD0, 2, DWordAcc, NoLock, WriteAsZeros) { BNK0, 32 }
    Mutex (MTX0, 3)
    Event (EVT0)
    Name (STR0, "a\\"b\\\\c\\x07")
    Name (BUF0, Buffer (0x20) { 1, 2, 3 })
    Name (BUF1, Buffer (4) {})
    Name (PKG0, Package (4) { 1, "two", Package () { 3 }, \\_SB })
    Name (PKG1, Package () { STR0, BUF0, 0x123456789A })
    Name (ALLB, Ones)
    Alias (STR0, ALI0)
    ThermalZone (TZ00) { Method (_TMP) { Return (3000) } }
    PowerResource (PWR0, 3, 0x102) { Method (_STA) { Return (One) } }
    Processor (CPU0, 1, 0x410, 6) { Name (_UID, 7) }
    Device (DEV0)
    {
        Name (_HID, EisaId ("PNP0A08"))
        Name (_CID, "device")
        Method (MTH0, 3, Serialized, 2)
        {
            Local0 = Arg0 + Arg1 * 2 - (Arg2 % 7)
            Divide (Arg0, Arg1, Local1, Local2)
            Divide (Arg0, Arg1, , Local2)
            Local0 <<= 2
            Local0 = (~Local0 & 0xFF) | (Local1 ^ Local2)
            If (Local0 == 1 && Local1 != 2 || !(Local2 >= 3)) { Local0++ }
            ElseIf (Local0 < 4) { Local0-- } Else { Noop }
            While (Local0 > 10) { If (Local1) { Break } Continue }
            Local3 = DerefOf (PKG0 [1])
            PKG0 [0] = Local0
            Index (PKG0, 2, Local4)
            Store (RefOf (Local3), Local5)
            DerefOf (Local5) = 3
            If (CondRefOf (\\_SB.GONE, Local6)) { Return (SizeOf (BUF0)) }
            CreateField (BUF0, 3, 9, CFD0)
            CreateByteField (BUF0, 1, CBF0)
            CreateWordField (BUF0, 2, CWF0)
            CreateDWordField (BUF0, 4, CDF0)
            CreateQWordField (BUF0, 8, CQF0)
            CreateBitField (BUF0, 3, CBI0)
            Local7 = Concatenate (STR0, ToHexString (Local0))
            Local7 = ToString (BUF0, 4)
            Local7 = Mid (STR0, 1, 2)
            Local7 = Match (PKG0, MEQ, 1, MTR, 0, 0)
            ToInteger ("12", Local7)
            ToBuffer (Local7, Local7)
            ToDecimalString (Local0, Local7)
            FindSetLeftBit (Local0, Local1)
            FindSetRightBit (Local0, Local1)
            FromBCD (0x12, Local1)
            ToBCD (12, Local1)
            NAnd (Local0, 1, Local1)
            NOr (Local0, 1, Local1)
            CopyObject (Local0, Local2)
            Acquire (MTX0, 0xFFFF)
            Release (MTX0)
            Wait (EVT0, 100)
            Signal (EVT0)
            Reset (EVT0)
            Sleep (1)
            Stall (1)
            Notify (DEV0, 0x80)
            Debug = Timer
            BreakPoint
            Fatal (1, 2, Local0)
            MTH1 ()
            Local0 = MTH2 (MTH2 (1, Local1), ObjectType (STR0))
            Return (Package (Local0) { 1 })
        }
        Method (MTH1) { Name (TMP0, 1) Method (MTH3, 1) { Return (Arg0) } Return (MTH3 (TMP0)) }
        Method (MTH2, 2) { Return (Arg0) }
    }
    Scope (DEV0) { Name (ADD0, Revision) }
    If (ALLB) { Name (CND0, 1) }
"""


def test_the_whole_language(tmp_path):
    (table,) = compile_asl(tmp_path, [LANGUAGE], options=("-oa",))
    (listing,) = disassemble([table])
    assert [remark.text for remark in listing.remarks if not remark.text.startswith("names of other tables")] == []
    assert said(table) == recompiled(tmp_path, listing.text)


def test_zero_as_a_byte_and_names_that_are_words_of_asl(tmp_path):
    table = ssdt(aml.name("ABCD", aml.byte(0)), aml.name("ADD", 0), aml.name("QWRD", aml.qword((1 << 64) - 1)))
    (listing,) = disassemble([table])
    assert list(listing.remarks) == []
    assert recompiled(tmp_path, listing.text) == said(table)


def test_xens_own_tables(tmp_path):
    for number, table in enumerate(hvmloader_tables()):
        (listing,) = disassemble([table])
        folder = tmp_path / str(number)
        folder.mkdir()
        assert list(listing.remarks) == []
        assert recompiled(folder, listing.text) == said(table)


@pytest.mark.parametrize(
    ("terms", "offset", "words"),
    [
        ([aml.name("ONE", aml.dword(1))], 41, "the constant 0x1 is written in 4 bytes"),
        ([aml.name("ONE", aml.word(0xFF))], 41, "the constant 0xff is written in 2 bytes"),
        ([b"\x08\x2f\x01ONE_\x01"], 37, "the name ONE is written in 6 bytes"),
        ([b"\x14\x47\x00ONE_\x00"], 36, "Method: its length is written in 2 bytes"),
        ([aml.name("STR0", b"\x0d\xff\0")], 42, "a string holds bytes beyond ASCII"),
        ([aml.external("\\FOO", 8, 2)], 36, "External (\\FOO) is an opcode"),
        ([aml.name("REF0", aml.package(aml.ref("\\FOO")))], 36, "names of other tables"),
        ([aml.name("ZERO", 1)], 37, "the name ZERO is a word of ASL"),
        ([aml.name("ONE", 1), aml.integer(7)], 42, "Byte stands as a statement, and is a value"),
        (
            [aml.method("BAR", 0, b"\\FOO_", aml.arg(0), aml.integer(7))],
            43,
            "how many arguments \\FOO takes is a guess",
        ),
        ([aml.name("ONE", 1), b"\xb0\x01\x02"], 42, "unknown opcode 0xb0; 3 bytes are left out: b0 01 02"),
    ],
)
def test_what_asl_cannot_say_is_reported(terms, offset, words):
    (listing,) = disassemble([ssdt(*terms)])
    remark = next(one for one in listing.remarks if one.text.startswith(words))
    assert remark.offset == offset
    assert f"// {offset:#x}: {remark.text}" in listing.text


def test_what_follows_a_broken_package_is_printed():
    body = ssdt(aml.method("BAD", 0, b"\xb0\x01"), aml.name("TWO", 2))
    (listing,) = disassemble([body])
    assert "Name (TWO, 0x02)" in listing.text
    assert set(listing.objects) == {"\\BAD", "\\TWO"}


def test_calls_of_other_tables():
    """How many arguments a call has is known from the table that declares the method."""
    dsdt = build_table("DSDT", aml.method("\\FOO", 2, aml.return_(aml.arg(0))), 2)
    user = ssdt(aml.method("BAR", 0, aml.call("\\FOO", 1, 2), aml.return_(3)))
    assert "\\FOO (One, 0x02)" in disassemble([dsdt, user])[1].text
    assert "External (\\FOO, MethodObj)" in disassemble([dsdt, user])[1].text
    guarded = ssdt(aml.external("\\FOO", 8, 2), aml.method("BAR", 0, aml.call("\\FOO", 1, 2)))
    assert "\\FOO (One, 0x02)" in disassemble([guarded])[0].text


def test_iasls_own_external_opcodes_come_out_equal(tmp_path):
    """iasl puts them into If (Zero) in front of a table; it does so again for the declarations."""
    source = """External (\\_SB.DEV0, DeviceObj)  External (\\_SB.DEV0.MTH0, MethodObj)  External (\\ABCD, IntObj)
        Scope (\\_SB.DEV0) { Method (MTH1) { Return (MTH0 (ABCD, 2)) } }"""
    (table,) = compile_asl(tmp_path, [source], options=("-oa",))
    assert table[36] == 0xA0
    (listing,) = disassemble([table])
    assert list(listing.remarks) == []
    assert recompiled(tmp_path, listing.text) == said(table)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_tables_never_crash(data):
    table = bytearray(OURS["nvdr"]())
    for _ in range(data.draw(st.integers(1, 6))):
        table[data.draw(st.integers(36, len(table) - 1))] = data.draw(st.integers(0, 255))
    disassemble([bytes(table)])


def test_deep_nesting_ends_with_a_remark():
    deep = aml.integer(1)
    for _ in range(2000):
        deep = aml.lnot(deep)
    (listing,) = disassemble([ssdt(aml.name("DEEP", deep))])
    assert "nested deeper" in listing.remarks[0].text
