"""hvmloader's steps: its log, the E820, the info block, parameters, and how it stops."""

from __future__ import annotations

import pytest
from hvmloader.fake_platform import FakePlatform, boot, case

from xlpy.addr import GIB, KIB, MIB, Gpa
from xlpy.errors import FirmwareStopped, HypercallError
from xlpy.firmware.e820 import E820_ACPI, E820_NVS, E820_RAM, E820_RESERVED, E820Entry
from xlpy.firmware.hvmloader.main import run
from xlpy.firmware.layout import HVM_INFO, XEN_HVM, in_ram

LOG_A = """\
HVM Loader
Detected Xen v4.17
Xenbus rings @0xfeffc000, event channel 1
System requested SeaBIOS
CPU speed is 2400 MHz
Relocating guest memory for lowmem MMIO space disabled
PCI-ISA link 0 routed to IRQ5
PCI-ISA link 1 routed to IRQ10
PCI-ISA link 2 routed to IRQ11
PCI-ISA link 3 routed to IRQ5
pci dev 01:3 INTA->IRQ10
pci dev 02:0 INTA->IRQ11
No RAM in high memory; setting high_mem resource base to 100000000
pci dev 03:0 bar 10 size 002000000: 0f0000008
pci dev 02:0 bar 14 size 001000000: 0f2000008
pci dev 03:0 bar 30 size 000010000: 0f3000000
pci dev 03:0 bar 14 size 000001000: 0f3010000
pci dev 02:0 bar 10 size 000000100: 00000c001
pci dev 01:1 bar 20 size 000000010: 00000c101
Multiprocessor initialisation:
 - CPU0 ... 46-bit phys ... fixed MTRRs ... var MTRRs [2/8] ... done.
Writing SMBIOS tables ...
Loading SeaBIOS ...
Creating MP tables ...
Loading ACPI ...
vm86 TSS at fc100280
BIOS map:
 10000-100e3: Scratch space
 c0000-fffff: Main BIOS
E820 table:
 [00]: 00000000:00000000 - 00000000:000a0000: RAM
 HOLE: 00000000:000a0000 - 00000000:000c0000
 [01]: 00000000:000c0000 - 00000000:00100000: RESERVED
 [02]: 00000000:00100000 - 00000000:20000000: RAM
 HOLE: 00000000:20000000 - 00000000:fc000000
 [03]: 00000000:fc000000 - 00000000:fc00b000: NVS
 [04]: 00000000:fc00b000 - 00000001:00000000: RESERVED
Invoking SeaBIOS ..."""


def test_log():
    platform = case("A")
    run(platform)
    assert "\n".join(platform.lines) == LOG_A


def test_log_of_more_processors_and_memory():
    assert "vm86 TSS at fc100300" in boot(case("B")).platform.lines
    assert sum(line.startswith(" - CPU") for line in boot(case("B")).platform.lines) == 4
    lines = boot(case("C")).platform.lines
    assert "RAM in high memory; setting high_mem resource base to 190000000" in lines


LOW = [E820Entry.between(0, 0xA0000, E820_RAM), E820Entry.between(0xC0000, MIB, E820_RESERVED)]
TOP = [
    E820Entry.between(0xFC000000, 0xFC00B000, E820_NVS),
    E820Entry.between(0xFC00B000, 4 * GIB, E820_RESERVED),
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("A", [*LOW, E820Entry.between(MIB, 0x20000000, E820_RAM), *TOP]),
        ("B", [*LOW, E820Entry.between(MIB, 0x40000000, E820_RAM), *TOP]),
        (
            "C",
            [
                *LOW,
                E820Entry.between(MIB, 0xF0000000, E820_RAM),
                *TOP,
                E820Entry.between(4 * GIB, 0x190000000, E820_RAM),
            ],
        ),
    ],
)
def test_e820(name, expected):
    result = boot(case(name))
    assert result.e820 == expected
    assert result.rows_at == 0x100F0


