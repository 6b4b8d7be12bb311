"""The host's other ACPI tables: those of any PC server, as far as an operating system needs them to find NVDIMMs."""

from __future__ import annotations

from xlpy.firmware.acpi import aml, gas
from xlpy.firmware.acpi import fadt as fixed
from xlpy.firmware.acpi import madt as apic
from xlpy.firmware.acpi import srat as affinity
from xlpy.firmware.acpi.header import build_table
from xlpy.firmware.acpi.slit import SLIT
from xlpy.hw import memmap
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.addr import Spa
    from xlpy.firmware.acpi.header import Identity
    from xlpy.hw.machine import MachineSpec

IDENTITY: Identity = {
    "oem_id": "XLPY  ",  # fwts wants no NUL in it
    "oem_table_id": "XLPYHOST",
    "oem_revision": 1,
    "creator_id": "XLPY",
    "creator_revision": 1,
}
PM_EVENT, PM_CONTROL, PM_TIMER, GPE0 = 0x600, 0x604, 0x608, 0x620  # I/O ports
SCI = 9
RESET_PORT, RESET_VALUE = 0xCF9, 6
LEVEL_HIGH = 0b1101  # MADT override flags: level triggered, active high
ALL_PROCESSORS = 0xFF
LOCAL, REMOTE = 10, 20  # SLIT distances


def dsdt(spec: MachineSpec) -> bytes:
    """Processors, a PCI root, and the NVDIMM root with ``_FIT`` and one child for each slot of a DIMM.

    A child's ``_ADR`` is the handle of a DIMM in that slot. Empty slots have theirs as well: an operating system finds
    a DIMM that is plugged in later through ``_FIT``, and its ``_DSM`` and labels through the child that is there.
    """
    processors = [
        aml.device(f"C{i:03X}", aml.name("_HID", aml.string("ACPI0007")), aml.name("_UID", i))
        for i in range(spec.cpu.count)
    ]
    window = aml.resource_template(
        aml.word_bus_number(0, 0xFF),
        aml.io(0xCF8, 0xCF8, 1, 8),
        aml.word_io(0, 0xCF7),
        aml.word_io(0xD00, 0xFFFF),
        aml.dword_memory(memmap.LOW_TOP, memmap.FLUSH_HINTS - 1),
    )
    pci = aml.device(
        "PCI0",
        aml.name("_HID", aml.eisaid("PNP0A08")),
        aml.name("_CID", aml.eisaid("PNP0A03")),
        aml.name("_UID", 0),
        aml.name("_BBN", 0),
        aml.name("_CRS", window),
    )
    handles = (one * memmap.SLOTS + slot for one in spec.controllers for slot in range(memmap.SLOTS))
    slots = [aml.device(f"N{i:03X}", aml.name("_ADR", handle)) for i, handle in enumerate(handles)]
    root = [aml.device("NVDR", aml.name("_HID", aml.string("ACPI0012")), *_fit(spec), *slots)]
    body = aml.name("_S5", aml.package(0, 0, 0, 0)) + aml.scope("_SB", *processors, pci, *root)
    return build_table("DSDT", body, 2, **IDENTITY)


def _fit(spec: MachineSpec) -> tuple[bytes, ...]:
    """``_FIT``: what firmware keeps in the NVS area, where it changes it when DIMMs come and go."""
    area = memmap.fit_span(spec)
    return (
        aml.op_region("FITR", aml.RegionSpace.SYSTEM_MEMORY, area.start, area.size),
        aml.field("FITR", [("FLEN", 32), ("FDAT", (area.size - 4) * 8)], aml.AccessType.DWORD),
        aml.method("_FIT", 0, aml.return_(aml.mid(aml.ref("FDAT"), 0, aml.ref("FLEN")))),
    )


