"""hvmloader's memory: the RAM that the domain has, and the allocators for what firmware builds.

All allocators bump; nothing is freed. Pages of the ACPI area and of ``mem_alloc`` are populated when they are first
touched, one by one; once the domain's allowance is used up, the topmost page of RAM is moved into their place.
"""

from __future__ import annotations

from xlpy.addr import PAGE, PAGE_SHIFT, Gfn, Gpa, Span, align_up
from xlpy.firmware.e820 import E820_RAM, E820_RESERVED, E820Entry
from xlpy.firmware.hvmloader.stop import stop
from xlpy.firmware.layout import FOUR_GIB, HVMLOADER_BASE, SCRATCH
from xlpy.rangemap import RangeMap
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.hvm_info import HvmInfo
    from xlpy.firmware.layout import GuestLayout
    from xlpy.firmware.platform import Platform

ALIGN = 16
MIN_LOW_RAM = Gpa(0x200000)
_FOUR_GIB_PAGE = FOUR_GIB >> PAGE_SHIFT


class Bump:
    """One allocator over ``area``: each start is aligned to at least 16 and lies behind the last byte handed out."""

    def __init__(self, what: str, area: Span[Gpa]) -> None:
        self.what, self.area = what, area
        self.end = area.start

    def take(self, size: int, align: int = ALIGN) -> Gpa:
        """The address of ``size`` bytes; FirmwareStopped when the area is used up."""
        start = Gpa(align_up(self.end, max(align, ALIGN)))
        if start + size > self.area.end:
            raise stop(
                f"{self.what}: {size} bytes at {start:#x} do not fit, the area ends at {self.area.end:#x}",
                code="XLPY-FIRMWARE-MEMORY",
                hint="pass fewer or smaller tables",
            )
        self.end = Gpa(start + size)
        return start


