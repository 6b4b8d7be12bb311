"""The checksums of ext4 metadata: CRC-32C (metadata_csum) and CRC-16 (the older uninit_bg group descriptors).

Both are taken without the final inversion that other users of CRC-32C apply: the register is carried from piece to
piece.
"""

from __future__ import annotations

import _struct as struct
from _operator import xor

from xlpy.functions import cache, lru_cache, reduce
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_POLYNOMIAL = 0x82F63B78  # Castagnoli, bit-reversed
_POLYNOMIAL16 = 0xA001
# modulo _POLYNOMIAL: x**563 = x**109 + x**58 + x**53 + x**31 + 1, and so on
_RELATIONS = ((563, (0, 31, 53, 58, 109)), (290, (0, 32, 107, 113, 136)))
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


def crc32c(register: int, data: bytes | bytearray | memoryview) -> int:
    """The CRC-32C register after ``data``, starting from ``register`` (0xFFFFFFFF for a fresh one)."""
    return _crc32c(register, bytes(data))


@lru_cache(maxsize=64)  # one command reads the same superblock, inodes and directory again and again
def _crc32c(register: int, data: bytes) -> int:
    if len(data) > _RELATIONS[-1][0]:
        rest, left = _fold(int.from_bytes(data, "little") ^ register, len(data), 8)
        register, data = 0, rest.to_bytes(left, "little")
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


def crc32c_blocks(register: int, blocks: Sequence[bytes | memoryview]) -> list[int]:
    """``crc32c(register, block)`` of each block, all as long as each other; a hundred take the time of five.

    All blocks advance together: a row is one byte of each, so that one table look-up of all is one ``bytes.translate``.
    The four bytes of the registers are four rows of one long integer, the lowest byte first.
    """
    count, width = len(blocks), len(blocks[0]) if blocks else 0
    if count < _FEW or width < 4:
        return [crc32c(register, block) for block in blocks]
    number, bits = int.from_bytes, count * 8
    rows, left = _fold(_rows(register, blocks), width, bits)
    rest = rows.to_bytes(left * count, "little")
    values = struct.pack("<256I", *_table(_POLYNOMIAL))
    planes = [values[place::4] for place in range(4)]
    row, state = (1 << bits) - 1, 0
    for at in range(0, len(rest), count):
        index = (state & row ^ number(rest[at : at + count], "little")).to_bytes(count, "little")
        state = state >> bits ^ number(b"".join(map(index.translate, planes)), "little")
    registers = bytearray(count * 4)
    for place in range(4):
        registers[place::4] = (state >> place * bits & row).to_bytes(count, "little")
    return list(struct.unpack(f"<{count}I", registers))


def _rows(register: int, blocks: Sequence[bytes | memoryview]) -> int:
    """The first byte of each block, then the second of each, ..., with the register added to the first four."""
    count = len(blocks)
    data = bytearray(count * len(blocks[0]))
    for at, block in enumerate(blocks):
        data[at::count] = block
    start = b"".join([bytes([byte]) * count for byte in register.to_bytes(4, "little")])
    return int.from_bytes(data, "little") ^ int.from_bytes(start, "little")


def _fold(rows: int, count: int, bits: int) -> tuple[int, int]:
    """Replace rows at the front, the highest powers of x, by what they are modulo the polynomial: sums of later rows.

    If x**563 = x**109 + ... + 1, then the same holds with all powers doubled, again and again: squaring a sum of powers
    squares each of them. After three times the powers are those of whole bytes, which are rows here.

    Args:
        rows: row after row, the first in the lowest bits.
        count: how many.
        bits: in a row.

    Returns:
        fewer rows with the same checksums, and their number.
    """
    for power, powers in _RELATIONS:
        room = power - powers[-1]  # so many rows can go at a time, or sums would reach into them
        while count > power:
            drop, m = max((min(count - power * m, room * m), m) for m in (1, 2, 4, 8, 16, 32, 64))
            front = rows & (1 << drop * bits) - 1
            sums = reduce(xor, (front << (powers[-1] - each) * m * bits for each in powers))
            rows = rows >> drop * bits ^ sums << (room * m - drop) * bits
            count -= drop
    return rows, count
