"""Checking a batch of pmem extents before anything is mapped.

Each rule is first asked of all extents at once, column by column; only when it fails is the first offender looked for,
so that a file of 40,000 extents costs little more than one of four.
"""

from __future__ import annotations

from _bisect import bisect_right
from _operator import add
from itertools import islice

from xlpy import abi
from xlpy.abi import refuse
from xlpy.addr import PAGE_SHIFT, Gfn, Mfn
from xlpy.firmware.layout import FOUR_GIB, HOLE_START, HVMLOADER_BASE, VGA_WINDOW
from xlpy.hypervisor.linear import ascending
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from xlpy.hypervisor.domain import Domain, Hypervisor

ADDRESSABLE = 1 << (64 - PAGE_SHIFT)  # frames whose address fits in 64 bits

SPECIAL = (  # guest frames that firmware and devices need
    (VGA_WINDOW >> PAGE_SHIFT, HVMLOADER_BASE >> PAGE_SHIFT, "VGA and BIOS"),
    (HOLE_START >> PAGE_SHIFT, FOUR_GIB >> PAGE_SHIFT, "the PCI hole, ACPI tables, APICs and special pages"),
)


class PmemExtent(NamedTuple):
    """``count`` pages at guest frame ``gfn`` that shall lead to machine frame ``mfn`` and on."""

    gfn: Gfn
    mfn: Mfn
    count: int  # type: ignore[assignment]  # hides tuple.count, which is not needed here


class Columns(NamedTuple):
    """A checked batch: parallel lists, in the order of the batch; ends are exclusive."""

    gfns: Sequence[int]
    gfn_ends: Sequence[int]
    mfns: Sequence[int]
    mfn_ends: Sequence[int]


def check_batch(
    xen: Hypervisor, domain: Domain, extents: Sequence[PmemExtent], first: int, *, map_broken: bool
) -> Columns:
    """Check everything that mapping requires; errors as ``PmemOps.memory_pmem_map`` lists them, in that order.

    Args:
        xen, domain: the hypervisor and the guest.
        extents: at least one.
        first: number of the first extent, for messages.
        map_broken: poisoned pages are welcome.
    """
    gfns, mfns, counts = zip(*extents, strict=True)
    if min(counts) < 1 or min(gfns) < 0 or min(mfns) < 0:
        bad, extent = next((i, one) for i, one in enumerate(extents) if one[2] < 1 or min(one[:2]) < 0)
        refuse(abi.EINVAL, f"extent {first + bad}: {_show(extent)}: not a range of frames")
    columns = Columns(gfns, list(map(add, gfns, counts)), mfns, list(map(add, mfns, counts)))
    for what, ends in (("guest", columns.gfn_ends), ("machine", columns.mfn_ends)):
        if max(ends) > ADDRESSABLE:
            number = next(i for i, end in enumerate(ends) if end > ADDRESSABLE)
            refuse(abi.EOVERFLOW, f"extent {first + number}: {what} addresses wrap at 2**64: {_show(extents[number])}")
    limit = 1 << (domain.physical_bits - PAGE_SHIFT)
    if max(columns.gfn_ends) > limit:
        number = next(i for i, end in enumerate(columns.gfn_ends) if end > limit)
        refuse(
            abi.EINVAL,
            f"extent {first + number}: {_show(extents[number])} ends beyond the guest's {domain.physical_bits}-bit "
            "physical addresses",
            "place the vNVDIMM lower, or give the machine more physical address bits",
        )
    _check_covered(xen, columns, extents, first)
    _check_free(xen, columns, extents, first)
    if not map_broken:
        for mfn in poisoned(xen, columns):
            refuse(
                abi.EIO,
                f"frame {mfn:#x} (host address {mfn << PAGE_SHIFT:#x}) is poisoned",
                "choose a file or a partition beside it, or map broken pages as such",
            )
    _check_guest(domain, columns, extents, first)
    return columns


