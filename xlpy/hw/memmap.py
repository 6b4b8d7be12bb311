"""The host's physical address map, in address order, and its E820.

RAM fills ``[0, LOW_TOP)``, jumps over the hole in which devices live, and goes on at 4 GiB; persistent memory lies
above. The map types are those of ACPI 6.2, table 15-312.
"""

from __future__ import annotations

from xlpy.addr import GIB, KIB, MIB, Spa, Span, align_up
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.hw.machine import MachineSpec

RAM, RESERVED, ACPI, NVS, PMEM = 1, 2, 3, 4, 7

EBDA = Spa(0x9FC00)
VGA_WINDOW = Spa(0xA0000)
BIOS = Spa(0xE0000)  # the RSDP is somewhere in E0000-FFFFF
ONE_MIB = Spa(0x100000)
LOW_TOP = Spa(3 * GIB)
FLUSH_HINTS = Spa(0xFD000000)  # one page for each DIMM
DEVICES = Spa(0xFEC00000)  # IOAPIC, HPET, local APIC, flash
HIGH = Spa(4 * GIB)

RAM_MIN = 64 * MIB
ACPI_SIZE = MIB  # of which the last part is NVS
NVS_SIZE = 64 * KIB
PMEM_ALIGN = GIB


class E820Entry(NamedTuple):
    """One line of the map: start and size in bytes, type as above."""

    start: Spa
    size: int
    type: int


def ram_spans(ram: int) -> tuple[Span[Spa], ...]:
    """Where ``ram`` bytes of RAM lie: below the hole, and above it if there is more."""
    low = min(ram, int(LOW_TOP))
    spans = (Span(Spa(0), low), Span(HIGH, ram - low))
    return spans if ram > low else spans[:1]


def acpi_span(ram: int) -> Span[Spa]:
    """Where firmware puts the ACPI tables: near the top of low RAM."""
    return Span(Spa(min(ram, LOW_TOP) - ACPI_SIZE), ACPI_SIZE - NVS_SIZE)


def nvs_span(ram: int) -> Span[Spa]:
    """Where firmware keeps what must survive sleep (the FACS): the very top of low RAM."""
    return Span(acpi_span(ram).end, NVS_SIZE)


def pmem_floor(ram: int) -> Spa:
    """The lowest address that persistent memory can have."""
    return Spa(max(HIGH, ram_spans(ram)[-1].end))


def place(ram: int, sizes: Sequence[int], given: Sequence[int | None]) -> list[Spa]:
    """Base addresses for regions: ``given`` ones stay, the others take the lowest free GiB above RAM, in order."""
    taken = [(base, base + size) for base, size in zip(given, sizes, strict=True) if base is not None]
    bases: list[Spa] = []
    for base, size in zip(given, sizes, strict=True):
        if base is None:
            base = align_up(pmem_floor(ram), PMEM_ALIGN)
            for start, end in sorted(taken):
                if base < end and start < base + size:
                    base = align_up(end, PMEM_ALIGN)
            taken.append((base, base + size))
        bases.append(Spa(base))
    return bases


def host_e820(spec: MachineSpec) -> list[E820Entry]:
    """The map that firmware reports, sorted and disjoint. Gaps are the VGA window and the device hole."""
    acpi, nvs = acpi_span(spec.ram), nvs_span(spec.ram)
    spans: list[tuple[Span[Spa], int]] = [
        (Span(Spa(0), EBDA), RAM),
        (Span.between(EBDA, VGA_WINDOW), RESERVED),
        (Span.between(BIOS, ONE_MIB), RESERVED),
        (Span.between(ONE_MIB, acpi.start), RAM),
        (acpi, ACPI),
        (nvs, NVS),
        *((span, RAM) for span in ram_spans(spec.ram)[1:]),
        *((Span(one.base, one.size), PMEM) for one in spec.sets),
        (Span.between(DEVICES, HIGH), RESERVED),
    ]
    return [E820Entry(span.start, span.size, kind) for span, kind in sorted(spans)]
