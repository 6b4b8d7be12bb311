"""Poison under a backing, as Dom0's kernel lists it (``/sys/block/pmemN/badblocks``)."""

from __future__ import annotations

from xlpy.addr import Spa, Span
from xlpy.errors import NotFound, Unsafe
from xlpy.toolstack.resolve import SECTOR
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.dom0.face import Dom0
    from xlpy.toolstack.resolve import Resolved


def bad_blocks(dom0: Dom0, folder: str) -> list[tuple[int, int]]:
    """First sector and number of sectors of each unreadable part of a device; a kernel without the list knows of none.

    Args:
        folder: of the device in sysfs, such as ``/sys/block/pmem0``.
    """
    try:
        lines = dom0.sysfs(f"{folder}/badblocks").splitlines()
    except NotFound:
        return []
    return [(int(first), int(count)) for first, count in map(str.split, lines)]


def poisoned(dom0: Dom0, resolved: Resolved) -> list[Span[Spa]]:
    """The unreadable host memory inside a backing, ascending."""
    base = f"/sys/block/{resolved.device}"
    begins = f"{base}/device/resource"
    if resolved.kind == "devdax":  # the region above it has the list
        base = f"/sys/bus/dax/devices/{resolved.device}/../.."
        begins = f"{base}/resource"
    blocks = bad_blocks(dom0, base)
    if not blocks:
        return []
    start = int(dom0.sysfs(begins), 0)
    bad = [Span(Spa(start + first * SECTOR), count * SECTOR) for first, count in blocks]
    hits = (span.intersect(piece) for span in resolved.spans for piece in bad)
    return sorted(hit for hit in hits if hit is not None)


def refuse(dom0: Dom0, resolved: Resolved) -> None:
    """Unsafe: there is unreadable memory in a backing."""
    bad = poisoned(dom0, resolved)
    if bad:
        more = f" and {len(bad) - 1} more places" if len(bad) > 1 else ""
        raise Unsafe(
            f"{resolved.path}: host memory at {bad[0]}{more} is poisoned: a guest that reads it gets a machine check",
            code="XLPY-PMEM-POISON",
            hint=f"cat /sys/block/{resolved.device}/badblocks; writing whole blocks there clears it on most DIMMs",
        )
