"""The lint, rule by rule: what operating systems trip over is found, and what they take is not called wrong.

Each row is a small table with one thing that is off, or with one that only looks so.
"""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest
from acpi.judges import run, tool
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.errors import FormatError
from xlpy.firmware.acpi import aml, lint, nfit, nfit_format
from xlpy.firmware.acpi.acpidump import file_names, to_hex
from xlpy.firmware.acpi.fadt import build_fadt
from xlpy.firmware.acpi.lint import RULES, TableSource, read_tables
from xlpy.firmware.acpi.roots import Rsdp, build_rsdp, build_xsdt
from xlpy.firmware.acpi.sdt import build_table
from xlpy.firmware.acpi.walk import Found

GIB = 1 << 30
PARTIAL = "dump-partial"
DSDT = build_table("DSDT", aml.scope("\\_SB", aml.device("PCI0", aml.name("_HID", aml.eisaid("PNP0A03")))), 2)


def found_in(*tables):
    """(severity, code, offset) of all findings about tables from a file, but for what such a file lacks."""
    source = TableSource([Found(data[:4].decode("latin-1"), 0, data) for data in tables])
    return [(one.severity, one.code, one.offset) for one in lint.check(source) if one.code != PARTIAL]


def slit(*rows):
    return build_table("SLIT", pack("<Q", len(rows)) + b"".join(map(bytes, rows)))


def srat(*entries, revision=3):
    return build_table("SRAT", pack("<I8x", 1) + b"".join(entries), revision)


def memory(domain, start, size, flags=1, *, kind=1, length=40):
    return pack("<BBI2xQQ4xI8x", kind, length, domain, start, size, flags)[:length]


def cpu(domain, apic, flags=1):
    return pack("<BBBBIB3sI", 0, 16, domain & 0xFF, apic, flags, 0, (domain >> 8).to_bytes(3, "little"), 0)


def x2cpu(domain, apic, flags=1):
    return pack("<BBxxIIII4x", 2, 24, domain, apic, flags, 0)


def madt(*entries, flags=1):
    return build_table("APIC", pack("<II", 0xFEE00000, flags) + b"".join(entries), 4)


def apic(uid, number, flags=1):
    return pack("<BBBBI", 0, 8, uid, number, flags)


def x2apic(uid, number, flags=1):
    return pack("<BBxxIII", 9, 16, number, flags, uid)


def io_apic(number, base):
    return pack("<BBBxII", 1, 12, number, 0xFEC00000 + 0x1000 * number, base)


def override(source, gsi, flags=0):
    return pack("<BBBBIH", 2, 10, 0, source, gsi, flags)


def nfit_of(*structures):
    return build_table("NFIT", bytes(4) + b"".join(structures), 1)


def raw(*records):
    return [nfit_format.build_structures([one]) for one in records]


SPA = nfit.SpaRange(1, 4 * GIB, GIB)
MAP = nfit.RegionMap(handle=1, spa_index=1, control_index=1, region_size=GIB)
CONTROL = nfit.ControlRegion(1, 0x8086, 1, 1, serial_number=7)


def pair(second=MAP, *, serial=8, control=2, **spa):
    """Two devices of 1 GiB in two ranges."""
    return [
        SPA,
        nfit.SpaRange(2, 8 * GIB, GIB)._replace(**spa),
        MAP,
        second,
        CONTROL,
        nfit.ControlRegion(control, 0x8086, 1, 1, serial_number=serial),
    ]


SECOND = MAP._replace(handle=2, spa_index=2, control_index=2)
NEAR = slit([10, 20], [20, 10])

