"""The registry of persistent memory: the ranges that Dom0 reported, and the owner of each page.

A report names three ranges of machine frames: the whole device, the reserved area in which Xen keeps its metadata about
all of the device's pages, and the data area that guests may get. Nothing is remembered of a report that fails.
"""

from __future__ import annotations

import os
from _bisect import bisect_right
from _operator import add, sub

from xlpy import abi
from xlpy.abi import refuse
from xlpy.addr import PAGE, PAGE_SHIFT, Mfn, Spa, Span, pages
from xlpy.contexts import suppress
from xlpy.errors import XlpyError
from xlpy.firmware.e820 import E820_PMEM, E820_PMEM_LEGACY
from xlpy.functions import partial
from xlpy.hw.media import trouble
from xlpy.hypervisor.frametable import M2P_SIZE, PAGE_INFO_SIZE, FrameTable, metadata_pages
from xlpy.hypervisor.p2m import M2P, part_of
from xlpy.hypervisor.regions import PmemRegion, load
from xlpy.hypervisor.tables import OWNERS
from xlpy.private import folder, private
from xlpy.rangemap import RangeMap
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from xlpy.hypervisor.linear import LinearPiece
    from xlpy.hypervisor.protocol import PmemDomain, XenServices

# A file beside the domains' directories: number of the last change to frame tables, and the frames that were touched
# since the number in the store, from the first to behind the last.
ANNOUNCEMENT = "frames"


