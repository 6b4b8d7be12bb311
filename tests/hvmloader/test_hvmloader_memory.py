"""Allocators, taking pages from RAM, PCI placement and relocation."""

from __future__ import annotations

import pytest
from hvmloader.fake_platform import FakePlatform, PciFunction, boot, case

from xlpy.addr import GIB, MIB, PAGE, Gfn, Gpa, Span
from xlpy.errors import FirmwareStopped
from xlpy.firmware import e820
from xlpy.firmware.e820 import E820_RAM, E820_RESERVED, E820Entry
from xlpy.firmware.hvm_info import HvmInfo
from xlpy.firmware.hvmloader.keys import strtoll
from xlpy.firmware.hvmloader.memory import FirmwareMemory
from xlpy.firmware.hvmloader.pci import setup
from xlpy.firmware.layout import XEN_HVM


def memory_of(platform: FakePlatform) -> FirmwareMemory:
    return FirmwareMemory(platform, XEN_HVM, HvmInfo(1, platform.low_end >> 12, platform.high_end >> 12))


def test_bump_allocators():
    memory = memory_of(FakePlatform())
    assert memory.scratch_alloc(31) == 0x10010, "the first 16 bytes stay free"
    assert memory.scratch_alloc(1) == 0x10030
    assert memory.acpi_alloc(64, 64) == 0xFC001000
    assert memory.acpi_alloc(1) == 0xFC001040
    assert memory.acpi_alloc(1, 64) == 0xFC001080
    assert memory.acpi_end == 0xFC002000
    assert memory.mem_alloc(PAGE) == 0xFC100000
    assert memory.platform.populated == [0xFC001, 0xFC100]


@pytest.mark.parametrize(
    ("take", "size"), [("acpi_alloc", 0xFF001), ("mem_alloc", 0x1F00001), ("scratch_alloc", 0x70001)]
)
def test_an_area_that_is_used_up_stops(take, size):
    with pytest.raises(FirmwareStopped, match="do not fit"):
        getattr(memory_of(FakePlatform()), take)(size)


def test_allowance_is_tried_until_it_fails_once():
    platform = FakePlatform(allowance=2)
    memory = memory_of(platform)
    memory.acpi_alloc(4 * PAGE)
    assert platform.populated == [0xFC001, 0xFC002, 0xFC003, 0xFC004]
    assert platform.moved == [(0x1FFFF, 0xFC003, 1), (0x1FFFE, 0xFC004, 1)]
    platform.allowance = 100
    memory.mem_alloc(16)
    assert platform.moved[-1] == (0x1FFFD, 0xFC100, 1)
    assert memory.low_end == 0x1FFFD000


def test_high_memory_is_taken_first():
    platform = FakePlatform(0xF0000000 + 2 * PAGE, allowance=0)
    memory = memory_of(platform)
    memory.acpi_alloc(3 * PAGE)
    assert [src for src, _, _ in platform.moved] == [0x100001, 0x100000, 0xEFFFF]
    assert memory.high_end is None


def test_pages_of_the_device_model_are_left_alone():
    platform = FakePlatform(allowance=0)
    memory = memory_of(platform)
    memory.protected = Span(Gfn(0x1FFFE), 2)
    memory.acpi_alloc(2 * PAGE)
    assert [src for src, _, _ in platform.moved] == [0x1FFFD, 0x1FFFC]
    assert [(row.start, row.end) for row in memory.ram_rows()] == [
        (MIB, 0x1FFFC000),
        (0x1FFFE000, 0x20000000),
    ], "the area stays RAM, the pages below are gone"
    assert memory.low_end == 0x20000000


def test_no_page_is_taken_below_2_mib():
    platform = FakePlatform(2 * MIB + PAGE, allowance=0)
    with pytest.raises(FirmwareStopped, match="no page of RAM is left"):
        memory_of(platform).acpi_alloc(2 * PAGE)


def test_boot_without_any_allowance():
    """The RAM row shrinks by one page for each that firmware needed."""
    result = boot(FakePlatform(allowance=0))
    ram = [entry for entry in result.e820 if entry.type == E820_RAM]
    assert [(entry.start, entry.end) for entry in ram] == [(0, 0xA0000), (MIB, 0x20000000 - 12 * PAGE)]


# PCI


def with_bar(memory: int, size: int, *, wide: bool = False, **keys: str) -> FakePlatform:
    platform = FakePlatform(memory, keys={key.replace("__", "/"): value for key, value in keys.items()})
    platform.pci[0x20] = PciFunction(0x12345678, 0x0880, {0x10: (size, 0xC if wide else 0)}, pin=2)
    return platform


def windows(platform: FakePlatform, bits: int = 46):
    return setup(memory_of(platform), bits)


@pytest.mark.parametrize(
    ("memory", "bar", "start"),
    [
        (512 * MIB, 64 * MIB, 0xF0000000),
        (1 * GIB, 256 * MIB, 0xE0000000),
        (1 * GIB, 512 * MIB, 0xC0000000),
        (1 * GIB, 1 * GIB, 0x80000000),
        (3 * GIB, 512 * MIB, 0xC0000000),
        (0xD0000000, 512 * MIB, 0xE0000000),  # RAM leaves no more; the BAR finds no room
        (0xF0000000, 512 * MIB, 0xF0000000),
    ],
)
def test_hole_grows_while_ram_leaves_room(memory, bar, start):
    platform = with_bar(memory, bar)
    found = windows(platform)
    assert found.low == Span.between(start, 0xFC000000)
    missing = any("no space for resource!" in line for line in platform.lines)
    assert missing == (memory > 3 * GIB)