FINDINGS = {
    # SLIT: Linux and Xen drop the table
    "a diagonal of 255": (slit([255, 21], [21, 255]), [("error", "slit-diagonal", 44), ("error", "slit-diagonal", 47)]),
    "a distance of 10": (slit([10, 10], [20, 10]), [("error", "slit-distance", 45)]),
    "a distance of 9 the other way": (slit([10, 20], [9, 10]), [("error", "slit-distance", 46)]),
    "localities without distances": (build_table("SLIT", pack("<Q", 3) + bytes(4)), [("error", "slit-size", 36)]),
    # SRAT
    "memory of two nodes overlaps": (
        srat(memory(0, 0, GIB), memory(1, GIB - 4096, GIB)),
        [("error", "srat-overlap", 48 + 40 + 8)],
    ),
    "memory of one node overlaps": (
        srat(memory(0, 0, GIB), memory(0, 4096, GIB)),
        [("warning", "srat-overlap-same", 48 + 40 + 8)],
    ),
    "a processor in two nodes": (srat(cpu(0, 4), cpu(1, 4)), [("error", "srat-apic-id", 48 + 16 + 3)]),
    "an x2APIC in two nodes": (srat(x2cpu(0, 300), x2cpu(1, 300)), [("error", "srat-apic-id", 48 + 24 + 8)]),
    "node 256 is not node 0": (srat(cpu(0, 4), cpu(256, 4)), [("error", "srat-apic-id", 48 + 16 + 3)]),
    "memory beyond 2**64": (srat(memory(0, (1 << 64) - 4096, 8192)), [("error", "srat-range", 48 + 16)]),
    "a memory range of 38 bytes": (srat(memory(0, 0, GIB, length=38)), [("error", "srat-entry", 49)]),
    "reserved flags of memory": (srat(memory(0, 0, GIB, 0x81)), [("note", "reserved-bits", 48 + 28)]),
    # MADT
    "two processors of one APIC id": (madt(apic(0, 4), apic(1, 4)), [("error", "madt-apic-id", 54)]),
    "two processors of one UID": (madt(apic(0, 0), apic(0, 2)), [("error", "madt-uid", 54)]),
    "an x2APIC of another UID": (madt(apic(0, 4), x2apic(1, 4)), [("error", "madt-apic-id", 54)]),
    "two I/O APICs of one base": (madt(io_apic(1, 0), io_apic(2, 0)), [("error", "madt-gsi", 56 + 8)]),
    "an I/O APIC in another": (madt(io_apic(2, 15), io_apic(1, 0)), [("error", "madt-gsi", 44 + 8)]),
    "one I/O APIC id": (madt(io_apic(1, 0), io_apic(1, 24)), [("warning", "madt-io-apic-id", 58)]),
    "an interrupt overridden twice": (madt(override(9, 9), override(9, 20)), [("warning", "madt-override", 57)]),
    "a local APIC of 6 bytes": (madt(b"\0\6\0\0\1\0", apic(0, 0)), [("error", "madt-entry", 45)]),
    "a structure that does not end": (madt(apic(0, 0), b"\0\x09"), [("error", "madt-entry", 53)]),
    "reserved flags of a processor": (madt(apic(0, 0, 5)), [("note", "reserved-bits", 48)]),
    "reserved table flags": (madt(apic(0, 0), flags=3), [("note", "reserved-bits", 40)]),
    # NFIT
    "one device address mapped twice": (
        nfit_of(*raw(*pair(MAP._replace(spa_index=2, region_id=1), control=2)[:5])),
        [("error", "nfit-dpa", 40 + 56 + 56 + 48)],
    ),
    "an offset beyond the range": (
        nfit_of(*raw(SPA, MAP._replace(region_offset=GIB), CONTROL)),
        [("error", "nfit-offset", 96)],
    ),
    "two devices share a control region": (
        nfit_of(*raw(*pair(SECOND._replace(control_index=1))[:5])),
        [("warning", "nfit-identity", 40 + 56 + 56 + 48)],
    ),
    "two devices of one identity": (
        nfit_of(*raw(*pair(SECOND, serial=7))),
        [("warning", "nfit-identity", 40 + 56 + 56 + 48 + 48 + 80)],
    ),
    "0 interleave ways": (
        nfit_of(*raw(SPA, MAP._replace(interleave_ways=0), CONTROL)),
        [("warning", "nfit-ways-zero", 96)],
    ),
    "capabilities above the highest": (
        nfit_of(*raw(nfit.Capabilities(1, 7))),
        [("warning", "nfit-capabilities", 40)],
    ),
    "a location cookie without its flag": (
        nfit_of(raw(SPA)[0][:2] + b"\x40" + raw(SPA)[0][3:] + bytes(8), *raw(MAP, CONTROL)),
        [("error", "nfit-structure", 42)],
    ),
    "the flag without its cookie": (
        nfit_of(*raw(SPA), b"".join(raw(SPA._replace(spa_index=2, base=8 * GIB, flags=4)))[:2] + b"\x38\0"
                + b"".join(raw(SPA._replace(spa_index=2, base=8 * GIB, flags=4)))[4:56], *raw(MAP, CONTROL)),
        [("error", "nfit-structure", 98)],
    ),
    "reserved flags of a mapping": (
        nfit_of(*raw(SPA, MAP._replace(flags=0x80), CONTROL)),
        [("note", "reserved-bits", 96 + 44)],
    ),
    "a reserved field of the table": (build_table("NFIT", b"\1\0\0\0", 1), [("note", "reserved-bits", 36)]),
    "a node that the SRAT does not name": (
        (nfit_of(*raw(SPA._replace(flags=2, proximity_domain=3), MAP, CONTROL)), srat(memory(0, 0, GIB))),
        [("warning", "nfit-range-node", 40)],
    ),
    "a bad checksum": (bytes([*NEAR[:9], NEAR[9] ^ 1, *NEAR[10:]]), [("error", "table-checksum", 9)]),
    "a bad checksum of an OEM's own": (
        b"OEMB" + NEAR[4:9] + bytes([NEAR[9] - 4 & 0xFF]) + NEAR[10:],
        [("warning", "table-checksum", 9)],
    ),
    # FADT and others
    "reserved boot flags": (build_fadt({"iapc_boot_arch": 0x43}, 6), [("note", "reserved-bits", 109)]),
    "reserved FADT flags": (build_fadt({"flags": 1 << 24 | 1}, 6), [("note", "reserved-bits", 112)]),
    "reserved flags of the WAET": (build_table("WAET", pack("<I", 4)), [("note", "reserved-bits", 36)]),
    "reserved flags of the FACS": (pack("<4sI12xI40x", b"FACS", 64, 8), [("note", "reserved-bits", 20)]),
    "general-purpose events without a width": (
        build_fadt({"x_gpe0_blk": {"space_id": 1, "bit_width": 64, "address": 0x620}}, 6),
        [("note", "fadt-access-width", 223)],
    ),
    "a short FADT": (build_table("FACP", bytes(208), 5), [("warning", "fadt-length", 4)]),
}  # fmt: skip


