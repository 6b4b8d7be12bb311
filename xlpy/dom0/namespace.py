"""Namespaces: how Dom0 uses a region, as its info block on media says.

Without labels a region is one namespace. In fsdax mode its front holds what the data area needs beside the data:

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

import errno
from typing import TYPE_CHECKING, Any, Protocol

from xlpy.addr import MIB, PAGE, Spa, Span, align_down, align_up, format_size
from xlpy.dom0.infoblock import (
    ARENA_MAX,
    ARENA_MIN,
    BLOCK,
    BTT1_AT,
    BTT2_AT,
    CHECKSUM,
    DAX_SIGNATURE,
    MODE_PMEM,
    MODE_RAM,
    PAGE_STRUCT,
    PFN_AT,
    RESERVED_HEAD,
    BttBlock,
    InfoBlockError,
    PfnBlock,
    btt_block,
    parse_btt,
    parse_pfn,
    validate_pfn,
)
from xlpy.errors import Constraint
from xlpy.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

XEN_TABLES = (32, 8)  # bytes per page of Xen's frame table and of its machine-to-physical table
SUBSECTION = 2 * MIB  # granularity in which Linux adds page structs
FSDAX_MIN = 16 * MIB


class Readable(Protocol):
    """Memory to look at."""

    def read(self, spa: Spa, length: int, /) -> bytes:
        """Bytes at an address."""
        ...


class HostMemory(Readable, Protocol):
    """What the driver needs of host physical memory."""

    def write(self, spa: Spa, data: bytes) -> None:
        """Store at an address."""
        ...

    def zero(self, span: Span[Spa]) -> None:
        """Make a span read as zeros without using space."""
        ...


class Namespace(NamedTuple):
    """One namespace as the driver enabled it. Numbers are bytes and host physical addresses.

    region: its number, as in ``namespace0.0``; span: all of it.
    mode: ``raw``, ``fsdax``, ``sector``, or ``devdax`` (recognised, not driven).
    map: ``dev`` or ``mem`` in fsdax mode, else None. uuid: of the info block, empty without one.
    data: what the block device shows; in sector mode the blocks of the first arena while they still lie in order.
    reserve: room for another owner's page structures, or None.
    seal: (address, checksum) of the info block that said all this; None in raw mode.
    problem: why the namespace is disabled, or None.
    """

    region: int
    span: Span[Spa]
    mode: str
    data: Span[Spa]
    map: str | None = None
    uuid: str = ""
    align: int = 0
    sector_size: int = 512
    size: int = 0
    reserve: Span[Spa] | None = None
    seal: tuple[int, int] | None = None
    problem: str | None = None

    @property
    def dev(self) -> str:
        """The name on the nd bus."""
        return f"namespace{self.region}.0"

    @property
    def disk(self) -> str | None:
        """The name of its block device; None when it has none."""
        if self.problem or self.mode == "devdax":
            return None
        return f"pmem{self.region}s" if self.mode == "sector" else f"pmem{self.region}"

    @property
    def dax(self) -> bool:
        """Whether file systems on it can map their files directly (``queue/dax``)."""
        return self.mode == "fsdax"

    def dump(self) -> list[Any]:
        """The record as JSON values."""
        return [[v.start, v.size] if isinstance(v, Span) else v for v in self]

    @classmethod
    def load(cls, values: list[Any]) -> Namespace:
        """The record that ``dump`` wrote."""
        made = cls(*values)
        return made._replace(
            span=Span(*values[1]),
            data=Span(*values[3]),
            reserve=Span(*values[9]) if values[9] else None,
            seal=(values[10][0], values[10][1]) if values[10] else None,
        )


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
    step = max(align, SUBSECTION)
    end_trunc = span.end % step
    used = RESERVED_HEAD + on_media * PAGE_STRUCT * ((span.size - RESERVED_HEAD) // PAGE)
    if costs:
        used = align_up(used, PAGE) + table_pages(span.size // PAGE, costs) * PAGE
    dataoff = align_up(span.start + used, step) - span.start
    if dataoff + end_trunc >= span.size:
        raise Constraint(
            f"an fsdax namespace of {format_size(span.size)} aligned to {format_size(align)} needs"
            f" {format_size(dataoff)} for its structures and has no room for data",
            hint="make the region larger, or the alignment smaller",
        )
    return PfnBlock(
        uuid=uuid,
        dataoff=dataoff,
        npfns=(span.size - dataoff - end_trunc) // PAGE,
        mode=MODE_PMEM if on_media else MODE_RAM,
        align=align,
        end_trunc=end_trunc,
        page_struct_size=PAGE_STRUCT + sum(costs),
    )


def reserve_span(span: Span[Spa], block: PfnBlock, tables: tuple[int, ...] = XEN_TABLES) -> Span[Spa] | None:
    """Where the reserve of a namespace lies: right after Linux' page structs, on pages.

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