def test_info_block_and_what_it_points_to():
    result = boot(case("A"))
    read = result.platform.read
    assert sum(read(Gpa(0x1000), 32)) & 0xFF == 0
    assert read(Gpa(0x1010), 4) == (0x10010).to_bytes(4, "little")
    smbios, _mp, pir, rsdp = result.handed
    assert (smbios, pir, rsdp) == (0x10020, 0x10040, 0x100C0)
    assert [read(at, 4) for at in result.handed] == [b"_SM_", b"_MP_", b"$PIR", b"RSD "]


def test_parameters():
    platform = boot(case("A")).platform
    assert platform.params == {1: 0xFEFFC, 2: 1, 19: 1, 34: 0, 37: 384 << 32 | 0xFC100280}


def test_pages_are_populated_in_order_and_once():
    platform = boot(case("A")).platform
    assert platform.populated == [0xFC100, *range(0xFC000, 0xFC00B)], "SMBIOS and MP tables come before ACPI"


def test_without_acpi():
    platform = case(
        "A", keys={"platform/acpi": "0", "hvmloader/dm-acpi/address": "what", "platform/generation-id": "1:1"}
    )
    result = boot(platform)
    assert [platform.read(at, 4) for at in result.handed] == [b"_SM_", b"_MP_", b"$PIR"]
    assert result.e820[-1] == E820Entry.between(0xFC000000, 4 * GIB, E820_RESERVED)
    assert E820_NVS not in [entry.type for entry in result.e820]
    assert platform.params == {1: 0xFEFFC, 2: 1, 37: 384 << 32 | 0xFC100280}
    assert platform.populated == [0xFC100]
    assert "Loading ACPI ..." not in platform.lines
    assert "ACPI is off: tables of the device model are ignored" in platform.lines
    assert " 10000-100bf: Scratch space" in platform.lines
    assert not [
        path for path in platform.asked if path.startswith(("platform/acpi_", "platform/gen", "hvmloader/acpi"))
    ]


def test_ovmf():
    platform = case("A", keys={"hvmloader/bios": "ovmf"})
    run(platform)
    block = platform.read(Gpa(0x1000), 40)
    assert block[:16] == b"XenHVMOVMF\0\0\0\0" + bytes([40, block[15]])
    assert sum(block) & 0xFF == 0
    assert block[24:28] == bytes(4), "OVMF looks for the tables itself"
    assert platform.read(Gpa(0xEA020), 8) == b"RSD PTR "
    assert platform.read(Gpa(0xEB000), 4) == b"_SM_"
    assert "System requested OVMF" in platform.lines
    assert "Creating MP tables ..." not in platform.lines
    assert " [01]: 00000000:000f0000 - 00000000:00100000: RESERVED" in platform.lines


def test_rows_of_the_toolstack_are_kept():
    platform = case("A")
    platform.rows += [E820Entry.between(0xE0000000, 0xE0100000, E820_RESERVED), E820Entry.between(0, 374, E820_ACPI)]
    result = boot(platform)
    assert result.e820[1] == E820Entry.between(0, 374, E820_ACPI)
    assert E820Entry.between(0xE0000000, 0xE0100000, E820_RESERVED) in result.e820
    assert " OVERLAP!!" in platform.lines


def test_map_is_brought_in_line_with_hvm_info():
    platform = case("C")
    platform.rows = [E820Entry.between(0, 0xF8000000, E820_RAM), E820Entry.between(4 * GIB, 0x1A0000000, E820_RAM)]
    rows = [entry for entry in boot(platform).e820 if entry.type == E820_RAM]
    assert [(entry.start, entry.end) for entry in rows] == [
        (0, 0xA0000),
        (MIB, 0xF0000000),
        (4 * GIB, 0x190000000),
    ]


