"""Partition tables.

A GPT (UEFI 2.10, chapter 5) is written when a description asks for partitions; GPT and MBR are read as Linux reads
them (6.1, block/partitions/efi.c and msdos.c): a GPT whose primary header or entries fail their CRC is not used, even
when the copy at the end is good.
"""

from __future__ import annotations

from _struct import Struct
from zlib import crc32

from xlpy.addr import align_up
from xlpy.dom0.files import BOOT_SECTOR, BOOT_SIGNATURE
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    _Entry = tuple[int, bytes, int, bytes, int, int]  # of an MBR: status, first, type, last, first block, blocks

LINUX_FILESYSTEM = bytes.fromhex("af3dc60f838472478e793d69d8477de4")  # 0FC63DAF-8483-4772-8E79-3D69D8477DE4
MBR_PROTECTIVE = 0xEE
_EXTENDED = (0x05, 0x0F, 0x85)
_ENTRIES, _ENTRY_SIZE = 128, 128
_FIRST_LOGICAL, _LAST = 5, 255  # numbers of partitions
_TABLE_MAX = 4 << 20  # bytes of a GPT's entries
_EMPTY = 100  # extended boot records without a partition in a row: more are a loop

_HEADER = Struct("<8sIIIIQQQQ16sQIII")  # 92 bytes
_ENTRY = Struct("<16s16sQQQ72s")
_MBR_TABLE, _MBR_ENTRY = 446, Struct("<B3sB3sII")  # where in a boot record the four entries are
_SIGNATURE, _REVISION = b"EFI PART", 0x00010000


class Partition(NamedTuple):
    """A named part of a disk: ``number`` as in ``pmem0p1``; ``start`` and ``size`` in bytes from the disk's start."""

    number: int
    start: int
    size: int


class PartitionTable(NamedTuple):
    """What a disk says about its parts. kind: ``gpt``, ``dos`` or ``none``; problem: why a table is not used."""

    kind: str
    partitions: tuple[Partition, ...] = ()
    problem: str | None = None


def build_gpt(
    size: int, partitions: Sequence[Partition], disk_guid: bytes, sector: int = 512
) -> list[tuple[int, bytes]]:
    """The pieces of a GPT, as (byte offset, content).

    Args:
        size: of the disk, in bytes.
        partitions: at most 128, inside the usable space, starts and sizes multiples of ``sector``.
        disk_guid: 16 bytes; the partitions' own GUIDs count up from it.
        sector: logical block size of the disk, in bytes.
    """
    last = size // sector - 1
    span = _ENTRIES * _ENTRY_SIZE // sector
    entries = bytearray(_ENTRIES * _ENTRY_SIZE)
    for number, start, length in partitions:
        unique = disk_guid[:-1] + bytes([(disk_guid[-1] + number) & 0xFF])
        first = start // sector
        _ENTRY.pack_into(
            entries, (number - 1) * _ENTRY_SIZE, LINUX_FILESYSTEM, unique, first, first + length // sector - 1, 0, b""
        )

    def header(at: int, other: int, table: int) -> bytes:
        fields = (at, other, 2 + span, last - span - 1, disk_guid, table, _ENTRIES, _ENTRY_SIZE, crc32(entries))
        blank = _HEADER.pack(_SIGNATURE, _REVISION, _HEADER.size, 0, 0, *fields)
        sealed = _HEADER.pack(_SIGNATURE, _REVISION, _HEADER.size, crc32(blank), 0, *fields)
        return sealed.ljust(sector, b"\0")

    protective = _MBR_ENTRY.pack(0, b"\0\2\0", MBR_PROTECTIVE, b"\xff\xff\xff", 1, min(last, 0xFFFFFFFF))
    mbr = bytes(_MBR_TABLE) + protective + bytes(48) + BOOT_SIGNATURE
    return [
        (0, mbr.ljust(sector, b"\0")),
        (sector, header(1, last, 2)),
        (2 * sector, bytes(entries)),
        ((last - span) * sector, bytes(entries)),
        (last * sector, header(last, 1, last - span)),
    ]


def read_table(read: Callable[[int, int], bytes], size: int, sector: int = 512) -> PartitionTable:
    """Find the partitions of a disk.

    Args:
        read: gives ``length`` bytes of the disk at a byte offset.
        size: of the disk, in bytes.
        sector: its logical block size.
    """
    if size < 2 * sector:
        return PartitionTable("none")
    primary = _boot_record(read, 0)
    if not primary:
        return PartitionTable("none")
    protective = [entry[4] for entry in primary if entry[2] == MBR_PROTECTIVE]
    if 1 in protective:
        return _read_gpt(read, size, sector)
    if any(entry[0] & 0x7F for entry in primary):  # a boot sector of a file system, not a partition table
        return PartitionTable("none")
    if protective:
        return PartitionTable("gpt", problem=f"GPT not used: protective entry for block {protective[0]}, 1 required")
    return _read_mbr(read, size, sector, primary)


