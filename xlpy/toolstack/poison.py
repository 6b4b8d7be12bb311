"""Poison under a backing, as Dom0's kernel lists it (``/sys/block/pmemN/badblocks``)."""

from __future__ import annotations

from xlpy.addr import Spa, Span
from xlpy.errors import NotFound
from xlpy.toolstack.resolve import SECTOR
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.dom0.face import Dom0
    from xlpy.toolstack.resolve import Resolved


def poisoned(dom0: Dom0, resolved: Resolved) -> list[Span[Spa]]:
    """The unreadable host memory inside a backing, ascending; a kernel without the list knows of none."""
    base = f"/sys/block/{resolved.device}"
    begins = f"{base}/device/resource"
    if resolved.kind == "devdax":  # the region above it has the list
        base = f"/sys/bus/dax/devices/{resolved.device}/../.."
        begins = f"{base}/resource"
    try:
        lines = dom0.sysfs(f"{base}/badblocks").splitlines()
    except NotFound:
        return []
    if not lines:
        return []
    start = int(dom0.sysfs(begins), 0)
    rows = (map(int, line.split()) for line in lines)
    bad = [Span(Spa(start + first * SECTOR), count * SECTOR) for first, count in rows]
    hits = (span.intersect(piece) for span in resolved.spans for piece in bad)
    return sorted(hit for hit in hits if hit is not None)
