"""The location of structures in an NFIT: offsets only, without parsing the table (ACPI 6.5, 5.2.25).

For those who name the bytes that decide something. ``nfit_format`` reads what the structures say.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST = 40  # bytes of the header of the table and its reserved field
SPA_RANGE, REGION_MAP, INTERLEAVE = 0, 1, 2  # structure types


def places(table: bytes) -> Iterator[tuple[int, int, int]]:
    """(offset in the table, type, length) of each structure, up to the first that cannot be one."""
    at = FIRST
    while at + 4 <= len(table):
        kind, length = _number(table, at, 2), _number(table, at + 2, 2)
        if not 4 <= length <= len(table) - at:
            return
        yield at, kind, length
        at += length


def spa_range_of(table: bytes, address: int) -> tuple[int, int] | None:
    """(offset, index) of the SPA range structure whose range holds an address."""
    for at, kind, length in places(table):
        if kind == SPA_RANGE and length >= 48:
            base = _number(table, at + 32, 8)
            if base <= address < base + _number(table, at + 40, 8):
                return at, _number(table, at + 4, 2)
    return None


def spa_ranges(table: bytes) -> list[int]:
    """The first address of each SPA range, in the order of the table."""
    return [_number(table, at + 32, 8) for at, kind, length in places(table) if kind == SPA_RANGE and length >= 48]


def region_map_of(table: bytes, index: int, handle: int) -> int | None:
    """The offset of the structure that maps the NVDIMM with this handle into the SPA range with this index."""
    for at, kind, length in places(table):
        if (
            kind == REGION_MAP
            and length >= 48
            and (_number(table, at + 4, 4), _number(table, at + 12, 2)) == (handle, index)
        ):
            return at
    return None


def interleave_of(table: bytes, region_map: int) -> int | None:
    """The offset of the interleave structure that a region mapping, at this offset, refers to; None without one."""
    index = _number(table, region_map + 40, 2)
    for at, kind, length in places(table):
        if index and kind == INTERLEAVE and length >= 16 and _number(table, at + 4, 2) == index:
            return at
    return None


def _number(table: bytes, at: int, width: int) -> int:
    return int.from_bytes(table[at : at + width], "little")
