"""The encoding of traces, against bytes written down here and by round trips."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.errors import FormatError
from xlpy.powercut.events import FENCES, FLUSHES, KINDS, STORES, TraceEvent, decode, encode

EXAMPLES = [
    (TraceEvent("store", 0, 0x10, b"\x01\x02\x03\x04\x05\x06\x07\x08"), "30 20 0102030405060708"),
    (TraceEvent("nontemporal", 0, 0x3F, b"\xff"), "01 7e ff"),
    (TraceEvent("store", 0, 0x40, b"\xaa"), "00 8001 aa"),
    (TraceEvent("clwb", 0, 0x80), "03 04"),
    (TraceEvent("sfence", 0), "06"),
    (TraceEvent("mark", 0, number=300), "08 ac02"),
    (TraceEvent("mfence", 2), "09 02 07"),
    (TraceEvent("dsm", 0, 0x100, b"ab", 1), "0a 01 8002 02 6162"),
]


@pytest.mark.parametrize(("event", "text"), EXAMPLES, ids=[e.kind for e, _ in EXAMPLES])
def test_bytes(event, text):
    raw = bytes.fromhex(text)
    assert encode([event]) == raw
    assert list(decode([raw])) == [event]


def test_places_follow_each_other():
    """A store right behind another costs one byte beside its kind; a flush counts in lines."""
    events = [
        TraceEvent("store", 0, 0x100, b"12345678"),
        TraceEvent("store", 0, 0x108, b"12345678"),
        TraceEvent("clwb", 0, 0x100),
    ]
    raw = encode(events)
    assert raw[-12:] == b"\x30\x00" + b"12345678" + b"\x03\x00"
    assert list(decode([raw])) == events


vcpus = st.integers(0, 3)
addresses = st.integers(0, (1 << 52) - 64)
stores = st.builds(
    lambda kind, vcpu, address, data: TraceEvent(kind, vcpu, address, data),
    st.sampled_from(STORES),
    vcpus,
    addresses,
    st.sampled_from([1, 2, 4, 8, 16]).flatmap(lambda n: st.binary(min_size=n, max_size=n)),
)
flushes = st.builds(
    lambda kind, vcpu, a: TraceEvent(kind, vcpu, a // 64 * 64), st.sampled_from(FLUSHES), vcpus, addresses
)
labels = st.builds(
    lambda vcpu, at, data, n: TraceEvent("dsm", vcpu, at, data, n),
    *(vcpus, st.integers(0, 1 << 20), st.binary(max_size=300), st.integers(0, 9)),
)
others = st.builds(
    lambda kind, vcpu, n: TraceEvent(kind, vcpu, number=0 if kind in FENCES else n),
    st.sampled_from([k for k in KINDS if k not in (*STORES, *FLUSHES, "vcpu", "dsm")]),
    vcpus,
    st.integers(0, (1 << 64) - 1),
)


@given(st.lists(st.one_of(stores, flushes, labels, others), max_size=40), st.integers(1, 7))
def test_what_is_written_is_read(events, size):
    raw = encode(events)
    assert list(decode(raw[i : i + size] for i in range(0, len(raw), size))) == events


@settings(max_examples=30)
@given(st.lists(st.one_of(stores, flushes, labels, others), min_size=1, max_size=20), st.integers(500, 70_000))
def test_long_traces_too(events, size):
    """What lies far from the end of a piece is read in another way."""
    many = events * (3 * 4200 // len(encode(events)) + 1)
    raw = encode(many)
    assert list(decode(raw[i : i + size] for i in range(0, len(raw), size))) == many


def test_stores_behind_each_other_end_below_the_highest_address():
    behind = bytes.fromhex("0000 00") * 6000  # a byte, right behind the one before
    first = encode([TraceEvent("store", 0, (1 << 52) - 10, b"1")])
    with pytest.raises(FormatError, match="no guest has such an address"):
        list(decode([first + behind]))


@given(st.binary(max_size=200))
def test_any_bytes_end_in_events_or_a_format_error(raw):
    try:
        for event in decode([raw]):
            assert 0 <= event.address < 1 << 52
    except FormatError:
        pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0b", "no event of kind 0xb"),
        ("13 00", "no event of kind 0x13"),
        ("50 00", "no event of kind 0x50"),
        ("30 00 01", "middle of a store"),
        ("08 80", "middle of a number"),
        ("0a 00 00 02 61", "middle of a label write"),
        ("0a 00 00 8120", "4096 are possible"),
        ("08" + "80" * 10 + "00", "more than 64 bits"),
        ("00 01 00", "no guest has such an address"),
    ],
)
def test_damage(text, message):
    with pytest.raises(FormatError, match=message):
        list(decode([bytes.fromhex(text)]))


@pytest.mark.parametrize("size", [0, 3, 32])
def test_a_store_of_another_size_cannot_be_written(size):
    with pytest.raises(ValueError, match="are possible"):
        encode([TraceEvent("store", 0, 0, bytes(size))])


def test_the_documentation_has_all_kinds():
    text = (Path(__file__).parents[2] / "docs" / "powercut.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", text, re.MULTILINE)
    assert [(int(number), name) for number, name in rows] == list(enumerate(KINDS))
