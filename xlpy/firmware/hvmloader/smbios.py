"""The guest's SMBIOS: a 2.4 entry point and the structures an operating system asks for (DMTF DSP0134).

Types 0, 1, 3, 4, 16, 17, 19, 20, 32 and 127; strings come from the ``bios-strings`` keys.
"""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

from xlpy.addr import GIB, KIB, MIB, align_up
from xlpy.firmware.acpi.header import set_checksum
from xlpy.firmware.hvmloader import keys
from xlpy.firmware.hvmloader.bios import SMBIOS_LOW
from xlpy.firmware.hvmloader.stop import stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.addr import Gpa
    from xlpy.firmware.hvm_info import HvmInfo
    from xlpy.firmware.hvmloader.bios import Bios
    from xlpy.firmware.hvmloader.cpu import Cpu
    from xlpy.firmware.hvmloader.memory import Memory

ENTRY_SIZE = 31
_DEVICE = 16 * GIB  # one memory device holds at most this
_NONE = 0xFFFF


class _Structures:
    """Structures in the making: each has a handle, a fixed part and strings."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def add(self, kind: int, handle: int, fields: bytes, *strings: str) -> None:
        """One structure; empty strings must be given number 0 in ``fields`` and are left out here."""
        texts = b"".join(text.encode("latin-1", "replace") + b"\0" for text in strings if text)
        self.parts.append(pack("<BBH", kind, 4 + len(fields), handle) + fields + (texts or b"\0") + b"\0")


def write_smbios(memory: Memory, bios: Bios, info: HvmInfo, cpu: Cpu) -> Gpa:
    """Build the structures and put them where the BIOS looks.

    Returns:
        the address of the entry point: in scratch memory, or at 0xEB000 for a BIOS that reads no tables array.

    Raises:
        FirmwareStopped: more structures than fit at 0xEB000.
    """
    parts = list(_build(memory, info, cpu))
    table = b"".join(parts)
    if bios.rsdp is None:
        entry = memory.scratch_alloc(ENTRY_SIZE)
        address = memory.mem_alloc(len(table))
    else:
        entry = SMBIOS_LOW.start
        address = type(entry)(align_up(entry + ENTRY_SIZE, 16))
        if address + len(table) > SMBIOS_LOW.end:
            raise stop(f"SMBIOS structures of {len(table)} bytes do not fit below {SMBIOS_LOW.end:#x}")
    memory.platform.write(address, table)
    memory.platform.write(entry, entry_point(address, parts))
    return entry


def entry_point(address: Gpa, structures: list[bytes]) -> bytes:
    """The 31-byte entry point for structures that lie at ``address``."""
    largest = max(map(len, structures))
    inner = pack("<5sBHIHB", b"_DMI_", 0, sum(map(len, structures)), address, len(structures), 0x24)
    outer = pack("<4sBBBBHB5s", b"_SM_", 0, ENTRY_SIZE, 2, 4, largest, 0, bytes(5))
    return set_checksum(outer + set_checksum(inner, 5), 4)


def _build(memory: Memory, info: HvmInfo, cpu: Cpu) -> Iterator[bytes]:
    made = _Structures()
    platform = memory.platform

    def text(key: str, default: str = "") -> str:
        return keys.text(platform, f"bios-strings/{key}", default)

    version, uuid = text("bios-version", cpu.xen_version), _uuid(platform.xenstore("vm") or "")
    made.add(
        0,
        0,
        pack("<BBHBBQBBBBBB", 1, 2, 0xE800, 3, 0, 0x8, 0, 4, *cpu.xen_numbers, 0xFF, 0xFF),
        text("bios-vendor", "Xen"),
        version,
        "01/01/2016",
    )
    made.add(
        1,
        0x100,
        pack("<BBBB16sBBB", 1, 2, 3, 4, uuid, 6, 0, 0),
        text("system-manufacturer", "Xen"),
        text("system-product-name", "HVM domU"),
        text("system-version", version),
        text("system-serial-number", "None"),
    )
    chassis = text("enclosure-manufacturer", "Xen"), text("enclosure-serial-number"), text("enclosure-asset-tag")
    numbers = [sum(map(bool, chassis[: i + 1])) if chassis[i] else 0 for i in range(3)]
    made.add(
        3,
        0x300,
        pack("<BBBBBBBBBIBBBB", numbers[0], 1, 0, numbers[1], numbers[2], 3, 3, 3, 2, 0, 0, 0, 0, 0),
        *chassis,
    )
    for number in range(info.nr_vcpus):
        made.add(
            4,
            0x400 + number,
            pack(
                "<BBBBQBBHHHBBHHHBBB",
                *(1, 3, 1, 2, cpu.identity, 0, 0, 0, cpu.mhz, cpu.mhz, 0x41, 1),
                *(_NONE, _NONE, _NONE, 0, 0, 0),
            ),
            f"CPU {number}",
            text("bios-vendor", "Xen"),
        )
    _memory(made, memory)
    made.add(32, 0x2000, bytes(7))
    made.add(127, 0x7F00, b"")
    yield from made.parts


def _memory(made: _Structures, memory: Memory) -> None:
    size = align_up(memory.size, MIB)
    devices = -(-size // _DEVICE)
    capacity = min(size // KIB, 0x80000000)
    made.add(16, 0x1000, pack("<BBBIHH", 1, 3, 6, capacity, 0xFFFE, devices))
    for number in range(devices):
        first, last = number * _DEVICE, min((number + 1) * _DEVICE, size)
        made.add(
            17,
            0x1100 + number,
            pack("<HHHHHBBBBBHHBBBB", 0x1000, 0xFFFE, 64, 64, (last - first) // MIB, 9, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0),
            f"DIMM {number}",
        )
        made.add(20, 0x1400 + number, _range(first, last) + pack("<HHBBB", 0x1100 + number, 0x1300, 1, 0, 0))
    made.add(19, 0x1300, _range(0, size) + pack("<HB", 0x1000, 1))


def _range(start: int, end: int) -> bytes:
    """First and last KiB, as far as 32 bits go."""
    return pack("<II", *(min(address // KIB, 0xFFFFFFFF) for address in (start, end - 1)))


def _uuid(path: str) -> bytes:
    """The 16 bytes of the UUID that ends a ``/vm/UUID`` path, or zeros."""
    try:
        raw = bytes.fromhex(path.rpartition("/")[2].replace("-", ""))
    except ValueError:
        raw = b""
    return raw if len(raw) == 16 else bytes(16)
