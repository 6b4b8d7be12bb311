"""CRC-32C and CRC-16 as ext4 uses them."""

from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.dom0.ext4.checksum import _RELATIONS, crc16, crc32c, crc32c_blocks

FRESH = 0xFFFFFFFF


def plain(register, block):
    """In pieces that are too short for anything but one byte after the other."""
    return reduce(crc32c, [block[at : at + 256] for at in range(0, len(block), 256)], register)


def test_known_values():
    """The check value of the CRC catalogue for CRC-32C is 0xE3069283 after the final inversion, for CRC-16/MODBUS
    0x4B37; 32 zero bytes give 0x8A9136AA (RFC 3720, B.4)."""
    assert crc32c(FRESH, b"123456789") ^ FRESH == 0xE3069283
    assert crc32c(FRESH, bytes(32)) ^ FRESH == 0x8A9136AA
    assert crc16(0xFFFF, b"123456789") == 0x4B37


def test_register_is_carried():
    assert crc32c(crc32c(FRESH, b"1234"), b"56789") == crc32c(FRESH, b"123456789")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, FRESH),
    st.sampled_from([1, 3, 4, 40, 290, 291, 562, 563, 564, 1020, 1126, 1127, 2000, 4092]),
    st.integers(0, 12),
    st.randoms(use_true_random=False),
)
def test_many_blocks_at_once_equal_one_by_one(register, width, count, random):
    blocks = [random.randbytes(width) for _ in range(count)]
    expected = [plain(register, block) for block in blocks]
    assert crc32c_blocks(register, blocks) == expected
    assert [crc32c(register, block) for block in blocks] == expected


@pytest.mark.parametrize("width", [16380, 65532])
def test_the_largest_blocks(width):
    one = bytes(range(251)) * (width // 251 + 1)
    blocks = [one[at : at + width] for at in range(7)]
    expected = [plain(FRESH, block) for block in blocks]
    assert crc32c_blocks(FRESH, blocks) == expected
    assert [crc32c(FRESH, block) for block in blocks] == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 7 * 4092 * 8 - 1))
def test_every_bit_counts_and_only_in_its_own_block(bit):
    at, within = divmod(bit, 4092 * 8)
    changed = (1 << within).to_bytes(4092, "little")
    blocks = [changed if one == at else bytes(4092) for one in range(7)]
    same, other = plain(FRESH, bytes(4092)), plain(FRESH, changed)
    assert same != other
    assert crc32c(FRESH, changed) == other
    assert crc32c_blocks(FRESH, blocks) == [other if one == at else same for one in range(7)]


@pytest.mark.parametrize(("power", "powers"), _RELATIONS)
def test_the_relations_by_which_blocks_are_folded(power, powers):
    """Long division of the sum of both sides by the Castagnoli polynomial leaves nothing."""
    rest = sum(1 << each for each in (power, *powers))
    for shift in range(power - 32, -1, -1):
        if rest >> shift + 32:
            rest ^= 0x11EDC6F41 << shift
    assert rest == 0
