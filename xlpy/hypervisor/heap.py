"""The heap: host RAM that is free to be given to domains, frame by frame.

Only the numbers of the frames are managed here. The bytes of a domain's RAM are in its own file (see ``memory``), not
in the host's RAM file.
"""

from __future__ import annotations

from xlpy.abi import ORDER_1G, ORDER_2M
from xlpy.addr import GIB, PAGE_SHIFT
from xlpy.rangemap import RangeMap
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FIRST_FRAME = 0x100  # Xen keeps the first MiB for itself
DOM0_MEMORY = GIB  # given to Dom0 at boot, or a quarter of the host's RAM where that is less


class Heap:
    """Free machine frames.

    Args:
        free: disjoint ``(first, end)`` frame ranges.
        offlined: frames taken out of use permanently by machine checks.
    """

    def __init__(self, free: Iterable[tuple[int, int]], offlined: Iterable[int] = ()) -> None:
        self._free: RangeMap[None] = RangeMap((start, end, None) for start, end in free)
        self._offlined = set(offlined)

    @property
    def pages(self) -> int:
        """How many frames are free."""
        return self._free.total()

    def __contains__(self, mfn: int) -> bool:
        return self._free.at(mfn) is not None

    def free_run(self, mfn: int) -> tuple[int, int] | None:
        """``(first, end)`` of the free frames around one; None when it is not free."""
        found = self._free.at(mfn)
        return None if found is None else (found.start, found.end)

    def offlined(self, mfn: int) -> bool:
        """Whether a machine check took the frame out of use."""
        return mfn in self._offlined

    def allocate(self, count: int, gfn: int) -> list[tuple[int, int]] | None:
        """Take frames for ``count`` guest pages from ``gfn`` on.

        One run congruent to the gfn modulo 1 GiB, else 2 MiB, else any one run, else pieces from low to high.

        Returns:
            ``(first frame, pages)`` in guest order; None when fewer than ``count`` frames are free.
        """
        if count > self.pages:
            return None
        for align in (1 << ORDER_1G, 1 << ORDER_2M, 1):
            for run in self._free if count >= align else ():
                first = run.start + (gfn - run.start) % align
                if first + count <= run.end:
                    self._free.remove(first, first + count)
                    return [(first, count)]
        found = []
        for run in self._free:
            size = min(count, run.end - run.start)
            self._free.remove(run.start, run.start + size)
            found.append((run.start, size))
            count -= size
            if not count:
                break
        return found

    def release(self, start: int, end: int) -> None:
        """Give frames back; offlined ones stay out."""
        bad = sorted(mfn for mfn in self._offlined if start <= mfn < end)
        for first, last in zip([start, *(mfn + 1 for mfn in bad)], [*bad, end], strict=True):
            if first < last:
                beside = self._free.overlapping(first - 1, last + 1)
                first = min([first, *(run.start for run in beside)])
                last = max([last, *(run.end for run in beside)])
                self._free.remove(first, last)
                self._free.add(first, last, None)

    def offline(self, mfn: int) -> bool:
        """Take a frame out of use permanently; whether it was free (an owned one leaves when it is released)."""
        self._offlined.add(mfn)
        return bool(self._free.remove(mfn, mfn + 1))

    def to_json(self) -> dict[str, list[int]]:
        """The state, for ``from_json``."""
        return {
            "free": [edge for run in self._free for edge in (run.start, run.end)],
            "offlined": sorted(self._offlined),
        }

    @classmethod
    def from_json(cls, data: dict[str, list[int]]) -> Heap:
        """The heap that ``to_json`` described."""
        edges = data["free"]
        return cls(zip(edges[::2], edges[1::2], strict=True), data["offlined"])


class AtBoot(NamedTuple):
    """Host RAM as Xen divides it when it starts, in frames.

    heap: what is left. total: all frames of RAM. own, dom0: ``(first, count)`` runs of the frame table and M2P of RAM,
    and of Dom0's memory.
    """

    heap: Heap
    total: int
    own: list[tuple[int, int]]
    dom0: list[tuple[int, int]]


def at_boot(memory_map: Iterable[tuple[int, int, int]]) -> AtBoot:
    """Divide the RAM of a host.

    Args:
        memory_map: rows of its E820: start, bytes, type.
    """
    from xlpy.firmware.e820 import E820_RAM
    from xlpy.hypervisor.frametable import metadata_pages

    ram = [
        (-(-start >> PAGE_SHIFT), (start + size) >> PAGE_SHIFT) for start, size, kind in memory_map if kind == E820_RAM
    ]
    total = sum(end - start for start, end in ram)
    heap = Heap((max(start, FIRST_FRAME), end) for start, end in ram if end > FIRST_FRAME)
    own, dom0 = (
        heap.allocate(count, 0) for count in (metadata_pages(total), min(DOM0_MEMORY >> PAGE_SHIFT, total // 4))
    )
    return AtBoot(heap, total, own or [], dom0 or [])