@pytest.mark.parametrize("name", FINDINGS)
def test_it_is_found(name):
    tables, expected = FINDINGS[name]
    assert found_in(*([tables] if isinstance(tables, bytes) else tables)) == expected


FINE = {
    "near and far": NEAR,
    "unreachable": slit([10, 255], [255, 10]),
    "disabled memory overlaps": srat(memory(0, 0, GIB), memory(1, 0, GIB, 0)),
    "neighbours": srat(memory(0, 0, GIB), memory(1, GIB, GIB)),
    "empty memory": srat(memory(0, 0, GIB), memory(1, 4096, 0)),
    "a disabled processor": srat(cpu(0, 4), cpu(1, 4, 0)),
    "revision 1 has no upper bits of a node": srat(cpu(0, 4), cpu(0x100, 4), revision=1),
    "an unknown affinity": srat(b"\x07\x08" + bytes(6)),
    "processors that are not there": madt(apic(0, 0), apic(1, 0xFF, 0), apic(2, 0xFF, 0), apic(2, 0, 0)),
    "one processor, told both ways": madt(apic(1, 4), x2apic(1, 4)),
    "I/O APICs side by side": madt(io_apic(1, 0), io_apic(2, 24), io_apic(3, 56)),
    "ARM's and other structures": madt(b"\x0b\x50" + bytes(78), b"\x80\x04\0\0"),
    "two devices": nfit_of(*raw(*pair(SECOND))),
    "two parts of one device": nfit_of(
        *raw(*pair(MAP._replace(spa_index=2, region_id=1, dpa_base=GIB))[:5]),
    ),
    "two functions of one device": nfit_of(
        *raw(*pair(MAP._replace(spa_index=2, region_id=1, dpa_base=GIB, control_index=2), serial=7))
    ),
    "handle 0": nfit_of(*raw(SPA, MAP._replace(handle=0), CONTROL)),
    "a cookie and its flag": nfit_of(*raw(SPA._replace(flags=4, location_cookie=1), MAP, CONTROL)),
    "two UEFI tables": (build_table("UEFI", bytes(18)), build_table("UEFI", bytes(range(18)))),
    "OEM tables of one name": (build_table("OEMB", bytes(2)), build_table("OEMB", bytes(3))),
    "all flags of the FADT": build_fadt({"flags": 0xFFFFFF, "iapc_boot_arch": 0x3F}, 6),
    "an FADT of revision 2": build_table("FACP", bytes(96), 2),
    "an FADT of ACPI 1.0": build_fadt({}, 1),
    "an FADT that is longer": build_table("FACP", bytes(300), 6),
    "an SSDT by itself": build_table("SSDT", aml.scope("\\_SB.PCI0", aml.name("X", 1)), 2),
}