def test_acpi_info_tells_the_window():
    page = boot(with_bar(1 * GIB, 512 * MIB)).platform.read(Gpa(0xFC000000), 40)
    assert page[4:12] == (0xC0000000).to_bytes(4, "little") + (0x3C000000).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("text", "memory", "start"),
    [
        ("0x40000000", GIB, 0xC0000000),
        ("1073741824", 3 * GIB, 0xC0000000),
        ("0x8000000", GIB, 0xF0000000),  # smaller than the default
        ("0x40000001", GIB, 0xF0000000),
        ("-1", GIB, 0xF0000000),
        ("0x100000000", GIB, 0xF0000000),
        ("0x40000000", 0xF0000000, 0xF0000000),  # RAM is there
    ],
)
def test_mmio_hole_size(text, memory, start):
    platform = with_bar(memory, 4096, platform__mmio_hole_size=text)
    assert windows(platform).low.start == start
    assert any("not usable" in line for line in platform.lines) == (start == 0xF0000000)


def test_large_64_bit_bar_goes_above_ram():
    platform = with_bar(6 * GIB, 16 * GIB, wide=True)
    page = boot(platform).platform.read(Gpa(0xFC000000), 40)
    assert page[24:] == (0x400000000).to_bytes(8, "little") * 2
    assert "pci dev 04:0 bar 10 size 400000000: 40000000c" in platform.lines
    assert platform.pci[0x20].space[0x10:0x18] == (0x40000000C).to_bytes(8, "little")
    assert platform.pci[0x20].space[4] & 2, "memory decoding is on"


def test_64_bit_bar_that_does_not_fit_goes_above_ram():
    platform = with_bar(0xF0000000, 512 * MIB, wide=True)
    found = windows(platform)
    assert found.low.start == 0xF0000000
    assert found.high == Span(0x100000000, 512 * MIB)


def test_bar_beyond_the_address_width_finds_no_room():
    platform = with_bar(GIB, 1 << 36, wide=True)
    assert windows(platform, bits=36).high.size == 0
    assert any("no space for resource!" in line for line in platform.lines)


def test_io_bars_that_do_not_fit():
    platform = FakePlatform()
    for slot in range(4, 8):
        platform.pci[slot << 3] = PciFunction(0x12345678, 0x0880, {0x10: (0x2000, 1)})
    windows(platform)
    assert sum("no space for resource!" in line for line in platform.lines) == 4, "two fit, and none of the small ones"


def test_reserved_device_memory_in_the_hole_is_avoided():
    platform = with_bar(GIB, 64 * MIB)
    platform.rows.append(E820Entry.between(0xF1000000, 0xF1001000, E820_RESERVED))
    windows(platform)
    assert "pci dev 04:0 bar 10 size 004000000: 0f4000000" in platform.lines


def test_interrupts_follow_slot_and_pin():
    platform = with_bar(GIB, 4096)
    windows(platform)
    assert "pci dev 04:0 INTB->IRQ10" in platform.lines
    assert platform.pci[0x20].space[0x3C] == 10
    assert platform.pci[0x0B].space[0x3C] == 10
    assert platform.pci[0x0B].space[0x40:0x44] == (0xB001).to_bytes(4, "little")
    assert platform.pci[0x08].space[0x60:0x64] == bytes((5, 10, 11, 5))


def test_of_a_bridge_only_bus_mastering_is_set():
    platform = FakePlatform()
    platform.pci = {0x28: PciFunction(0x00011B36, 0x0604)}
    platform.pci[0x28].space[0x0E] = 1
    before = bytearray(platform.pci[0x28].space)
    assert windows(platform).low.start == 0xF0000000
    before[0x04] |= 4
    assert platform.pci[0x28].space == before


def test_relocation_moves_ram_above_4_gib():
    platform = with_bar(0xF0000000, 512 * MIB, **{"hvmloader/allow-memory-relocate": "1"})
    memory = memory_of(platform)
    assert setup(memory, 46).low.start == 0xC0000000
    assert platform.moved == [(0xC0000, 0x100000, 0x30000)]
    assert [(row.start, row.end) for row in memory.ram_rows()] == [(MIB, 0xC0000000), (4 * GIB, 4 * GIB + 0x30000000)]


def test_relocation_joins_high_memory():
    platform = with_bar(4 * GIB, 256 * MIB, **{"hvmloader/allow-memory-relocate": "1"})
    memory = memory_of(platform)
    setup(memory, 46)
    assert memory.high_end == 4 * GIB + 256 * MIB + 256 * MIB
    assert len(memory.ram_rows()) == 2


def test_tables_of_the_device_model_are_not_relocated():
    platform = with_bar(0xF0000000, 512 * MIB, **{"hvmloader/allow-memory-relocate": "1"})
    memory = memory_of(platform)
    memory.protected = Span(Gfn(0xEFFFF), 1)
    assert setup(memory, 46).low.start == 0xF0000000
    assert not platform.moved
    assert "Guest memory holds tables of the device model and is not relocated" in platform.lines


@pytest.mark.parametrize(
    ("text", "number", "rest"),
    [
        ("0x10", 16, ""),
        ("010", 8, ""),
        ("08", 0, "8"),
        ("12:34", 12, ":34"),
        (" -3", -3, ""),
        ("+7k", 7, "k"),
        ("0xg", 0, "xg"),
        ("x", 0, "x"),
        ("", 0, ""),
    ],
)
def test_strtoll(text, number, rest):
    assert strtoll(text) == (number, rest)


def test_e820_array_is_the_packed_rows():
    result = boot(case("C"))
    raw = result.platform.read(Gpa(result.rows_at), e820.ENTRY_SIZE * len(result.e820))
    assert raw == e820.pack(result.e820)
