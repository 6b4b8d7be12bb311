"""Fields: which bits they are, and which accesses they make."""

import re

import pytest
from acpi.judges import compile_asl, run, tool

from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.eval import AmlError, ScratchMemory, load
from xlpy.firmware.acpi.eval.fields import read_bits, write_bits
from xlpy.firmware.acpi.sdt import build_table

MEMORY, IO, PCI = 0, 1, 2


class Recorder(ScratchMemory):
    """Scratch memory that writes down every access."""

    def __init__(self):
        super().__init__()
        self.log = []

    def read(self, space, address, width):
        value = super().read(space, address, width)
        self.log.append(("Read", space, address, width, value))
        return value

    def write(self, space, address, width, value):
        super().write(space, address, width, value)
        self.log.append(("Write", space, address, width, value))


def machine(*terms, revision=2):
    memory = Recorder()
    return load([build_table("DSDT", b"".join(terms), revision)], memory), memory


def region_with(units, access, update=aml.Update.PRESERVE, space=MEMORY):
    return aml.op_region("REG", space, 0x1000, 0x100) + aml.field("REG", units, access, update=update)


def setter(value):
    return aml.method("SET", 0, aml.store(value, aml.ref("FLD")))


@pytest.mark.parametrize(
    ("access", "offset", "bits", "log"),
    [  # reading FLD: address and width of each access
        (aml.AccessType.ANY, 0, 8, [(0x1000, 1)]),
        (aml.AccessType.ANY, 0, 32, [(0x1000, 1), (0x1001, 1), (0x1002, 1), (0x1003, 1)]),
        (aml.AccessType.BYTE, 12, 8, [(0x1001, 1), (0x1002, 1)]),
        (aml.AccessType.WORD, 8, 8, [(0x1000, 2)]),
        (aml.AccessType.WORD, 8, 16, [(0x1000, 2), (0x1002, 2)]),
        (aml.AccessType.DWORD, 0, 32, [(0x1000, 4)]),
        (aml.AccessType.DWORD, 32, 64, [(0x1004, 4), (0x1008, 4)]),
        (aml.AccessType.QWORD, 60, 8, [(0x1000, 8), (0x1008, 8)]),
        (aml.AccessType.BUFFER, 0, 16, [(0x1000, 1), (0x1001, 1)]),
    ],
)
def test_units_of_access(access, offset, bits, log):
    vm, memory = machine(region_with([("", offset), ("FLD", bits)], access))
    vm.evaluate("FLD")
    assert [(address, width) for _, _, address, width, _ in memory.log] == log


@pytest.mark.parametrize(
    ("update", "log"),
    [  # writing 5 to the four bits from bit 4 on, where memory holds 0xA5A5
        (aml.Update.PRESERVE, [("Read", MEMORY, 0x1000, 2, 0xA5A5), ("Write", MEMORY, 0x1000, 2, 0xA555)]),
        (aml.Update.WRITE_AS_ONES, [("Write", MEMORY, 0x1000, 2, 0xFF5F)]),
        (aml.Update.WRITE_AS_ZEROS, [("Write", MEMORY, 0x1000, 2, 0x0050)]),
    ],
)
def test_update_rule(update, log):
    vm, memory = machine(region_with([("", 4), ("FLD", 4)], aml.AccessType.WORD, update), setter(5))
    memory.bytes = {(MEMORY, 0x1000): 0xA5, (MEMORY, 0x1001): 0xA5}
    vm.evaluate("SET")
    assert memory.log == log


def test_whole_units_are_not_read_before_a_write():
    vm, memory = machine(region_with([("", 4), ("FLD", 24)], aml.AccessType.BYTE), setter(0xABCDEF))
    vm.evaluate("SET")
    assert [entry[:1] + entry[2:] for entry in memory.log] == [
        ("Read", 0x1000, 1, 0),
        ("Write", 0x1000, 1, 0xF0),
        ("Write", 0x1001, 1, 0xDE),
        ("Write", 0x1002, 1, 0xBC),
        ("Read", 0x1003, 1, 0),
        ("Write", 0x1003, 1, 0x0A),
    ]