@pytest.mark.parametrize("name", FINE)
def test_nothing_is_found(name):
    tables = FINE[name]
    assert found_in(*([tables] if isinstance(tables, bytes) else tables)) == []


def test_a_vendors_range_type_is_a_note():
    table = nfit_of(*raw(SPA._replace(range_type="0" * 8 + nfit.PERSISTENT_MEMORY[8:]), MAP, CONTROL))
    assert found_in(table) == [("note", "nfit-range-type", 40)]


@pytest.mark.parametrize(
    ("name", "source"),
    {
        "slit": """[0008] Localities : 0000000000000002
[0002] Locality   0 : FF 15
[0002] Locality   1 : 15 FF
""",
        "nfit": """[0004] Reserved : 00000000
[0002] Subtable Type : 0000 [System Physical Address Range]
[0002] Length : 0040
[0002] Range Index : 0001
[0002] Flags (decoded below) : 0000
  Add/Online Operation Only : 0
     Proximity Domain Valid : 0
      Location Cookie Valid : 0
[0004] Reserved : 00000000
[0004] Proximity Domain : 00000000
[0016] Region Type GUID : 66F0D379-B4F3-4074-AC43-0D3318B78CDB
[0008] Address Range Base : 0000000100000000
[0008] Address Range Length : 0000000040000000
[0008] Memory Map Attribute : 0000000000008008
[0008] Location Cookie : 0000000000000000
""",
    }.items(),
)
def test_tables_that_iasl_makes(tmp_path, name, source):
    """iasl compiles them without a word; Linux drops the first, and refuses the second."""
    head = f"""[0004] Signature : "{name.upper()}"
[0004] Table Length : 00000000
[0001] Revision : 01
[0001] Checksum : 00
[0006] Oem ID : "TEST"
[0008] Oem Table ID : "LINT"
[0004] Oem Revision : 00000001
[0004] Asl Compiler ID : "INTL"
[0004] Asl Compiler Revision : 20200925
"""
    (tmp_path / f"{name}.asl").write_text(head + source)
    done = run(tool("iasl"), f"{name}.asl", folder=tmp_path)
    if done.returncode:
        pytest.skip("this iasl has no Location Cookie")
    codes = [code for _, code, _ in found_in((tmp_path / f"{name}.aml").read_bytes())]
    assert codes == {"slit": ["slit-diagonal"] * 2, "nfit": ["nfit-structure"]}[name]


