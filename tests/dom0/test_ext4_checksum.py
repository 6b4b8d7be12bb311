"""CRC-32C and CRC-16 as ext4 uses them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.dom0.ext4.checksum import crc16, crc32c, crc32c_blocks

FRESH = 0xFFFFFFFF


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
    st.sampled_from([1, 3, 40, 255, 256, 257, 600]),
    st.integers(0, 24),
    st.randoms(use_true_random=False),
)
def test_many_blocks_at_once_equal_one_by_one(register, width, count, random):
    blocks = random.randbytes(width * count)
    one_by_one = [crc32c(register, blocks[at : at + width]) for at in range(0, width * count, width)]
    assert crc32c_blocks(register, blocks, width) == one_by_one
