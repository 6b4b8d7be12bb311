"""Interleaving: computing the DIMM and address of each byte of a region.

ACPI 6.2, 5.2.25.2 and 5.2.25.3: a region repeats a block of ``n * S * W`` bytes (n lines in each device's table, line
size S, W devices). Device i has a region offset R and line offsets L; byte o of its part (o = DPA - DPA base) lies at

    R + L[col] * S + row * n * S * W + o mod S      with line = o div S, row = line div n, col = line mod n

The lines of all devices tile the block exactly once.
"""

from __future__ import annotations

from xlpy.errors import FormatError
from xlpy.records import NamedTuple


class Way(NamedTuple):
    """One device of a set. offset: region offset R in bytes; lines: line offsets L in lines."""

    offset: int = 0
    lines: tuple[int, ...] = (0,)


class Interleave:
    """The translation of one set, both ways.

    Args:
        line: line size S in bytes.
        ways: the devices.

    Raises:
        FormatError: the lines do not tile the block exactly once.
    """

    __slots__ = ("_column", "_owner", "_starts", "block", "line", "rows", "ways")

    def __init__(self, line: int, ways: tuple[Way, ...]) -> None:
        if line < 1 or not ways or not ways[0].lines:
            raise FormatError(
                f"an interleave set needs devices, lines and a line size, not {len(ways)} of {line} bytes"
            )
        self.line = line
        self.ways = ways
        self.rows = len(ways[0].lines)
        self.block = self.rows * line * len(ways)  # bytes after which the pattern repeats
        self._owner = [-1] * (self.rows * len(ways))
        self._column = list(self._owner)
        self._starts: list[tuple[int, ...]] = []
        for i, way in enumerate(ways):
            starts = tuple(way.offset + number * line for number in way.lines)
            if len(starts) != self.rows:
                raise FormatError(f"device {i} has {len(starts)} lines in its table, device 0 has {self.rows}")
            for column, start in enumerate(starts):
                slot, rest = divmod(start, line)
                if rest or not 0 <= slot < len(self._owner) or self._owner[slot] >= 0:
                    raise FormatError(
                        f"line {column} of device {i} at {start:#x} does not tile the block of {self.block:#x} bytes",
                        hint="a device's skew goes into its region offset or its line offsets, not into both",
                    )
                self._owner[slot], self._column[slot] = i, column
            self._starts.append(starts)

    @classmethod
    def round_robin(cls, ways: int, line: int) -> Interleave:
        """Line by line in turn: device i's skew is its region offset i * line, and every table is [0]."""
        return cls(line, tuple(Way(i * line) for i in range(ways)))

    def to_region(self, way: int, offset: int) -> int:
        """The region offset of byte ``offset`` in the part of device ``way``."""
        line, rest = divmod(offset, self.line)
        row, column = divmod(line, self.rows)
        return row * self.block + self._starts[way][column] + rest

    def to_device(self, offset: int) -> tuple[int, int]:
        """(way, offset in that device's part) of a region offset."""
        row, rest = divmod(offset, self.block)
        slot, sub = divmod(rest, self.line)
        return self._owner[slot], (row * self.rows + self._column[slot]) * self.line + sub
