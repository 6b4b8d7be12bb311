"""SRAT and SLIT: which processors and memory belong together, and how far they are (ACPI 6.5, 5.2.16 and 5.2.17).

Linux and Xen drop such a table as a whole when a distance is impossible or memory belongs to two domains; the machine
then runs as if all memory were alike.
"""

from __future__ import annotations

from itertools import pairwise

from xlpy.addr import LIMIT
from xlpy.firmware.acpi.lint.findings import Finding, finding
from xlpy.firmware.acpi.lint.structures import Reserved, Structure, reserved, walk, whole_ones
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SRAT_FIRST = 48  # offset of the first structure
_PROCESSOR, _MEMORY, _X2APIC, _GICC, _ITS, _INITIATOR = range(6)
_LENGTHS = {_PROCESSOR: 16, _MEMORY: 40, _X2APIC: 24, _GICC: 18, _ITS: 12, _INITIATOR: 32}
_NAMES = {_PROCESSOR: "a processor", _MEMORY: "a memory range", _X2APIC: "a local x2APIC"}
_RESERVED = {
    _PROCESSOR: (Reserved("flags", 4, 4, 1),),
    _MEMORY: (
        Reserved("the first reserved field", 6, 2),
        Reserved("the second reserved field", 24, 4),
        Reserved("flags", 28, 4, 0b111),
    ),
    _X2APIC: (
        Reserved("the first reserved field", 2, 2),
        Reserved("flags", 12, 4, 1),
        Reserved("the second reserved field", 20, 4),
    ),
}
_ENABLED = 1
LOCAL = 10  # the distance to oneself
_TOLD = 8  # wrong distances that are listed one by one


def check_srat(name: str, data: bytes) -> list[Finding]:
    """Everything about one SRAT."""
    structures, found = walk(name, "srat-entry", data, SRAT_FIRST, 1)
    whole = whole_ones(name, "srat-entry", structures, _LENGTHS, _NAMES, found)
    wide = data[8] >= 2  # revision 1 has domains of 8 bits, and rubbish behind them
    found += [*_memory(name, whole, wide), *_processors(name, whole, wide)]
    return found + reserved(name, whole, _RESERVED)


def domains(data: bytes) -> set[int]:
    """The proximity domains that an SRAT names."""
    structures, _ = walk("srat", "srat-entry", data, SRAT_FIRST, 1)
    wide = data[8] >= 2
    found = {domain for _, _, domain, _ in _ranges(structures, wide)}
    return found | {domain for _, _, domain in _members(structures, wide)}


def _ranges(structures: Sequence[Structure], wide: bool) -> Iterator[tuple[int, int, int, int]]:
    """Enabled memory: start, end, proximity domain, offset of its structure."""
    for one in structures:
        if one.type == _MEMORY and one.number(28, 4) & _ENABLED:
            start, size = one.number(8, 8), one.number(16, 8)
            yield start, start + size, one.number(2, 4 if wide else 1), one.at


def _memory(name: str, structures: Sequence[Structure], wide: bool) -> Iterator[Finding]:
    ranges = sorted(_ranges(structures, wide))
    for start, end, _, at in ranges:
        if end > LIMIT:
            yield finding("srat-range", name, at + 16, f"{end - start:#x} bytes at {start:#x} reach beyond 2**64")
    for one, two in pairwise([part for part in ranges if part[0] < part[1]]):
        if two[0] < one[1]:
            both = f"the range at {two[0]:#x} of domain {two[2]} overlaps the one of domain {one[2]} at {one[0]:#x}"
            code = "srat-overlap" if one[2] != two[2] else "srat-overlap-same"
            yield finding(code, name, two[3] + 8, f"{both}, which ends at {one[1]:#x}")


def _members(structures: Sequence[Structure], wide: bool) -> Iterator[tuple[Structure, int, int]]:
    """Enabled processors: structure, APIC id, proximity domain."""
    for one in structures:
        if one.type == _PROCESSOR and one.number(4, 4) & _ENABLED:
            high = one.number(9, 3) << 8 if wide else 0
            yield one, one.number(3, 1), one.number(2, 1) | high
        elif one.type == _X2APIC and one.number(12, 4) & _ENABLED:
            yield one, one.number(8, 4), one.number(4, 4)


def _processors(name: str, structures: Sequence[Structure], wide: bool) -> Iterator[Finding]:
    home: dict[int, int] = {}
    for one, apic, domain in _members(structures, wide):
        first = home.setdefault(apic, domain)
        if first != domain:
            place = one.at + (3 if one.type == _PROCESSOR else 8)
            yield finding("srat-apic-id", name, place, f"APIC id {apic} is in domain {domain}, and in {first} too")


def check_slit(name: str, data: bytes) -> list[Finding]:
    """Everything about one SLIT."""
    size = int.from_bytes(data[36:44], "little")
    there = len(data) - 44
    if there < 0 or size * size != there:
        what = f"{size} localities have {size * size} distances, {max(there, 0)} are there"
        return [finding("slit-size", name, 36, what)]
    found, near = [], []
    for at in range(size):
        row = data[44 + at * size : 44 + (at + 1) * size]
        if row[at] != LOCAL:
            place = 44 + at * size + at
            what = f"the distance from locality {at} to itself is {row[at]}, {LOCAL} is required"
            found.append(finding("slit-diagonal", name, place, what))
        if min(row) <= LOCAL:
            near += [(at, to, distance) for to, distance in enumerate(row) if distance <= LOCAL and to != at]
    for at, to, distance in near[:_TOLD]:
        what = f"the distance from locality {at} to {to} is {distance}, more than {LOCAL} is required"
        found.append(finding("slit-distance", name, 44 + at * size + to, what))
    if near[_TOLD:]:
        found.append(finding("slit-distance", name, 44, f"{len(near) - _TOLD} more distances are {LOCAL} or less"))
    return found
