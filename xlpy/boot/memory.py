"""A domain's RAM as one file that an emulator maps.

Byte x of the file is guest address x up to the end of low RAM; right behind it lies RAM from 4 GiB up. A boot works on
a copy of the domain's own file, so that each one starts from what the domain builder left, and the domain stays what
``create`` made of it.
"""

from __future__ import annotations

import mmap
import os

from xlpy.addr import PAGE, Gpa
from xlpy.firmware.e820 import E820_RAM
from xlpy.firmware.layout import FOUR_GIB
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.firmware.e820 import E820Entry


class RamSize(NamedTuple):
    """Bytes of RAM below and above 4 GiB."""

    low: int
    high: int

    @classmethod
    def of(cls, rows: Iterable[E820Entry]) -> RamSize:
        """What the memory map that the toolstack set comes to."""
        ends = [row.end for row in rows if row.type == E820_RAM]
        return cls(
            max((end for end in ends if end <= FOUR_GIB), default=0),
            max((end - FOUR_GIB for end in ends if end > FOUR_GIB), default=0),
        )

    @property
    def total(self) -> int:
        """Length of the file."""
        return self.low + self.high


class EmulatorMemory:
    """The RAM file by guest physical address.

    Args:
        fd: the file, open for reading and writing, as long as ``size.total``. It is the caller's to close.
        size: how its bytes are laid out.
    """

    def __init__(self, fd: int, size: RamSize) -> None:
        self._fd, self._size = fd, size

    def read(self, gpa: Gpa, length: int) -> bytes:
        """``length`` bytes; all ones where there is no RAM."""
        return b"".join(
            b"\xff" * size if offset is None else os.pread(self._fd, size, offset)
            for offset, size in self._pieces(gpa, length)
        )

    def write(self, gpa: Gpa, data: bytes) -> None:
        """Store ``data``; dropped where there is no RAM."""
        at = 0
        for offset, size in self._pieces(gpa, len(data)):
            if offset is not None:
                os.pwrite(self._fd, data[at : at + size], offset)
            at += size

    def page(self, gpa: Gpa) -> memoryview:
        """One page of RAM, shared with every process that maps the file."""
        self.write(gpa, self.read(gpa, PAGE))  # so that it has a block: a mapped hole on a full disk kills the process
        ((offset, _),) = self._pieces(gpa, PAGE)
        assert offset is not None
        return memoryview(mmap.mmap(self._fd, PAGE, offset=offset))

    def _pieces(self, gpa: int, length: int) -> Iterator[tuple[int | None, int]]:
        """(offset in the file, or None outside RAM; length) of each part of ``[gpa, gpa + length)``."""
        end, low = gpa + length, self._size.low
        edges = (0, low, FOUR_GIB, FOUR_GIB + self._size.high, end)
        bases: tuple[int | None, ...] = (0, None, low - FOUR_GIB, None)
        for first, last, base in zip(edges, edges[1:], bases, strict=False):
            start, stop = max(gpa, first), min(end, last)
            if start < stop:
                yield None if base is None else start + base, stop - start
