"""The ACPI step: builds all tables in guest memory, in the order, and so at the addresses, of Xen's libacpi.

FACS, DSDT, both FADTs; then the secondary tables, which the XSDT and the RSDT list after the FADT: MADT, HPET, WAET,
SSDTs, TPM, SRAT, SLIT, those the toolstack passes through, those of the device model; then XSDT, RSDT, RSDP, and the
generation id.
"""

from __future__ import annotations

from _struct import pack

from xlpy.abi import HVM_PARAM_VM_GENERATION_ID_ADDR
from xlpy.addr import PAGE, PAGE_SHIFT, Gfn, Gpa, Span
from xlpy.firmware.affinity import build_srat
from xlpy.firmware.dm_acpi import TABLE
from xlpy.firmware.hvmloader import compiled, devices, dm_acpi, fixed_tables, keys, passthrough
from xlpy.firmware.hvmloader.acpi_info import AcpiInfo
from xlpy.firmware.hvmloader.memory_map import pmem_ranges
from xlpy.firmware.hvmloader.stop import stop
from xlpy.firmware.layout import TPM_EVENT_LOG
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.firmware.dm_acpi import DmAcpiEntry
    from xlpy.firmware.hvm_info import HvmInfo
    from xlpy.firmware.hvmloader.bios import Bios
    from xlpy.firmware.hvmloader.memory import FirmwareMemory
    from xlpy.firmware.hvmloader.pci import PciWindows
    from xlpy.firmware.platform import Platform, Vnuma

MAX_SECONDARY = 15
_CHECKSUM_AT = 9


class Acpi(NamedTuple):
    """What later steps need: where the RSDP is, and the persistent memory that the device model's NFIT names."""

    rsdp: Gpa
    pmem: list[Span[Gpa]]


class Writer:
    """Puts tables into guest memory and remembers the secondary ones."""

    def __init__(self, memory: FirmwareMemory, xen: tuple[int, int]) -> None:
        self.memory = memory
        self.xen = xen
        self.secondary: list[Gpa] = []

    def put(self, table: bytes, *, room: int | None = None, align: int = 16) -> Gpa:
        """Write a table, zeros behind it up to ``room`` bytes; its address."""
        size = room or len(table)
        address = self.memory.acpi_alloc(size, align)
        self.memory.platform.write(address, table.ljust(size, b"\0"))
        return address

    @property
    def full(self) -> bool:
        """Whether the XSDT takes no further table."""
        return len(self.secondary) >= MAX_SECONDARY

    def add(self, table: bytes, *, room: int | None = None) -> Gpa:
        """Write a secondary table; its address."""
        address = self.put(table, room=room)
        self.secondary.append(address)
        return address


def build(
    memory: FirmwareMemory, bios: Bios, info: HvmInfo, windows: PciWindows, passed: dm_acpi.DmAcpi, xen: tuple[int, int]
) -> Acpi:
    """Build everything.

    Args:
        memory: where to.
        bios: which says where the RSDP goes.
        info: the domain's processors.
        windows: PCI address space, for the DSDT.
        passed: the keys of the device model's area.
        xen: as which version of hvmloader: Xen's major and minor number.

    Raises:
        FirmwareStopped: out of memory, a collision, too many tables, a malformed passed-through table.
        FormatError: a malformed entry or NFIT of the device model.
    """
    platform, layout = memory.platform, memory.layout
    memory.populate(Gfn(layout.acpi_info >> PAGE_SHIFT))
    vnuma = platform.vnuma()
    if vnuma is not None:
        _keep_vnuma(memory, vnuma)
    rsdp = memory.scratch_alloc(fixed_tables.RSDP_SIZE) if bios.rsdp is None else bios.rsdp
    writer = Writer(memory, xen)
    facs = writer.put(fixed_tables.build_facs(), align=64)
    dsdt_at = writer.put(compiled.dsdt(layout, xen))
    old_fadt, fadt = (
        writer.put(fixed_tables.build_fadt(facs, dsdt_at, layout.pm_base, revision)) for revision in (1, 4)
    )
    entries = dm_acpi.read(memory, passed) if passed.announced else []
    srat_passed = any(entry.type == TABLE and entry.label == "SRAT" for entry in entries)
    found = _add_own(writer, info, vnuma, srat=not srat_passed)
    ranges = _add_device_model(writer, entries, _add_passthrough(writer))
    xsdt = writer.put(fixed_tables.build_xsdt([fadt, *writer.secondary]))
    rsdt = writer.put(fixed_tables.build_rsdt([old_fadt, *writer.secondary]))
    platform.write(rsdp, fixed_tables.build_rsdp(rsdt, xsdt))
    found = found._replace(
        vm_gid=_put_generation_id(writer),
        pci_min=windows.low.start,
        pci_len=windows.low.size,
        pci_hi_min=windows.high.start,
        pci_hi_len=windows.high.size,
    )
    platform.write(layout.acpi_info, found.build().ljust(PAGE, b"\0"))
    return Acpi(rsdp, ranges)


