"""E820 records and how hvmloader prints them; the table that the domain builder leaves for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlpy.addr import GIB, MIB, Gpa, Span
from xlpy.errors import FormatError
from xlpy.firmware.e820 import E820_PMEM, E820_RAM, E820_RESERVED, E820Entry, format_map, pack, unpack
from xlpy.firmware.hvm_info import HvmInfo, build_hvm_info, parse_hvm_info

entries = st.builds(
    lambda start, size, kind: E820Entry(Gpa(start), min(size, 2**64 - start), kind),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
)


@given(st.lists(entries, max_size=8))
def test_rows_survive_packing(rows):
    assert unpack(pack(rows)) == rows


def test_a_row_is_20_bytes():
    assert pack([E820Entry(Gpa(MIB), GIB, E820_PMEM)]) == bytes.fromhex("0000100000000000 0000004000000000 07000000")


@pytest.mark.parametrize(
    ("data", "offset"),
    [(b"x" * 19, 0), (bytes(41), 40), (bytes(20) + b"\xff" * 8 + b"\2" + bytes(11), 20)],
    ids=["less than a record", "a byte too many", "end beyond 2**64"],
)
def test_malformed_rows(data, offset):
    with pytest.raises(FormatError) as caught:
        unpack(data)
    assert caught.value.offset == offset


def test_row_ends():
    row = E820Entry.between(MIB, GIB, E820_RAM)
    assert (row.end, row.span) == (GIB, Span.between(MIB, GIB))


def test_print():
    rows = [
        E820Entry.between(0, 0xA0000, E820_RAM),
        E820Entry.between(0xA0000, 0xC0000, 12),
        E820Entry.between(0xB0000, MIB, E820_RESERVED),
        E820Entry.between(4 * GIB, 5 * GIB, E820_PMEM),
    ]
    assert list(format_map(rows)) == [
        " [00]: 00000000:00000000 - 00000000:000a0000: RAM",
        " [01]: 00000000:000a0000 - 00000000:000c0000: UNKNOWN TYPE 12",
        " OVERLAP!!",
        " [02]: 00000000:000b0000 - 00000000:00100000: RESERVED",
        " HOLE: 00000000:00100000 - 00000001:00000000",
        " [03]: 00000001:00000000 - 00000001:40000000: PMEM",
    ]


INFO = HvmInfo(4, 0xF0000, 0x190000, apic_mode=True, vcpu_online=0b1011)


def test_hvm_info_bytes():
    raw = build_hvm_info(INFO)
    assert sum(raw) & 0xFF == 0
    assert raw[:12] == b"HVM INFO" + (48).to_bytes(4, "little")
    assert raw[13:] == bytes.fromhex("01 0000 04000000 00000f00 f0ef0f00 00001900 0b") + bytes(15)


@given(
    st.builds(
        HvmInfo,
        st.integers(1, 128),
        st.integers(0, 0x100000),
        st.one_of(st.just(0), st.integers(0x100001, 2**32 - 1)),
        st.booleans(),
        st.integers(0, 2**128 - 1),
        st.integers(0, 2**32 - 1),
    )
)
def test_hvm_info_survives(info):
    assert parse_hvm_info(build_hvm_info(info)) == info


def change(at: int, value: int, width: int = 4) -> bytes:
    """The table with a field changed and the checksum right again."""
    raw = bytearray(build_hvm_info(INFO))
    raw[at : at + width] = value.to_bytes(width, "little")
    if at != 12:
        raw[12] = 0
        raw[12] = -sum(raw) & 0xFF
    return bytes(raw)


@pytest.mark.parametrize(
    ("raw", "offset"),
    [
        (build_hvm_info(INFO)[:47], 0),
        (change(0, 0), 0),
        (change(8, 49), 8),
        (change(12, build_hvm_info(INFO)[12] ^ 1, 1), 12),
        (change(16, 0), 16),
        (change(16, 129), 16),
        (change(20, 0x100001), 20),
        (change(28, 0x100000), 28),
    ],
)
def test_damaged_hvm_info(raw, offset):
    with pytest.raises(FormatError) as caught:
        parse_hvm_info(raw)
    assert caught.value.offset == offset


def test_online():
    assert [INFO.online(n) for n in range(5)] == [True, True, False, True, False]
