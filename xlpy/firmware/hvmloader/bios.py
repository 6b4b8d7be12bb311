"""The BIOS that hvmloader starts, and the block in which it finds its tables (Xen's hvmloader, SeaBIOS and OVMF).

The image itself is not part of the model: its place in the memory map is.
"""

from __future__ import annotations

from _struct import Struct

from xlpy.addr import MIB, Gpa, Span
from xlpy.firmware import e820
from xlpy.firmware.acpi.header import set_checksum
from xlpy.firmware.hvmloader import keys
from xlpy.firmware.hvmloader.stop import stop
from xlpy.firmware.layout import BIOS_INFO, FOUR_GIB, RSDP_OVMF
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.firmware.e820 import E820Entry
    from xlpy.firmware.hvmloader.memory import FirmwareMemory
    from xlpy.firmware.platform import Platform

_E820_ROOM = 16
_TABLES_ROOM = 4
SMBIOS_LOW = Span(Gpa(0xEB000), 0x5000)


class Bios(NamedTuple):
    """What differs between BIOSes.

    image: what it takes below 1 MiB.
    flash: where the image as a whole lies.
    signature: of the info block at 0x1000.
    info: the block: signature, length, checksum, address and number of tables, address and number of E820 entries.
    pointer: one entry of the tables array.
    rsdp: the fixed address of the RSDP, or None for scratch memory and an entry in the tables array.
    mp_tables: whether it takes MP and PIR tables.
    """

    name: str
    image: Span[Gpa]
    flash: Span[Gpa]
    signature: bytes
    info: Struct
    pointer: Struct
    rsdp: Gpa | None
    mp_tables: bool


SEABIOS = Bios(
    "SeaBIOS",
    image=Span(Gpa(0xC0000), 0x40000),
    flash=Span(Gpa(0xC0000), 0x40000),
    signature=b"XenHVMSeaBIOS",
    info=Struct("<14sBBIIII"),
    pointer=Struct("<I"),
    rsdp=None,
    mp_tables=True,
)
OVMF = Bios(
    "OVMF",
    image=Span(Gpa(0xF0000), 0x10000),
    flash=Span.between(Gpa(FOUR_GIB - 2 * MIB), FOUR_GIB),
    signature=b"XenHVMOVMF",
    info=Struct("<14sBBQIQI"),
    pointer=Struct("<Q"),
    rsdp=RSDP_OVMF,
    mp_tables=False,
)
assert all(bios.image.end == MIB for bios in (SEABIOS, OVMF))

_BY_KEY = {"seabios": SEABIOS, "ovmf": OVMF}


def choose(platform: Platform) -> Bios:
    """The BIOS that the key ``hvmloader/bios`` names.

    Raises:
        FirmwareStopped: an unknown name, or ROMBIOS, whose device model is not modelled.
    """
    return by_name(keys.text(platform, "hvmloader/bios", "rombios"))


def by_name(name: str) -> Bios:
    """The BIOS of a name; raises as ``choose``."""
    bios = _BY_KEY.get(name)
    if bios is None:
        raise stop(
            f"unknown BIOS {name!r}", code="XLPY-FIRMWARE-BIOS", hint=f"write bios = one of {', '.join(_BY_KEY)}"
        )
    return bios


class InfoBlock:
    """The info block. Its array of table addresses is taken from scratch memory before anything else; a BIOS that knows
    where the tables are gets none.

    Args:
        bios: whose block.
        memory: where it goes.
    """

    def __init__(self, bios: Bios, memory: FirmwareMemory) -> None:
        self._bios, self._memory = bios, memory
        self._array = memory.scratch_alloc(_TABLES_ROOM * bios.pointer.size) if bios.rsdp is None else Gpa(0)

    def finish(self, entries: Sequence[E820Entry], tables: Sequence[Gpa]) -> None:
        """Write the E820 array, the tables array, and the block with its checksum.

        Args:
            entries: the E820.
            tables: what the BIOS takes over: SMBIOS entry point, MP floating pointer, PIR, RSDP, those there are.

        Raises:
            FirmwareStopped: more entries than a BIOS reads.
        """
        if len(entries) > e820.MAX_ENTRIES:
            raise stop(
                f"the E820 has {len(entries)} entries, a BIOS reads {e820.MAX_ENTRIES}",
                code="XLPY-FIRMWARE-E820",
                hint="give the domain fewer vNVDIMMs or reserved ranges",
            )
        platform, form = self._memory.platform, self._bios.info
        rows = self._memory.scratch_alloc(max(len(entries), _E820_ROOM) * e820.ENTRY_SIZE)
        platform.write(rows, e820.pack(entries))
        if self._array:
            platform.write(self._array, b"".join(map(self._bios.pointer.pack, tables)))
        block = form.pack(self._bios.signature, form.size, 0, self._array, len(tables), rows, len(entries))
        platform.write(BIOS_INFO, set_checksum(block, 15))