def test_a_broken_structure_hides_no_other():
    """A mapping that is too short, between structures with faults of their own; and no fault that follows from it."""
    short = raw(MAP)[0][:2] + b"\x10\0" + raw(MAP)[0][4:16]
    table = nfit_of(*raw(SPA), short, *raw(CONTROL, nfit.Capabilities(1, 7), nfit.FlushHints(1, (65,))))
    assert found_in(table) == [
        ("error", "nfit-structure", 98),
        ("warning", "nfit-capabilities", 96 + 16 + 80),
        ("error", "nfit-flush-hint", 96 + 16 + 80 + 16),
    ]


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (raw(MAP)[0][:2] + b"\x10\0" + raw(MAP)[0][4:16], "a region mapping has 16 bytes, 48 are required"),
        (
            raw(nfit.FlushHints(1, (64, 128)))[0][:8] + b"\3" + raw(nfit.FlushHints(1, (64, 128)))[0][9:],
            "flush hints has 32 bytes, 40 are required for the 3 addresses that it claims",
        ),
        (
            raw(CONTROL)[0][:2] + b"\x20\0" + raw(CONTROL)[0][4:30] + b"\1\0",
            "a control region has 32 bytes; with 1 block control windows 80 are required",
        ),
        (
            raw(SPA)[0][:2] + b"\x40" + raw(SPA)[0][3:] + bytes(8),
            "an SPA range has 64 bytes; without the flag for a location cookie (bit 2 of its flags) 56 are required",
        ),
        (
            raw(CONTROL)[0][:2] + b"\xff\0" + raw(CONTROL)[0][4:],
            "a structure of type 4 has length 255, 80 bytes are left in the table; what follows it cannot be found",
        ),
    ],
)
def test_the_words_say_which_length_is_off(structure, message):
    (finding,) = [one for one in lint.check(TableSource([Found("NFIT", 0, nfit_of(structure))])) if one.code != PARTIAL]
    assert finding.message == message


# -- partial input


def machine(*more, base=0x1000):
    """A whole set of tables with addresses."""
    bodies = [DSDT, NEAR, *more]
    at = {base + 0x1000 * n: data for n, data in enumerate(bodies)}
    fadt = build_fadt({"dsdt": base, "x_dsdt": base}, 6)
    xsdt = build_xsdt([base + 0x100000, *list(at)[1:]])
    found = [Found(data[:4].decode(), address, data) for address, data in at.items()]
    return [
        Found("RSDP", 0xE0000, build_rsdp(Rsdp(0, base + 0x200000))),
        Found("XSDT", base + 0x200000, xsdt),
        Found("FACP", base + 0x100000, fadt),
        *found,
    ]


def codes(tables, *, walked=False):
    return [one.code for one in lint.check(TableSource(tables, walked=walked))]


def test_a_whole_dump_is_not_partial():
    assert codes(machine()) == codes(machine(), walked=True) == []


@pytest.mark.parametrize(
    ("tables", "words"),
    {
        "no RSDP": (machine()[1:], "no RSDP"),
        "no DSDT": ([one for one in machine() if one.signature != "DSDT"], "no DSDT, 1 table"),
        "neither, and others are missing": (machine()[1:3], "no RSDP, no DSDT, 2 tables"),
        "one table": (machine()[-1:], "one table, slit"),
        "no addresses": ([one._replace(address=0) for one in machine()], "no addresses"),
        "one address": ([one._replace(address=0x1000) for one in machine()], "one address, 0x1000, for all tables"),
    }.values(),
)
def test_partial_dumps_are_told_once(tables, words):
    (finding,) = lint.check(TableSource(tables))
    assert (finding.severity, finding.code) == ("note", PARTIAL)
    assert f"a partial dump: {words}" in finding.message


def test_pointers_of_a_whole_dump_that_lead_nowhere():
    assert codes([one for one in machine() if one.signature != "SLIT"]) == ["rsdt-target"]
    assert codes([one for one in machine() if one.signature != "DSDT"], walked=True) == ["fadt-target"]


# -- files


def test_from_a_folder_and_from_a_dump(tmp_path):
    tables = machine()
    for name, table in zip(file_names(tables), tables, strict=True):
        (tmp_path / name).write_bytes(table.data)
    (source,) = read_tables(tmp_path)
    assert codes(source.tables) == [PARTIAL]
    (tmp_path / "dump.txt").write_text(to_hex(tables))
    (source,) = read_tables(tmp_path / "dump.txt")
    assert source.tables == tables
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="no table"):
        read_tables(tmp_path / "empty")


