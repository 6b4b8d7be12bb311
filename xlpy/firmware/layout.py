"""The guest-physical map, in address order.

One object decides every fixed address, so that the same firmware runs at hvmloader's addresses and, under an emulator
that has no RAM there, at others. Numbers: Xen's hvmloader (``config.h``, ``hvm/hvm_info_table.h``, ``e820.c``).
"""

from __future__ import annotations

from xlpy.addr import GIB, MIB, Gpa
from xlpy.records import NamedTuple

BIOS_INFO = Gpa(0x1000)  # "XenHVMSeaBIOS" block: where SeaBIOS finds RSDP and E820
SCRATCH = Gpa(0x10000)  # scratch_alloc
HYPERCALL_PAGE = Gpa(0x80000)
HVM_INFO = Gpa(0x9F800)  # hvm_info_table, written by the domain builder
VGA_WINDOW = Gpa(0xA0000)
RSDP_OVMF = Gpa(0xEA020)  # where OVMF and ROMBIOS look for the RSDP
HVMLOADER_BASE = Gpa(0x100000)  # hvmloader's own image; modules follow
PM_BASE = 0xB000  # I/O port of the PIIX4's power management block, as hvmloader places it
DEBUG_PORT = 0xB044  # where methods of the DSDT write what they do
ELCR = 0x4D0  # edge or level of the legacy interrupts, two ports
HOLE_START = Gpa(0xF0000000)  # HVM_BELOW_4G_RAM_END: default end of low RAM, start of the PCI hole
HOLE_END = Gpa(0xFC000000)  # RESERVED_MEMBASE
IOAPIC = Gpa(0xFEC00000)
HPET = Gpa(0xFED00000)
TPM_TIS = Gpa(0xFED40000)
TPM_EVENT_LOG = Gpa(0xFED50000)  # of a TPM 2.0; 64 KiB
LAPIC = Gpa(0xFEE00000)
SPECIAL_PAGES = Gpa(0xFEFF8000)  # 8 pages: rings, xenstore, ioreq, identity map, console
RESERVED_PGSTART = 0xFEFF0  # hvm_info.reserved_mem_pgstart
FOUR_GIB = Gpa(4 * GIB)

PCI64_WINDOW = 16 * GIB  # kept free above RAM: hvmloader puts 64-bit BARs from max(high RAM end, 4 GiB) upwards
PMEM_ALIGN = GIB  # vNVDIMMs start here, so that 1 GiB superpages are possible


class GuestLayout(NamedTuple):
    """Addresses that depend on where the platform has memory for firmware.

    acpi_info: the page that the DSDT's ``BIOS`` region reads.
    acpi_start, acpi_end: the ACPI table allocator, growing up.
    mem_start, mem_end: hvmloader's ``mem_alloc`` (up) and ``mem_hole_alloc`` (down).
    mailbox: the ``_DSM`` mailbox page.
    pm_base: I/O port of the PM1 event block; the control block and timer follow at +4 and +8.
    populated: whether RAM is there already (an emulator's RAM file) and need not be asked for.
    """

    acpi_info: Gpa
    acpi_start: Gpa
    acpi_end: Gpa
    mem_start: Gpa
    mem_end: Gpa
    mailbox: Gpa
    populated: bool = False
    pm_base: int = PM_BASE


XEN_HVM = GuestLayout(
    acpi_info=HOLE_END,
    acpi_start=Gpa(0xFC001000),
    acpi_end=Gpa(0xFC100000),
    mem_start=Gpa(0xFC100000),
    mem_end=Gpa(0xFE000000),
    mailbox=Gpa(0xFE000000),
)


IN_RAM_SIZE = 2 * MIB  # what ``in_ram`` takes


def in_ram(base: Gpa, pm_base: int = PM_BASE) -> GuestLayout:
    """A layout inside ordinary RAM: 2 MiB from ``base`` (page aligned), for emulators whose 4 GiB top has no RAM.

    The page from ``mem_end`` on is left free: code that stands in for SeaBIOS puts its copy of the RSDP there.
    """
    return GuestLayout(
        acpi_info=base,
        acpi_start=Gpa(base + 0x1000),
        acpi_end=Gpa(base + MIB),
        mem_start=Gpa(base + MIB),
        mem_end=Gpa(base + IN_RAM_SIZE - 0x2000),
        mailbox=Gpa(base + IN_RAM_SIZE - 0x1000),
        populated=True,
        pm_base=pm_base,
    )


def apic_id(vcpu: int) -> int:
    """The APIC id of a vCPU: Xen leaves every odd one free."""
    return vcpu * 2
