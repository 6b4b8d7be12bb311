"""hvmloader's boot order, from the first line on the debug port to the jump into the BIOS.

The order matters: PCI memory is placed before ACPI, whose DSDT is told about it; ACPI comes before the E820, one row
of which depends on how many pages the tables took.
"""

from __future__ import annotations

from xlpy.abi import (
    HVM_PARAM_ACPI_IOPORTS_LOCATION,
    HVM_PARAM_STORE_EVTCHN,
    HVM_PARAM_STORE_PFN,
    HVM_PARAM_VM86_TSS_SIZED,
)
from xlpy.addr import PAGE_SHIFT
from xlpy.errors import HostTrouble, StateError, XlpyError
from xlpy.firmware.e820 import format_map
from xlpy.firmware.hvm_info import SIZE, parse_hvm_info
from xlpy.firmware.hvmloader import bios as bioses
from xlpy.firmware.hvmloader import cpu as cpus
from xlpy.firmware.hvmloader import devices, dm_acpi, keys, mptable, pci, tables
from xlpy.firmware.hvmloader.memory import ALIGN, FirmwareMemory
from xlpy.firmware.hvmloader.memory_map import build_e820
from xlpy.firmware.hvmloader.smbios import write_smbios
from xlpy.firmware.hvmloader.stop import report
from xlpy.firmware.layout import FOUR_GIB, HVM_INFO, SCRATCH, XEN_HVM
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.addr import Gpa, Span
    from xlpy.firmware.hvm_info import HvmInfo
    from xlpy.firmware.hvmloader.cpu import Cpu
    from xlpy.firmware.hvmloader.pci import PciWindows
    from xlpy.firmware.layout import GuestLayout
    from xlpy.firmware.platform import Platform

_TSS_SIZE, _TSS_ALIGN = 384, 128
_MTRRS = 8  # variable ranges that Xen gives each vCPU


def run(platform: Platform, layout: GuestLayout = XEN_HVM) -> None:
    """Boot a domain's firmware: leaves tables, info block and E820 in guest memory.

    Args:
        platform: the guest's view of its machine.
        layout: where firmware has memory.

    Raises:
        FirmwareStopped: firmware reported an error; the domain was shut down with reason crash.
    """
    try:
        _boot(platform, layout)
    except (HostTrouble, StateError):
        raise  # nothing that firmware would see
    except XlpyError as error:
        stopped = report(platform, error)
        if stopped is error:
            raise
        raise stopped from error


def _boot(platform: Platform, layout: GuestLayout) -> None:
    platform.log("HVM Loader")
    cpu = cpus.detect(platform)
    platform.log(f"Detected Xen v{cpu.xen_version}")
    info = parse_hvm_info(platform.read(HVM_INFO, SIZE))
    memory = FirmwareMemory(platform, layout, info)
    ring, channel = (platform.get_param(index) for index in (HVM_PARAM_STORE_PFN, HVM_PARAM_STORE_EVTCHN))
    platform.log(f"Xenbus rings @{ring << PAGE_SHIFT:#x}, event channel {channel}")
    bios = bioses.choose(platform)
    platform.log(f"System requested {bios.name}")
    platform.log(f"CPU speed is {cpu.mhz} MHz")
    passed = dm_acpi.read_keys(platform)
    memory.protected = passed.protect()
    windows = pci.setup(memory, cpu.physical_bits)
    _start_processors(platform, info, cpu, windows)
    block = bioses.InfoBlock(bios, memory)
    platform.log("Writing SMBIOS tables ...")
    smbios = write_smbios(memory, bios, info, cpu)
    platform.log(f"Loading {bios.name} ...")
    if bios.flash.start >= FOUR_GIB - bios.flash.size:
        memory.populate_span(bios.flash)
    handed = [smbios]
    if bios.mp_tables and (info.nr_vcpus > 1 or info.apic_mode):
        platform.log("Creating MP tables ...")
        handed += [mptable.write_mp(memory, info), mptable.write_pir(memory)]
    acpi = None
    if keys.flag(platform, "platform/acpi", "1"):
        platform.log("Loading ACPI ...")
        acpi = tables.build(memory, bios, info, windows, passed, cpu.xen_numbers)
        handed.append(acpi.rsdp)
        devices.enable_acpi_mode(platform, layout.pm_base)
        platform.set_param(HVM_PARAM_ACPI_IOPORTS_LOCATION, 1)
    elif passed.announced:
        platform.log("ACPI is off: tables of the device model are ignored")
    tss = memory.mem_alloc(_TSS_SIZE, _TSS_ALIGN)
    platform.write(tss, bytes(_TSS_SIZE))
    platform.set_param(HVM_PARAM_VM86_TSS_SIZED, _TSS_SIZE << 32 | tss)
    platform.log(f"vm86 TSS at {tss:08x}")
    devices.write_cmos_memory(platform, memory.low_end)
    platform.log("BIOS map:")
    if memory.scratch_end > SCRATCH + ALIGN:
        platform.log(f" {SCRATCH:x}-{memory.scratch_end - 1:x}: Scratch space")
    platform.log(f" {bios.flash.start:x}-{bios.flash.end - 1:x}: Main BIOS")
    entries = build_e820(
        memory, bios, windows, cpu.physical_bits, acpi=acpi is not None, pmem=acpi.pmem if acpi else ()
    )
    platform.log("E820 table:")
    for line in format_map(entries):
        platform.log(line)
    block.finish(entries, handed if bios.rsdp is None else ())
    platform.log(f"Invoking {bios.name} ...")


def _start_processors(platform: Platform, info: HvmInfo, cpu: Cpu, windows: PciWindows) -> None:
    """Each vCPU runs once, to set its MTRRs: PCI memory is uncached."""
    used = min(sum(map(_mtrr_ranges, (windows.low, windows.high))), _MTRRS)
    platform.log("Multiprocessor initialisation:")
    for number in range(info.nr_vcpus):
        bits = f"{cpu.physical_bits}-bit phys ... fixed MTRRs ... var MTRRs [{used}/{_MTRRS}]"
        platform.log(f" - CPU{number} ... {bits} ... done.")


def _mtrr_ranges(window: Span[Gpa]) -> int:
    """How many naturally aligned powers of two cover a window."""
    start, end, count = int(window.start), int(window.end), 0
    while start < end:
        size = start & -start or 1 << end.bit_length()
        while start + size > end:
            size >>= 1
        start, count = start + size, count + 1
    return count