class Pmem:
    """All registered devices of a host.

    Attributes:
        regions: the devices, in the order of their reports.
        m2p: who owns which page; the inverse of all domains' pmem mappings.
        broken: machine frames that a machine check marked broken, sorted.
        bad: host memory that is known to be bad, from machine checks and from Dom0, which scrubs; by address.
    """

    def __init__(self, xen: XenServices) -> None:
        self._xen = xen
        self._table = xen.store.table("xen")
        self._owners = xen.store.table(OWNERS)
        self._m2p: M2P | None = None
        self._parts: set[int] = set()  # of it that the store has
        self._changed = (0, -1)  # the parts that the last change may have changed, from the first to the last
        self._anew = False  # all of them are to be stored anew
        saved = self._table.get("pmem", {"regions": [], "broken": [], "sequence": 0})
        self.regions = load(saved["regions"])
        self.broken: list[int] = saved["broken"]
        self.bad: RangeMap[None] = RangeMap((start, end, None) for start, end in saved.get("bad", ()))
        self._sequence: int = saved["sequence"]
        self._touched: Span[Mfn] | None = None

    @property
    def m2p(self) -> M2P:
        """The owners, a record for each part: what a change costs does not depend on how many domains there are."""
        if self._m2p is None:
            self._m2p = made = M2P()
            self._parts.clear()
            for key, columns in self._owners.items():
                made.load_part(columns)
                self._parts.add(int(key, 16))
            if not self._parts and (whole := self._table.get("m2p")):  # as older versions kept it
                made.load_part(whole)
                self._anew = True
        return self._m2p

    def region_at(self, mfn: int) -> PmemRegion | None:
        """The device that contains a frame."""
        return next((one for one in self.regions if mfn in one.region), None)

    def owner_of(self, span: Span[Spa]) -> int | None:
        """The domain that has a page of ``span`` mapped, or None."""
        first, last = span.start >> PAGE_SHIFT, pages(span.end)
        at = bisect_right(self.m2p.ends, first)
        return self.m2p.tags[at] if self.m2p.overlaps(first, last) else None

    def owned(self, span: Span[Spa]) -> list[LinearPiece]:
        """What domains have mapped of the pages of ``span``: frames, and as ``tag`` the domain, by address."""
        return self.m2p.clip(span.start >> PAGE_SHIFT, pages(span.end))

    def dom0_may_map(self, span: Span[Spa]) -> bool:
        """Dom0's iomem permission: everything but the reserved areas (which Xen alone may touch)."""
        whole = Span.between(Mfn(span.start >> PAGE_SHIFT), Mfn(pages(span.end)))
        return not any(one.reserved.overlaps(whole) for one in self.regions)

    def add(self, region: Span[Mfn], reserved: Span[Mfn], data: Span[Mfn]) -> None:
        """Check a report and record it; see ``Hypercalls.platform_pmem_add`` for the errors."""
        self._check(region, reserved, data)
        new = PmemRegion(region, reserved, data)
        self._catch_up()
        self._announce(region)
        self._xen.hw.keep(Span(Spa(reserved.start << PAGE_SHIFT), reserved.size << PAGE_SHIFT))  # it may be data
        try:
            self.frame_table(new).rebuild()
        except XlpyError as error:
            refuse(
                abi.ENOMEM,
                f"the frame table of {region} cannot be written to its reserved area {reserved}: {error.message}",
                error.hint,
            )
        self.regions.append(new)
        self.save()

    def remove(self, region: Span[Mfn]) -> None:
        """Forget a device; see ``Hypercalls.platform_pmem_remove`` for the errors. What its reserve holds is void."""
        known = next((one for one in self.regions if one.region == region), None)
        if known is None:
            refuse(abi.ENOENT, f"the device {region} is not registered")
        if self.m2p.overlaps(region.start, region.end):
            refuse(abi.EBUSY, f"the device {region} is mapped by a domain", "end the domain first")
        self._catch_up()
        self.regions.remove(known)
        self.broken = [mfn for mfn in self.broken if mfn not in region]
        self.save()

    def frame_table(self, region: PmemRegion) -> FrameTable:
        """The metadata of one device, in its reserved area."""
        return FrameTable(self._xen.hw, region, self.m2p, self.broken)

    def change(self, start: int, end: int, change: Callable[[], None]) -> None:
        """Do ``change`` (to ``m2p`` or ``broken``) and bring the frame tables in line with it.

        Args:
            start, end: the frames that the change touches lie in ``[start, end)``.
            change: does it.

        Raises:
            XlpyError: the media cannot be written. The frame tables are then not trusted until they were derived anew.
        """
        touched = Span.between(Mfn(start), Mfn(end))
        around = self.m2p.at(start)  # a run that is cut
        self._changed = part_of(around.start if around else start), part_of(end)
        try:
            self._catch_up()
            self._announce(touched)
            windows = self._windows(touched)
            change()
            self.save()
            for table, first, last in windows:
                table.write(first, last)
        except XlpyError:
            with suppress(XlpyError):  # where it cannot be written, no frame table was
                self._write_announcement(self._sequence + 1, self._touched)
            raise

    def _windows(self, touched: Span[Mfn]) -> list[tuple[FrameTable, int, int]]:
        """The frame tables of some frames, and what must be written of them after a change to those frames."""
        found = []
        for one in self.regions:
            inside = one.region.intersect(touched)
            if inside is not None:
                table = self.frame_table(one)
                found.append((table, *table.window(inside.start, inside.end)))
        return found

    def release(self, domain: PmemDomain) -> None:
        """Unmap all pmem of a domain. Content, media and heap are not touched; the pages are free for the next
        owner."""
        mine = domain.p2m.pmem
        if not len(mine):
            return
        last = max(map(add, mine.bases, map(sub, mine.ends, mine.starts)))
        try:
            self.change(min(mine.bases), last, lambda: self.m2p.drop(domain.domid))
        except XlpyError as error:
            self._xen.console.write(f"(XEN) the frame table cannot be written, it needs repair: {error.message}")
            self.m2p.drop(domain.domid)
            self.save()
        mine.clear()
        domain.save_pmem()

    def mark_broken(self, mfn: int, *, broken: bool) -> None:
        """Set or clear a page's broken mark."""
        if broken != (mfn in self.broken):

            def change() -> None:
                (self.broken.append if broken else self.broken.remove)(mfn)
                self.broken.sort()

            self.change(mfn, mfn + 1, change)

    def note_bad(self, spans: Iterable[Span[Spa]]) -> None:
        """Host memory is known to be bad from now on; what a guest has of it stays mapped."""
        for span in spans:
            self.bad.join(span.start, span.end, None)
        self.save()

    def forget_bad(self, span: Span[Spa]) -> None:
        """Host memory was rewritten and is good again."""
        if self.bad.overlaps(span.start, span.end):
            self.bad.remove(span.start, span.end)
            self.save()

    @property
    def unclean(self) -> bool:
        """Whether a process died between writing a frame table and committing its state."""
        return self._read_announcement()[0] != self._sequence

    def repair(self) -> list[str]:
        """Derive all frame tables anew from the owners; nothing on the media is trusted. What was done, a line each."""
        self._m2p = M2P.inverse((domain.domid, domain.p2m.pmem) for domain in self._xen.domains())
        self._parts, self._anew = {int(key, 16) for key in self._owners.keys()}, True  # noqa: SIM118 - no dict
        return self._repair(None)

    def repair_unclean(self) -> list[str]:
        """As ``repair``, as far as a process that has died touched the frame tables."""
        self._m2p = None
        return self._repair(self._read_announcement()[1])

    def _repair(self, touched: Span[Mfn] | None) -> list[str]:
        self._touched = None
        self._announce(touched)
        return self._derive(touched)

    def _catch_up(self) -> None:
        """Before a change: what a process that has died touched is brought in line first."""
        number, touched = self._read_announcement()
        if number != self._sequence:
            self._touched = None
            self._announce(touched)
            self._derive(touched)

    def _announce(self, touched: Span[Mfn] | None) -> None:
        """Count up outside the transaction and inside, before frame tables are written.

        When the transaction does not commit, the two differ: the frame tables are ahead of the store.

        Args:
            touched: which frames are about to change; None: it is not known.
        """
        if touched is None or self._touched is None:
            self._touched = touched
        else:
            start, end = min(touched.start, self._touched.start), max(touched.end, self._touched.end)
            self._touched = Span.between(start, end)
        self._sequence = max(self._sequence, self._read_announcement()[0]) + 1
        self._write_announcement(self._sequence, self._touched)
        self.save()

    def _derive(self, touched: Span[Mfn] | None) -> list[str]:
        """Rewrite the frame tables for some frames, or completely when the frames are not known."""
        if touched is None:
            for one in self.regions:
                self.frame_table(one).rebuild()
            return [f"rebuilt the frame table of {one.region} in {one.reserved}" for one in self.regions]
        windows = self._windows(touched)
        for table, first, last in windows:
            table.write(first, last)
        return [f"rewrote the frame table for [{first:#x}, {last:#x})" for _, first, last in windows]

    @property
    def _announcement(self) -> str:
        return self._xen.hw.beside("domains", ANNOUNCEMENT)

    def _read_announcement(self) -> tuple[int, Span[Mfn] | None]:
        """The number, and the frames that were touched; 0 when there is none, and None when that is not known."""
        try:
            with open(self._announcement, "rb") as file:
                number, *touched = map(int, file.read().split())
            return number, Span.between(Mfn(touched[0]), Mfn(touched[1])) if len(touched) == 2 else None
        except (FileNotFoundError, ValueError):
            return 0, None

    def _write_announcement(self, number: int, touched: Span[Mfn] | None) -> None:
        text = f"{number}" if touched is None else f"{number} {touched.start} {touched.end}"
        try:
            folder(os.path.dirname(self._announcement))
            with open(self._announcement, "w", encoding="utf-8", opener=private) as file:
                file.write(text)
        except OSError as error:
            raise trouble(self._announcement, error) from error

    def save(self) -> None:
        """Keep the registry and the owners."""
        self._table.follow("pmem", self._record)
        if self._m2p is None:
            return
        first, last = (0, 1 << 52) if self._anew else self._changed
        there = self._m2p.parts(first, last)
        for part in there:
            self._owners.follow(f"{part:010x}", partial(self._m2p.dump_part, part))
        for part in [part for part in self._parts - there if first <= part <= last]:
            self._owners.delete(f"{part:010x}")
            self._parts.discard(part)
        self._parts |= there
        if self._anew:
            self._table.delete("m2p")
            self._anew = False

    def _record(self) -> dict[str, Any]:
        return {
            "regions": [[[span.start, span.size] for span in one] for one in self.regions],
            "broken": self.broken,
            "bad": [[run.start, run.end] for run in self.bad],
            "sequence": self._sequence,
        }

    def _check(self, region: Span[Mfn], reserved: Span[Mfn], data: Span[Mfn]) -> None:
        width = self._xen.hw.spec.cpu.physical_bits
        for name, span in (("device", region), ("reserved area", reserved), ("data area", data)):
            if not span.size and name != "reserved area":
                refuse(abi.EINVAL, f"the {name} is empty: {span}", "report at least one page")
            if span.end > 1 << (width - PAGE_SHIFT):
                refuse(abi.EINVAL, f"the {name} {span} leaves the {width}-bit physical address space")
            if span.end > abi.FRAME_TABLE_LIMIT:
                refuse(abi.EINVAL, f"the {name} {span} ends beyond the frame table, frame {abi.FRAME_TABLE_LIMIT:#x}")
        if not region.covers(reserved):
            refuse(abi.EINVAL, f"the reserved area {reserved} leaves the device {region}")
        if not region.covers(data):
            refuse(abi.EINVAL, f"the data area {data} leaves the device {region}")
        if reserved.overlaps(data):
            refuse(abi.EINVAL, f"the reserved area {reserved} and the data area {data} overlap")
        needed = metadata_pages(region.size)
        if reserved.size < needed:
            refuse(
                abi.ENOSPC,
                f"the reserved area {reserved} has {reserved.size} pages, {needed} are required: "
                f"{PAGE_INFO_SIZE} + {M2P_SIZE} bytes for each of {region.size} pages",
                f"reserve at least {needed * PAGE} bytes",
            )
        for one in self.regions:
            if one == (region, reserved, data):
                refuse(abi.EEXIST, f"the device {region} is registered already, unchanged")
            if one.region.overlaps(region):
                refuse(abi.EEXIST, f"the device {region} overlaps the registered device {one.region}")
        self._check_host_map(region)

    def _check_host_map(self, region: Span[Mfn]) -> None:
        start, end = region.start << PAGE_SHIFT, region.end << PAGE_SHIFT
        at = start
        for base, size, kind in self._xen.hw.memory_map():
            if base + size <= at or base >= end:
                continue
            if kind not in (E820_PMEM, E820_PMEM_LEGACY):
                refuse(
                    abi.EINVAL,
                    f"the device {region} overlaps [{base:#x}, {base + size:#x}), type {kind} in the host's memory map",
                )
            if base > at:
                break
            at = base + size
        if at < end:
            refuse(
                abi.EINVAL,
                f"the device {region} covers address {at:#x}, where the host's memory map has no persistent memory",
            )
