"""Sizes of vNVDIMMs that a Linux guest cannot use in full, or only as one undivided device.

Linux allocates namespaces in units of 16 MiB, and ndctl changes none whose size is not such a multiple (``align`` of
Linux' ``nd_region``, seen with 6.1 and ndctl 76): a region without labels stays the raw device that it is, with labels
the rest at its end is lost. Regions below 16 MiB have units of 4 KiB.
"""

from __future__ import annotations

from xlpy.addr import REGION_ALIGN, align_down, align_up, format_size
from xlpy.contexts import suppress
from xlpy.errors import XlpyError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.dom0.kernel import Dom0
    from xlpy.toolstack.config.devices.vnvdimm import VnvdimmEntry


def odd(size: int, labels: bool) -> tuple[str, str] | None:
    """What is wrong with a vNVDIMM's size for a Linux guest, and what to do; None when nothing is.

    Args:
        size: of the region, in bytes.
        labels: whether it has a label area.
    """
    if size < REGION_ALIGN or size % REGION_ALIGN == 0:
        return None
    best, next_up = align_down(size, REGION_ALIGN), align_up(size, REGION_ALIGN)
    what = (
        f"with labels ndctl uses {format_size(best)} of it"
        if labels
        else "ndctl in a Linux guest cannot reconfigure it (align setting is 0x1000000)"
    )
    return (
        f"{format_size(size)} is not a multiple of 16M: {what}",
        f"make it {format_size(best)} or {format_size(next_up)}: xlpy pmem account --want {format_size(next_up)}",
    )


def sizes(dom0: Dom0, entries: Iterable[VnvdimmEntry]) -> Iterator[tuple[str, int, int]]:
    """(path, size, size of the label area) of the entries of a configuration whose backings are there."""
    from xlpy.toolstack.backing.resolve import resolve

    for entry in entries:
        with suppress(XlpyError):
            yield entry.file, resolve(dom0, entry.file, entry.read_only).size, entry.label_size