def test_cmos_tells_the_memory_size():
    platform = case("A")
    written = {}
    plain = platform.io_out

    def io_out(port, size, value):
        if port == 0x70:
            written["index"] = value
        elif port == 0x71:
            written[written["index"]] = value
        plain(port, size, value)

    platform.io_out = io_out
    run(platform)
    word = lambda at: written[at] | written[at + 1] << 8  # noqa: E731
    assert (word(0x15), word(0x17), word(0x30), word(0x34)) == (640, 0xFFFF, 0xFFFF, 496 * MIB // (64 * KIB))


def test_acpi_mode_is_switched_on():
    platform = case("A")
    platform.ports = {0xB004: 0}
    plain = platform.io_out

    def io_out(port, size, value):
        if (port, size, value) == (0xB2, 1, 0xF1):
            platform.ports[0xB004] = 1
        plain(port, size, value)

    platform.io_out = io_out
    run(platform)
    assert platform.params[19] == 1


def test_inside_ram():
    """The layout for an emulator, which has no RAM at the top of 4 GiB: everything moves, nothing is populated."""
    platform = case("A")
    result = boot(platform, in_ram(Gpa(0x10000000)))
    assert not platform.populated
    assert result.tables()[0][:2] == ("FACS", 0x10001000)
    assert b"\x5b\x80BIOS\x00\x0c\x00\x00\x00\x10\x0a\x28" in result.one("DSDT"), "the region lies on the moved page"
    assert [(entry.start, entry.end, entry.type) for entry in result.e820[2:]] == [
        (MIB, 0x10000000, E820_RAM),
        (0x10000000, 0x1000B000, E820_NVS),
        (0x1000B000, 0x10200000, E820_RESERVED),
        (0x10200000, 0x20000000, E820_RAM),
        (0xFC000000, 4 * GIB, E820_RESERVED),
    ]


def no_xen(platform: FakePlatform) -> None:
    platform.leaves = {}


def damaged_info(platform: FakePlatform) -> None:
    platform.poke(HVM_INFO + 16, b"\x02")


def no_map(platform: FakePlatform) -> None:
    platform.rows = []


def reserved_in_the_way(platform: FakePlatform) -> None:
    platform.rows.append(E820Entry.between(0xFD000000, 0xFD001000, E820_RESERVED))


def overlapping_ram(platform: FakePlatform) -> None:
    platform.rows.append(E820Entry.between(2 * MIB, 3 * MIB, E820_RAM))


def rombios(platform: FakePlatform) -> None:
    del platform.keys["hvmloader/bios"]


def unknown_bios(platform: FakePlatform) -> None:
    platform.keys["hvmloader/bios"] = "coreboot"


def no_acpi_mode(platform: FakePlatform) -> None:
    platform.ports = {0xB004: 0}


def refusing_hypervisor(platform: FakePlatform) -> None:
    def populate(gfn, count):
        raise HypercallError("populate: gfn in use", 22)

    platform.populate = populate


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_xen, "no Xen signature"),
        (damaged_info, "bytes sum to"),
        (no_map, "memory map is empty"),
        (reserved_in_the_way, "overlaps hvmloader's own"),
        (overlapping_ram, "overlap"),
        (rombios, "unknown BIOS 'rombios'"),
        (unknown_bios, "unknown BIOS 'coreboot'"),
        (no_acpi_mode, "SCI_EN"),
        (refusing_hypervisor, "gfn in use"),
    ],
)
def test_stop(damage, words):
    platform = case("A")
    damage(platform)
    with pytest.raises(FirmwareStopped, match=words) as caught:
        run(platform)
    assert caught.value.exit == 9
    assert caught.value.hint or damage is refusing_hypervisor or damage is damaged_info
    assert platform.stopped == 3, "shut down with reason crash"
    assert platform.lines[-3] == caught.value.message
    assert platform.lines[-2].startswith("*** HVMLoader bug at ")
    assert platform.lines[-1] == "*** HVMLoader crashed."


def test_too_little_memory():
    with pytest.raises(FirmwareStopped, match="required at least 0x200000"):
        run(FakePlatform(MIB + 64 * KIB))


def test_layouts_do_not_overlap_special_pages():
    assert XEN_HVM.mem_end <= 0xFE700000
