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
_LONG = 300  # bytes: more are folded first
_FEW = 6  # fewer blocks than this are faster one by one
_APART = 13  # bits: an odd number, since damage often is alike in the bytes of several blocks


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
    if len(data) > _LONG:
        register, data = 0, _folded(int.from_bytes(data, "little") ^ register, len(data) * 8)
    table = _table(_POLYNOMIAL)
    for byte in data:
        register = table[(register ^ byte) & 0xFF] ^ register >> 8
    return register


def first_wrong(register: int, pieces: Sequence[bytes | memoryview]) -> int | None:
    """Which of the pieces, each with its CRC-32C in the last four bytes, is the first that is wrong; None: no one is.

    Together with its CRC a piece is a multiple of the polynomial, and so is a sum of such, each shifted by some bits.
    So one division tells of all. That several wrong ones cancel each other is as rare as that one has the right CRC.
    """
    total = start = 0
    for piece in pieces:
        total = total << _APART ^ int.from_bytes(piece, "little")
        start = start << _APART ^ register
    total ^= start
    if not crc32c(0, total.to_bytes(-(-total.bit_length() // 8), "little")):
        return None
    return next(at for at, piece in enumerate(pieces) if crc32c(register, piece))


def _folded(number: int, bits: int) -> bytes:
    """Fewer bytes with the same CRC: bits at the front, the highest powers of x, become sums of later ones.

    If x**563 = x**109 + ... + 1, then the same holds with all powers doubled, again and again: squaring a sum of powers
    squares each of them.

    Args:
        number: the bytes, the first in the lowest bits.
        bits: how many.
    """
    for power, powers in _RELATIONS:
        room = power - powers[-1]  # so many bits can go at a time, or sums would reach into them
        m = 1 << (bits // power).bit_length()
        while m := m >> 1:
            while bits > power * m:
                drop = min(bits - power * m, room * m)
                front = number & (1 << drop) - 1
                sums = reduce(xor, (front << (powers[-1] - each) * m for each in powers))
                number = number >> drop ^ sums << room * m - drop
                bits -= drop
    return (number << -bits % 8).to_bytes(-(-bits // 8), "little")


def crc16(register: int, data: bytes) -> int:
    """The CRC-16 register after ``data``, starting from ``register`` (0xFFFF for a fresh one)."""
    table = _table(_POLYNOMIAL16)
    for byte in data:
        register = table[(register ^ byte) & 0xFF] ^ register >> 8
    return register


def crc32c_blocks(register: int, blocks: Sequence[bytes | memoryview]) -> list[int]:
    """``crc32c(register, block)`` of each block, all as long as each other; meant for many that are short.

    All blocks advance together: a row is one byte of each, so that one table look-up of all is one ``bytes.translate``.
    The four bytes of the registers are four rows of one long integer, the lowest byte first.
    """
    count = len(blocks)
    if count < _FEW:
        return [crc32c(register, block) for block in blocks]
    number, bits = int.from_bytes, count * 8
    rows = bytearray(len(blocks[0]) * count)
    for at, block in enumerate(blocks):
        rows[at::count] = block
    values = struct.pack("<256I", *_table(_POLYNOMIAL))
    planes = [values[place::4] for place in range(4)]
    row = (1 << bits) - 1
    state = number(b"".join([bytes([byte]) * count for byte in register.to_bytes(4, "little")]), "little")
    for at in range(0, len(rows), count):
        index = (state & row ^ number(rows[at : at + count], "little")).to_bytes(count, "little")
        state = state >> bits ^ number(b"".join(map(index.translate, planes)), "little")
    registers = bytearray(count * 4)
    for place in range(4):
        registers[place::4] = (state >> place * bits & row).to_bytes(count, "little")
    return list(struct.unpack(f"<{count}I", registers))