def create_fsdax(memory: HostMemory, span: Span[Spa], block: PfnBlock) -> None:
    """Write the info block of a planned fsdax namespace."""
    memory.write(Spa(span.start + PFN_AT), block.build())


def create_sector(memory: HostMemory, span: Span[Spa], uuid: bytes, lbasize: int) -> None:
    """Write the arenas of a sector-mode namespace: info blocks, empty maps, first logs (BTT 1.1, as without labels).

    Raises:
        Constraint: the namespace has less than 16 MiB and a page.
    """
    at, left = span.start + BTT1_AT, span.size - BTT1_AT
    if left < ARENA_MIN:
        raise Constraint(
            f"a sector-mode namespace needs {format_size(ARENA_MIN + BTT1_AT)}; found {span}", hint="use raw mode"
        )
    while left >= ARENA_MIN:
        arena = min(left, ARENA_MAX)
        left -= arena
        block = btt_block(arena, lbasize, uuid, nextoff=arena if left >= ARENA_MIN else 0)
        memory.zero(Span(Spa(at + block.mapoff), block.logoff - block.mapoff))
        memory.write(Spa(at + block.logoff), block.log())
        for place in (block.info2off, 0):
            memory.write(Spa(at + place), block.build())
        at += arena


def detect(memory: Readable, region: int, span: Span[Spa], parent: bytes = bytes(16)) -> Namespace:
    """Enable the namespace of a region as its media say: the first valid info block of BTT, PFN and DAX claims it.

    ``parent`` is the uuid of the label that made the namespace, zeros without labels: other blocks are not its own.
    A block that is one but cannot be used disables the namespace (``problem``); no valid block makes it raw.
    """
    raw = Namespace(region, span, "raw", span, size=span.size)
    for version, at in ((2, BTT2_AT), (1, BTT1_AT)):
        try:
            btt = parse_btt(memory.read(Spa(span.start + at), BLOCK), parent)
        except InfoBlockError as error:
            if error.errno != errno.ENODEV:
                return raw._replace(problem=error.message)
        else:
            if btt.major == version:
                return _sector(memory, raw, at, btt)
    try:
        return _pfn(memory, raw, parent)
    except InfoBlockError as error:
        return raw if error.errno == errno.ENODEV else raw._replace(problem=error.message)


def _pfn(memory: Readable, raw: Namespace, parent: bytes) -> Namespace:
    span = raw.span
    place = Spa(span.start + PFN_AT)
    data = memory.read(place, BLOCK)
    block = parse_pfn(data)
    validate_pfn(block, span.start, span.size, parent)
    size = span.size - block.start_pad - block.dataoff - block.end_trunc
    devdax = block.signature == DAX_SIGNATURE
    return raw._replace(
        mode="devdax" if devdax else "fsdax",
        map="dev" if block.mode == MODE_PMEM else "mem",
        uuid=uuid_text(block.uuid),
        align=block.align,
        data=Span(Spa(span.start + block.start_pad + block.dataoff), size),
        size=size,
        reserve=reserve_span(span, block),
        seal=(place, _checksum(data)),
    )


def _sector(memory: Readable, raw: Namespace, at: int, first: BttBlock) -> Namespace:
    block, start, size = first, raw.span.start + at, 0
    while True:
        size += block.external_nlba * block.external_lbasize
        if not block.nextoff:
            break
        start += block.nextoff
        if block.nextoff < ARENA_MIN or start + BLOCK > raw.span.end:
            return raw._replace(problem=f"BTT info block: next arena at {start:#x}, outside the namespace {raw.span}")
        try:
            block = parse_btt(memory.read(Spa(start), BLOCK))
        except InfoBlockError as error:
            return raw._replace(problem=f"arena at {start:#x}: {error.message}")
    place = Spa(raw.span.start + at)
    return raw._replace(
        mode="sector",
        uuid=uuid_text(first.uuid),
        sector_size=first.external_lbasize,
        data=Span(Spa(place + first.dataoff), first.external_nlba * first.external_lbasize),
        size=size,
        seal=(place, _checksum(first.build())),
    )


def revalidate(memory: Readable, known: Namespace) -> Namespace:
    """The namespace as it is now: disabled, with the reason, when the info block it was enabled by is not there.

    Raw namespaces have no block and stay as they are.
    """
    if known.seal is None or known.problem:
        return known
    place, checksum = known.seal
    parse: Callable[[bytes], object] = parse_btt if known.mode == "sector" else parse_pfn
    try:
        data = memory.read(Spa(place), BLOCK)
        parse(data)
    except InfoBlockError as error:
        problem = error.message
    else:
        if _checksum(data) == checksum:
            return known
        problem = "the info block is not the one that the namespace was enabled by"
    return Namespace(known.region, known.span, "raw", known.span, size=known.span.size, problem=problem)


def uuid_text(data: bytes) -> str:
    """Text of 16 text-order bytes; empty for zeros."""
    digits = data.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])) if any(data) else ""


def _checksum(block: bytes) -> int:
    return int.from_bytes(block[CHECKSUM:], "little")
