"""Partition tables: GPT with its CRCs, MBR with logical partitions; sfdisk about ours, and Linux about those of others.

The rows of ``LINUX_MBR`` and ``LINUX_GPT`` are what Debian's kernel 6.1.192 has made of the same disks.
"""

import struct
import subprocess
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import need

from xlpy.addr import KIB, MIB
from xlpy.dom0.files.partitions import Partition, PartitionTable, build_gpt, read_table

GUID = bytes(range(16))
SIZE = 4 * MIB
TWO = (Partition(1, MIB, MIB), Partition(2, 3 * MIB, 512 * KIB))


def disk(partitions=TWO, size=SIZE, sector=512):
    image = bytearray(size)
    for at, data in build_gpt(size, partitions, GUID, sector):
        image[at : at + len(data)] = data
    return image


WHOLE = bytes(disk())


def reader(image):
    def read(offset, length):
        assert 0 <= offset <= offset + length <= len(image)
        return bytes(image[offset : offset + length])

    return read


@pytest.mark.parametrize("sector", [512, 4096])
def test_a_gpt_reads_as_it_was_written(sector):
    assert read_table(reader(disk(sector=sector)), SIZE, sector) == PartitionTable("gpt", TWO)


def test_gpt_header_bytes():
    image = disk()
    assert image[510:512] == b"\x55\xaa"
    assert image[446:462].hex() == "00000200eeffffff01000000ff1f0000"  # protective entry over all other sectors
    header = image[512:604]
    assert header[:16].hex() == "4546492050415254000001005c000000"
    assert struct.unpack_from("<4Q", header, 24) == (1, 8191, 34, 8158)
    assert header[56:72] == GUID
    assert struct.unpack_from("<QII", header, 72) == (2, 128, 128)
    entry = image[1024:1152]
    assert entry[:16].hex() == "af3dc60f838472478e793d69d8477de4"
    assert struct.unpack_from("<QQ", entry, 32) == (2048, 4095)
    backup = image[-512:][:92]
    assert struct.unpack_from("<QQ", backup, 24) == (8191, 1)
    assert image[-33 * 512 : -512] == image[1024 : 1024 + 32 * 512]


def test_sfdisk_agrees(tmp_path):
    need("sfdisk")
    path = tmp_path / "disk"
    path.write_bytes(disk())
    dump = subprocess.run(["sfdisk", "-d", path], capture_output=True, text=True, check=True)
    assert dump.stderr == ""
    assert "label: gpt" in dump.stdout
    assert "start=        2048, size=        2048, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4" in dump.stdout
    assert "start=        6144, size=        1024" in dump.stdout
    verdict = subprocess.run(["sfdisk", "--verify", path], capture_output=True, text=True, check=True)
    assert "No errors detected." in verdict.stdout + verdict.stderr


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (512, "signature"),
        (525, "header size"),
        (528, "header CRC"),
        (536, "header CRC"),
        (590, "header CRC"),
        (1024 + 32, "entries CRC"),
        (1024 + 127 * 128, "entries CRC"),
    ],
)
def test_a_damaged_gpt_is_not_used(at, text):
    image = disk()
    image[at] ^= 0xFF
    table = read_table(reader(image), SIZE)
    assert (table.kind, table.partitions) == ("gpt", ())
    assert text in table.problem
    assert "sgdisk" in table.problem


def test_a_damaged_copy_does_not_matter():
    image = disk()
    image[-512:] = bytes(512)
    assert read_table(reader(image), SIZE).partitions == TWO


