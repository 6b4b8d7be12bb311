"""The MADT: what an operating system takes its processors and interrupt inputs from (ACPI 6.5, 5.2.12)."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from xlpy.firmware.acpi.lint.findings import Finding, finding
from xlpy.firmware.acpi.lint.structures import Reserved, Structure, reserved, walk, whole_ones
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FIRST = 44  # offset of the first structure
_LOCAL, _IO_APIC, _OVERRIDE, _NMI_SOURCE, _LOCAL_NMI, _ADDRESS, _X2APIC, _X2APIC_NMI = 0, 1, 2, 3, 4, 5, 9, 10
_LENGTHS = {
    _LOCAL: 8,
    _IO_APIC: 12,
    _OVERRIDE: 10,
    _NMI_SOURCE: 8,
    _LOCAL_NMI: 6,
    _ADDRESS: 12,
    _X2APIC: 16,
    _X2APIC_NMI: 12,
}
_NAMES = {
    _LOCAL: "a local APIC",
    _IO_APIC: "an I/O APIC",
    _OVERRIDE: "an interrupt override",
    _X2APIC: "a local x2APIC",
}
_INPUTS = 16  # the fewest that an I/O APIC has (82489DX)
_APIC_FLAGS, _INTI_FLAGS = 0b11, 0b1111
_RESERVED = {
    _LOCAL: (Reserved("flags", 4, 4, _APIC_FLAGS),),
    _IO_APIC: (Reserved("the reserved byte", 3, 1),),
    _OVERRIDE: (Reserved("flags", 8, 2, _INTI_FLAGS),),
    _NMI_SOURCE: (Reserved("flags", 2, 2, _INTI_FLAGS),),
    _LOCAL_NMI: (Reserved("flags", 3, 2, _INTI_FLAGS),),
    _ADDRESS: (Reserved("the reserved field", 2, 2),),
    _X2APIC: (Reserved("the reserved field", 2, 2), Reserved("flags", 8, 4, _APIC_FLAGS)),
    _X2APIC_NMI: (Reserved("flags", 2, 2, _INTI_FLAGS), Reserved("the reserved field", 9, 3)),
}


def check(name: str, data: bytes) -> list[Finding]:
    """Everything about one MADT."""
    structures, found = walk(name, "madt-entry", data, FIRST, 1)
    if data[40:44] and int.from_bytes(data[40:44], "little") & ~1:
        found.append(finding("reserved-bits", name, 40, f"flags set the reserved bits {data[40] & ~1:#x}"))
    whole = whole_ones(name, "madt-entry", structures, _LENGTHS, _NAMES, found)
    found += [*_processors(name, whole), *_inputs(name, whole), *_overrides(name, whole)]
    return found + reserved(name, whole, _RESERVED)


def processors(structures: Sequence[Structure]) -> Iterator[tuple[Structure, int, int]]:
    """The enabled processors of a MADT: structure, APIC id, ACPI processor UID."""
    for one in structures:
        if one.type == _LOCAL and one.number(4, 4) & 1:
            yield one, one.number(3, 1), one.number(2, 1)
        elif one.type == _X2APIC and one.number(8, 4) & 1:
            yield one, one.number(4, 4), one.number(12, 4)


def _processors(name: str, structures: Sequence[Structure]) -> Iterator[Finding]:
    """Enabled processors have an APIC id and a UID of their own; firmware leaves those of the others as they are.

    The same processor may be there as a local APIC and as a local x2APIC: that is one.
    """
    seen: dict[tuple[str, int], tuple[int, ...]] = {}
    for one, apic, uid in processors(structures):
        for code, what, number in (("madt-apic-id", "APIC id", apic), ("madt-uid", "processor UID", uid)):
            kind, *other = seen.setdefault((code, number), (one.type, apic, uid, one.at))
            if other[-1] != one.at and (kind == one.type or other[:2] != [apic, uid]):
                yield finding(code, name, one.at + 2, f"{what} {number} is that of the processor at {other[-1]:#x} too")


def _inputs(name: str, structures: Sequence[Structure]) -> Iterator[Finding]:
    """I/O APICs have ids and interrupt inputs of their own."""
    chips = [one for one in structures if one.type == _IO_APIC]
    ordered = sorted(chips, key=lambda one: one.number(8, 4))
    for one, two in pairwise(ordered):
        base, other = one.number(8, 4), two.number(8, 4)
        if other - base < _INPUTS:
            what = f"the inputs of I/O APIC {two.number(2, 1)} begin at {other}, those of {one.number(2, 1)} at {base}"
            yield finding("madt-gsi", name, two.at + 8, f"{what}: they overlap, an I/O APIC has at least {_INPUTS}")
    by_id = defaultdict(list)
    for one in chips:
        by_id[one.number(2, 1)].append(one)
    for number, group in by_id.items():
        for one in group[1:]:
            yield finding("madt-io-apic-id", name, one.at + 2, f"I/O APIC id {number} is that of another I/O APIC")


def _overrides(name: str, structures: Sequence[Structure]) -> Iterator[Finding]:
    """An ISA interrupt is overridden once."""
    seen: set[int] = set()
    for one in structures:
        if one.type == _OVERRIDE:
            source = one.number(3, 1)
            if source in seen:
                yield finding("madt-override", name, one.at + 3, f"interrupt {source} is overridden already")
            seen.add(source)