def test_narrow_fields_read_as_integers_and_wide_ones_as_buffers():
    units = [("NARR", 64), ("WIDE", 72)]
    for revision, kind in ((2, int), (1, bytes)):
        vm, memory = machine(region_with(units, aml.AccessType.BYTE), revision=revision)
        memory.bytes = {(MEMORY, 0x1000 + at): at for at in range(17)}
        assert vm.evaluate("WIDE") == bytes(range(8, 17))
        value = vm.evaluate("NARR")
        assert type(value) is kind
        assert value in (bytes(range(8)), 0x0706050403020100)


def test_stores_truncate_and_extend():
    vm, memory = machine(
        region_with([("FLD", 80)], aml.AccessType.DWORD), aml.method("SET", 1, aml.store(aml.arg(0), aml.ref("FLD")))
    )
    for value, stored in (
        (0x11223344, "44 33 22 11 00 00 00 00 00 00"),
        (b"abc", "61 62 63 00 00 00 00 00 00 00"),
        ("text", "74 65 78 74 00 00 00 00 00 00"),
        (bytes(range(20)), "00 01 02 03 04 05 06 07 08 09"),
    ):
        vm.evaluate("SET", value)
        assert vm.evaluate("FLD").hex(" ") == stored
    assert memory.read(MEMORY, 0x100A, 2) == 0  # the bits behind it are as they were


def test_index_field():
    vm, memory = machine(
        aml.op_region("REG", IO, 0x70, 2),
        aml.field("REG", [("IDX", 8), ("DAT", 8)], aml.AccessType.BYTE),
        aml.index_field("IDX", "DAT", [("", 4), ("FLD", 8)], aml.AccessType.BYTE),
        setter(0xAB),
    )
    vm.evaluate("FLD")
    assert memory.log == [
        ("Write", IO, 0x70, 1, 0),
        ("Read", IO, 0x71, 1, 0),
        ("Write", IO, 0x70, 1, 1),
        ("Read", IO, 0x71, 1, 0),
    ]
    memory.log.clear()
    vm.evaluate("SET")
    assert memory.log == [
        ("Write", IO, 0x70, 1, 0),
        ("Read", IO, 0x71, 1, 0),
        ("Write", IO, 0x70, 1, 0),
        ("Write", IO, 0x71, 1, 0xB0),
        ("Write", IO, 0x70, 1, 1),
        ("Read", IO, 0x71, 1, 0xB0),
        ("Write", IO, 0x70, 1, 1),
        ("Write", IO, 0x71, 1, 0xBA),
    ]


def test_bank_field():
    vm, memory = machine(
        aml.op_region("REG", IO, 0x170, 8),
        aml.field("REG", [("BNK", 8)], aml.AccessType.BYTE),
        aml.bank_field("REG", "BNK", 3, [("", 16), ("FLD", 16)], aml.AccessType.WORD),
        setter(0x1234),
    )
    vm.evaluate("SET")
    vm.evaluate("FLD")
    assert memory.log == [
        ("Write", IO, 0x170, 1, 3),
        ("Write", IO, 0x172, 2, 0x1234),
        ("Write", IO, 0x170, 1, 3),
        ("Read", IO, 0x172, 2, 0x1234),
    ]


def test_access_as():
    """AccessAs (01 type attribute) changes the width for the units that follow."""
    units = b"\x41\x5f\x5f\x5f\x10" + b"\x01\x03\x00" + b"\x42\x5f\x5f\x5f\x10"
    body = aml.name_string("REG") + bytes([aml.AccessType.BYTE]) + units
    field = b"\x5b\x81" + aml.pkg_length(len(body)) + body
    vm, memory = machine(aml.op_region("REG", MEMORY, 0x1000, 8), field)
    vm.evaluate("A")
    vm.evaluate("B")
    assert [entry[2:4] for entry in memory.log] == [(0x1000, 1), (0x1001, 1), (0x1000, 4)]


def test_pci_configuration_space():
    """Segment, bus and function come from the objects around the region."""
    vm, memory = machine(
        aml.scope(
            "\\_SB",
            aml.device(
                "PCI0",
                aml.name("_BBN", 2),
                aml.method("_SEG", 0, aml.return_(1)),
                aml.device(
                    "ISA",
                    aml.name("_ADR", 0x1F0003),
                    aml.op_region("PIRQ", PCI, 0x60, 4),
                    aml.field("PIRQ", [("PIRA", 8)], aml.AccessType.BYTE),
                ),
            ),
        )
    )
    vm.evaluate("\\_SB.PCI0.ISA.PIRA")
    assert memory.log == [("Read", PCI, 1 << 28 | 2 << 20 | 0x1F << 15 | 3 << 12 | 0x60, 1, 0)]