@pytest.mark.parametrize("ends", [b"\r\n", b"\r", b"\n\n"])
def test_line_ends_may_be_mixed(tmp_path, ends):
    tables = machine()
    lines = to_hex(tables).encode().split(b"\n")
    text = b"".join(line + (ends if number % 3 else b"\n") for number, line in enumerate(lines))
    (tmp_path / "dump.txt").write_bytes(text)
    assert read_tables(tmp_path / "dump.txt")[0].tables == tables


def test_a_redirection_in_powershell(tmp_path):
    (tmp_path / "dump.txt").write_bytes(to_hex(machine()).encode("utf-16"))
    assert read_tables(tmp_path / "dump.txt")[0].tables == machine()


def test_several_machines_in_one_file(tmp_path):
    other = machine(build_table("UEFI", bytes(18)), base=0x400000)
    (tmp_path / "dump.txt").write_text("host one\n" + to_hex(machine()) + "\nhost two\n" + to_hex(other))
    assert [source.tables for source in read_tables(tmp_path / "dump.txt")] == [machine(), other]
    backwards = [machine()[::-1], machine(base=0x400000)[::-1]]
    (tmp_path / "dump.txt").write_text("".join(map(to_hex, backwards)))
    assert [source.tables for source in read_tables(tmp_path / "dump.txt")] == backwards


def test_machines_that_are_alike_are_as_many(tmp_path):
    (tmp_path / "dump.txt").write_text(to_hex(machine()) * 3)
    assert [source.tables for source in read_tables(tmp_path / "dump.txt")] == [machine()] * 3


def test_a_title_with_more_blanks(tmp_path):
    (tmp_path / "dump.txt").write_text(to_hex(machine()).replace("DSDT @", "DSDT  @"))
    assert read_tables(tmp_path / "dump.txt")[0].tables == machine()


def test_a_dump_that_was_cut(tmp_path):
    text = to_hex(machine()).replace("    0010:", "    0020:", 1)
    (tmp_path / "dump.txt").write_text(text)
    (source,) = read_tables(tmp_path / "dump.txt")
    found = lint.check(source)
    assert (found[0].code, found[0].table) == ("dump-row", "rsdp")
    assert "line 3: a row at 0020 does not follow" in found[0].message


def test_100_megabytes_of_text(tmp_path):
    """A gigabyte of memory is enough, and the tables are those of a small text."""
    import resource

    path = tmp_path / "dump.txt"
    stray = (
        b"Firmware Warning (ACPI): Incorrect checksum in table [OEMB] - 0x72, should be 0x6D (20190509/tbprint-177)\n"
    )
    with path.open("wb") as file:
        for _ in range(50):
            file.write(stray * 20000)
        file.write(to_hex(machine()).encode())
    assert path.stat().st_size > 100 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (source,) = read_tables(path)
    assert source.tables == machine()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


SAMPLES = {
    "SLIT": NEAR,
    "SRAT": srat(cpu(0, 0), memory(0, 0, GIB), x2cpu(0, 300)),
    "APIC": madt(apic(0, 0), io_apic(1, 0), override(0, 2), x2apic(3, 300)),
    "NFIT": nfit_of(
        *raw(*pair(SECOND), nfit.FlushHints(1, (64,)), nfit.Capabilities(1, 3), nfit.InterleaveStructure(1, 64, (0,)))
    ),
    "FACP": build_fadt({"dsdt": 1}, 6),
    "DSDT": DSDT,
    "XSDT": build_xsdt([1, 2]),
    "RSDP": build_rsdp(Rsdp(0, 1)),
}  # fmt: skip


@pytest.mark.parametrize("signature", SAMPLES)
def test_truncated_at_each_byte(signature):
    """Something is said of every such table, in our own words; and nothing crashes."""
    whole = SAMPLES[signature]
    for cut in range(len(whole)):
        found = lint.check(TableSource([Found(signature, 0, whole[:cut])]))
        told = [one for one in found if one.code != PARTIAL]
        assert told, cut
        assert not any(
            "stream" in one.message or "construct" in one.message or "(parsing)" in one.message for one in told
        )


