"""Firmware's use of CPUID: Xen, the processor, its address width (Xen ``arch-x86/cpuid.h``; Intel SDM, CPUID)."""

from __future__ import annotations

from xlpy.firmware.hvmloader.stop import stop
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.platform import Platform

_SIGNATURE = b"XenVMMXenVMM"
_BITS = 0x80000008
_MAKERS = {b"GenuineIntel": "Intel", b"AuthenticAMD": "AMD"}


class Cpu(NamedTuple):
    """The boot processor.

    manufacturer: its name as SMBIOS has it.
    identity: EAX and EDX of leaf 1, as SMBIOS wants them: signature in the low 32 bits, features above.
    mhz: of its time stamp counter, 0 when unknown.
    physical_bits: width of physical addresses.
    """

    xen_numbers: tuple[int, int]
    manufacturer: str
    identity: int
    mhz: int
    physical_bits: int

    @property
    def xen_version(self) -> str:
        """Such as ``4.17``."""
        return "{}.{}".format(*self.xen_numbers)


def detect(platform: Platform) -> Cpu:
    """Find Xen's leaves and read the processor.

    Raises:
        FirmwareStopped: this is not a Xen guest.
    """
    base = _xen_leaf(platform)
    version = platform.cpuid(base + 1, 0)[0]
    khz = platform.cpuid(base + 3, 0)[2] if platform.cpuid(base, 0)[0] >= base + 3 else 0
    _, *vendor = platform.cpuid(0, 0)
    maker = b"".join(vendor[at].to_bytes(4, "little") for at in (0, 2, 1))
    leaf1 = platform.cpuid(1, 0)
    wide = platform.cpuid(0x80000000, 0)[0] >= _BITS
    return Cpu(
        xen_numbers=(version >> 16 & 0xFF, version & 0xFF),
        manufacturer=_MAKERS.get(maker, "unknown"),
        identity=leaf1[3] << 32 | leaf1[0],
        mhz=khz // 1000,
        physical_bits=platform.cpuid(_BITS, 0)[0] & 0xFF if wide else 36,
    )


def _xen_leaf(platform: Platform) -> int:
    for base in range(0x40000000, 0x40010000, 0x100):
        top, *words = platform.cpuid(base, 0)
        if b"".join(word.to_bytes(4, "little") for word in words) == _SIGNATURE and top - base >= 2:
            return base
    raise stop("no Xen signature in CPUID leaves 0x40000000 to 0x4000ff00", hint="run the firmware in a Xen HVM domain")
