"""The board around a guest, and firmware that runs on it."""

import pytest
from hypervisor_helpers import extent

from xlpy import abi
from xlpy.addr import Gfn, Gpa, Span
from xlpy.firmware.e820 import E820_RAM, E820Entry
from xlpy.firmware.hvm_info import HvmInfo, build_hvm_info
from xlpy.firmware.layout import HVM_INFO
from xlpy.hypervisor.mmio import IoRequest
from xlpy.hypervisor.platform import GuestPlatform
from xlpy.hypervisor.xen import Xen

KEYS = {
    "hvmloader/bios": "seabios",
    "hvmloader/allow-memory-relocate": "0",
    "platform/device-model": "qemu_xen",
}


@pytest.fixture
def platform(xen, guest):
    return GuestPlatform(xen.domain(guest), KEYS.get)


def config(platform, devfn, register, size=4, value=None, bus=0):
    platform.io_out(0xCF8, 4, 1 << 31 | bus << 16 | devfn << 8 | register & 0xFC)
    if value is None:
        return platform.io_in(0xCFC + (register & 3), size)
    platform.io_out(0xCFC + (register & 3), size, value)
    return None


def test_pci_walk(platform):
    found = {}
    for devfn in range(256):
        vendor = config(platform, devfn, 0)
        if vendor != 0xFFFFFFFF:
            found[f"{devfn >> 3:02x}.{devfn & 7}"] = (f"{vendor:08x}", f"{config(platform, devfn, 8) >> 8:06x}")
    assert found == {
        "00.0": ("12378086", "060000"),
        "01.0": ("70008086", "060100"),
        "01.1": ("70108086", "010180"),
        "01.3": ("71138086", "068000"),
        "02.0": ("00015853", "ff8000"),
        "03.0": ("00b81013", "030000"),
    }
    assert config(platform, 0x08, 0x0E, 1) == 0x80  # several functions
    assert config(platform, 0, 0, bus=1) == 0xFFFFFFFF
    platform.io_out(0xCF8, 4, 0)  # enable bit clear
    assert platform.io_in(0xCFC, 4) == 0xFFFFFFFF


@pytest.mark.parametrize(
    ("devfn", "register", "mask"),
    [
        (0x18, 0x10, 0xFE000008),  # VGA: 32 MiB, prefetchable
        (0x18, 0x14, 0xFFFFF000),
        (0x18, 0x30, 0xFFFF0001),  # its ROM: 64 KiB
        (0x10, 0x10, 0xFFFFFF01),  # Xen platform device: 256 ports
        (0x10, 0x14, 0xFF000008),  # 16 MiB
        (0x09, 0x20, 0xFFFFFFF1),  # IDE: 16 ports
        (0x18, 0x18, 0),
        (0x00, 0x10, 0),
    ],
)
def test_bar_sizes(platform, devfn, register, mask):
    config(platform, devfn, register, value=0xFFFFFFFF)
    assert config(platform, devfn, register) == mask


def test_board_is_remembered(xen, hw, store, guest, platform):
    config(platform, 0x18, 0x10, value=0xF0000000)
    config(platform, 0x08, 0x61, 1, 10)
    config(platform, 0x00, 0x00, value=0)  # read-only
    platform.io_out(0x70, 1, 0x34)
    platform.io_out(0x71, 1, 0x7F)
    platform.io_out(0x4D0, 1, 0x20)
    platform.save()
    again = GuestPlatform(Xen(hw, store).domain(guest), KEYS.get)
    assert config(again, 0x18, 0x10) == 0xF0000008
    assert config(again, 0x08, 0x60) == 0x80800A80
    assert config(again, 0x00, 0x00) == 0x12378086
    again.io_out(0x70, 1, 0x34)
    assert again.io_in(0x71, 1) == 0x7F
    assert again.io_in(0x4D0, 2) == 0x0020


def test_acpi_registers(xen, guest, platform):
    assert platform.io_in(0xB004, 2) == 0xFFFF  # not decoded yet
    config(platform, 0x0B, 0x40, value=0xB001)
    config(platform, 0x0B, 0x80, 1, 1)
    assert platform.io_in(0xB004, 2) == 0
    platform.io_out(0xB2, 1, 0xF1)
    assert platform.io_in(0xB004, 2) == 1  # SCI_EN
    platform.io_out(0xB004, 2, 0x0404)
    assert platform.io_in(0xB004, 2) == 0x0405  # it stays
    platform.io_out(0xB002, 2, 0x0321)
    assert platform.io_in(0xB002, 2) == 0x0321
    one, two = platform.io_in(0xB008, 4), platform.io_in(0xB008, 4)
    assert (two - one) & 0xFFFFFFFF < 1 << 24  # the timer goes on
    platform.io_out(0xB004, 2, 0x2001)  # SLP_EN with type 0: S5
    assert xen.domain(guest).shutdown_code == abi.SHUTDOWN_POWEROFF


def test_reset_register(xen, guest, platform):
    platform.io_out(0xCF9, 1, 2)
    assert xen.domain(guest).shutdown_code is None
    platform.io_out(0xCF9, 1, 6)
    assert xen.domain(guest).shutdown_code == abi.SHUTDOWN_REBOOT


def test_hotplug_registers(xen, guest, platform):
    xen.domain(guest).memory.write(HVM_INFO, build_hvm_info(HvmInfo(2, 0x4000, vcpu_online=3)))
    assert platform.io_in(0xAE00, 4) == platform.io_in(0xAE04, 4) == 0  # nothing was plugged
    assert platform.io_in(0xAE0C, 4) == 0xFFFFFFF4  # slots 0, 1 and 3 are fixed
    assert platform.io_in(0xAF00, 1) == 3
    platform.io_out(0xAFE2, 2, 2)
    assert platform.io_in(0xAFE0, 4) == 2 << 16