def test_a_region_is_located_when_it_is_made():
    """Its place may be what memory holds by then; what the table defines later cannot tell it, as in ACPICA."""
    memory = Recorder()
    memory.write(MEMORY, 0x500, 4, 0x20000)
    body = [
        aml.op_region("INFO", MEMORY, 0x500, 4),
        aml.field("INFO", [("BASE", 32)], aml.AccessType.DWORD),
        aml.name("SIZE", 4),
        aml.op_region("REG", MEMORY, aml.add(aml.ref("BASE"), 0x10), aml.ref("SIZE")),
        aml.field("REG", [("FLD", 8)], aml.AccessType.BYTE),
        aml.op_region("SOON", MEMORY, aml.ref("LATE"), 4),
        aml.name("LATE", 4),
    ]
    vm = load([build_table("DSDT", b"".join(body), 2)], memory, strict=False)
    assert [problem.status for problem in vm.problems] == ["AE_NOT_FOUND"]
    memory.write(MEMORY, 0x500, 4, 0x30000)
    vm.evaluate("FLD")
    assert memory.log[-1] == ("Read", MEMORY, 0x20010, 1, 0)


@pytest.mark.parametrize(("length", "access", "ok"), [(4, 3, True), (3, 3, True), (3, 1, False), (0, 1, False)])
def test_fields_end_with_their_region(length, access, ok):
    """A region is as long as whole units cover it, as Linux sees it."""
    vm, memory = machine(aml.op_region("REG", MEMORY, 0x1000, length), aml.field("REG", [("FLD", 32)], access))
    if ok:
        assert vm.evaluate("FLD") == 0
        return
    with pytest.raises(AmlError, match="AE_AML_REGION_LIMIT"):
        vm.evaluate("FLD")
    assert memory.log == []


def test_no_address_lies_beyond_64_bits():
    vm, memory = machine(aml.op_region("REG", MEMORY, (1 << 64) - 4, 8), aml.field("REG", [("LOW", 32), ("FLD", 32)]))
    assert vm.evaluate("LOW") == 0
    memory.log.clear()
    with pytest.raises(AmlError, match="AE_AML_REGION_LIMIT"):
        vm.evaluate("FLD")
    assert memory.log == []


@pytest.mark.parametrize(
    "table",
    [
        aml.op_region("REG", MEMORY, aml.ref("FLD"), 4)
        + aml.field("REG", [("FLD", 32)]),  # where it lies, it says itself
        aml.op_region("R1", MEMORY, aml.ref("FLD2"), 4)
        + aml.field("R1", [("FLD", 32)])
        + aml.op_region("R2", MEMORY, aml.ref("FLD"), 4)
        + aml.field("R2", [("FLD2", 32)]),
    ],
)
def test_regions_that_need_themselves(table):
    with pytest.raises(AmlError):
        machine(table)


def test_a_huge_field_is_refused():
    vm, memory = machine(aml.op_region("REG", MEMORY, 0, 1 << 40), aml.field("REG", [("FLD", 1 << 27)]))
    with pytest.raises(AmlError):
        vm.evaluate("FLD")
    assert memory.log == []


def test_bits():
    data = bytearray.fromhex("ff00ff00ff")
    assert read_bits(data, 4, 8) == b"\x0f"
    assert read_bits(data, 8, 16) == b"\x00\xff"
    assert read_bits(data, 39, 1) == b"\x01"
    write_bits(data, 6, 12, b"\xaa\x5a")
    assert data.hex() == "bfaafe00ff"  # bits 6-17 hold 0xAAA
    write_bits(data, 8, 16, b"\x12")
    assert data.hex() == "bf120000ff"


TRACE = re.compile(r"AcpiExec: SystemMemory (\w+) ?: Val (\w+) Addr (\w+) BitWidth (\w+)")

