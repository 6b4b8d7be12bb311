"""Tables that hvmloader fills in from what it knows: FADT, MADT, HPET, WAET, SRAT, SLIT, TCPA, TPM2 (Xen's libacpi).

Each function returns a whole table; where it goes is the caller's business.
"""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

from xlpy.firmware.acpi import fadt, madt, srat
from xlpy.firmware.acpi.gas import SYSTEM_IO
from xlpy.firmware.acpi.hpet import HPET
from xlpy.firmware.acpi.sdt import build_table
from xlpy.firmware.acpi.slit import SLIT
from xlpy.firmware.acpi.waet import PM_TIMER_ONE_READ, RTC_NO_ACK, WAET
from xlpy.firmware.hvmloader.processors import IOAPIC_ID, LEVEL_IRQS, apic_id
from xlpy.firmware.layout import HPET as HPET_BASE
from xlpy.firmware.layout import IOAPIC, LAPIC, TPM_TIS

if TYPE_CHECKING:
    from xlpy.addr import Gpa
    from xlpy.firmware.hvm_info import HvmInfo
    from xlpy.firmware.platform import Vnuma

_GPE0, _RESET_PORT, _RESET_VALUE = 0xAFE0, 0xCF9, 6
_SCI = 9
_NO_C_STATE = 0x0FFF
_ACTIVE_LOW_LEVEL = 0x000F

_MADT_HEAD, _OVERRIDE, _IO_APIC, _LOCAL_APIC = 44, 10, 12, 8
_OVERRIDES = (0, *LEVEL_IRQS)
MADT_LAPIC0 = _MADT_HEAD + _OVERRIDE * len(_OVERRIDES) + _IO_APIC  # offset of the first local APIC

TPM_LOG_SIZE = 0x10000
_TPM_CLIENT = 0
_CRB_CONTROL, _CRB_START = TPM_TIS + 0x40, 7


def madt_room(vcpus: int) -> int:
    """Bytes that the MADT takes from the allocator: room for an override of each ISA interrupt."""
    return _MADT_HEAD + _OVERRIDE * 16 + _IO_APIC + _LOCAL_APIC * vcpus


def build_fadt(facs: Gpa, dsdt: Gpa, pm_base: int, revision: int) -> bytes:
    """The FADT of revision 4, or the one of ACPI 1.0, revision 1, that only the RSDT points to."""

    def io_block(port: int, bits: int) -> dict[str, int]:
        return {"space_id": SYSTEM_IO, "bit_width": bits, "address": port}

    return fadt.build_fadt(
        {
            "firmware_ctrl": facs,
            "dsdt": dsdt,
            "sci_int": _SCI,
            "pm1a_evt_blk": pm_base,
            "pm1a_cnt_blk": pm_base + 4,
            "pm_tmr_blk": pm_base + 8,
            "gpe0_blk": _GPE0,
            "pm1_evt_len": 4,
            "pm1_cnt_len": 2,
            "pm_tmr_len": 4,
            "gpe0_blk_len": 4,
            "p_lvl2_lat": _NO_C_STATE,
            "p_lvl3_lat": _NO_C_STATE,
            "iapc_boot_arch": fadt.HAS_8042 if revision > 1 else 0,
            "flags": fadt.WBINVD | fadt.PROC_C1 | fadt.FIX_RTC | fadt.TMR_VAL_EXT | fadt.USE_PLATFORM_CLOCK,
            "reset_reg": io_block(_RESET_PORT, 8),
            "reset_value": _RESET_VALUE,
            "x_firmware_ctrl": facs,
            "x_dsdt": dsdt,
            "x_pm1a_evt_blk": io_block(pm_base, 32),
            "x_pm1a_cnt_blk": io_block(pm_base + 4, 16),
            "x_pm_tmr_blk": io_block(pm_base + 8, 32),
        },
        revision,
    )


def build_madt(info: HvmInfo) -> bytes:
    """Overrides, one IO-APIC, and a local APIC for each vCPU, enabled when it is online."""
    overrides = [
        {"bus": 0, "source": irq, "gsi": irq or 2, "flags": _ACTIVE_LOW_LEVEL if irq else 0} for irq in _OVERRIDES
    ]
    apics = [
        {"processor_id": n, "apic_id": apic_id(n), "flags": madt.ENABLED * info.online(n)} for n in range(info.nr_vcpus)
    ]
    entries = [
        *({"type": madt.INTERRUPT_OVERRIDE, "body": body} for body in overrides),
        {"type": madt.IO_APIC, "body": {"io_apic_id": IOAPIC_ID, "address": IOAPIC, "gsi_base": 0}},
        *({"type": madt.LOCAL_APIC, "body": body} for body in apics),
    ]
    fields = {"local_apic_address": LAPIC, "flags": madt.PCAT_COMPAT, "entries": entries}
    return madt.MADT.build(fields, revision=2)


def build_hpet() -> bytes:
    """Timer block 0 at its fixed address."""
    return HPET.build({"event_timer_block_id": 0x8086A201, "base_address": {"address": HPET_BASE}})


def build_waet() -> bytes:
    """The RTC needs no acknowledgement, the PM timer no second read."""
    return WAET.build({"flags": RTC_NO_ACK | PM_TIMER_ONE_READ})


def build_srat(vnuma: Vnuma) -> bytes:
    """Which node each vCPU and each memory range belongs to."""
    processors = [
        {"proximity_low": node, "apic_id": apic_id(vcpu), "flags": srat.ENABLED}
        for vcpu, node in enumerate(vnuma.vcpu_to_node)
    ]
    memory = [
        {"proximity": part.node, "base": part.start, "length": part.end - part.start, "flags": srat.ENABLED}
        for part in vnuma.ranges
    ]
    entries = [
        *({"type": srat.PROCESSOR, "body": body} for body in processors),
        *({"type": srat.MEMORY, "body": body} for body in memory),
    ]
    return srat.SRAT.build({"entries": entries})


def build_slit(vnuma: Vnuma) -> bytes:
    """Distances between the nodes."""
    return SLIT.build({"distances": vnuma.distances})


def build_tcpa(log: Gpa) -> bytes:
    """Where the event log of a TPM 1.2 is."""
    return build_table("TCPA", pack("<HIQ", _TPM_CLIENT, TPM_LOG_SIZE, log), 2)


def build_tpm2(log: Gpa) -> bytes:
    """The command interface of a TPM 2.0, and where its event log is."""
    body = pack("<HHQI12sIQ", _TPM_CLIENT, 0, _CRB_CONTROL, _CRB_START, bytes(12), TPM_LOG_SIZE, log)
    return build_table("TPM2", body, 4)
