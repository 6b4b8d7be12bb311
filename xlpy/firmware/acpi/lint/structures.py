"""Structures with a type and a length, back to back, as MADT, SRAT and NFIT hold them.

They are looked at one by one, with our own numbers: one that is broken must not hide the others, and a table of which
the rest is in order must not be called unreadable.
"""

from __future__ import annotations

from xlpy.firmware.acpi.lint.findings import Finding, finding
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Structure(NamedTuple):
    """One structure: its type, its offset in the table, and its bytes, type and length included."""

    type: int
    at: int
    data: bytes

    def number(self, at: int, width: int) -> int:
        """A little-endian field; 0 where the structure ends before it."""
        return int.from_bytes(self.data[at : at + width], "little")


class Reserved(NamedTuple):
    """A field of which some bits, or all, must be 0: its name, offset and width in bytes, and the bits in use."""

    name: str
    at: int
    width: int
    used: int = 0


def walk(name: str, code: str, data: bytes, start: int, width: int) -> tuple[list[Structure], list[Finding]]:
    """The structures of a table.

    Args:
        name: of the table.
        code: of the finding for a length with which the walk cannot go on.
        data: the whole table.
        start: offset of the first structure.
        width: bytes of the type, and of the length.
    """
    found: list[Structure] = []
    at = start
    while at < len(data):
        left = len(data) - at
        length = int.from_bytes(data[at + width : at + 2 * width], "little")
        if left < 2 * width:
            return found, [finding(code, name, at, f"{left} bytes are left, type and length have {2 * width}")]
        if not 2 * width <= length <= left:
            kind = int.from_bytes(data[at : at + width], "little")
            what = f"a structure of type {kind} has length {length}, {left} bytes are left in the table"
            return found, [finding(code, name, at + width, f"{what}; what follows it cannot be found")]
        found.append(Structure(int.from_bytes(data[at : at + width], "little"), at, data[at : at + length]))
        at += length
    return found, []


def whole_ones(
    name: str,
    code: str,
    structures: Iterable[Structure],
    lengths: Mapping[int, int],
    names: Mapping[int, str],
    found: list[Finding],
) -> list[Structure]:
    """The structures that have the length of their type; of each other one there is a finding more in ``found``.

    Args:
        name: of the table.
        code: of those findings.
        structures: of the table, each with a length of one byte.
        lengths: bytes by type; a type that is not there may have any.
        names: of types, with their article.
        found: to which findings are added.
    """
    whole = []
    for one in structures:
        wanted = lengths.get(one.type, len(one.data))
        if len(one.data) == wanted:
            whole.append(one)
            continue
        what = f"{names.get(one.type, f'a structure of type {one.type}')} has {len(one.data)} bytes"
        found.append(finding(code, name, one.at + 1, f"{what}, {wanted} are required"))
    return whole


def reserved(name: str, structures: Iterable[Structure], rules: Mapping[int, Iterable[Reserved]]) -> list[Finding]:
    """Reserved bits and bytes that are not 0."""
    found = []
    for one in structures:
        for rule in rules.get(one.type, ()):
            extra = one.number(rule.at, rule.width) & ~rule.used
            if extra:
                place = one.at + rule.at
                found.append(finding("reserved-bits", name, place, f"{rule.name} sets the reserved bits {extra:#x}"))
    return found