UNITS = """
OperationRegion (MEM, SystemMemory, 0x100000, 0x100)
Field (MEM, ByteAcc, NoLock, Preserve) { FA, 8, FB, 16, FC, 4, FD, 4, , 3, FE, 9, , 4, FF, 64, FG, 100, FH, 1 }
Field (MEM, DWordAcc, NoLock, Preserve) { Offset (0x40), GA, 8, GB, 16, GC, 40, GD, 3, GE, 70 }
Field (MEM, WordAcc, NoLock, WriteAsOnes) { Offset (0x60), HA, 4, HB, 9, HC, 19, HD, 70 }
Field (MEM, AnyAcc, NoLock, Preserve) { Offset (0x10), JA, 32, JB, 128 }
"""
ACCESSES = [
    "FA = 0x5A Return (FA)",
    "FB = 0x1234 Return (FB)",
    "FC = 5 FD = 0xA Return (FC | FD)",
    "FE = 0x1FF Return (FE)",
    "FG = Buffer () {1,2,3,4,5,6,7,8,9,10,11,12,13} Return (FG)",
    "FH = 1 Return (FH)",
    "GA = 0x11 GB = 0x2222 GC = 0x1234567890 GD = 5 Return (GC)",
    "GE = Buffer () {1,2,3,4,5,6,7,8,0xFF} Return (GE)",
    "HA = 1 HB = 2 HC = 3 Return (HA + HB + HC)",
    "HD = Buffer () {1,2,3,4,5,6,7,8,0xFF} Return (HD)",
    "JB = Buffer () {1,2,3} Return (JA)",
]


def test_accesses_are_those_of_acpiexec(tmp_path):
    methods = [f"Method (T{number:03X}) {{ {body} }}\n" for number, body in enumerate(ACCESSES)]
    (table,) = compile_asl(tmp_path, [UNITS + "".join(methods)], signature="DSDT", options=("-of", "-f"))
    (tmp_path / "table.aml").write_bytes(table)
    lines = "".join(f"evaluate \\T{number:03X}\n" for number in range(len(ACCESSES)))
    memory = Recorder()
    vm = load([table], memory)
    ours = []
    for number in range(len(ACCESSES)):
        memory.log.clear()
        vm.evaluate(f"T{number:03X}")
        ours.append(list(memory.log))
    for _ in range(3):  # on a busy machine acpiexec's threads sometimes lose lines
        output = run(tool("acpiexec"), "-dt", "-vr", "table.aml", folder=tmp_path, input=lines + "quit\n").stdout
        theirs = [list(_accesses(text)) for text in output.split("\n- evaluate ")[1:]]
        if theirs == ours:
            break
    assert dict(zip(ACCESSES, ours, strict=True)) == dict(zip(ACCESSES, theirs, strict=False))


def _accesses(text):
    for kind, value, address, bits in TRACE.findall(text):
        width = int(bits, 16) // 8
        yield kind, MEMORY, int(address, 16), width, int(value, 16) & ((1 << 8 * width) - 1)


class Runner(Recorder):
    """The same for a machine that reads many units at a time."""

    def read_run(self, space, address, width, count):
        self.log.append(("Run", space, address, width, count))
        units = range(address, address + width * count, width)
        return b"".join(ScratchMemory.read(self, space, at, width).to_bytes(width, "little") for at in units)


@pytest.mark.parametrize(
    ("offset", "bits", "log"),
    [
        (0, 32, [("Read", MEMORY, 0x1000, 4)]),
        (0, 64, [("Run", MEMORY, 0x1000, 4, 2)]),
        (36, 200, [("Run", MEMORY, 0x1004, 4, 7)]),
    ],
)
def test_units_are_read_together_where_the_machine_can(offset, bits, log):
    terms = region_with([("", offset), ("FLD", bits)], aml.AccessType.DWORD)
    values = []
    for memory in (Recorder(), Runner()):
        memory.write(MEMORY, 0x1000, 64, int.from_bytes(bytes(range(1, 65)), "little"))
        memory.log.clear()
        values.append(load([build_table("DSDT", terms, 2)], memory).evaluate("FLD"))
    assert values[0] == values[1]
    assert [entry[: len(wanted)] for entry, wanted in zip(memory.log, log, strict=True)] == log
