"""The lint finds what is wrong with a set of tables, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.firmware.acpi import aml, lint, nfit, nfit_format
from xlpy.firmware.acpi.fadt import build_fadt
from xlpy.firmware.acpi.lint import TableSource
from xlpy.firmware.acpi.roots import Rsdp, build_rsdp, build_xsdt
from xlpy.firmware.acpi.sdt import build_table
from xlpy.firmware.acpi.text import decode, to_json, to_text
from xlpy.firmware.acpi.walk import Found

GIB = 1 << 30


def good_nfit(**changes):
    """One device of 1 GiB."""
    spa = nfit.SpaRange(spa_index=1, base=4 * GIB, length=GIB)
    region = nfit.RegionMap(handle=1, spa_index=1, control_index=1, region_size=GIB)
    control = nfit.ControlRegion(control_index=1, vendor_id=0x8086, device_id=1, revision_id=1, serial_number=7)
    return nfit_format.build_nfit(
        [
            spa._replace(**changes.get("spa", {})),
            region._replace(**changes.get("region", {})),
            control._replace(**changes.get("control", {})),
            *changes.get("more", ()),
        ]
    )


def block(signature, *terms):
    return build_table(signature, b"".join(terms), 2)


def ssdt(*terms):
    return block("SSDT", *terms)


DSDT = block("DSDT", aml.scope("\\_SB", aml.device("PCI0", aml.name("_HID", aml.eisaid("PNP0A03")))))


def tables(nfit_table=None, *more):
    """A whole set with addresses, as it stands in memory."""
    bodies = {
        0x1000: ("DSDT", DSDT),
        0x2000: ("NFIT", nfit_table or good_nfit()),
        0x3000: ("FACP", build_fadt({"dsdt": 0x1000, "x_dsdt": 0x1000}, 4)),
        **{0x8000 + 0x1000 * at: (data[:4].decode(), data) for at, data in enumerate(more)},
    }
    xsdt = build_xsdt([0x3000, 0x2000, *(address for address in bodies if address >= 0x8000)])
    bodies |= {0x6000: ("XSDT", xsdt), 0x7000: ("RSDP", build_rsdp(Rsdp(0, 0x6000)))}
    return [Found(signature, address, data) for address, (signature, data) in bodies.items()]


def two_ways(tables=((0,), (1,)), offsets=(0, 0), line=4096, **changes):
    """Two devices of 1 GiB in one range, their lines as the interleave tables say."""
    members = [
        nfit.RegionMap(
            handle=1 + n,
            spa_index=1,
            control_index=1 + n,
            region_size=GIB,
            region_offset=offsets[n],
            interleave_index=1 + n,
            interleave_ways=2,
        )._replace(**changes)
        for n in range(2)
    ]
    return nfit_format.build_nfit(
        [
            nfit.SpaRange(spa_index=1, base=4 * GIB, length=2 * GIB),
            *members,
            *(nfit.InterleaveStructure(1 + n, line, lines) for n, lines in enumerate(tables)),
            *(nfit.ControlRegion(n, vendor_id=0x8086, device_id=1, revision_id=1, serial_number=n) for n in (1, 2)),
        ]
    )


def check(found):
    """The findings about tables that were found by following pointers."""
    return lint.check(TableSource(found, walked=True))


def messages(found):
    return [f"{one.severity}: {one.table}: {one.message}" for one in found]


def test_a_good_set():
    assert messages(check(tables())) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"region": {"spa_index": 9}}, "mapped to SPA range 9, which is missing"),
        ({"region": {"control_index": 9}}, "uses control region 9, which is missing"),
        ({"region": {"interleave_index": 3}}, "interleave table 3, which is missing"),
        ({"region": {"region_size": 4096}}, "its devices have 0x1000 bytes, the range has 0x40000000"),
        ({"region": {"interleave_ways": 2}}, "says 2 ways, there are 1 mappings"),
        ({"more": [nfit.SpaRange(spa_index=1, base=8 * GIB, length=GIB)]}, "SPA range index 1 is used 2 times"),
        ({"more": [nfit.SpaRange(spa_index=2, base=4 * GIB + 4096, length=GIB)]}, "SPA ranges 1 and 2 overlap"),
    ],
)
def test_nfit_links(changes, text):
    found = messages(check(tables(good_nfit(**changes))))
    assert any(text in line and line.startswith("error: nfit") for line in found), found


@pytest.mark.parametrize(
    "table",
    [
        two_ways(),
        two_ways(((0,), (0,)), offsets=(0, 4096)),  # the skew between the devices is in the region offset
        two_ways(((0, 2, 5, 7), (1, 3, 4, 6)), line=64),
        nfit_format.build_nfit([]),
        good_nfit(region={"spa_index": 0}),  # a device without a range
        good_nfit(region={"handle": 0}),  # as vSphere has it
        good_nfit(spa={"flags": nfit.COOKIE_VALID, "location_cookie": 7}),
    ],
)
def test_sets_that_are_well_formed(table):
    assert messages(check(tables(table))) == []


@pytest.mark.parametrize(
    ("table", "offset", "text"),
    [
        (two_ways(((0,), (0,))), 40, "the line at 0x0 of its interleaved block is claimed twice"),
        (two_ways(((0,), (2,))), 40, "the line at 0x1000 of its interleaved block is missing"),
        (two_ways(((0,), (1,)), offsets=(0, 4096)), 40, "the line at 0x1000 of its interleaved block is missing"),
        (two_ways(((0, 2), (1,))), 40, "its interleave tables differ in line size and number of lines"),
        (two_ways(((), ())), 40, "an interleave table of 0 lines of 4096 bytes"),
        (two_ways(line=0), 40, "an interleave table of 1 lines of 0 bytes"),
        (two_ways(interleave_index=0), 40, "2 devices are interleaved without an interleave table"),
        (two_ways(handle=1), 144, "handle and region id (1, 0) is used 2 times"),
        (good_nfit(spa={"spa_index": 0}, region={"spa_index": 0}), 40, "SPA range index 0"),
        (good_nfit(spa={"length": 0}, region={"region_size": 0}), 40, "0x0 bytes at"),
        (good_nfit(spa={"base": (1 << 64) - 4096}), 40, "bytes at 0xfffffffffffff000"),
        (good_nfit(spa={"range_type": "0" * 8 + nfit.PERSISTENT_MEMORY[8:]}), 40, "is of the unknown type 00000000-"),
        (good_nfit(region={"handle": 1 << 28}), 96, "bits 28 to 31 are set"),
        (good_nfit(control={"control_index": 0}, region={"control_index": 0}), 144, "control region index 0"),
        (good_nfit(more=[nfit.FlushHints(9, (64,))]), 224, "flush hints of device 0x9, which has no mapping"),
        (good_nfit(more=[nfit.FlushHints(1, (65,))]), 224, "flush hint address 0x41 is not aligned"),
        (good_nfit(more=[nfit.DataWindow(9, 1, 0, 0, 0, 0)]), 224, "data windows of control region 9"),
        (good_nfit(more=[nfit.Capabilities(32, 0)]), 224, "highest capability bit 32"),
        (good_nfit(more=[nfit.Capabilities(1, 3)] * 2), 240, "told more than once"),
    ],
)
def test_structures_that_do_not_belong_together(table, offset, text):
    found = [finding for finding in check(tables(table)) if text in finding.message]
    assert [(finding.table, finding.offset) for finding in found] == [("nfit", offset)]


@pytest.mark.parametrize(
    ("rsdp", "offset", "text"),
    [
        (Rsdp(0, 0), 16, "it points to no RSDT and no XSDT"),
        (Rsdp(0x9999, 0x6000), 16, "RSDT is said to be at 0x9999, nothing is there"),
        (Rsdp(0, 0x3000), 24, "XSDT is said to be at 0x3000, FACP is there"),
    ],
)
def test_root_pointers(rsdp, offset, text):
    whole = tables()
    whole[-1] = whole[-1]._replace(data=build_rsdp(rsdp))
    (finding,) = check(whole)
    assert (finding.table, finding.offset, finding.message) == ("rsdp", offset, text)


def test_an_entry_twice():
    whole = tables()
    whole[-2] = whole[-2]._replace(data=build_xsdt([0x3000, 0x2000, 0x3000]))
    assert messages(check(whole)) == ["error: xsdt: entry 2 points to 0x3000, as another does"]


def test_an_fadt_that_is_too_short_for_its_revision():
    short = build_fadt({"dsdt": 0x1000}, 1)
    whole = tables()
    whole[2] = whole[2]._replace(data=build_table("FACP", short[36:], 4))
    assert messages(check(whole)) == ["warning: facp: 116 bytes, revision 4 has 244"]


@pytest.mark.parametrize(
    ("offset", "text"),
    [(0, "signature"), (4, "length says"), (9, "checksum 0x"), (40, "")],
    ids=["signature", "length", "checksum", "body"],
)
def test_damage_in_a_table(offset, text):
    data = bytearray(good_nfit())
    data[offset] ^= 0x80
    found = check(tables(bytes(data)))
    assert found
    assert any(text in str(finding) for finding in found)


def test_pointers_that_lead_nowhere():
    lost = [table for table in tables() if table.signature != "NFIT"]
    assert any("entry 1 points to 0x2000: no table there" in line for line in messages(check(lost)))
    lost = [table for table in tables() if table.signature != "DSDT"]
    assert any("no DSDT at 0x1000" in line for line in messages(check(lost)))


def test_two_nfits():
    assert messages(check(tables(None, good_nfit(spa={"base": 8 * GIB})))) == [
        "error: nfit2: a second NFIT; an operating system uses the first only"
    ]
    assert messages(check(tables(None, good_nfit()))) == ["note: nfit2: a copy of nfit"]


def test_tables_that_overlap():
    found = tables()
    found[1] = found[1]._replace(address=0x1010)
    assert any("overlaps dsdt" in line for line in messages(check(found)))


def test_a_name_that_two_tables_define():
    again = ssdt(aml.scope("\\_SB", aml.device("PCI0")))
    found = messages(check(tables(None, again)))
    assert any("AE_ALREADY_EXISTS" in line and line.startswith("error: ssdt") for line in found), found


def test_aml_that_does_not_compile_has_its_offset():
    broken = ssdt(aml.name("OKAY", aml.integer(1)), b"\x14\x0aBADM\x00\x5b\xff\xff\xff\xff")
    (finding,) = check(tables(None, broken))
    assert finding.table.startswith("ssdt")
    assert finding.offset >= 36


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_flipped_bytes_never_crash(data):
    found = tables()
    at = data.draw(st.integers(0, len(found) - 1))
    table = bytearray(found[at].data)
    for _ in range(data.draw(st.integers(1, 4))):
        table[data.draw(st.integers(0, len(table) - 1))] = data.draw(st.integers(0, 255))
    found[at] = found[at]._replace(data=bytes(table))
    check(found)
    decode(found[at].signature, bytes(table))
    to_text(found[at].signature, bytes(table), 0)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["NFIT", "FACP", "APIC", "DSDT", "RSDP", "FACS", "HPET", "ABCD"]))
def test_any_bytes_never_crash(data, signature):
    check([Found(signature, 0x1000, data)])
    to_text(signature, data, 0x1000)


def test_json_of_every_table():
    for table in tables(None, ssdt(aml.name("PKG", aml.package(1, aml.buffer(b"x"), aml.ref("GONE"))))):
        decoded = json.loads(json.dumps(to_json(table.signature, table.data)))
        assert decoded["signature"] == table.signature
        assert "error" not in decoded


def test_a_table_that_needs_another():
    alone = ssdt(aml.name("ONE", 1), aml.scope("\\_SB.PCI0", aml.name("TWO", 2)))
    decoded = decode("SSDT", alone)
    assert [entry["path"] for entry in decoded["objects"]] == ["\\ONE"]
    assert "\\_SB.PCI0 does not exist" in decoded["error"]


def test_text_names_every_field():
    text = to_text("NFIT", good_nfit(), 0x2000)
    assert "NFIT at 0x2000, 224 bytes" in text
    assert "base: 0x100000000" in text
    assert "range_type: 66f0d379-b4f3-4074-ac43-0d3318b78cdb" in text
    assert decode("NFIT", good_nfit())["structures"][1]["kind"] == "RegionMap"
    assert decode("DSDT", DSDT)["objects"][-1] == {"path": "\\_SB.PCI0._HID", "type": "integer", "value": 0x030AD041}
