"""The guest's SMBIOS: a 2.4 entry point and the structures an operating system asks for (DMTF DSP0134).

Types 0, 1, 3, 4, 11, 16, 17, 19, 20, 32 and 127, on demand 2 and 22; strings come from the ``bios-strings`` keys. What
``smbios_firmware`` passed takes the place of types 0, 1, 2, 3, 11 and 22, and adds 39 and the vendors' own.
"""

from __future__ import annotations

from _struct import pack

from xlpy.addr import GIB, KIB, MIB, align_up
from xlpy.firmware.acpi.header import set_checksum
from xlpy.firmware.hvmloader import keys, passthrough
from xlpy.firmware.hvmloader.bios import SMBIOS_LOW
from xlpy.firmware.hvmloader.stop import stop
from xlpy.typing import TYPE_CHECKING
from xlpy.uuids import uuid_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xlpy.addr import Gpa
    from xlpy.firmware.hvm_info import HvmInfo
    from xlpy.firmware.hvmloader.bios import Bios
    from xlpy.firmware.hvmloader.cpu import Cpu
    from xlpy.firmware.hvmloader.memory import FirmwareMemory
    from xlpy.firmware.platform import Platform

ENTRY_SIZE = 31
_DEVICE = 16 * GIB  # one memory device holds at most this
_NONE = 0xFFFF
_WORD = 0xFFFFFFFF
_OEM_MOST = 99
_VENDOR = 128  # the first type that is a vendor's own
_DATE = "01/01/2016"  # of the BIOS and the battery; hvmloader has the day it was compiled
_PCI, _EDD = 1 << 7, 1 << 19  # BIOS characteristics


class _Structures:
    """Structures in the making: each has a handle, a fixed part and strings.

    Args:
        passed: what the toolstack gave; the first of each type counts, vendors' types all.
    """

    def __init__(self, passed: Iterable[bytes]) -> None:
        self.parts: list[bytes] = []
        self._passed: dict[int, bytes] = {}
        self.vendors: list[bytes] = []
        for one in passed:
            if one[0] >= _VENDOR:
                self.vendors.append(one)
            else:
                self._passed.setdefault(one[0], one)

    def passed(self, kind: int) -> bool:
        """Take the structure that was passed, if there is one; it gets the usual handle."""
        found = self._passed.get(kind)
        if found is not None:
            self.parts.append(found[:2] + pack("<H", kind << 8) + found[4:])
        return found is not None

    def add(self, kind: int, handle: int, fields: bytes, *strings: str) -> None:
        """One structure; empty strings must be given number 0 in ``fields`` and are left out here."""
        texts = b"".join(text.encode("latin-1", "replace") + b"\0" for text in strings if text)
        self.parts.append(pack("<BBH", kind, 4 + len(fields), handle) + fields + (texts or b"\0") + b"\0")


def write_smbios(memory: FirmwareMemory, bios: Bios, info: HvmInfo, cpu: Cpu) -> Gpa:
    """Build the structures and put them where the BIOS looks.

    Returns:
        the address of the entry point: in scratch memory, or at 0xEB000 for a BIOS that reads no tables array.

    Raises:
        FirmwareStopped: more structures than fit at 0xEB000, or what was passed is not a row of structures.
    """
    parts = _build(memory, info, cpu)
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


def _build(memory: FirmwareMemory, info: HvmInfo, cpu: Cpu) -> list[bytes]:
    made = _Structures(passthrough.structures(memory))
    _identity(made, memory.platform, cpu)
    for number in range(1, info.nr_vcpus + 1):
        made.add(
            4,
            0x400 + number,
            pack(
                "<BBBBQBBHHHBBHHHBBB",
                *(1, 3, 1, 2, cpu.identity, 0, 0, 0, cpu.mhz, cpu.mhz, 0x41, 1),
                *(_NONE, _NONE, _NONE, 0, 0, 0),
            ),
            f"CPU {number}",
            cpu.manufacturer,
        )
    if not made.passed(11):
        oem: list[str] = []
        while len(oem) < _OEM_MOST and (more := _text(memory.platform, f"oem-{len(oem) + 1}")):
            oem.append(more)
        oem = oem or ["Xen"]
        made.add(11, 0xB00, pack("<B", len(oem)), *oem)
    _memory(made, memory)
    _battery(made, memory.platform)
    made.add(32, 0x2000, bytes(7))
    made.passed(39)
    if made.vendors:
        made.parts.append(b"".join(made.vendors))  # the entry point counts them as one, as hvmloader's does
    made.add(127, 0x7F00, b"")
    return made.parts


