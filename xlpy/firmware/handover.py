"""What hvmloader leaves for the BIOS: the info block at 0x1000, read back as SeaBIOS and OVMF read it."""

from __future__ import annotations

from _struct import Struct

from xlpy.addr import Gpa
from xlpy.errors import FirmwareStopped
from xlpy.firmware.e820 import ENTRY_SIZE, MAX_ENTRIES, unpack
from xlpy.firmware.layout import BIOS_INFO, RSDP_OVMF
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.firmware.e820 import E820Entry

_SEABIOS, _OVMF = Struct("<14sBBIIII"), Struct("<14sBBQIQI")
_SIGNATURES = {b"XenHVMSeaBIOS\0": (_SEABIOS, 4), b"XenHVMOVMF\0\0\0\0": (_OVMF, 8)}
_TABLES = 4  # the most that the array holds


class Handover(NamedTuple):
    """rsdp: address of the RSDP, or None without ACPI. e820: the memory map. tables: what the array points to.

    rows: where the memory map is.
    """

    rsdp: Gpa | None
    e820: list[E820Entry]
    tables: list[Gpa]
    rows: Gpa


def read_handover(read: Callable[[Gpa, int], bytes]) -> Handover:
    """Read the info block and what it points to.

    Args:
        read: reads guest physical memory.

    Raises:
        FirmwareStopped: there is no valid block: hvmloader has not run, or did not finish.
    """
    for signature, (form, width) in _SIGNATURES.items():
        block = read(BIOS_INFO, form.size)
        if block[:14] != signature:
            continue
        _, length, _, array, count, rows, entries = form.unpack(block)
        if length != form.size or sum(block) & 0xFF or count > _TABLES or entries > MAX_ENTRIES:
            break
        raw = read(Gpa(array), count * width)
        tables = [Gpa(int.from_bytes(raw[at : at + width], "little")) for at in range(0, len(raw), width)]
        places = [*tables, RSDP_OVMF]
        rsdp = next((place for place in places if read(place, 8) == b"RSD PTR "), None)
        return Handover(rsdp, unpack(read(Gpa(rows), entries * ENTRY_SIZE)), tables, Gpa(rows))
    raise FirmwareStopped(
        f"no valid BIOS info block at {BIOS_INFO:#x}: hvmloader did not finish in this domain",
        hint="xlpy dmesg tells how far it came",
    )
