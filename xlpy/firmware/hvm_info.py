"""``hvm_info_table``: what the domain builder passes to hvmloader, at 0x9F800 (Xen ``hvm/hvm_info_table.h``).

| offset | size | field |
|---|---|---|
| 0 | 8 | "HVM INFO" |
| 8 | 4 | length |
| 12 | 1 | checksum: all bytes sum to 0 |
| 13 | 1 | apic_mode |
| 16 | 4 | nr_vcpus |
| 20 | 4 | low_mem_pgend |
| 24 | 4 | reserved_mem_pgstart |
| 28 | 4 | high_mem_pgend |
| 32 | 16 | vcpu_online bitmap |
"""

from __future__ import annotations

from _struct import Struct

from xlpy.addr import PAGE_SHIFT
from xlpy.errors import FormatError
from xlpy.firmware.layout import FOUR_GIB, RESERVED_PGSTART
from xlpy.records import NamedTuple

SIGNATURE = b"HVM INFO"
MAX_VCPUS = 128

_TABLE = Struct("<8sIBB2xIIII16s")
SIZE = _TABLE.size
_CHECKSUM_AT = 12


class HvmInfo(NamedTuple):
    """The domain's shape.

    nr_vcpus: 1 to 128.
    low_mem_pgend: first page number after RAM below 4 GiB.
    high_mem_pgend: first page number after RAM above 4 GiB, or 0 when there is none.
    apic_mode: whether APICs are emulated.
    vcpu_online: bit n is set when vCPU n starts online.
    reserved_mem_pgstart: first page number of the special pages.
    """

    nr_vcpus: int
    low_mem_pgend: int
    high_mem_pgend: int = 0
    apic_mode: bool = True
    vcpu_online: int = 1
    reserved_mem_pgstart: int = RESERVED_PGSTART

    def online(self, vcpu: int) -> bool:
        """Whether a vCPU starts online."""
        return bool(self.vcpu_online >> vcpu & 1)


def build_hvm_info(info: HvmInfo) -> bytes:
    """The 48 bytes of the table, with its checksum."""
    raw = bytearray(
        _TABLE.pack(
            SIGNATURE,
            SIZE,
            0,
            info.apic_mode,
            info.nr_vcpus,
            info.low_mem_pgend,
            info.reserved_mem_pgstart,
            info.high_mem_pgend,
            info.vcpu_online.to_bytes(16, "little"),
        )
    )
    raw[_CHECKSUM_AT] = -sum(raw) & 0xFF
    return bytes(raw)


def parse_hvm_info(data: bytes) -> HvmInfo:
    """Read the table.

    Args:
        data: at least 48 bytes from 0x9F800.

    Raises:
        FormatError: signature, length, checksum or a value that no domain builder writes.
    """
    if len(data) < SIZE:
        raise FormatError(f"hvm_info_table needs {SIZE} bytes, found {len(data)}", offset=0, path="hvm_info")
    signature, length, _, apic, vcpus, low, reserved, high, online = _TABLE.unpack_from(data)
    if signature != SIGNATURE:
        raise FormatError(f"signature is {signature!r}, required {SIGNATURE!r}", offset=0, path="hvm_info.signature")
    if length != SIZE:
        raise FormatError(f"length is {length}, required {SIZE}", offset=8, path="hvm_info.length")
    if total := sum(data[:SIZE]) & 0xFF:
        raise FormatError(f"bytes sum to {total:#04x}, required 0", offset=_CHECKSUM_AT, path="hvm_info.checksum")
    if not 1 <= vcpus <= MAX_VCPUS:
        raise FormatError(f"nr_vcpus is {vcpus}, required 1 to {MAX_VCPUS}", offset=16, path="hvm_info.nr_vcpus")
    if low > FOUR_GIB >> PAGE_SHIFT:
        raise FormatError(f"low memory ends above 4 GiB: page {low:#x}", offset=20, path="hvm_info.low_mem_pgend")
    if 0 < high <= FOUR_GIB >> PAGE_SHIFT:
        raise FormatError(f"high memory ends below 4 GiB: page {high:#x}", offset=28, path="hvm_info.high_mem_pgend")
    return HvmInfo(vcpus, low, high, bool(apic), int.from_bytes(online, "little"), reserved)
