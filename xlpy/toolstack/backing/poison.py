"""Poison under a backing, as Dom0's kernel lists it (``/sys/block/pmemN/badblocks``)."""

from __future__ import annotations

import errno

from xlpy.addr import SECTOR, Spa, Span
from xlpy.errors import HypercallError, NotFound, Unsafe
from xlpy.toolstack.backing.refusals import refuse_unregistered
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.dom0.emulated import EmulatedDom0
    from xlpy.dom0.kernel import Dom0
    from xlpy.hypervisor.xen import Xen
    from xlpy.toolstack.backing.resolve import Resolved


def unreadable(dom0: Dom0, device: str) -> list[Span[Spa]]:
    """The unreadable host memory of a disk or devdax device; a kernel without the list knows of none."""
    base = f"/sys/block/{device}"
    begins = f"{base}/device/resource"
    if device.startswith("dax"):  # the region above it has the list
        base = f"/sys/bus/dax/devices/{device}/../.."
        begins = f"{base}/resource"
    try:
        lines = dom0.sysfs(f"{base}/badblocks").splitlines()
    except NotFound:
        return []
    if not lines:
        return []
    start = int(dom0.sysfs(begins), 0)
    rows = (map(int, line.split()) for line in lines)
    return [Span(Spa(start + first * SECTOR), count * SECTOR) for first, count in rows]


def poisoned(dom0: Dom0, resolved: Resolved) -> list[Span[Spa]]:
    """The unreadable host memory inside a backing, ascending."""
    bad = unreadable(dom0, resolved.device)
    hits = (span.intersect(piece) for span in resolved.spans for piece in bad) if bad else ()
    return sorted(hit for hit in hits if hit is not None)


def refuse(resolved: Resolved, bad: list[Span[Spa]]) -> None:
    """Unsafe: a backing has ``bad``, unreadable memory inside it."""
    if bad:
        more = f" and {len(bad) - 1} more places" if len(bad) > 1 else ""
        raise Unsafe(
            f"{resolved.path}: host memory at {bad[0]}{more} is poisoned: a guest that reads it gets a machine check",
            code="XLPY-PMEM-POISON",
            hint=f"cat /sys/block/{resolved.device}/badblocks; writing whole blocks there clears it on most DIMMs",
        )


def refuse_unmappable(xen: Xen, dom0: EmulatedDom0, path: str, resolved: Resolved) -> None:
    """What the hypervisor would find on mapping a backing, whichever domain has it now.

    Raises:
        HypercallError: Xen does not know the device, or a line is poisoned.
    """
    refuse_unregistered(xen, dom0, path, resolved.device, resolved.first)
    refuse_poisoned(dom0, path, resolved)


def refuse_poisoned(dom0: EmulatedDom0, path: str, resolved: Resolved) -> None:
    """For a dry run: what the hypervisor would find on mapping the backing. HypercallError: a line is poisoned."""
    for bad in poisoned(dom0, resolved):
        raise HypercallError(
            f"{path}: the host memory at {bad} is poisoned",
            errno.EIO,
            hint="choose a file or a partition beside it",
        )
