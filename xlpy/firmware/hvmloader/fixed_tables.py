"""Tables that hvmloader fills in by itself: the root tables, FADT, MADT, HPET, ... (Xen's libacpi).

Each function returns a whole table; where it goes is the caller's business. A boot builds few tables and always the
same, so they are packed here: the formats in ``firmware.acpi`` take long to import.
"""

from __future__ import annotations

from _struct import Struct, pack

from xlpy.firmware.acpi.header import build_table, set_checksum
from xlpy.firmware.hvmloader.board import IOAPIC_ID, LEVEL_IRQS
from xlpy.firmware.layout import HPET, IOAPIC, LAPIC, TPM_TIS, apic_id
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.addr import Gpa
    from xlpy.firmware.hvm_info import HvmInfo
    from xlpy.firmware.platform import Vnuma

RSDP_SIZE = 36
_RSDP_V1 = 20  # bytes that the first checksum covers

# FADT (ACPI 6.5, 5.2.9), from offset 36 to the end of revision 1
_FADT = Struct("<IIBBHI4B8I8B4H5BHxI")
_SCI, _GPE0, _RESET_PORT, _RESET_VALUE = 9, 0xAFE0, 0xCF9, 6
_NO_C_STATE = 0x0FFF
_WBINVD, _PROC_C1, _FIX_RTC, _TMR_VAL_EXT, _USE_PLATFORM_CLOCK = (1 << n for n in (0, 2, 6, 8, 15))
_HAS_8042 = 2

# MADT (5.2.12)
_LOCAL_APIC, _IO_APIC, _OVERRIDE = Struct("<BBBBI"), Struct("<BBBxII"), Struct("<BBBBIH")
_MADT_HEAD = 44
_OVERRIDES = (0, *LEVEL_IRQS)
_ACTIVE_LOW_LEVEL = 0x000F
MADT_LAPIC0 = _MADT_HEAD + _OVERRIDE.size * len(_OVERRIDES) + _IO_APIC.size  # offset of the first local APIC

_HPET_ID = 0x8086A201
_RTC_NO_ACK, _PM_TIMER_ONE_READ = 1, 2

TPM_LOG_SIZE = 0x10000
_TPM_CLIENT = 0
_CRB_CONTROL, _CRB_START = TPM_TIS + 0x40, 7


def build_rsdp(rsdt: Gpa, xsdt: Gpa) -> bytes:
    """The root pointer of revision 2, with both checksums."""
    raw = pack("<8sB6sBIIQB3x", b"RSD PTR ", 0, b"Xen", 2, rsdt, RSDP_SIZE, xsdt, 0)
    return set_checksum(set_checksum(raw, 8, _RSDP_V1), 32)


def build_rsdt(entries: Sequence[Gpa]) -> bytes:
    """An RSDT of tables."""
    return build_table("RSDT", pack(f"<{len(entries)}I", *entries))


def build_xsdt(entries: Sequence[Gpa]) -> bytes:
    """An XSDT of tables."""
    return build_table("XSDT", pack(f"<{len(entries)}Q", *entries))


def build_facs() -> bytes:
    """The FACS: nothing but its length and version."""
    return pack("<4sI24xB31x", b"FACS", 64, 1)


def build_fadt(facs: Gpa, dsdt: Gpa, pm_base: int, revision: int) -> bytes:
    """The FADT of revision 4, or the one of ACPI 1.0, revision 1, that only the RSDT points to.

    Args:
        facs, dsdt: where they are.
        pm_base: port of the PM1 event block; control and timer follow at +4 and +8.
        revision: 1 or 4.
    """
    event, control, timer = pm_base, pm_base + 4, pm_base + 8
    flags = _WBINVD | _PROC_C1 | _FIX_RTC | _TMR_VAL_EXT | _USE_PLATFORM_CLOCK
    boot = _HAS_8042 if revision > 1 else 0
    body = _FADT.pack(
        *(facs, dsdt, 0, 0, _SCI, 0, 0, 0, 0, 0),
        *(event, 0, control, 0, 0, timer, _GPE0, 0),
        *(4, 2, 0, 4, 4, 0, 0, 0),  # lengths of PM1 event, control, PM2, timer, GPE0, GPE1; GPE1 base; C states
        *(_NO_C_STATE, _NO_C_STATE, 0, 0, 0, 0, 0, 0, 0),
        *(boot, flags),
    )
    if revision > 1:
        body += _io(_RESET_PORT, 8) + pack("<B3xQQ", _RESET_VALUE, facs, dsdt)
        none = bytes(12)
        body += _io(event, 32) + none + _io(control, 16) + none + none + _io(timer, 32) + none + none
    return build_table("FACP", body, revision)


def _io(port: int, bits: int) -> bytes:
    """A generic address in I/O space (5.2.3.2)."""
    return pack("<BBBBQ", 1, bits, 0, 0, port)


def madt_room(vcpus: int) -> int:
    """Bytes that the MADT takes from the allocator: room for an override of each ISA interrupt."""
    return _MADT_HEAD + _OVERRIDE.size * 16 + _IO_APIC.size + _LOCAL_APIC.size * vcpus


def build_madt(info: HvmInfo) -> bytes:
    """Overrides, one IO-APIC, and a local APIC for each vCPU, enabled when it is online."""
    parts = [
        pack("<II", LAPIC, 1),
        *(_OVERRIDE.pack(2, _OVERRIDE.size, 0, irq, irq or 2, _ACTIVE_LOW_LEVEL if irq else 0) for irq in _OVERRIDES),
        _IO_APIC.pack(1, _IO_APIC.size, IOAPIC_ID, IOAPIC, 0),
        *(_LOCAL_APIC.pack(0, _LOCAL_APIC.size, n, apic_id(n), info.online(n)) for n in range(info.nr_vcpus)),
    ]
    return build_table("APIC", b"".join(parts), 2)


def build_hpet() -> bytes:
    """Timer block 0 at its fixed address."""
    return build_table("HPET", pack("<IBBBBQBHB", _HPET_ID, 0, 0, 0, 0, HPET, 0, 0, 0))


def build_waet() -> bytes:
    """The RTC needs no acknowledgement, the PM timer no second read."""
    return build_table("WAET", pack("<I", _RTC_NO_ACK | _PM_TIMER_ONE_READ))


def build_slit(vnuma: Vnuma) -> bytes:
    """Distances between the nodes."""
    return build_table("SLIT", pack("<Q", len(vnuma.distances)) + b"".join(map(bytes, vnuma.distances)))


def build_tcpa(log: Gpa) -> bytes:
    """Where the event log of a TPM 1.2 is."""
    return build_table("TCPA", pack("<HIQ", _TPM_CLIENT, TPM_LOG_SIZE, log), 2)


def build_tpm2(log: Gpa) -> bytes:
    """The command interface of a TPM 2.0, and where its event log is."""
    body = pack("<HHQI12xIQ", _TPM_CLIENT, 0, _CRB_CONTROL, _CRB_START, TPM_LOG_SIZE, log)
    return build_table("TPM2", body, 4)
