"""From the RSDP to the tables, and acpidump's text of them."""

import pytest
from acpi.judges import run, tool
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.errors import FormatError
from xlpy.firmware.acpi.acpidump import file_names, from_hex, to_hex
from xlpy.firmware.acpi.facs import FACS
from xlpy.firmware.acpi.fadt import build_fadt
from xlpy.firmware.acpi.roots import Rsdp, build_rsdp, build_rsdt, build_xsdt
from xlpy.firmware.acpi.sdt import build_table
from xlpy.firmware.acpi.walk import Found, find_rsdp, walk

RSDP, RSDT, XSDT, FADT1, FADT4, FAC, DSDT, SSDT1, SSDT2 = range(0x100000, 0x109000, 0x1000)


class Memory:
    """Sparse memory: what nobody wrote reads as zeros."""

    def __init__(self, blocks):
        self.blocks = dict(blocks)

    def read(self, address, length):
        data = bytearray(length)
        for start, block in self.blocks.items():
            low, high = max(start, address), min(start + len(block), address + length)
            if low < high:
                data[low - address : high - address] = block[low - start : high - start]
        return bytes(data)


def machine(**changes):
    tables = {
        RSDP: build_rsdp(Rsdp(RSDT, XSDT)),
        RSDT: build_rsdt([FADT1, SSDT1, SSDT2]),
        XSDT: build_xsdt([FADT4, SSDT1, SSDT2]),
        FADT1: build_fadt({"firmware_ctrl": FAC, "dsdt": DSDT}, 1),
        FADT4: build_fadt({"x_firmware_ctrl": FAC, "x_dsdt": DSDT}, 4),
        FAC: FACS.build({}),
        DSDT: build_table("DSDT", b"", 2),
        SSDT1: build_table("SSDT", b"", 2),
        SSDT2: build_table("SSDT", b"\xa3", 2),
    }
    names = {name: address for name, address in globals().items() if isinstance(address, int)}
    tables |= {names[name]: data for name, data in changes.items()}
    return Memory(tables)


def signatures(found):
    return " ".join(table.signature for table in found)


def test_walk():
    memory = machine()
    found = walk(memory.read, RSDP)
    assert signatures(found) == "RSDP RSDT XSDT FACP FACS DSDT SSDT SSDT"
    assert all(memory.blocks[table.address] == table.data for table in found)
    assert found[3].address == FADT4
    assert signatures(walk(memory.read, RSDP, everything=True)) == "RSDP RSDT XSDT FACP FACS DSDT SSDT SSDT FACP"


def test_walk_without_xsdt():
    memory = machine(RSDP=build_rsdp(Rsdp(RSDT, revision=0)))
    found = walk(memory.read, RSDP)
    assert signatures(found) == "RSDP RSDT FACP FACS DSDT SSDT SSDT"
    assert len(found[0].data) == 20
    assert found[2].address == FADT1


@pytest.mark.parametrize(
    ("changes", "message", "rest"),
    [
        ({"RSDP": b"RSD PTR "}, "no RSDP with a right checksum at 0x100000", ""),
        ({"RSDP": build_rsdp(Rsdp(0, 0))}, "it leads to no RSDT or XSDT", "RSDP"),
        (
            {"RSDP": build_rsdp(Rsdp(0, SSDT1))},
            "rsdp: XSDT is required at 0x107000, found b'SSDT'",
            "RSDP",
        ),
        (
            {"XSDT": build_xsdt([FADT4, SSDT1])[:-1] + b"\1"},
            "xsdt at 0x102000: bad checksum",
            "RSDP RSDT XSDT FACP FACS DSDT",
        ),
        (
            {"XSDT": build_xsdt([0xDEAD0000, SSDT1])},
            "xsdt.entries: a table is required at 0xdead0000, found b'\\x00\\x00\\x00\\x00'",
            "RSDP RSDT XSDT SSDT",
        ),
        (
            {"SSDT1": b"SSDT\x10\0\0\0"},
            "xsdt.entries: SSDT at 0x107000 claims a length of 16",
            "RSDP RSDT XSDT FACP FACS DSDT SSDT",
        ),
        (
            {"SSDT1": b"SSDT\0\0\0\x7f"},
            "xsdt.entries: SSDT at 0x107000 claims a length of 2130706432",
            "RSDP RSDT XSDT FACP FACS DSDT SSDT",
        ),
        (
            {"SSDT1": build_table("../x", b"")},
            "xsdt.entries: a table is required at 0x107000, found b'../x'",
            "RSDP RSDT XSDT FACP FACS DSDT SSDT",
        ),
        (
            {"FADT4": build_fadt({"x_dsdt": SSDT1}, 4)},
            "facp.dsdt: DSDT is required at 0x107000, found b'SSDT'",
            "RSDP RSDT XSDT FACP SSDT",
        ),
    ],
)
def test_broken_links(changes, message, rest):
    memory = machine(**changes)
    with pytest.raises(FormatError) as caught:
        walk(memory.read, RSDP)
    assert message in caught.value.message
    problems = []
    found = walk(memory.read, RSDP, problems=problems)
    assert message in problems[0].message
    assert signatures(found) == rest


