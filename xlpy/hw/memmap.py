"""The host's physical address map, in address order, and its E820.

RAM fills ``[0, LOW_TOP)``, jumps over the hole in which devices live, and goes on at 4 GiB; persistent memory lies
above, or anywhere between. The map types are those of ACPI 6.2, table 15-312, and 12 of earlier firmware.
"""

from __future__ import annotations

from xlpy.addr import GIB, KIB, MIB, PAGE, Spa, Span, align_up
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xlpy.hw.machine import MachineSpec

RAM, RESERVED, ACPI, NVS, PMEM = 1, 2, 3, 4, 7
PMEM_LEGACY = 12

EBDA = Spa(0x9FC00)
VGA_WINDOW = Spa(0xA0000)
BIOS = Spa(0xE0000)  # the RSDP is somewhere in E0000-FFFFF
ONE_MIB = Spa(0x100000)
LOW_TOP = Spa(3 * GIB)
FLUSH_HINTS = Spa(0xFD000000)  # one page for each DIMM
DEVICES = Spa(0xFEC00000)  # IOAPIC, HPET, local APIC, flash
IO_APIC, LOCAL_APIC = DEVICES, Spa(0xFEE00000)
HIGH = Spa(4 * GIB)

RAM_MIN = 64 * MIB
ACPI_SIZE = MIB  # of which the last part is NVS
NVS_SIZE = 64 * KIB
SET_ALIGN = GIB
SLOTS = 256  # for DIMMs at each memory controller: 16 channels of 16, as handles count them


class MemoryMapEntry(NamedTuple):
    """One line of the map: start and size in bytes, type as above."""

    start: Spa
    size: int
    type: int


def ram_spans(spec: MachineSpec) -> list[Span[Spa]]:
    """The ranges of RAM: from 0 on, except for the device hole below 4 GiB and persistent memory."""
    return fill_ram(spec.ram, [one.span for one in spec.sets])


def fill_ram(ram: int, taken: Iterable[Span[Spa]]) -> list[Span[Spa]]:
    """Where ``ram`` bytes of RAM lie between what is taken; in order, as few spans as there can be."""
    found, at, left = [], 0, ram
    for hole in sorted([*taken, Span.between(LOW_TOP, HIGH)]):
        size = min(left, hole.start - at)
        if size > 0:
            found.append(Span(Spa(at), size))
            left -= size
        at = max(at, hole.end)
    return [*found, Span(Spa(at), left)] if left else found


def _low_top(spec: MachineSpec) -> Spa:
    """Where the last RAM below 4 GiB ends."""
    return max(span.end for span in ram_spans(spec) if span.end <= LOW_TOP)


def acpi_span(spec: MachineSpec) -> Span[Spa]:
    """Where firmware puts the ACPI tables: near the top of low RAM."""
    return Span(Spa(_low_top(spec) - ACPI_SIZE), ACPI_SIZE - NVS_SIZE)


def nvs_span(spec: MachineSpec) -> Span[Spa]:
    """Where firmware keeps what must survive sleep (the FACS): the very top of low RAM."""
    return Span(acpi_span(spec).end, NVS_SIZE)


def fit_span(spec: MachineSpec) -> Span[Spa]:
    """Where firmware keeps what ``_FIT`` returns, which changes when DIMMs come and go: in the NVS area."""
    nvs = nvs_span(spec)
    return Span(Spa(nvs.start + PAGE), nvs.size - PAGE)


def pmem_floor(ram: int) -> Spa:
    """The lowest address that persistent memory gets when the description gives none."""
    return Spa(max(HIGH, fill_ram(ram, [])[-1].end))


def place(ram: int, sizes: Sequence[int], given: Sequence[int | None]) -> list[Spa]:
    """Base addresses for regions: ``given`` ones stay, the others take the lowest free GiB above RAM, in order."""
    taken = [(base, base + size) for base, size in zip(given, sizes, strict=True) if base is not None]
    around = fill_ram(ram, [Span.between(Spa(start), Spa(end)) for start, end in taken])
    floor = max(pmem_floor(ram), around[-1].end)
    bases: list[Spa] = []
    for base, size in zip(given, sizes, strict=True):
        if base is None:
            base = align_up(floor, SET_ALIGN)
            for start, end in sorted(taken):
                if base < end and start < base + size:
                    base = align_up(end, SET_ALIGN)
            taken.append((base, base + size))
        bases.append(Spa(base))
    return bases


def host_e820(spec: MachineSpec) -> list[MemoryMapEntry]:
    """The map that firmware reports, sorted and disjoint. Gaps are the VGA window and the device hole.

    Persistent memory that no NFIT describes has the type that firmware used before ACPI 6.
    """
    acpi, nvs = acpi_span(spec), nvs_span(spec)
    spans: list[tuple[Span[Spa], int]] = [
        (Span.between(EBDA, VGA_WINDOW), RESERVED),
        (Span.between(BIOS, ONE_MIB), RESERVED),
        (acpi, ACPI),
        (nvs, NVS),
        *((one.span, PMEM if one.dimms else PMEM_LEGACY) for one in spec.sets),
        (Span.between(DEVICES, HIGH), RESERVED),
    ]
    apart = [Span.between(EBDA, ONE_MIB), acpi, nvs]
    for ram in ram_spans(spec):
        at = ram.start
        for hole in (one for one in apart if one.start in ram):
            spans.append((Span.between(at, hole.start), RAM))
            at = hole.end
        spans.append((Span.between(at, ram.end), RAM))
    return [MemoryMapEntry(span.start, span.size, kind) for span, kind in sorted(spans) if span.size]