def entry_at(read: Callable[[int, int], bytes], number: int, sector: int = 512) -> int | None:
    """The byte offset on a disk of the entry that makes a partition; None for a logical one, which a chain leads to.

    Args:
        read: as for ``read_table``. number: of the partition. sector: the logical block size.
    """
    if any(entry[2] == MBR_PROTECTIVE for entry in _boot_record(read, 0)):
        table: int = _HEADER.unpack_from(read(sector, sector))[10]
        return table * sector + (number - 1) * _ENTRY_SIZE
    return _MBR_TABLE + _MBR_ENTRY.size * (number - 1) if number <= 4 else None


def _boot_record(read: Callable[[int, int], bytes], at: int) -> list[_Entry]:
    """The four entries of the boot record at a byte offset; none when its signature is missing."""
    record = read(at, BOOT_SECTOR)
    return list(_MBR_ENTRY.iter_unpack(record[_MBR_TABLE:-2])) if record.endswith(BOOT_SIGNATURE) else []


def _read_gpt(read: Callable[[int, int], bytes], size: int, sector: int) -> PartitionTable:
    last = size // sector - 1
    raw = read(sector, sector)
    (
        signature,
        _revision,
        header_size,
        header_crc,
        _reserved,
        at,
        _other,
        first_usable,
        last_usable,
        _guid,
        table,
        count,
        entry_size,
        entries_crc,
    ) = _HEADER.unpack_from(raw)

    def unused(why: str) -> PartitionTable:
        return PartitionTable("gpt", problem=f"GPT not used: {why}; repair it from its copy with gdisk or sgdisk")

    if signature != _SIGNATURE:
        return unused(f"header signature {signature!r} found, {_SIGNATURE!r} required")
    if not _HEADER.size <= header_size <= sector:
        return unused(f"header size {header_size} found, {_HEADER.size} to {sector} required")
    computed = crc32(raw[:16] + bytes(4) + raw[20:header_size])
    if computed != header_crc:
        return unused(f"header CRC {header_crc:#010x} found, {computed:#010x} required")
    if at != 1 or last_usable < first_usable or last_usable > last:
        return unused(f"header at block {at} for blocks {first_usable} to {last_usable} of a disk whose last is {last}")
    if entry_size != _ENTRY_SIZE or not 0 < count * entry_size <= min(_TABLE_MAX, (last + 1 - table) * sector):
        return unused(f"{count} entries of {entry_size} bytes at block {table}")
    entries = read(table * sector, align_up(count * entry_size, sector))[: count * entry_size]
    computed = crc32(entries)
    if computed != entries_crc:
        return unused(f"entries CRC {entries_crc:#010x} found, {computed:#010x} required")
    found = []
    for number in range(1, min(count, _LAST) + 1):
        kind, _unique, first, final, _flags, _name = _ENTRY.unpack_from(entries, (number - 1) * entry_size)
        if any(kind) and first <= final <= last:
            found.append(Partition(number, first * sector, (final - first + 1) * sector))
    return PartitionTable("gpt", tuple(found))


def _read_mbr(read: Callable[[int, int], bytes], size: int, sector: int, primary: list[_Entry]) -> PartitionTable:
    """The partitions of an MBR, as Linux has them (6.1, block/partitions/msdos.c and core.c).

    An entry counts when it has sectors, whatever its type. What reaches beyond the disk is cut. Only the first sectors
    of an extended partition are a device; logical ones are numbered from 5 on.
    """
    found = []

    def keep(number: int, first: int, count: int) -> None:
        start = first * sector
        if start < size:
            found.append(Partition(number, start, min(count * sector, size - start)))

    logical = _FIRST_LOGICAL
    for number, (_status, _from, kind, _to, first, count) in enumerate(primary, 1):
        if count and kind in _EXTENDED:
            keep(number, first, min(count, max(1, 1024 // sector)))
            for start, length in _logical(read, size, sector, first, count):
                if logical > _LAST:
                    break
                keep(logical, start, length)
                logical += 1
        elif count:
            keep(number, first, count)
    return PartitionTable("dos", tuple(sorted(found)))


def _logical(
    read: Callable[[int, int], bytes], size: int, sector: int, base: int, extent: int
) -> Iterator[tuple[int, int]]:
    """(first, count) of each logical partition in the chain of boot records of an extended one.

    Args:
        read, size, sector: as for ``read_table``.
        base, extent: first block and number of blocks of the extended partition.
    """
    at, room, empty = base, extent, 0
    while empty < _EMPTY and (at + 1) * sector <= size:
        empty += 1
        link = None
        for slot, (_, _, kind, _, first, count) in enumerate(_boot_record(read, at * sector)):
            if count and kind in _EXTENDED:
                link = link or (base + first, count)
            elif count:
                start = at + first
                inside = first + count <= room and base <= start and start + count <= base + extent
                if slot < 2 or inside:  # the last two may hold anything
                    empty = 0
                    yield start, count
        if link is None:
            return
        at, room = link
