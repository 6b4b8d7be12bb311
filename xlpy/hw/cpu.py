"""The processors: CPUID.

One fixed model of a server processor of the first NVDIMM generation; what matters to persistent memory can be chosen:
cache line size, address width, and the instructions that write lines back. Bits: Intel SDM volume 2, CPUID.
"""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.hw.machine import CpuSpec

EAX, EBX, ECX, EDX = range(4)

MAX_BASIC = 7
MAX_EXTENDED = 0x80000008
VENDOR = b"GenuineIntel"
SIGNATURE = 0x00050657  # family 6, model 85, stepping 7
BRAND = b"xlpy emulated processor"
LINEAR_BITS = 48


class Bit(NamedTuple):
    """Where CPUID shows a feature (sub-leaf 0)."""

    leaf: int
    register: int
    bit: int


def _bits(leaf: int, register: int, names: dict[str, int]) -> dict[str, Bit]:
    return {name: Bit(leaf, register, bit) for name, bit in names.items()}


BASE = {
    **_bits(
        1,
        EDX,
        {
            "fpu": 0, "vme": 1, "de": 2, "pse": 3, "tsc": 4, "msr": 5, "pae": 6, "mce": 7, "cx8": 8, "apic": 9,
            "sep": 11, "mtrr": 12, "pge": 13, "mca": 14, "cmov": 15, "pat": 16, "pse36": 17, "clflush": 19, "mmx": 23,
            "fxsr": 24, "sse": 25, "sse2": 26, "ss": 27, "htt": 28,
        },
    ),
    **_bits(
        1,
        ECX,
        {"sse3": 0, "pclmulqdq": 1, "vmx": 5, "ssse3": 9, "cx16": 13, "sse4_1": 19, "sse4_2": 20, "x2apic": 21,
         "movbe": 22, "popcnt": 23, "aes": 25, "rdrand": 30},
    ),
    **_bits(7, EBX, {"fsgsbase": 0, "smep": 7, "erms": 9, "invpcid": 10, "rdseed": 18, "smap": 20}),
    **_bits(0x80000001, ECX, {"lahf_lm": 0}),
    **_bits(0x80000001, EDX, {"syscall": 11, "nx": 20, "pdpe1gb": 26, "rdtscp": 27, "lm": 29}),
    **_bits(0x80000007, EDX, {"itsc": 8}),
}  # fmt: skip

OPTIONAL = {
    **_bits(7, EBX, {"clflushopt": 23, "clwb": 24}),
    **_bits(7, ECX, {"cldemote": 25, "movdiri": 27, "movdir64b": 28}),
}

_FEATURES = {**BASE, **OPTIONAL}
_LEAVES = {where.leaf for where in _FEATURES.values()}

# PCOMMIT (leaf 7 EBX bit 22) was announced and withdrawn before any processor had it: it reads 0.
WITHDRAWN = ("pcommit",)


def cpuid(cpu: CpuSpec, leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
    """What the CPUID instruction leaves in EAX, EBX, ECX, EDX; zeros for a leaf that does not exist."""
    registers = [0, 0, 0, 0]
    if leaf in _LEAVES and (subleaf == 0 or leaf != 7):
        for name, where in _FEATURES.items():
            if where.leaf == leaf and (name in BASE or name in cpu.features):
                registers[where.register] |= 1 << where.bit
    if leaf == 0:
        registers[EAX] = MAX_BASIC
        registers[EBX], registers[EDX], registers[ECX] = _words(VENDOR)
    elif leaf == 1:
        registers[EAX] = SIGNATURE
        registers[EBX] = min(cpu.count, 0xFF) << 16 | cpu.line // 8 << 8  # initial APIC id 0
    elif leaf == 0x80000000:
        registers[EAX] = MAX_EXTENDED
    elif 0x80000002 <= leaf <= 0x80000004:
        start = (leaf - 0x80000002) * 16
        registers[:] = _words(BRAND.ljust(48, b"\0")[start : start + 16])
    elif leaf == 0x80000006:
        registers[ECX] = 1024 << 16 | 6 << 12 | cpu.line  # second-level cache: 1024 KiB, 8 ways
    elif leaf == 0x80000008:
        registers[EAX] = LINEAR_BITS << 8 | cpu.physical_bits
    return (registers[EAX], registers[EBX], registers[ECX], registers[EDX])


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
