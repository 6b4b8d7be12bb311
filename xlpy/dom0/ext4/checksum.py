"""The checksums of ext4 metadata: CRC-32C (metadata_csum) and CRC-16 (the older uninit_bg group descriptors).

Both are taken without the final inversion that other users of CRC-32C apply: the register is carried from piece to
    piece.
"""

from __future__ import annotations

from functools import cache, lru_cache

_POLYNOMIAL = 0x82F63B78  # Castagnoli, bit-reversed
_POLYNOMIAL16 = 0xA001
_FEW = 6  # fewer blocks than this are faster one by one


@cache
def _table(polynomial: int) -> list[int]:
    """What each byte does to the register. The sum of two bytes does the sum of what they do."""
    powers = [polynomial]  # what 0x80, 0x40, ... do
    for _ in range(7):
        last = powers[-1]
        powers.append(last >> 1 ^ (polynomial if last & 1 else 0))
    table = [0]
    for power in reversed(powers):
        table += [value ^ power for value in table]
    return table


@cache
def _planes() -> tuple[bytes, ...]:
    """The table of CRC-32C, one byte of the register at a time."""
    table = _table(_POLYNOMIAL)
    return tuple(bytes([value >> shift & 0xFF for value in table]) for shift in (0, 8, 16, 24))


def crc32c(register: int, data: bytes | bytearray | memoryview) -> int:
    """The CRC-32C register after ``data``, starting from ``register`` (0xFFFFFFFF for a fresh one)."""
    return _crc32c(register, bytes(data))


@lru_cache(maxsize=64)  # one command reads the same superblock, inodes and directory again and again
def _crc32c(register: int, data: bytes) -> int:
    table = _table(_POLYNOMIAL)
    for byte in data:
        register = table[(register ^ byte) & 0xFF] ^ register >> 8
    return register


def crc16(register: int, data: bytes) -> int:
    """The CRC-16 register after ``data``, starting from ``register`` (0xFFFF for a fresh one)."""
    table = _table(_POLYNOMIAL16)
    for byte in data:
        register = table[(register ^ byte) & 0xFF] ^ register >> 8
    return register


def crc32c_blocks(register: int, blocks: bytes, width: int) -> list[int]:
    """``crc32c(register, block)`` of each ``width`` bytes in ``blocks``, ten times as fast when there are many.

    All blocks advance together, column by column: the four bytes of the registers are kept as four long integers with
    one byte for each block, so that one table look-up of all blocks is one ``bytes.translate``.
    """
    count = len(blocks) // width
    if count < _FEW:
        view = memoryview(blocks)
        return [crc32c(register, view[at : at + width]) for at in range(0, count * width, width)]
    number = int.from_bytes
    p0, p1, p2, p3 = _planes()
    r0, r1, r2, r3 = (number(bytes([register >> shift & 0xFF]) * count, "little") for shift in (0, 8, 16, 24))
    for column in range(width):
        index = (r0 ^ number(blocks[column::width], "little")).to_bytes(count, "little")
        r0 = r1 ^ number(index.translate(p0), "little")
        r1 = r2 ^ number(index.translate(p1), "little")
        r2 = r3 ^ number(index.translate(p2), "little")
        r3 = number(index.translate(p3), "little")
    planes = [plane.to_bytes(count, "little") for plane in (r0, r1, r2, r3)]
    return [a | b << 8 | c << 16 | d << 24 for a, b, c, d in zip(*planes, strict=True)]
