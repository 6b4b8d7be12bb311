"""CRC-32C and CRC-16 as ext4 uses them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.dom0.ext4.checksum import _LONG, _RELATIONS, crc16, crc32c, crc32c_blocks, first_wrong

FRESH = 0xFFFFFFFF


def test_known_values():
    """The check value of the CRC catalogue for CRC-32C is 0xE3069283 after the final inversion, for CRC-16/MODBUS
    0x4B37; 32 zero bytes give 0x8A9136AA (RFC 3720, B.4)."""
    assert crc32c(FRESH, b"123456789") ^ FRESH == 0xE3069283
    assert crc32c(FRESH, bytes(32)) ^ FRESH == 0x8A9136AA
    assert crc16(0xFFFF, b"123456789") == 0x4B37


def test_register_is_carried():
    assert crc32c(crc32c(FRESH, b"1234"), b"56789") == crc32c(FRESH, b"123456789")


def byte_by_byte(register, data):
    for at in range(len(data)):
        register = crc32c(register, data[at : at + 1])
    return register


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, FRESH),
    st.integers(_LONG - 3, _LONG + 3) | st.sampled_from([1023, 1024, 1126, 1127, 2000, 4092, 16380, 65532]),
    st.randoms(use_true_random=False),
)
def test_long_pieces_are_folded(register, width, random):
    data = random.randbytes(width)
    assert crc32c(register, data) == byte_by_byte(register, data)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4092 * 8 - 1))
def test_every_bit_counts(bit):
    changed = (1 << bit).to_bytes(4092, "little")
    assert crc32c(FRESH, changed) == byte_by_byte(FRESH, changed) != crc32c(FRESH, bytes(4092))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, FRESH),
    st.sampled_from([1, 3, 4, 40, 68]),
    st.integers(0, 12),
    st.randoms(use_true_random=False),
)
def test_many_blocks_at_once_equal_one_by_one(register, width, count, random):
    blocks = [random.randbytes(width) for _ in range(count)]
    assert crc32c_blocks(register, blocks) == [crc32c(register, block) for block in blocks]


def sealed(register, data):
    return data + crc32c(register, data).to_bytes(4, "little")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, FRESH),
    st.lists(st.sampled_from([0, 1, 3, 60, 300, 1020, 4092]), max_size=9),
    st.sets(st.integers(0, 8)),
    st.randoms(use_true_random=False),
)
def test_the_first_of_many_that_is_wrong(register, widths, damaged, random):
    pieces = [bytearray(sealed(register, random.randbytes(width))) for width in widths]
    assert first_wrong(register, pieces) is None
    wrong = sorted(at for at in damaged if at < len(pieces))
    for at in wrong:
        bit = random.randrange(len(pieces[at]) * 8)
        pieces[at][bit // 8] ^= 1 << bit % 8
    assert first_wrong(register, pieces) == (wrong[0] if wrong else None)


@pytest.mark.parametrize("count", [2, 3, 64, 128])
def test_the_same_damage_to_many_is_seen(count):
    """As by a checksum seed that was lost, a stuck line of a bus, or bytes that moved from one block into the next."""
    good, other = sealed(FRESH, bytes(1020)), sealed(1, bytes(1020))
    for bad in (other, b"\1" + good[1:], good[1:] + good[:1]):
        assert first_wrong(FRESH, [bad] * count) == 0
    moved = [bytearray(good) for _ in range(count)]
    for at, piece in enumerate(moved):
        piece[count - at] ^= 1  # a byte further in each, as the sum is made
    assert first_wrong(FRESH, moved) == 0


@pytest.mark.parametrize(("power", "powers"), _RELATIONS)
def test_the_relations_by_which_blocks_are_folded(power, powers):
    """Long division of the sum of both sides by the Castagnoli polynomial leaves nothing."""
    rest = sum(1 << each for each in (power, *powers))
    for shift in range(power - 32, -1, -1):
        if rest >> shift + 32:
            rest ^= 0x11EDC6F41 << shift
    assert rest == 0