def fadt(facs: Spa, dsdt: Spa) -> bytes:
    """Revision 6. Power management registers are in I/O space, events arrive on interrupt 9."""

    def port(address: int, width: int, access: int = 0) -> dict[str, int]:
        return {"space_id": gas.SYSTEM_IO, "bit_width": width, "access_size": access, "address": address}

    fields = {
        "firmware_ctrl": facs,
        "dsdt": dsdt,
        "x_dsdt": dsdt,
        "preferred_pm_profile": 4,  # enterprise server
        "sci_int": SCI,
        "pm1a_evt_blk": PM_EVENT,
        "pm1a_cnt_blk": PM_CONTROL,
        "pm_tmr_blk": PM_TIMER,
        "gpe0_blk": GPE0,
        "pm1_evt_len": 4,
        "pm1_cnt_len": 2,
        "pm_tmr_len": 4,
        "gpe0_blk_len": 8,
        "p_lvl2_lat": 0xFFF,  # no C2
        "p_lvl3_lat": 0xFFF,
        "iapc_boot_arch": fixed.LEGACY_DEVICES | fixed.HAS_8042,
        "flags": fixed.WBINVD
        | fixed.PROC_C1
        | fixed.SLP_BUTTON
        | fixed.FIX_RTC
        | fixed.TMR_VAL_EXT
        | fixed.RESET_REG_SUP,
        "reset_reg": port(RESET_PORT, 8),
        "reset_value": RESET_VALUE,
        "x_pm1a_evt_blk": port(PM_EVENT, 32),
        "x_pm1a_cnt_blk": port(PM_CONTROL, 16),
        "x_pm_tmr_blk": port(PM_TIMER, 32),
        "x_gpe0_blk": port(GPE0, 64, gas.BYTE_ACCESS),
    }
    return fixed.build_fadt(fields, 6, **IDENTITY)


def madt(spec: MachineSpec) -> bytes:
    """Local APICs 0 to n - 1, one I/O APIC, the timer on its input 2, the SCI level triggered, NMI on LINT1."""
    entries = [
        *({"type": apic.LOCAL_APIC, "body": {"processor_id": i, "apic_id": i, "flags": apic.ENABLED}}
          for i in range(spec.cpu.count)),
        {"type": apic.IO_APIC, "body": {"address": memmap.IO_APIC}},
        {"type": apic.INTERRUPT_OVERRIDE, "body": {"source": 0, "gsi": 2}},
        {"type": apic.INTERRUPT_OVERRIDE, "body": {"source": SCI, "gsi": SCI, "flags": LEVEL_HIGH}},
        {"type": apic.LOCAL_APIC_NMI, "body": {"processor_id": ALL_PROCESSORS, "lint": 1}},
    ]  # fmt: skip
    fields = {"local_apic_address": memmap.LOCAL_APIC, "flags": apic.PCAT_COMPAT, "entries": entries}
    return apic.MADT.build(fields, 4, **IDENTITY)


def srat(spec: MachineSpec) -> bytes:
    """Processors and RAM in proximity domain 0, each region in its own, as enabled non-volatile memory."""

    def memory(base: int, length: int, proximity: int, flags: int) -> dict[str, object]:
        body = {"proximity": proximity, "base": base, "length": length, "flags": flags}
        return {"type": affinity.MEMORY, "body": body}

    entries = [
        *({"type": affinity.PROCESSOR, "body": {"apic_id": i, "flags": affinity.ENABLED}}
          for i in range(spec.cpu.count)),
        *(memory(span.start, span.size, 0, affinity.ENABLED) for span in memmap.ram_spans(spec)),
        *(memory(one.base, one.size, one.proximity, affinity.ENABLED | affinity.NON_VOLATILE) for one in spec.sets),
    ]  # fmt: skip
    return affinity.SRAT.build({"entries": entries}, 3, **IDENTITY)


def domains(spec: MachineSpec) -> int:
    """How many proximity domains there are, numbered from 0."""
    return 1 + max((one.proximity for one in spec.sets), default=0)


def slit(spec: MachineSpec) -> bytes:
    """Every domain is equally far from every other."""
    size = range(domains(spec))
    return SLIT.build({"distances": [[LOCAL if i == j else REMOTE for j in size] for i in size]}, **IDENTITY)