def _keep_vnuma(memory: FirmwareMemory, vnuma: Vnuma) -> None:
    """The arrays into which XENMEM_get_vnumainfo answers lie in scratch memory, before the RSDP."""
    for array in (
        b"".join(pack("<I", node) for node in vnuma.vcpu_to_node),
        b"".join(pack("<I", distance) for row in vnuma.distances for distance in row),
        b"".join(pack("<QQII", part.start, part.end, 0, part.node) for part in vnuma.ranges),
    ):
        memory.platform.write(memory.scratch_alloc(len(array)), array)


def _add_own(writer: Writer, info: HvmInfo, vnuma: Vnuma | None, *, srat: bool) -> AcpiInfo:
    """hvmloader's own tables; without its SRAT when the device model passes one, which tells of everything too."""
    platform = writer.memory.platform
    found = AcpiInfo(
        com1=devices.uart(platform, devices.COM1),
        com2=devices.uart(platform, devices.COM2),
        lpt1=devices.lpt(platform, devices.LPT1),
        hpet=devices.hpet(platform),
    )
    if info.nr_vcpus > 1 or info.apic_mode:
        madt = writer.add(fixed_tables.build_madt(info), room=fixed_tables.madt_room(info.nr_vcpus))
        found = found._replace(
            nr_cpus=info.nr_vcpus, madt_csum=madt + _CHECKSUM_AT, madt_lapic0=madt + fixed_tables.MADT_LAPIC0
        )
    if found.hpet:
        writer.add(fixed_tables.build_hpet())
    writer.add(fixed_tables.build_waet())
    if devices.battery(platform):
        writer.add(compiled.table("power", writer.xen))
    for key, default, name in (
        ("platform/acpi_s3", "1", "sleep_s3"),
        ("platform/acpi_s4", "1", "sleep_s4"),
        ("platform/acpi_laptop_slate", "0", "laptop_slate"),
    ):
        if keys.flag(platform, key, default):
            writer.add(compiled.table(name, writer.xen))
    _add_tpm(writer, devices.tpm(platform, writer.xen))
    if vnuma is not None:
        if srat:
            writer.add(build_srat(vnuma))
        writer.add(fixed_tables.build_slit(vnuma))
    return found


def _add_tpm(writer: Writer, version: int) -> None:
    memory = writer.memory
    if version == 1:
        writer.add(compiled.table("tpm12", writer.xen))
        size = len(fixed_tables.build_tcpa(Gpa(0)))
        tcpa = memory.acpi_alloc(size)
        log = memory.acpi_alloc(fixed_tables.TPM_LOG_SIZE)
        memory.platform.write(tcpa, fixed_tables.build_tcpa(log))
        writer.secondary.append(tcpa)
    elif version == 2:
        writer.add(compiled.table("tpm20", writer.xen))
        writer.add(fixed_tables.build_tpm2(TPM_EVENT_LOG))
        for page in range(fixed_tables.TPM_LOG_SIZE // PAGE):
            memory.populate(Gfn((TPM_EVENT_LOG >> PAGE_SHIFT) + page))


def _add_passthrough(writer: Writer) -> set[str]:
    """Append the toolstack's tables; their signatures. As in hvmloader, those that find no room are dropped."""
    taken = set()
    for table in passthrough.tables(writer.memory):
        if writer.full:
            writer.memory.platform.log(f"acpi_firmware: more than {MAX_SECONDARY} tables, the rest is left out")
            break
        writer.add(table)
        taken.add(table[:4].decode("latin-1"))
    return taken


def _add_device_model(writer: Writer, entries: Sequence[DmAcpiEntry], taken: set[str]) -> list[Span[Gpa]]:
    """Append the device model's tables; the persistent memory they name."""
    ranges = []
    for table in dm_acpi.tables(entries, taken):
        if writer.full:
            raise stop(
                f"dm-acpi: no room for table {table[:4].decode('latin-1')!r}: there are {MAX_SECONDARY} tables already",
                code="XLPY-DMACPI-TOO-MANY",
                hint="pass fewer tables and devices, or fewer tables with acpi_firmware",
            )
        writer.add(table)
        if table[:4] == b"NFIT":
            ranges += pmem_ranges(table)
    return ranges


def _put_generation_id(writer: Writer) -> Gpa:
    """The buffer with the VM generation id, unless that is 0:0; its address, which is a parameter of the domain too."""
    platform: Platform = writer.memory.platform
    low, rest = keys.strtoll(keys.text(platform, "platform/generation-id", "0:0"))
    high, _ = keys.strtoll(rest[1:]) if rest.startswith(":") else (0, "")
    mask = (1 << 64) - 1
    address = writer.put(pack("<QQ", low & mask, high & mask)) if low or high else Gpa(0)
    platform.set_param(HVM_PARAM_VM_GENERATION_ID_ADDR, address)
    return address