@pytest.mark.parametrize("signature", SAMPLES)
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_truncated_behind_a_right_header(signature, data):
    """Length and checksum are right; what is cut is the body."""
    whole = SAMPLES[signature]
    cut = data.draw(st.integers(36, len(whole)))
    table = whole[:cut] if signature == "RSDP" else build_table(signature, whole[36:cut], whole[8])
    lint.check(TableSource([Found(signature, 0x1000, table)]))


CALL = aml.method("FOO", 2, aml.return_(aml.arg(0)))
BLOCKS = {
    "a call with too few arguments": (
        [CALL, aml.method("BAR", 0, aml.call("FOO", 1), aml.noop())],
        ("error", "aml-arguments", "FOO takes 2 arguments, the call gives 1"),
    ),
    "one at the end of its package": (
        [CALL, aml.method("BAR", 0, aml.if_(1, aml.call("FOO", 1)))],
        ("error", "aml-arguments", "FOO takes 2 arguments, the call gives 1"),
    ),
    "an opcode that does not exist": (
        [aml.method("BAR", 0, b"\xb0")],
        ("error", "aml-parse", "unknown opcode 0xb0"),
    ),
    "a scope that does not exist": (
        [aml.scope("\\_SB.NONE", aml.name("X", 1))],
        ("error", "aml-reference", "does not exist"),
    ),
    "a name that exists": (
        [aml.name("ABCD", 1), aml.name("ABCD", 2)],
        ("error", "aml-reference", "exists already"),
    ),
    "a term that fails without the machine": (
        [aml.name("ABCD", aml.buffer(b"x")), aml.create_dword_field(aml.ref("ABCD"), 0, "EFGH")],
        ("note", "aml-run", "EFGH"),
    ),
}


def test_elements_of_packages_that_name_nothing():
    """Found once for each, in the table that has the package; an SSDT may bring what the DSDT names."""
    package = aml.name("PKG0", aml.package(1, aml.package(aml.ref("LNKA"), aml.ref("LNKB"))))
    tables = [build_table("DSDT", package, 2), build_table("SSDT", aml.device("LNKA"), 2)]
    (found,) = [
        one for one in lint.check(TableSource([Found(t[:4].decode(), 0, t) for t in tables])) if one.code != PARTIAL
    ]
    assert (found.severity, found.code, found.table) == ("warning", "aml-element", "dsdt")
    assert found.message == "\\PKG0[1][1] names LNKB, which does not exist"


@pytest.mark.parametrize("name", BLOCKS)
def test_definition_blocks(name):
    terms, (severity, code, words) = BLOCKS[name]
    table = build_table("DSDT", b"".join(terms), 2)
    (found,) = [one for one in lint.check(TableSource([Found("DSDT", 0, table)])) if one.code != PARTIAL]
    assert (found.severity, found.code, found.table) == (severity, code, "dsdt")
    assert words in found.message
    assert found.offset is not None


FINE_BLOCKS = {
    "a guarded call of an absent method": [
        aml.external("\\ABSN", 8, 1),
        aml.method("BADM", 1, aml.if_(aml.cond_ref_of(aml.ref("\\ABSN")), aml.return_(aml.call("\\ABSN", aml.arg(0))))),
    ],
    "a name that nobody has": [aml.method("BAR", 0, aml.return_(aml.ref("\\_SB.GONE")))],
}


@pytest.mark.parametrize("name", FINE_BLOCKS)
def test_names_matter_when_they_are_reached(name):
    assert found_in(build_table("DSDT", b"".join(FINE_BLOCKS[name]), 2)) == []


def test_every_code_is_documented_and_used():
    assert all(rule.severity in lint.SEVERITIES and rule.meaning for rule in RULES.values())
    folder = Path(lint.__file__).parent
    source = "".join(path.read_text() for path in folder.glob("*.py") if path.name != "findings.py")
    assert [code for code in RULES if f'"{code}"' not in source] == []
