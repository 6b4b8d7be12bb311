"""NFIT: one sample of each structure, QEMU's sample table, and what is malformed."""

import pytest
from acpi.judges import disassemble
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.errors import FormatError
from xlpy.firmware.acpi import nfit, nfit_format
from xlpy.firmware.acpi.guid import guid_bytes, guid_text
from xlpy.firmware.acpi.sdt import build_table

QEMU = bytes.fromhex(
    """
    4e464954 f0000000 01 d5 424f43485320 4258504320202020 01000000 42585043 01000000 00000000
    0000 3800 0400 0300 00000000 02000000 79d3f066f3b47440ac430d3318b78cdb
    0000000801000000 0000000800000000 0880000000000000
    0100 3000 02000000 0000 0000 0400 0500
    0000000800000000 0000000000000000 0000000000000000 0000 0100 0000 0000
    0400 5000 0500 8680 0100 0100 000000000000000000000000 57341200 0103 0000
    000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000
    0700 1000 01 000000 03000000 00000000
    """
)
QEMU_STRUCTURES = [
    nfit.SpaRange(4, 0x108000000, 0x8000000, flags=3, proximity_domain=2),
    nfit.RegionMap(handle=2, spa_index=4, control_index=5, region_size=0x8000000),
    nfit.ControlRegion(5, vendor_id=0x8086, device_id=1, revision_id=1, serial_number=0x123457),
    nfit.Capabilities(highest=1, capabilities=nfit.CACHE_FLUSH | nfit.CONTROLLER_FLUSH),
]

SAMPLES = {
    nfit.SpaRange(
        1, 0x100000000, 0x40000000, nfit.VOLATILE_MEMORY, nfit.COOKIE_VALID, 7, nfit.EFI_MEMORY_WB, 0x1122334455667788
    ): """0000 4000 0100 0400 00000000 07000000 4f940573dafde344b16c3f22d252e5d0
          0000000001000000 0000004000000000 0800000000000000 8877665544332211""",
    nfit.RegionMap(
        handle=0x21,
        spa_index=1,
        control_index=2,
        region_size=0x1000,
        region_offset=0x2000,
        dpa_base=0x3000,
        physical_id=4,
        region_id=5,
        interleave_index=6,
        interleave_ways=2,
        flags=nfit.NOT_ARMED,
    ): """0100 3000 21000000 0400 0500 0100 0200 0010000000000000 0020000000000000 0030000000000000
          0600 0200 0800 0000""",
    nfit.InterleaveStructure(
        1, 64, (0, 2, 5, 7)
    ): "0200 2000 0100 0000 04000000 40000000 00000000 02000000 05000000 07000000",
    nfit.InterleaveStructure(2, 4096, ()): "0200 1000 0200 0000 00000000 00100000",
    nfit.Smbios(b"\x11\x28"): "0300 0a00 00000000 1128",
    nfit.ControlRegion(
        1, 0x8980, 2, 3, 4, 5, 6, 1, 0xA2, 0x4917, 0xB10A0000, nfit.BLOCK_ADDRESSED, 1, 0x10, 0x20, 0x30, 0x40, 0x50, 1
    ): """0400 5000 0100 8089 0200 0300 0400 0500 0600 01 a2 1749 0000 00000ab1 0102 0100
          1000000000000000 2000000000000000 3000000000000000 4000000000000000 5000000000000000 0100 000000000000""",
    nfit.ControlRegion(9, 0x8086, 1, 1, size=32): """0400 2000 0900 8680 0100 0100 0000 0000 0000 00 00 0000 0000
          00000000 0103 0000""",
    nfit.DataWindow(1, 2, 3, 4, 5, 6): """0500 2800 0100 0200 0300000000000000 0400000000000000 0500000000000000
          0600000000000000""",
    nfit.FlushHints(0x21, (0x1000, 0x2000)): "0600 2000 21000000 0200 000000000000 0010000000000000 0020000000000000",
    nfit.Capabilities(2, nfit.MIRRORING): "0700 1000 02 000000 04000000 00000000",
    nfit.Unknown(0x1234, b"abc"): "3412 0700 616263",
}


@pytest.mark.parametrize(("record", "text"), SAMPLES.items(), ids=lambda value: type(value).__name__)
def test_structure(record, text):
    data = bytes.fromhex(text)
    assert nfit_format.build_structures([record]) == data
    assert nfit_format.parse_structures(data) == [record]
    assert nfit_format.parse_structures(data + data) == [record, record]
    for cut in range(1, len(data)):
        with pytest.raises(FormatError):
            nfit_format.parse_structures(data[:cut])


def test_sample_of_qemu():
    assert nfit_format.parse_nfit(QEMU) == QEMU_STRUCTURES
    identity = {"oem_id": "BOCHS ", "oem_table_id": "BXPC    ", "oem_revision": 1}
    assert nfit_format.build_nfit(QEMU_STRUCTURES, creator_id="BXPC", creator_revision=1, **identity) == QEMU


def test_fit_has_no_header():
    assert nfit_format.parse_structures(QEMU[40:]) == QEMU_STRUCTURES
    assert nfit_format.build_structures(QEMU_STRUCTURES) == QEMU[40:]
    assert nfit_format.parse_structures(b"") == []