@settings(deadline=None)
@given(st.integers(0, 35), st.integers(0, 255), st.sampled_from([RSDP, RSDT, XSDT, FADT4, SSDT1]))
def test_damaged_headers_do_not_stop_a_walk(at, value, where):
    memory = machine()
    block = bytearray(memory.blocks[where])
    block[at] = value
    memory.blocks[where] = bytes(block)
    assert len(walk(memory.read, RSDP, problems=[])) <= 8


def test_find_rsdp():
    rsdp = build_rsdp(Rsdp(RSDT, XSDT))
    damaged = rsdp[:8] + b"\xff" + rsdp[9:]
    assert find_rsdp(Memory({0xE0000: damaged, 0xE1008: rsdp, 0xEA020: rsdp, 0xEB000: rsdp}).read) == 0xEA020
    assert find_rsdp(Memory({0x40E: b"\xc0\x9f", 0x9FC10: rsdp, 0xE0000: rsdp}).read) == 0x9FC10
    with pytest.raises(FormatError):
        find_rsdp(Memory({0xE1008: rsdp}).read)


TABLES = [
    Found("RSDP", 0xEA020, build_rsdp(Rsdp(RSDT, XSDT))),
    Found("SSDT", 0xFC00A5C0, build_table("SSDT", b"", 2)),
    Found("SSDT", 0xFC00A600, build_table("SSDT", bytes(range(256)) * 300, 2)),
    Found("WAET", 0x10000000000, build_table("WAET", bytes(4))),
]

WAET_TEXT = """\
WAET @ 0x0000010000000000
    0000: 57 41 45 54 28 00 00 00 01 59 58 65 6E 00 00 00  WAET(....YXen...
    0010: 48 56 4D 00 00 00 00 00 00 00 00 00 48 56 4D 4C  HVM.........HVML
    0020: 00 00 00 00 00 00 00 00                          ........
"""


def test_acpidump_text():
    assert to_hex(TABLES[3:]) == WAET_TEXT
    assert from_hex(to_hex(TABLES)) == TABLES
    assert from_hex("") == []
    assert from_hex(WAET_TEXT.replace("  WAET(....YXen...", "")) == TABLES[3:]


@settings(deadline=None)
@given(st.lists(st.builds(Found, st.just("SSDT"), st.integers(0, (1 << 64) - 1), st.binary(min_size=1, max_size=99))))
def test_acpidump_round_trip(tables):
    assert from_hex(to_hex(tables)) == tables


@pytest.mark.parametrize(
    "text",
    [
        WAET_TEXT.replace("0010:", "0020:"),
        WAET_TEXT.replace("57 41", "57 4"),
        WAET_TEXT + "    0028: 1\n",
        WAET_TEXT + "    0028:\n",
    ],
)
def test_damaged_acpidump_text(text):
    with pytest.raises(FormatError, match="line "):
        from_hex(text)
    problems = {}
    more = to_hex(TABLES[:1])
    assert from_hex(text + more, problems)[-1] == TABLES[0]  # what follows is read all the same
    assert [problem.path for problem in problems.values()] == ["waet"]


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("ASF! @ 0x7EF0\n", [("ASF!", 0x7EF0)]),
        ("RSD PTR @ 0xf6cd0\n", [("RSDP", 0xF6CD0)]),
        ("RSD  @ 0xf6cd0\n", [("RSDP", 0xF6CD0)]),
        ("SSDT @ (nil)\n", [("SSDT", 0)]),
        ("DSDT @ 0xdfffd0c0 (10999 bytes)\r\n", [("DSDT", 0xDFFFD0C0)]),
        ("$ABC @ 7ef0\n", [("$ABC", 0x7EF0)]),
        ("Firmware Warning (ACPI): Incorrect checksum in table [OEMB] @ 0x1 - 0x72\n", []),
        (" DSDT @ 0x10\n", []),
        ("../x @ 0x10\n", []),
        ("DSDT @ 0x10z\n", []),
        ("DSDT@0x10\n", []),
        ("someone @ 0x10\n", []),
    ],
)
def test_titles(text, titles):
    assert [(one.signature, one.address) for one in from_hex(text)] == titles


def test_stray_lines_are_passed_over():
    """As acpixtract does: before, between and inside tables, and rows that no title announces."""
    head, *rows = WAET_TEXT.splitlines(keepends=True)
    warning = "Firmware Warning (ACPI): 32/64X length mismatch in FADT/Gpe0Block: 128/32\n"
    text = f"    0000: 57 41\n{warning}hello\n{head}{warning}\n{''.join(rows[:2])}{warning}{rows[2]}goodbye\n"
    assert from_hex(text) == TABLES[3:]


def test_file_names():
    assert file_names(TABLES) == ["rsdp.dat", "ssdt1.dat", "ssdt2.dat", "waet.dat"]
    assert file_names(TABLES[:2]) == ["rsdp.dat", "ssdt.dat"]


def test_acpixtract_takes_the_text(tmp_path):
    acpixtract = tool("acpixtract")
    (tmp_path / "dump.txt").write_text(to_hex(TABLES))
    result = run(acpixtract, "-a", "dump.txt", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    for name, table in zip(file_names(TABLES), TABLES, strict=True):
        assert (tmp_path / name).read_bytes() == table.data
