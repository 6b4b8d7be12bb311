"""The E820 memory map: entries as firmware passes them on (ACPI 6.x chapter 15, Xen ``hvm/e820.h``)."""

from __future__ import annotations

from _struct import Struct

from xlpy.addr import LIMIT, Gpa, Span
from xlpy.errors import FormatError
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

E820_RAM, E820_RESERVED, E820_ACPI, E820_NVS, E820_UNUSABLE = 1, 2, 3, 4, 5
E820_PMEM = 7  # persistent memory, ACPI 6.0; unknown to Xen's hvmloader
E820_PMEM_LEGACY = 12  # the same, as firmware said it before

TYPE_NAMES = {
    E820_RAM: "RAM",
    E820_RESERVED: "RESERVED",
    E820_ACPI: "ACPI",
    E820_NVS: "NVS",
    E820_UNUSABLE: "UNUSABLE",
    E820_PMEM: "PMEM",
    E820_PMEM_LEGACY: "PMEM (type 12)",
}

MAX_ENTRIES = 128  # E820MAX: the toolstack's map, and what SeaBIOS reads

_ENTRY = Struct("<QQI")
ENTRY_SIZE = _ENTRY.size


class E820Entry(NamedTuple):
    """One row: ``size`` bytes from ``start`` (guest physical, half-open) of an address range type."""

    start: Gpa
    size: int
    type: int

    @property
    def end(self) -> Gpa:
        """The first address after the row."""
        return Gpa(self.start + self.size)

    @property
    def span(self) -> Span[Gpa]:
        """The row's addresses."""
        return Span(self.start, self.size)

    @classmethod
    def between(cls, start: int, end: int, kind: int) -> E820Entry:
        """The row ``[start, end)``."""
        return cls(Gpa(start), end - start, kind)


def pack(entries: Iterable[E820Entry]) -> bytes:
    """The entries as 20-byte records: base u64, length u64, type u32, little-endian."""
    return b"".join(_ENTRY.pack(*entry) for entry in entries)


def unpack(data: bytes) -> list[E820Entry]:
    """Read what `pack` wrote.

    Raises:
        FormatError: not a whole number of records, or a record that ends beyond 2**64.
    """
    if len(data) % ENTRY_SIZE:
        raise FormatError(
            f"an E820 array is a multiple of {ENTRY_SIZE} bytes, found {len(data)}",
            offset=len(data) // ENTRY_SIZE * ENTRY_SIZE,
            path="e820",
        )
    entries = [E820Entry(Gpa(start), size, kind) for start, size, kind in _ENTRY.iter_unpack(data)]
    for index, entry in enumerate(entries):
        if entry.start + entry.size > LIMIT:
            raise FormatError(
                f"E820 entry {index} ends beyond 2**64: {entry.start:#x} + {entry.size:#x}",
                offset=index * ENTRY_SIZE,
                path=f"e820[{index}]",
            )
    return entries


def format_map(entries: Sequence[E820Entry]) -> Iterator[str]:
    """The rows as hvmloader prints them, with a ``HOLE`` line between rows that do not touch."""
    previous = 0
    for index, entry in enumerate(entries):
        if entry.start > previous:
            yield f" HOLE: {_address(previous)} - {_address(entry.start)}"
        elif entry.start < previous:
            yield " OVERLAP!!"
        name = TYPE_NAMES.get(entry.type) if entry.type != E820_PMEM_LEGACY else None
        name = name or f"UNKNOWN TYPE {entry.type}"
        yield f" [{index:02d}]: {_address(entry.start)} - {_address(entry.end)}: {name}"
        previous = entry.end


def _address(value: int) -> str:
    return f"{value >> 32:08x}:{value & 0xFFFFFFFF:08x}"