@pytest.mark.parametrize(
    ("body", "offset", "path"),
    [
        ("", 36, "nfit"),  # not even the reserved field
        ("00000000 00", 41, "nfit.structures[0].type"),
        ("00000000 0000 0000", 42, "nfit.structures[0].length"),  # would never end
        ("00000000 0000 0300", 42, "nfit.structures[0].length"),
        ("00000000 0700 1100 01000000 0300000000000000", 42, "nfit.structures[0].length"),  # beyond the table
        ("00000000 0700 1000 01000000 0300000000000000 0700 1000", 58, "nfit.structures[1].length"),
        ("00000000 0700 1400 01000000 0300000000000000 00000000", 56, "nfit.structures[0]"),  # too long for its type
        ("00000000 0200 1400 0100 0000 00000080 40000000 00000000", 60, "nfit.structures[0].line_offsets"),  # count
        ("00000000 0600 1000 21000000 0100 000000000000", 56, "nfit.structures[0].addresses"),
        ("00000000 0200 1400 0100 0000 00000000 40000000 00000000", 56, "nfit.structures[0]"),
        ("00000000 0000 4000 0100 0000" + "00" * 56, 96, "nfit.structures[0]"),  # a cookie without its flag
        ("00000000 0000 3800 0100 0400" + "00" * 48, 96, "nfit.structures[0].location_cookie"),
        ("00000000 0400 2000" + "00" * 26 + "0100", 72, "nfit.structures[0]"),  # short, but with a window
    ],
)
def test_malformed(body, offset, path):
    with pytest.raises(FormatError) as caught:
        nfit_format.parse_nfit(build_table("NFIT", bytes.fromhex(body)))
    assert (caught.value.offset, caught.value.path) == (offset, path)


@pytest.mark.parametrize(
    "record",
    [
        nfit.SpaRange(1 << 16, 0, 0),
        nfit.SpaRange(1, -1, 0),
        nfit.SpaRange(1, 0, 0, "no-guid"),
        nfit.FlushHints(1, (1 << 64,)),
        nfit.ControlRegion(1, 0, 0, 0, windows=1, size=32),
        nfit.Unknown(9, bytes(1 << 16)),
    ],
)
def test_records_that_do_not_fit(record):
    with pytest.raises(FormatError):
        nfit_format.build_nfit([record])


def parsed(parse, data):
    """The structures, or the error that refuses them."""
    try:
        return parse(data)
    except FormatError as error:
        return error


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_round_trip_or_are_refused(data):
    structures = parsed(nfit_format.parse_structures, data)
    if isinstance(structures, FormatError):
        assert 0 <= structures.offset <= len(data)
    else:
        assert nfit_format.parse_structures(nfit_format.build_structures(structures)) == structures


@settings(deadline=None)
@given(st.integers(40, len(QEMU) - 1), st.integers(1, 255))
def test_flipped_bytes(at, change):
    data = bytearray(QEMU)
    data[at] ^= change
    assert parsed(nfit_format.parse_nfit, bytes(data)).path == "nfit.checksum"
    structures = parsed(nfit_format.parse_nfit, build_table("NFIT", bytes(data[36:])))
    assert structures if isinstance(structures, list) else structures.path


@pytest.mark.parametrize(
    ("handle", "parts"),
    [(1, nfit.Handle(1)), (0x21, nfit.Handle(1, 2)), (0x0ABC4321, nfit.Handle(1, 2, 3, 4, 0xABC))],
)
def test_handle(handle, parts):
    assert nfit.Handle.of(handle) == parts
    assert int(parts) == handle


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (nfit.ControlRegion(1, 0x8086, 1, 1, serial_number=0x123456), "8680-56341200"),
        (
            nfit.ControlRegion(
                1,
                0x8980,
                1,
                1,
                valid_fields=1,
                manufacturing_location=0xA2,
                manufacturing_date=0x4917,
                serial_number=0xB10A0000,
            ),
            "8089-a2-1749-00000ab1",
        ),
    ],
)
def test_device_id(region, expected):
    assert nfit.device_id(region) == expected


def test_guid():
    data = bytes.fromhex("79d3f066f3b47440ac430d3318b78cdb")
    assert guid_text(data) == nfit.PERSISTENT_MEMORY == "66f0d379-b4f3-4074-ac43-0d3318b78cdb"
    assert guid_bytes(nfit.PERSISTENT_MEMORY.upper()) == data


def test_iasl_takes_it_apart(tmp_path):
    records = [record for record in SAMPLES if not isinstance(record, (nfit.Unknown, nfit.Smbios))]
    plain = [record for record in records if not (isinstance(record, nfit.SpaRange) and record.location_cookie)]
    bad, (text,) = disassemble(tmp_path, {"nfit.dat": nfit_format.build_nfit(QEMU_STRUCTURES + plain)})
    assert bad == []
    words = " ".join(text.split())
    for field in ("Region Offset : 0000000000002000", "Line Size : 00000040", "Serial Number : B10A0000"):
        assert field in words