class FirmwareMemory:
    """The domain's memory as firmware works on it.

    Args:
        platform: the guest's view.
        layout: where the areas are.
        info: what the domain builder wrote.

    Attributes:
        ram: RAM page ranges from 1 MiB up.
        others: rows of the toolstack's map that are not RAM.
        protected: pages of RAM that must stay where they are, because something was passed in them.
    """

    def __init__(self, platform: Platform, layout: GuestLayout, info: HvmInfo) -> None:
        self.platform, self.layout = platform, layout
        rows = platform.memory_map()
        if not rows:
            raise stop("the memory map is empty", hint="the domain builder must set it (XENMEM_set_memory_map)")
        self.others = [row for row in rows if row.type != E820_RAM]
        self._check_reserved()
        self.ram = _ram_pages(rows, info)
        self.protected: Span[Gfn] = Span(Gfn(0), 0)
        self._allowance = True
        self._populated: set[Gfn] = set()
        # The first 16 bytes of the scratch area stay free, as they do in hvmloader.
        self._scratch = Bump("scratch space", Span.between(Gpa(SCRATCH + ALIGN), Gpa(0x80000)))
        self._acpi = Bump("ACPI tables", Span.between(layout.acpi_start, layout.acpi_end))
        self._mem = Bump("firmware memory", Span.between(layout.mem_start, layout.mem_end))

    def _check_reserved(self) -> None:
        ours = Span.between(self.layout.acpi_info, self.layout.mem_end)
        for row in self.others:
            if row.type == E820_RESERVED and row.span.overlaps(ours):
                raise stop(
                    f"reserved memory {row.span} of the memory map overlaps hvmloader's own {ours}",
                    hint="move the reserved device memory",
                )

    @property
    def low_end(self) -> Gpa:
        """The first address after RAM below 4 GiB."""
        return Gpa(max((run.end for run in self.ram if run.end <= _FOUR_GIB_PAGE), default=0) << PAGE_SHIFT)

    @property
    def high_end(self) -> Gpa | None:
        """The first address after RAM above 4 GiB, or None when there is none."""
        end = max((run.end for run in self.ram), default=0)
        return Gpa(end << PAGE_SHIFT) if end > _FOUR_GIB_PAGE else None

    @property
    def size(self) -> int:
        """Bytes of RAM, counting the first MiB as whole."""
        return HVMLOADER_BASE + (self.ram.total() << PAGE_SHIFT)

    def holds(self, span: Span[Gpa]) -> bool:
        """Whether every byte of ``span`` is RAM between 1 MiB and 4 GiB."""
        return span.end <= FOUR_GIB and self.ram.covers(span.start >> PAGE_SHIFT, -(-span.end >> PAGE_SHIFT))

    def ram_rows(self) -> list[E820Entry]:
        """E820 rows of RAM from 1 MiB up."""
        return [E820Entry.between(run.start << PAGE_SHIFT, run.end << PAGE_SHIFT, E820_RAM) for run in self.ram]

    def scratch_alloc(self, size: int, align: int = ALIGN) -> Gpa:
        """Low memory for what is handed to the BIOS; not zeroed."""
        return self._scratch.take(size, align)

    @property
    def scratch_end(self) -> Gpa:
        """The first address after what `scratch_alloc` has handed out."""
        return self._scratch.end

    def mem_alloc(self, size: int, align: int = ALIGN) -> Gpa:
        """Populated memory in firmware's own area."""
        return self._populated_range(self._mem.take(size, align), size)

    def acpi_alloc(self, size: int, align: int = ALIGN) -> Gpa:
        """Populated memory in the area that E820 marks as ACPI NVS."""
        return self._populated_range(self._acpi.take(size, align), size)

    @property
    def acpi_end(self) -> Gpa:
        """The first address after the ACPI pages that are in use."""
        return Gpa(align_up(self._acpi.end, PAGE))

    def populate_span(self, span: Span[Gpa]) -> None:
        """Put RAM at every page of a span, from its start."""
        self._populated_range(span.start, span.size)

    def _populated_range(self, start: Gpa, size: int) -> Gpa:
        for page in range(start >> PAGE_SHIFT, (start + max(size, 1) - 1 >> PAGE_SHIFT) + 1):
            self.populate(Gfn(page))
        return start

    def populate(self, gfn: Gfn) -> None:
        """Put RAM at a page, unless it was put there before.

        The domain's allowance is tried first. Once it is used up, the topmost page of RAM moves in, from above 4 GiB as
        long as there is any. Pages that carry what the device model passes in are left alone: hvmloader as it is would
        take just those, since they are the end of low RAM.
        """
        if self.layout.populated or gfn in self._populated:
            return
        self._populated.add(gfn)
        self._allowance = self._allowance and self.platform.populate(gfn, 1)
        if not self._allowance:
            self.platform.move_page(self._topmost(), gfn)

    def _topmost(self) -> Gfn:
        for run in reversed(list(self.ram)):
            end = self.protected.start if run.end - 1 in self.protected else run.end
            if run.start < end and end << PAGE_SHIFT > MIN_LOW_RAM:
                self.ram.remove(end - 1, end)
                return Gfn(end - 1)
        raise stop("no page of RAM is left to take for firmware", hint="give the domain more memory")

    def relocate(self, start: Gpa) -> None:
        """Move all RAM from ``start`` to 4 GiB to the end of RAM above 4 GiB (which begins at 4 GiB)."""
        target = (self.high_end or FOUR_GIB) >> PAGE_SHIFT
        for run in self.ram.remove(start >> PAGE_SHIFT, _FOUR_GIB_PAGE):
            count = run.end - run.start
            self.platform.move_page(Gfn(run.start), Gfn(target), count)
            self._grow_high(target, target + count)
            target += count

    def _grow_high(self, start: int, end: int) -> None:
        last = self.ram.at(start - 1)
        if last is not None and start > _FOUR_GIB_PAGE:
            self.ram.remove(last.start, last.end)
            start = last.start
        self.ram.add(start, end, None)


def _ram_pages(rows: list[E820Entry], info: HvmInfo) -> RangeMap[None]:
    """The RAM of the toolstack's map, brought in line with the ends that ``info`` states."""
    low_end, high_end = info.low_mem_pgend, max(info.high_mem_pgend, _FOUR_GIB_PAGE)
    ram: RangeMap[None] = RangeMap()
    for row in rows:
        if row.type != E820_RAM:
            continue
        first = max(-(-row.start >> PAGE_SHIFT), HVMLOADER_BASE >> PAGE_SHIFT)
        end = min(row.end >> PAGE_SHIFT, low_end if first < _FOUR_GIB_PAGE else high_end)
        if ram.overlaps(first, end):
            raise stop(
                f"RAM rows of the memory map overlap at {row.span}", hint="the domain builder must keep them apart"
            )
        if first < end:
            ram.add(first, end, None)
    return ram