def poisoned(xen: Hypervisor, columns: Columns) -> Iterator[int]:
    """The machine frames of a batch that are known to hold poison, in order."""
    if not len(xen.pmem.bad):
        return
    order = sorted(range(len(columns.mfns)), key=columns.mfns.__getitem__)
    starts = [columns.mfns[i] for i in order]
    low, high = starts[0] << PAGE_SHIFT, max(columns.mfn_ends) << PAGE_SHIFT
    last = -1
    for bad in xen.pmem.bad.overlapping(low, high):
        for mfn in range(max(bad.start, low) >> PAGE_SHIFT, (min(bad.end, high) - 1 >> PAGE_SHIFT) + 1):
            at = bisect_right(starts, mfn) - 1
            if at >= 0 and mfn < columns.mfn_ends[order[at]] and mfn != last:
                last = mfn
                yield mfn


def _check_covered(xen: Hypervisor, columns: Columns, extents: Sequence[PmemExtent], first: int) -> None:
    areas = [one.data for one in xen.pmem.regions]
    low, high = min(columns.mfns), max(columns.mfn_ends)
    if any(area.start <= low and high <= area.end for area in areas):
        return
    for number, (start, end) in enumerate(zip(columns.mfns, columns.mfn_ends, strict=True)):
        if not any(area.start <= start and end <= area.end for area in areas):
            refuse(
                abi.ENXIO,
                f"extent {first + number}: {_show(extents[number])} is in no registered data area; there are: "
                f"{', '.join(map(str, areas)) or 'none'}",
                "`xlpy pmem list` shows what is registered",
            )


def _check_free(xen: Hypervisor, columns: Columns, extents: Sequence[PmemExtent], first: int) -> None:
    starts, ends = _sorted(columns.mfns, columns.mfn_ends)
    if not ascending(starts, ends):
        _twice(columns.mfns, columns.mfn_ends, extents, first, abi.EBUSY, "machine frames")
    m2p = xen.pmem.m2p
    near = slice(*m2p.window(starts[0], ends[-1]))
    merged = _sorted([*starts, *m2p.starts[near]], [*ends, *m2p.ends[near]])
    if not ascending(*merged):
        for number, (start, end) in enumerate(zip(columns.mfns, columns.mfn_ends, strict=True)):
            if m2p.overlaps(start, end):
                piece = m2p.clip(start, end)[0]
                refuse(
                    abi.EBUSY,
                    f"extent {first + number}: frame {piece.start:#x} belongs to d{piece.tag}, at its guest frame "
                    f"{piece.base:#x}",
                    f"destroy domain {piece.tag} first, or use another backing",
                )


def _check_guest(domain: Domain, columns: Columns, extents: Sequence[PmemExtent], first: int) -> None:
    starts, ends = _sorted(columns.gfns, columns.gfn_ends)
    for special, special_end, what in SPECIAL:
        if starts[0] < special_end and special < ends[-1]:
            for number, (start, end) in enumerate(zip(columns.gfns, columns.gfn_ends, strict=True)):
                if start < special_end and special < end:
                    refuse(abi.EPERM, f"extent {first + number}: {_show(extents[number])} covers {what}")
    if not ascending(starts, ends):
        _twice(columns.gfns, columns.gfn_ends, extents, first, abi.EEXIST, "guest frames")
    for table, what in ((domain.p2m.ram, "RAM"), (domain.p2m.pmem, "another vNVDIMM")):
        if table.overlaps(starts[0], ends[-1]):
            for number, (start, end) in enumerate(zip(columns.gfns, columns.gfn_ends, strict=True)):
                if table.overlaps(start, end):
                    at = table.clip(start, end)[0].start
                    refuse(abi.EEXIST, f"extent {first + number}: guest frame {at:#x} of d{domain.domid} holds {what}")


def _sorted(starts: Sequence[int], ends: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    if ascending(starts, ends):
        return starts, ends
    rows = sorted(zip(starts, ends, strict=True))
    return [start for start, _ in rows], [end for _, end in rows]


def _twice(
    starts: Iterable[int], ends: Iterable[int], extents: Sequence[PmemExtent], first: int, errno: int, what: str
) -> NoReturn:
    rows = sorted(zip(starts, ends, range(len(extents)), strict=True))
    one, other = next((a, b) for a, b in zip(rows, islice(rows, 1, None), strict=False) if b[0] < a[1])
    low, high = sorted((one[2], other[2]))
    refuse(errno, f"extents {first + low} and {first + high} of the batch share {what} at {other[0]:#x}")


def _show(extent: PmemExtent) -> str:
    return f"{extent[2]} pages, gfn {extent[0]:#x}, mfn {extent[1]:#x}"
