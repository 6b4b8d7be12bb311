"""The RAM file by guest address, where firmware works in it, and the words that describe it to a kernel."""

from __future__ import annotations

import os

import pytest

from xlpy.addr import GIB, MIB, PAGE, Gpa
from xlpy.boot.firmware import place
from xlpy.boot.memory import EmulatorMemory, RamSize
from xlpy.boot.qemu import PM_BASE, kernel_command_line, memmap_words
from xlpy.errors import Constraint
from xlpy.firmware.e820 import E820Entry

SIZE = RamSize(64 * MIB, 2 * MIB)


@pytest.fixture
def ram():
    fd = os.memfd_create("ram")
    os.ftruncate(fd, SIZE.total)
    yield fd
    os.close(fd)


def row(start, end, kind):
    return E820Entry.between(start, end, kind)


def test_sizes_from_the_memory_map():
    low, high = row(MIB, 504 * MIB, 1), row(4 * GIB, 5 * GIB, 1)
    assert RamSize.of([low]) == (504 * MIB, 0)
    assert RamSize.of([low, row(GIB, 2 * GIB, 2), high]) == (504 * MIB, GIB)


def test_ram_above_4_gib_follows_low_ram_in_the_file(ram):
    memory = EmulatorMemory(ram, SIZE)
    memory.write(Gpa(5), b"low")
    memory.write(Gpa(4 * GIB + 7), b"high")
    assert os.pread(ram, 3, 5) == b"low"
    assert os.pread(ram, 4, 64 * MIB + 7) == b"high"
    assert memory.read(Gpa(4 * GIB + 7), 4) == b"high"


def test_outside_ram_reads_are_ones_and_writes_are_dropped(ram):
    memory = EmulatorMemory(ram, SIZE)
    memory.write(Gpa(64 * MIB - 2), b"abcd")
    assert memory.read(Gpa(64 * MIB - 2), 4) == b"ab\xff\xff"
    assert memory.read(Gpa(4 * GIB - 1), 2) == b"\xff\0"
    assert memory.read(Gpa(4 * GIB + 2 * MIB), 2) == b"\xff\xff"
    assert os.fstat(ram).st_size == SIZE.total


def test_a_page_is_shared(ram):
    memory = EmulatorMemory(ram, SIZE)
    page = memory.page(Gpa(PAGE))
    page[:4] = b"ring"
    assert memory.read(Gpa(PAGE), 4) == b"ring"


@pytest.mark.parametrize(
    ("low", "base"), [(192 * MIB, 96 * MIB), (504 * MIB, 252 * MIB), (505 * MIB, 252 * MIB), (3 * GIB, 1536 * MIB)]
)
def test_firmware_works_in_the_middle_of_low_ram(low, base):
    layout = place(low, 80 * MIB)
    assert (layout.acpi_info, layout.pm_base, layout.populated) == (base, PM_BASE, True)
    assert layout.mailbox == base + 2 * MIB - PAGE


@pytest.mark.parametrize(("low", "kernel_end"), [(191 * MIB, 80 * MIB), (504 * MIB, 300 * MIB)])
def test_too_little_ram_for_kernel_and_firmware(low, kernel_end):
    with pytest.raises(Constraint, match="need"):
        place(low, kernel_end)


def test_each_type_of_memory_has_its_word():
    rows = [row(0, 640 << 10, 1), row(PAGE, 2 * PAGE, 2), row(PAGE, 2 * PAGE, 3), row(PAGE, 2 * PAGE, 4)]
    assert memmap_words([*rows, row(4 * GIB, 5 * GIB, 7)]) == [
        "memmap=exactmap",
        "memmap=0xa0000@0x0",
        "memmap=0x1000$0x1000",
        "memmap=0x1000#0x1000",
        "memmap=0x1000%0x1000-0+4",
        "memmap=0x40000000%0x100000000-0+7",
    ]


def test_the_users_words_come_last():
    line = kernel_command_line(0x1000, [], "panic=30 quiet").split()
    assert line.index("panic=-1") < line.index("panic=30")
    assert "acpi_rsdp=0x1000" in line
    assert "acpi=off" in kernel_command_line(None, [], "").split()