def test_a_gpt_of_a_larger_disk_is_not_used():
    image = disk()[: SIZE // 2]
    assert "last is" in read_table(reader(image), SIZE // 2).problem


def mbr(*entries):
    sector = bytearray(512)
    for i, (kind, first, count) in enumerate(entries):
        struct.pack_into("<B3sB3sII", sector, 446 + 16 * i, 0, b"", kind, b"", first, count)
    sector[510:] = b"\x55\xaa"
    return sector


def test_mbr_primaries():
    image = bytearray(SIZE)
    image[:512] = mbr((0x83, 2048, 2048), (0, 0, 0), (0x83, 6144, 1024))
    assert read_table(reader(image), SIZE) == PartitionTable(
        "dos", (Partition(1, MIB, MIB), Partition(3, 3 * MIB, 512 * KIB))
    )


def test_mbr_logical_partitions():
    image = bytearray(SIZE)
    image[:512] = mbr((0x83, 2048, 1024), (0x05, 4096, 4096))
    image[4096 * 512 : 4096 * 512 + 512] = mbr((0x83, 64, 100), (0x05, 1000, 2000))
    image[5096 * 512 : 5096 * 512 + 512] = mbr((0x83, 64, 200), (0, 0, 0))
    assert read_table(reader(image), SIZE).partitions == (
        Partition(1, 2048 * 512, 1024 * 512),
        Partition(2, 4096 * 512, 1024),  # of the extended one itself, for boot loaders
        Partition(5, (4096 + 64) * 512, 100 * 512),
        Partition(6, (5096 + 64) * 512, 200 * 512),
    )


def test_a_loop_of_extended_boot_records_ends():
    image = bytearray(SIZE)
    image[:512] = mbr((0x05, 4096, 4096))
    image[4096 * 512 : 4096 * 512 + 512] = mbr((0x83, 64, 100), (0x05, 64, 64))
    image[4160 * 512 : 4160 * 512 + 512] = mbr((0x83, 1, 1), (0x05, 64, 64))
    assert len(read_table(reader(image), SIZE).partitions) == 1 + 251


@pytest.mark.parametrize("second", [(0, 0, 0), (0x83, 0, 0)])
def test_a_loop_of_extended_boot_records_without_partitions_ends(second):
    image = bytearray(SIZE)
    image[:512] = mbr((0x05, 4096, 4096))
    for at in (4096, 4160):
        image[at * 512 : at * 512 + 512] = mbr(second, (0x05, 64, 64))
    assert read_table(reader(image), SIZE).partitions == (Partition(1, 4096 * 512, 1024),)


def test_logical_partitions_of_two_extended_ones_have_numbers_of_their_own():
    image = bytearray(SIZE)
    image[:512] = mbr((0x05, 2048, 1024), (0x0F, 4096, 1024))
    image[2048 * 512 : 2048 * 512 + 512] = mbr((0x83, 64, 100))
    image[4096 * 512 : 4096 * 512 + 512] = mbr((0x83, 64, 200))
    assert [one.number for one in read_table(reader(image), SIZE).partitions] == [1, 2, 5, 6]


def test_the_last_two_entries_of_an_extended_boot_record_must_lie_inside():
    image = bytearray(SIZE)
    image[:512] = mbr((0x05, 4096, 1024))
    image[4096 * 512 : 4096 * 512 + 512] = mbr((0, 0, 0), (0, 0, 0), (0x83, 64, 960), (0x83, 64, 961))
    assert read_table(reader(image), SIZE).partitions[1:] == (Partition(5, 4160 * 512, 960 * 512),)


@pytest.mark.parametrize("count", [8, 9, 2**32 - 1])
def test_an_entry_ends_where_the_disk_does(count):
    image = bytearray(SIZE)
    image[:512] = mbr((0x83, SIZE // 512 - 8, count), (0x83, SIZE // 512, 8))
    assert read_table(reader(image), SIZE).partitions == (Partition(1, SIZE - 4096, 4096),)


END = SIZE // 512
LINUX_MBR = {
    "a type of 0 is one too": ({0: [(0, 2048, 4096), (0x83, 6144, 8)]}, [(1, 2048, 4096), (2, 6144, 8)]),
    "it may begin with the disk, as on hybrid ISO images": ({0: [(0, 0, 6000)]}, [(1, 0, 6000)]),
    "it ends where the disk does": ({0: [(0x83, END - 8, 8)]}, [(1, END - 8, 8)]),
    "what is beyond is cut": ({0: [(0x83, END - 8, 9), (0x83, 2048, 2**32 - 1)]}, [(1, END - 8, 8), (2, 2048, 6144)]),
    "it begins where the disk ends": ({0: [(0x83, END, 8), (0x83, 2048, 8)]}, [(2, 2048, 8)]),
    "the link before the data": (
        {0: [(5, 4096, 4096)], 4096: [(5, 2048, 1024), (0x83, 64, 8)], 6144: [(0x83, 64, 16)]},
        [(1, 4096, 2), (5, 4160, 8), (6, 6208, 16)],
    ),
    "four in one record": (
        {0: [(15, 4096, 1024)], 4096: [(1, i * 64, 8) for i in range(4)]},
        [(1, 4096, 2), *((5 + i, 4096 + i * 64, 8) for i in range(4))],
    ),
    "the third and fourth inside the record's part": (
        {0: [(0x85, 4096, 1024)], 4096: [(1, 64, 8), (1, 128, 8), (1, 256, 1024), (1, 2000, 8)]},
        [(1, 4096, 2), (5, 4160, 8), (6, 4224, 8)],
    ),
    "two extended ones": (
        {0: [(5, 2048, 1024), (15, 4096, 1)], 2048: [(0, 64, 8)], 4096: [(7, 64, 8)]},
        [(1, 2048, 2), (2, 4096, 1), (5, 2112, 8), (6, 4160, 8)],
    ),
}


@pytest.mark.parametrize(("records", "expected"), LINUX_MBR.values(), ids=LINUX_MBR)
def test_an_mbr_as_linux_reads_it(records, expected):
    image = bytearray(SIZE)
    for at, entries in records.items():
        image[at * 512 : at * 512 + 512] = mbr(*entries)
    found = read_table(reader(image), SIZE)
    assert (found.kind, [(one.number, one.start // 512, one.size // 512) for one in found.partitions]) == (
        "dos",
        expected,
    )


def gpt_header(*fields):
    blank = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, *fields)
    return blank[:16] + struct.pack("<I", crc32(blank)) + blank[20:]


def gpt(parts, count=128, usable=(34, END - 34), size=128, protective=1):
    """A disk with a GPT of someone else's: (first, last) of each partition, in blocks."""
    image = bytearray(SIZE)
    image[:512] = mbr((0xEE, protective, END - 1))
    entries = bytearray(count * size)
    for i, (first, last) in enumerate(parts):
        struct.pack_into("<16s16sQQ", entries, i * size, b"kind", b"own", first, last)
    image[512:604] = gpt_header(1, END - 1, *usable, GUID, 2, count, size, crc32(entries))
    image[1024 : 1024 + len(entries)] = entries
    return image


LINUX_GPT = {
    "before the first usable block": (gpt([(64, 100), (2048, 2055)], usable=(1024, 8000)), [(1, 64, 37), (2, 2048, 8)]),
    "behind the last usable block": (
        gpt([(2048, 2055), (7000, 7007)], usable=(34, 5000)),
        [(1, 2048, 8), (2, 7000, 8)],
    ),
    "to the last block": (gpt([(8000, END - 1), (2048, END)]), [(1, 8000, END - 8000)]),
    "more than 255 entries": (
        gpt([(2000 + i, 2000 + i) for i in range(300)], 400),
        [(i + 1, 2000 + i, 1) for i in range(255)],
    ),
    "2048 entries": (gpt([(4096, 4103)], 2048), [(1, 4096, 8)]),
    "a protective entry for another block": (gpt([(2048, 2055)], protective=2), []),
    "entries of 256 bytes": (gpt([(2048, 2055)], size=256), []),
}


@pytest.mark.parametrize(("image", "expected"), LINUX_GPT.values(), ids=LINUX_GPT)
def test_a_gpt_as_linux_reads_it(image, expected):
    found = read_table(reader(image), SIZE)
    assert (found.kind, [(one.number, one.start // 512, one.size // 512) for one in found.partitions]) == (
        "gpt",
        expected,
    )
    assert bool(found.problem) == (not expected)


@pytest.mark.parametrize(("count", "used"), [((4 << 20) // 128, True), ((4 << 20) // 128 + 1, False)])
def test_entries_of_a_gpt_have_four_mib(count, used):
    first = 2 + 2 * (4 << 20) // 512
    size = (first + 200) * 512
    entries = bytearray(count * 128)
    struct.pack_into("<16s16sQQ", entries, 0, b"kind", b"own", first, first)
    header = gpt_header(1, first + 100, first, first, GUID, 2, count, 128, crc32(entries))
    image = mbr((0xEE, 1, first)) + header.ljust(512, b"\0") + entries
    found = read_table(reader(image.ljust(size, b"\0")), size)
    assert [one.number for one in found.partitions] == ([1] if used else [])


def test_no_table():
    assert read_table(reader(bytes(SIZE)), SIZE) == PartitionTable("none")
    assert read_table(reader(bytes(512)), 512) == PartitionTable("none")
    boot_sector = mbr((0x83, 2048, 2048))
    boot_sector[446] = 0x33  # code where a status byte would be 0 or 0x80
    image = bytearray(SIZE)
    image[:512] = boot_sector
    assert read_table(reader(image), SIZE) == PartitionTable("none")


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=66, max_size=66), st.binary(min_size=92, max_size=92), st.booleans())
def test_any_bytes_are_read_without_a_crash(records, header, protective):
    image = bytearray(256 * KIB)
    image[446:512] = records
    image[510:512] = b"\x55\xaa"
    image[512:604] = header
    if protective:
        image[446:462] = WHOLE[446:462]
        image[512:524] = WHOLE[512:524]
    read_table(reader(image), len(image))