def _text(platform: Platform, key: str, default: str = "") -> str:
    return keys.text(platform, f"bios-strings/{key}", default)


def _identity(made: _Structures, platform: Platform, cpu: Cpu) -> None:
    """BIOS, system, baseboard when something is known of it, and enclosure."""

    def text(key: str, default: str = "") -> str:
        return _text(platform, key, default)

    if not made.passed(0):
        made.add(
            0,
            0,
            pack("<BBHBBQBBBBBB", 1, 2, 0xE800, 3, 0, _PCI | _EDD, 0, 4, *cpu.xen_numbers, 0xFF, 0xFF),
            text("bios-vendor", "Xen"),
            text("bios-version", cpu.xen_version),
            _DATE,
        )
    if not made.passed(1):
        uuid = _uuid(platform.xenstore("vm") or "")
        made.add(
            1,
            0x100,
            pack("<BBBB16sBBB", 1, 2, 3, 4, uuid, 6, 0, 0),
            text("system-manufacturer", "Xen"),
            text("system-product-name", "HVM domU"),
            text("system-version", cpu.xen_version),
            text("system-serial-number", uuid_text(uuid)),
        )
    names = ("manufacturer", "product-name", "version", "serial-number", "asset-tag", "location-in-chassis")
    board = [text(f"baseboard-{name}") for name in names]
    if not made.passed(2) and any(board):
        *numbers, place = _numbers(board)
        made.add(2, 0x200, pack("<BBBBBBBHBB", *numbers, 9, place, 0x300, 10, 0), *board)
    if not made.passed(3):
        chassis = text("enclosure-manufacturer", "Xen"), text("enclosure-serial-number"), text("enclosure-asset-tag")
        maker, serial, tag = _numbers(chassis)
        made.add(3, 0x300, pack("<BBBBBBBBBIBBBB", maker, 1, 0, serial, tag, 3, 3, 3, 2, 0, 0, 0, 0, 0), *chassis)


def _battery(made: _Structures, platform: Platform) -> None:
    if not made.passed(22) and keys.flag(platform, "hvmloader/smbios/default_battery", "0"):
        fields = pack("<BBBBBBHHBBHHBBI", 1, 2, 3, 0, 4, 2, 0, 0, 0, 0xFF, 0, 0, 0, 0, 0)
        maker, name = _text(platform, "battery-manufacturer", "Xen"), _text(platform, "battery-device-name", "XEN-VBAT")
        made.add(22, 0x1600, fields, "Primary", maker, _DATE, name)


def _memory(made: _Structures, memory: FirmwareMemory) -> None:
    size = align_up(memory.size, MIB)
    devices = -(-size // _DEVICE)
    made.add(16, 0x1000, pack("<BBBIHH", 1, 3, 6, size // KIB & _WORD, 0xFFFE, devices))
    for number in range(devices):
        first, last = number * _DEVICE, min((number + 1) * _DEVICE, size)
        made.add(
            17,
            0x1100 + number,
            pack("<HHHHHBBBBBHHBBBB", 0x1000, 0, 64, 64, (last - first) // MIB, 9, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0),
            f"DIMM {number}",
        )
        made.add(19, 0x1300 + number, _range(first, last) + pack("<HB", 0x1000, 1))
        made.add(20, 0x1400 + number, _range(first, last) + pack("<HHBBB", 0x1100 + number, 0x1300 + number, 1, 0, 0))


def _numbers(texts: Sequence[str]) -> list[int]:
    """The number of each string among those that are not empty; 0 for an empty one."""
    return [sum(map(bool, texts[: at + 1])) if text else 0 for at, text in enumerate(texts)]


def _range(start: int, end: int) -> bytes:
    """First and last KiB; from 4 TiB on they wrap, as hvmloader's do."""
    return pack("<II", *(address // KIB & _WORD for address in (start, end - 1)))


def _uuid(path: str) -> bytes:
    """The 16 bytes of the UUID that ends a ``/vm/UUID`` path, or zeros."""
    try:
        raw = bytes.fromhex(path.rpartition("/")[2].replace("-", ""))
    except ValueError:
        raw = b""
    return raw if len(raw) == 16 else bytes(16)
