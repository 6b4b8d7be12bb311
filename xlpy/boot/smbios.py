"""The domain's SMBIOS for the emulator, whose BIOS would else describe the emulator (DMTF DSP0134).

QEMU's option -smbios takes structures one by one and writes an entry point of its own, of version 2.8 or later. It adds
the end of the table, and refuses processors whose number is not that of its sockets: these two are left to it.
"""

from __future__ import annotations

from _struct import Struct

from xlpy.addr import Gpa
from xlpy.firmware.hvmloader.bios import SMBIOS_LOW
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

_ENTRY = Struct("<4s18xHI3x")  # anchor; length and address of the structures
_SYSTEM, _PROCESSOR, _END = 1, 4, 127
_UUID = slice(8, 24)  # of a system structure


def structures(read: Callable[[Gpa, int], bytes], tables: Iterable[Gpa]) -> Iterator[bytes]:
    """The structures that the emulator is to show, in their order.

    Args:
        read: reads guest physical memory.
        tables: where hvmloader may have left the entry point: what it handed to the BIOS.
    """
    for place in (*tables, SMBIOS_LOW.start):
        anchor, length, address = _ENTRY.unpack(read(place, _ENTRY.size))
        if anchor == b"_SM_":
            yield from map(_later, _split(read(Gpa(address), length)))
            return


def files(folder: Path, found: Sequence[bytes]) -> list[Path]:
    """Where the emulator finds each of these structures."""
    return [folder / f"{at}.smbios" for at in range(len(found))]


def write(folder: Path, found: Sequence[bytes]) -> None:
    """Put them there."""
    for path, structure in zip(files(folder, found), found, strict=True):
        with open(path, "wb", opener=private) as file:
            file.write(structure)


def _split(table: bytes) -> Iterator[bytes]:
    """One structure after the other: type, length of the fixed part, then strings up to an empty one."""
    at = 0
    while at + 4 <= len(table):
        end = table.find(b"\0\0", at + table[at + 1]) + 2
        if end < at + 4:
            return
        if table[at] not in (_PROCESSOR, _END):
            yield table[at:end]
        at = end


def _later(structure: bytes) -> bytes:
    """As an entry point of 2.6 or later has it: there a UUID's first three fields are little-endian, in hvmloader's 2.4
    they are read as they are written."""
    if structure[0] != _SYSTEM or structure[1] < _UUID.stop:
        return structure
    uuid = structure[_UUID]
    turned = uuid[3::-1] + uuid[5:3:-1] + uuid[7:5:-1] + uuid[8:]
    return structure[: _UUID.start] + turned + structure[_UUID.stop :]
