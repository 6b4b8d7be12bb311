"""The devices of persistent memory that Dom0 has reported, as the state has them."""

from __future__ import annotations

from xlpy.addr import PAGE_SHIFT, Mfn, Spa, Span, pages
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class PmemRegion(NamedTuple):
    """One reported device, in machine frames.

    region: all of it. reserved: Xen's. data: what guests may get. The rest stays Dom0's (its own metadata).
    """

    region: Span[Mfn]
    reserved: Span[Mfn]
    data: Span[Mfn]


def load(rows: Iterable[Sequence[tuple[int, int]]]) -> list[PmemRegion]:
    """The devices of saved rows: of each, first frame and number of frames of its three ranges."""
    return [PmemRegion(*(Span(Mfn(first), count) for first, count in row)) for row in rows]


def registered(regions: Iterable[PmemRegion], span: Span[Spa]) -> bool:
    """Whether all of ``span`` is in one device's data area."""
    whole = Span.between(Mfn(span.start >> PAGE_SHIFT), Mfn(pages(span.end)))
    return any(one.data.covers(whole) for one in regions)
