"""Making a guest's stores durable, where the caches of the machine hold data that may be lost."""

from __future__ import annotations

from xlpy.addr import PAGE_SHIFT, Spa
from xlpy.hw import power
from xlpy.hw.caches import Caches
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.hw.hardware import Hardware
    from xlpy.toolstack.domain.running import Running


def caches(hw: Hardware) -> Caches:
    """The caches of a machine."""
    return Caches(hw.beside(power.CACHES), lambda spa, length: hw.read(Spa(spa), length), hw.spec.persistence)


def pieces(running: Running, gpa: int, length: int) -> Iterator[tuple[Spa, int, int]]:
    """(host address, offset in the range, bytes) of the parts of a guest's range that are persistent memory."""
    first, last = gpa >> PAGE_SHIFT, (gpa + length - 1 >> PAGE_SHIFT) + 1
    for piece in running.domain.p2m.pmem.clip(first, last):
        start, end = max(gpa, piece.start << PAGE_SHIFT), min(gpa + length, piece.end << PAGE_SHIFT)
        yield Spa((piece.base - piece.start << PAGE_SHIFT) + start), start - gpa, end - start


def make_durable(hw: Hardware, running: Running, gpa: int, data: bytes) -> None:
    """A store that has just been made is written back, fenced, and drained from all queues."""
    model = caches(hw)
    for spa, at, size in pieces(running, gpa, len(data)):
        model.store(spa, data[at : at + size])
        model.write_back(spa, size)
    model.fence(drain=True)
