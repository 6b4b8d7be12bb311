"""Fletcher-64 against known sums."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.dom0.nvdimm.fletcher import fletcher64, seal, sealed

INDEX_BLOCK = (
    bytes.fromhex(
        "4e414d4553504143455f494e44455800 000000 01 02000000 0000000000000000 0001000000000000"
        "0001000000000000 0002000000000000 fe010000 0100 0200 0000000000000000 fd"
    )
    + b"\xff" * 63
).ljust(256, b"\0")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (struct.pack("<II", 1, 2), 0x0000000400000003),
        (b"NAMESPACE_INDEX\0", 0x7BE3F9FFD730362A),
        (bytes(range(256)), 0x9D754A80601FDF80),
        (b"\xff" * 4096, 0xFFF7FE00FFFFFC00),
        (INDEX_BLOCK, 0x2793E356D8323C19),
    ],
)
def test_known_sums(data, expected):
    assert fletcher64(data) == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=64))
def test_agrees_with_the_definition(words):
    low = high = 0
    for word in words:
        low = (low + word) % 2**32
        high = (high + low) % 2**64
    assert fletcher64(struct.pack(f"<{len(words)}I", *words)) == (high << 32 | low) % 2**64


def test_a_sealed_block_is_intact_until_a_byte_changes():
    block = seal(bytearray(range(64)), 56)
    stored, computed = sealed(block, 56)
    assert stored == computed
    stored, computed = sealed(b"\xff" + block[1:], 56)
    assert stored != computed
