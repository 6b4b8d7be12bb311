"""The E820 that hvmloader hands to the BIOS.

Its own rows: low memory, the BIOS image, the ACPI tables (NVS), and everything from there to 4 GiB. Then the
toolstack's: RAM, as far as hvmloader left it, and reserved device memory. As an addition to Xen's, persistent memory
that the device model's NFIT names is listed with type 7.
"""

from __future__ import annotations

from _struct import unpack_from

from xlpy.addr import LIMIT, MIB, PAGE, Gpa, Span
from xlpy.firmware.acpi.guid import guid_bytes
from xlpy.firmware.acpi.header import HEADER_SIZE
from xlpy.firmware.acpi.nfit_codes import PERSISTENT_MEMORY
from xlpy.firmware.e820 import E820_NVS, E820_PMEM, E820_RAM, E820_RESERVED, E820Entry
from xlpy.firmware.hvmloader.memory import MIN_LOW_RAM
from xlpy.firmware.hvmloader.stop import stop
from xlpy.firmware.layout import FOUR_GIB, HOLE_END, VGA_WINDOW
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.errors import FirmwareStopped
    from xlpy.firmware.hvmloader.bios import Bios
    from xlpy.firmware.hvmloader.memory import FirmwareMemory
    from xlpy.firmware.hvmloader.pci import PciWindows

_STRUCTURES = HEADER_SIZE + 4
_SPA_RANGE, _SPA_RANGE_SIZE = 0, 56


def pmem_ranges(nfit: bytes) -> list[Span[Gpa]]:
    """The persistent memory ranges of a table whose length and checksum are good.

    Raises:
        FirmwareStopped: a structure that does not fit into the table, or a range that is empty or ends beyond 2**64.
    """
    found, at, pmem = [], _STRUCTURES, guid_bytes(PERSISTENT_MEMORY)
    while at < len(nfit):
        left = len(nfit) - at
        kind, size = unpack_from("<HH", nfit, at) if left >= 4 else (-1, 0)
        if not 4 <= size <= left or (kind == _SPA_RANGE and size < _SPA_RANGE_SIZE):
            raise _malformed(f"the structure at offset {at:#x} has {size} bytes, {left} are left")
        if kind == _SPA_RANGE and nfit[at + 16 : at + 32] == pmem:
            start, length = unpack_from("<QQ", nfit, at + 32)
            if not length or start + length > LIMIT:
                raise _malformed(f"persistent memory of {length:#x} bytes at {start:#x}")
            found.append(Span(Gpa(start), length))
        at += size
    return found


def _malformed(what: str) -> FirmwareStopped:
    return stop(
        f"dm-acpi: the NFIT is malformed: {what}",
        code="XLPY-DMACPI-NFIT",
        hint="structures fill the table exactly; a range has at least one byte and ends within 64 bits",
    )


def build_e820(
    memory: FirmwareMemory,
    bios: Bios,
    windows: PciWindows,
    physical_bits: int,
    *,
    acpi: bool,
    pmem: Iterable[Span[Gpa]] = (),
) -> list[E820Entry]:
    """All rows, by address.

    Args:
        memory: RAM and the toolstack's other rows.
        bios: whose image is reserved.
        windows: which persistent memory must keep clear of.
        physical_bits: width of the CPU's physical addresses.
        acpi: whether there are ACPI tables.
        pmem: ranges of the device model's NFIT.

    Raises:
        FirmwareStopped: less than 2 MiB of RAM, or persistent memory that overlaps something or is out of reach.
    """
    if memory.low_end < MIN_LOW_RAM:
        raise stop(f"RAM ends at {memory.low_end:#x}, required at least {MIN_LOW_RAM:#x}", hint="raise memory=")
    rows = [
        E820Entry.between(0, VGA_WINDOW, E820_RAM),
        E820Entry.between(bios.image.start, MIB, E820_RESERVED),
        *_firmware_rows(memory, acpi=acpi),
        *memory.others,
    ]
    for span in pmem:
        row = E820Entry(span.start, span.size, E820_PMEM)
        _check_pmem(row, [*rows, *memory.ram_rows()], windows, physical_bits)
        rows.append(row)
    return sorted(rows, key=lambda row: row.start)


def _firmware_rows(memory: FirmwareMemory, *, acpi: bool) -> list[E820Entry]:
    """RAM, and what firmware uses: at the top of 4 GiB, or cut out of RAM where the platform has none at the top."""
    layout, ram = memory.layout, memory.ram_rows()
    in_use = memory.acpi_end if acpi else layout.acpi_info
    nvs = [E820Entry.between(layout.acpi_info, in_use, E820_NVS)] if acpi else []
    if not layout.populated:
        return [*nvs, E820Entry.between(in_use, FOUR_GIB, E820_RESERVED), *ram]
    block = Span.between(layout.acpi_info, Gpa(layout.mailbox + PAGE))
    for row in ram:
        if row.span.covers(block):
            ram.remove(row)
            parts = (row.start, block.start), (block.end, row.end)
            ram += [E820Entry.between(start, end, E820_RAM) for start, end in parts if start < end]
            break
    else:
        raise stop(f"firmware's own memory {block} does not lie in RAM", hint="give the domain more memory")
    top = E820Entry.between(HOLE_END, FOUR_GIB, E820_RESERVED)
    return [*nvs, E820Entry.between(in_use, block.end, E820_RESERVED), top, *ram]


def _check_pmem(row: E820Entry, rows: list[E820Entry], windows: PciWindows, physical_bits: int) -> None:
    taken = [(other.span, "another row") for other in rows]
    taken += [(windows.low, "the PCI hole"), (windows.high, "64-bit PCI memory")]
    where = next((f"{what} {span}" for span, what in taken if row.span.overlaps(span)), None)
    if where is None and row.end > 1 << physical_bits:
        where = f"what {physical_bits} bits of physical address do not reach"
    if where is not None:
        raise stop(
            f"persistent memory {row.span} of the device model overlaps {where}",
            code="XLPY-FIRMWARE-E820",
            hint="the device model must place vNVDIMMs above RAM and clear of PCI memory",
        )
