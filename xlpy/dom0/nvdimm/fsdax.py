"""Layout of an fsdax namespace: the structures in front of the data area.

    start                              first page, unused by Linux
    start + 4 KiB                      PFN info block
    start + 8 KiB                      Linux' page structs, 64 bytes per page (map=dev; with map=mem they are in RAM)
    next page boundary                 the reserve: room for another owner's page structures, Xen's frame table here
    start + dataoff, aligned           data: what the block device shows

The reserve carries no signature of its own. The info block has a field for the bytes set aside per page, and Linux
takes any value from its own 64 up; what exceeds 64 is the other owner's cost per page (40 for Xen: 32 for a
``page_info`` and 8 for the machine-to-physical entry). So the reserve can be found again from the info block alone
(``reserve_span``).
"""

from __future__ import annotations

from xlpy.addr import MIB, PAGE, Spa, Span, align_down, align_up, format_size
from xlpy.dom0.nvdimm.infoblock import (
    MODE_PMEM,
    MODE_RAM,
    PAGE_STRUCT,
    RESERVED_HEAD,
    SUBSECTION,
    PfnBlock,
)
from xlpy.errors import Constraint

XEN_TABLES = (32, 8)  # bytes per page of Xen's frame table and of its machine-to-physical table
FSDAX_MIN = 16 * MIB


def table_pages(count: int, costs: tuple[int, ...] = XEN_TABLES) -> int:
    """Pages that per-page tables of ``costs`` bytes need for ``count`` pages, each table on pages of its own."""
    return sum(-(-count * cost // PAGE) for cost in costs)


def plan_fsdax(
    span: Span[Spa], uuid: bytes, *, on_media: bool, align: int = SUBSECTION, costs: tuple[int, ...] = ()
) -> PfnBlock:
    """The info block of a new fsdax namespace.

    Args:
        span: the namespace.
        uuid: text-order bytes.
        on_media: whether Linux' page structs lie here (``map=dev``) or in RAM (``map=mem``).
        align: of the data start, in bytes: 4 KiB, 2 MiB or 1 GiB.
        costs: bytes per page of each table that another owner keeps here (``XEN_TABLES``); none: no reserve.

    Raises:
        Constraint: the namespace starts off a 2 MiB boundary, is smaller than 16 MiB, or has no room for data.
    """
    if span.start % SUBSECTION or span.size < FSDAX_MIN:
        raise Constraint(
            f"an fsdax namespace starts on a 2M boundary and has at least 16M; found {span}",
            hint="place the region on a 2M boundary, or use raw mode",
        )
    block = pfn_block(span, uuid, on_media=on_media, align=align, costs=costs)
    if block.dataoff + block.end_trunc >= span.size:
        raise Constraint(
            f"an fsdax namespace of {format_size(span.size)} aligned to {format_size(align)} needs"
            f" {format_size(block.dataoff)} for its structures and has no room for data",
            hint="make the region larger, or the alignment smaller",
        )
    return block


def pfn_block(
    span: Span[Spa], uuid: bytes, *, on_media: bool, align: int = SUBSECTION, costs: tuple[int, ...] = ()
) -> PfnBlock:
    """The info block that Linux computes, whether or not there is room for data; arguments as ``plan_fsdax``."""
    step = max(align, SUBSECTION)
    end_trunc = span.end % step
    used = RESERVED_HEAD + on_media * PAGE_STRUCT * ((span.size - RESERVED_HEAD) // PAGE)
    if costs:
        used = align_up(used, PAGE) + table_pages(span.size // PAGE, costs) * PAGE
    dataoff = align_up(span.start + used, step) - span.start
    return PfnBlock(
        uuid=uuid,
        dataoff=dataoff,
        npfns=max(0, span.size - dataoff - end_trunc) // PAGE,
        mode=MODE_PMEM if on_media else MODE_RAM,
        align=align,
        end_trunc=end_trunc,
        page_struct_size=PAGE_STRUCT + sum(costs),
    )


def costs_of(block: PfnBlock) -> tuple[int, ...]:
    """The ``costs`` that ``plan_fsdax`` was given, as far as the info block records them."""
    surplus = block.page_struct_size - PAGE_STRUCT
    return () if surplus <= 0 else XEN_TABLES if surplus == sum(XEN_TABLES) else (surplus,)


def reserve_span(span: Span[Spa], block: PfnBlock, tables: tuple[int, ...] = XEN_TABLES) -> Span[Spa] | None:
    """The location of a namespace's reserve: right after Linux' page structs, in whole pages.

    Args:
        span: the namespace.
        block: its info block.
        tables: bytes per page of the tables that the asking owner wants to put there.

    Returns:
        the room for these tables, or the smaller one that was set aside; None when nothing was.
    """
    surplus = block.page_struct_size - PAGE_STRUCT
    if surplus <= 0:
        return None
    used = RESERVED_HEAD + (block.mode == MODE_PMEM) * PAGE_STRUCT * ((span.size - RESERVED_HEAD) // PAGE)
    start = span.start + block.start_pad + align_up(used, PAGE)
    data = span.start + block.start_pad + block.dataoff
    needed = table_pages(span.size // PAGE, tables if surplus >= sum(tables) else (surplus,)) * PAGE
    size = min(needed, align_down(data, PAGE) - start)
    return Span(Spa(start), size) if size > 0 else None