def test_ports_of_a_device_model(xen, calls, guest, platform):
    server = calls.dm_create_ioreq_server(guest)
    calls.dm_map_io_range(guest, server, abi.XEN_DMOP_IO_RANGE_PORT, 0xA18, 0xA1B)
    calls.dm_set_state(guest, server, True)
    seen = []

    def handler(access):
        seen.append(access)
        return 0x12345678

    xen.connect_emulator(guest, server, handler)
    assert platform.io_in(0xA18, 4) == 0x12345678
    platform.io_out(0xA1A, 2, 0xBEEF)
    assert platform.io_in(0xA1A, 4) == 0xFFFFFFFF  # leaves the range
    assert platform.io_in(0x3F9, 1) == 0xFF  # no UART
    platform.io_out(0x80, 1, 1)
    assert seen == [IoRequest(0xA18, 4, False, 0, 0), IoRequest(0xA1A, 2, True, 0xBEEF, 0)]


def test_debug_port(xen, guest, platform):
    for letter in b"HVM Loader\nDetected\x01 Xen\n":
        platform.io_out(0xE9, 1, letter)
    assert platform.io_in(0xE9, 1) == 0xE9
    platform.log("one line")
    assert xen.console.lines()[-3:] == [f"(d{guest}) HVM Loader", f"(d{guest}) Detected Xen", f"(d{guest}) one line"]


def test_calls_of_firmware(xen, calls, guest, platform):
    assert platform.memory_map() == []
    rows = [E820Entry(Gpa(0x100000), 0x3F00000, E820_RAM)]
    calls.memory_set_memory_map(guest, rows)
    assert platform.memory_map() == rows
    assert platform.vnuma() is None
    assert platform.xenstore("hvmloader/bios") == "seabios"
    assert platform.xenstore("nothing") is None
    platform.set_param(abi.HVM_PARAM_VM86_TSS_SIZED, 5)
    calls.hvm_set_param(guest, abi.HVM_PARAM_STORE_PFN, 0xFEFFC)
    assert platform.get_param(abi.HVM_PARAM_STORE_PFN) == 0xFEFFC
    assert platform.populate(Gfn(0xFC001), 1)
    assert platform.populate(Gfn(0xFC001), 1) is False
    platform.write(Gpa(0xFC001000), b"table")
    platform.move_page(Gfn(0xFC001), Gfn(0xFC002))
    assert platform.read(Gpa(0xFC002000), 5) == b"table"
    platform.move_page(Gfn(0x1000), Gfn(0x200000), 0x2000)
    assert xen.domain(guest).p2m.ram.lookup(0x201FFF) is not None
    assert platform.cpuid(0x40000000, 0)[1] == 0x566E6558
    platform.shutdown(abi.SHUTDOWN_CRASH)
    assert xen.domain(guest).state == "--p-c-"


def test_long_moves_are_cut(xen, calls):
    """More than 65535 pages, as RAM relocation needs them."""
    domid = calls.domctl_createdomain(bytes(16))
    calls.domctl_max_mem(domid, 1 << 20)
    calls.memory_populate_physmap(domid, [Span(0x1000, 70_000)])
    GuestPlatform(xen.domain(domid), KEYS.get).move_page(Gfn(0x1000), Gfn(0x100000), 70_000)
    ram = xen.domain(domid).p2m.ram
    assert ram.lookup(0x100000 + 69_999) is not None
    assert not ram.overlaps(0, 0x100000)


def test_hvmloader_runs_on_it(xen, calls, device):
    """The log equals the one of the real hvmloader on this board, up to what the run chose."""
    from xlpy.firmware.hvmloader.main import run

    domid = calls.domctl_createdomain(bytes(16))
    calls.domctl_max_mem(domid, (512 << 10) + 1024)
    calls.memory_populate_physmap(domid, [Span(0, 0xA0), Span(0xC0, 0x20000 - 0xC0)])
    calls.memory_set_memory_map(domid, [E820Entry.between(0x100000, 0x20000000, E820_RAM)])
    calls.hvm_set_param(domid, abi.HVM_PARAM_HPET_ENABLED, 1)
    calls.hvm_set_param(domid, abi.HVM_PARAM_STORE_PFN, 0xFEFFC)
    calls.hvm_set_param(domid, abi.HVM_PARAM_STORE_EVTCHN, 1)
    calls.memory_pmem_map(domid, [extent(0x100000, device.first, 64)])
    xen.domain(domid).memory.write(HVM_INFO, build_hvm_info(HvmInfo(1, 0x20000)))
    run(GuestPlatform(xen.domain(domid), KEYS.get))
    lines = [line[5:] for line in xen.console.lines() if line.startswith(f"(d{domid}) ")]
    for expected in (
        "HVM Loader",
        "Xenbus rings @0xfeffc000, event channel 1",
        "PCI-ISA link 0 routed to IRQ5",
        "pci dev 01:3 INTA->IRQ10",
        "pci dev 02:0 INTA->IRQ11",
        "pci dev 03:0 bar 10 size 002000000: 0f0000008",
        "pci dev 02:0 bar 14 size 001000000: 0f2000008",
        "vm86 TSS at fc100280",
        "Invoking SeaBIOS ...",
    ):
        assert expected in lines
    assert xen.domain(domid).shutdown_code is None
    assert xen.domain(domid).memory.read(Gpa(0xFC001000), 4) == b"FACS"
    assert xen.domain(domid).p2m.ram.lookup(0xFC00A) is not None
    assert xen.domain(domid).p2m.ram.lookup(0xFC00B) is None
