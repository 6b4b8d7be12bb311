"""The devices of the platform, found by probing them, and those that firmware sets up itself."""

from __future__ import annotations

from xlpy.addr import KIB, MIB, Gpa
from xlpy.firmware.hvmloader import keys
from xlpy.firmware.hvmloader.board import TPM_KEY_SINCE
from xlpy.firmware.hvmloader.stop import stop
from xlpy.firmware.layout import HPET, TPM_TIS
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.platform import Platform

COM1, COM2, LPT1 = 0x3F8, 0x2F8, 0x378
_BATTERY_PORT, _BATTERY = 0x88, 0x1F
_SMI_COMMAND, _ACPI_ENABLE = 0xB2, 0xF1
_CMOS_INDEX, _CMOS_DATA = 0x70, 0x71
_BASE_KIB = 640


def uart(platform: Platform, base: int) -> bool:
    """Whether the interrupt enable register of a 16550 holds four bits and nothing else."""
    enable = base + 1
    saved = platform.io_in(enable, 1)
    platform.io_out(enable, 1, 0)
    cleared = platform.io_in(enable, 1) & 0x0F
    platform.io_out(enable, 1, 0x0F)
    filled = platform.io_in(enable, 1)
    platform.io_out(enable, 1, saved)
    return cleared == 0 and filled == 0x0F


def lpt(platform: Platform, base: int) -> bool:
    """Whether a parallel port's data register reads back."""
    platform.io_out(base, 1, 0xAA)
    return platform.io_in(base, 1) == 0xAA


def hpet(platform: Platform) -> bool:
    """Whether the vendor in the HPET's id register is Intel, as Xen's is."""
    return int.from_bytes(platform.read(HPET, 4), "little") >> 16 == 0x8086


def battery(platform: Platform) -> bool:
    """Whether the status port of the battery emulation answers."""
    return platform.io_in(_BATTERY_PORT, 1) == _BATTERY


def tpm(platform: Platform, xen: tuple[int, int]) -> int:
    """The version of the TPM whose interface answers: 1 (TIS) or 2 (CRB), else 0.

    From Xen 4.18 on the key ``platform/tpm_version`` says which one to look for; before, it is a TIS.
    """
    version = 1 if xen < TPM_KEY_SINCE else keys.strtoll(keys.text(platform, "platform/tpm_version", "1"))[0]
    if version == 1:
        ids = platform.read(Gpa(TPM_TIS + 0xF00), 4)
        present = all(word not in (b"\0\0", b"\xff\xff") for word in (ids[:2], ids[2:]))
    elif version == 2:
        vendor = platform.read(Gpa(TPM_TIS + 0x34), 2)  # bits 32-47 of the CRB interface identifier
        present = vendor not in (b"\0\0", b"\xff\xff")
    else:
        present = False
    return version if present else 0


def enable_acpi_mode(platform: Platform, pm_base: int) -> None:
    """Let the power management block at port ``pm_base`` raise SCIs.

    Raises:
        FirmwareStopped: the device model does not switch to ACPI mode.
    """
    control = pm_base + 4
    if platform.io_in(control, 2) & 1:
        return
    platform.io_out(_SMI_COMMAND, 1, _ACPI_ENABLE)
    if not platform.io_in(control, 2) & 1:
        raise stop(
            f"the device model does not enter ACPI mode: SCI_EN stays 0 in port {control:#x}",
            hint="the device model must set it on a write of 0xf1 to port 0xb2",
        )


def write_cmos_memory(platform: Platform, low_end: Gpa) -> None:
    """Tell the RTC's memory how much RAM there is, as a BIOS reads it: below 640 KiB, above 1 MiB, above 16 MiB."""
    above_1m = min((low_end - MIB) // KIB, 0xFFFF)
    above_16m = min(max(low_end - 16 * MIB, 0) // (64 * KIB), 0xFFFF)
    for register, value in ((0x15, _BASE_KIB), (0x17, above_1m), (0x30, above_1m), (0x34, above_16m)):
        for index, part in ((register, value & 0xFF), (register + 1, value >> 8)):
            platform.io_out(_CMOS_INDEX, 1, index)
            platform.io_out(_CMOS_DATA, 1, part)
