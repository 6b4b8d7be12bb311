"""The dm-acpi stream: what it looks like, and every way in which it can be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlpy.errors import FormatError
from xlpy.firmware.acpi.sdt import build_table
from xlpy.firmware.dm_acpi import (
    DEVICE,
    TABLE,
    DmAcpiEntry,
    build_stream,
    device_entry,
    parse_stream,
    table_entry,
)

NFIT = build_table("NFIT", bytes(4))


def raw(kind: int, blob: bytes, length: int | None = None) -> bytes:
    return bytes([kind]) + (len(blob) if length is None else length).to_bytes(4, "little") + blob


def test_layout():
    stream = build_stream([table_entry(NFIT), device_entry("NVDR", b"\x08_ADR\x00"), device_entry("AB", b"")])
    assert stream == (
        b"\x00\x28\x00\x00\x00" + NFIT + b"\x01\x0a\x00\x00\x00NVDR\x08_ADR\x00" + b"\x01\x04\x00\x00\x00AB__"
    )
    assert parse_stream(stream) == [
        DmAcpiEntry(TABLE, NFIT),
        DmAcpiEntry(DEVICE, b"NVDR\x08_ADR\x00"),
        DmAcpiEntry(DEVICE, b"AB__"),
    ]
    assert [(entry.label, entry.body) for entry in parse_stream(stream)[1:]] == [
        ("NVDR", b"\x08_ADR\x00"),
        ("AB__", b""),
    ]


def fix(blob: bytes) -> bytes:
    """A table's checksum put right."""
    return blob[:9] + bytes([-(sum(blob) - blob[9]) & 0xFF]) + blob[10:]


SSDT = build_table("SSDT", b"", 2)
CASES = {
    "empty": (b"", 0, "LENGTH"),
    "head of 1 byte": (raw(0, NFIT) + b"\0", 45, "TRUNCATED"),
    "head of 4 bytes": (raw(0, NFIT) + b"\0\0\0\0", 45, "TRUNCATED"),
    "only a head": (b"\0\1\0\0\0", 1, "TRUNCATED"),
    "blob one byte short": (raw(0, NFIT)[:-1], 1, "TRUNCATED"),
    "length that would wrap": (raw(0, NFIT, 0xFFFFFFFF), 1, "TRUNCATED"),
    "unknown type": (raw(2, NFIT), 0, "TYPE"),
    "type 255": (raw(255, NFIT), 0, "TYPE"),
    "length 0": (raw(0, b""), 1, "LENGTH"),
    "device of length 0": (raw(1, b""), 1, "LENGTH"),
    "zeros behind the last entry": (raw(0, NFIT) + bytes(16), 46, "LENGTH"),
    "table of 35 bytes": (raw(0, NFIT[:35]), 5, "TABLE"),
    "table of 1 byte": (raw(0, b"N"), 5, "TABLE"),
    "table longer than it says": (raw(0, NFIT + b"\0"), 9, "TABLE"),
    "table shorter than it says": (raw(0, NFIT[:-1]), 9, "TABLE"),
    "bad checksum": (raw(0, NFIT[:-1] + b"\1"), 14, "CHECKSUM"),
    "signature with a NUL": (raw(0, fix(b"NFI\0" + NFIT[4:])), 5, "TABLE"),
    "signature not ASCII": (raw(0, fix(b"NF\xc4T" + NFIT[4:])), 5, "TABLE"),
    "signature with a blank": (raw(0, fix(b"NFI " + NFIT[4:])), 5, "TABLE"),
    "second NFIT": (raw(0, NFIT) + raw(0, NFIT), 50, "DUPLICATE"),
    "second NFIT of other content": (raw(0, NFIT) + raw(0, build_table("NFIT", bytes(8))), 50, "DUPLICATE"),
    "same SSDT twice": (raw(0, SSDT) + raw(0, SSDT), 46, "DUPLICATE"),
    "second device of a name": (raw(1, b"NVDR") + raw(1, b"NVDR\xa3"), 14, "DUPLICATE"),
    "device of 3 bytes": (raw(1, b"NVD"), 5, "NAME"),
    "name padded with NUL": (raw(1, b"NVD\0"), 5, "NAME"),
    "name padded with blanks": (raw(1, b"NVD "), 5, "NAME"),
    "name in small letters": (raw(1, b"nvdr"), 5, "NAME"),
    "name with a digit first": (raw(1, b"1VDR"), 5, "NAME"),
    "name with a path": (raw(1, b"\\NVD"), 5, "NAME"),
    "name not ASCII": (raw(1, b"NVD\xc4"), 5, "NAME"),
}


@pytest.mark.parametrize(("stream", "offset", "code"), CASES.values(), ids=CASES)
def test_malformed(stream, offset, code):
    with pytest.raises(FormatError) as caught:
        parse_stream(stream)
    assert (caught.value.offset, caught.value.code) == (offset, f"XLPY-DMACPI-{code}")
    assert caught.value.hint
    assert str(caught.value).startswith("dm-acpi: entry ")


@pytest.mark.parametrize("name", ["_ADR", "A", "A1", "____", "ZZ99"])
def test_good_names(name):
    assert parse_stream(build_stream([device_entry(name, b"")]))[0].label == name.ljust(4, "_")


@pytest.mark.parametrize("entry", [device_entry("", b""), device_entry("nvdr", b""), table_entry(NFIT[:-1])])
def test_the_writer_refuses_what_the_reader_would(entry):
    with pytest.raises(FormatError):
        build_stream([entry] if entry.blob != b"____" else [])


def test_several_ssdts():
    other = build_table("SSDT", b"\xa3", 2)
    assert len(parse_stream(build_stream([table_entry(SSDT), table_entry(other)]))) == 2


names = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1, max_size=4)
devices = st.builds(device_entry, names, st.binary(max_size=40))
tables = st.builds(
    lambda name, body: table_entry(build_table(name, body)),
    st.text("ABCDE", min_size=4, max_size=4),
    st.binary(max_size=40),
)


@given(st.lists(st.one_of(devices, tables), min_size=1, max_size=6, unique_by=lambda e: (e.type, e.label)))
def test_round_trip(entries):
    assert parse_stream(build_stream(entries)) == entries


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_read_or_refused(data):
    try:
        entries = parse_stream(data)
    except FormatError:
        return
    assert build_stream(entries) == data


@given(st.data())
def test_a_changed_byte_is_noticed_or_lies_in_aml(data):
    stream = build_stream([table_entry(NFIT), device_entry("NVDR", b"\xa3" * 3)])
    at = data.draw(st.integers(1, len(stream) - 1))  # the first byte would make a device of the table
    changed = stream[:at] + bytes([stream[at] ^ data.draw(st.integers(1, 255))]) + stream[at + 1 :]
    try:
        parse_stream(changed)
    except FormatError:
        return
    assert at >= 45, "every byte of the table counts"
