"""How an info block determines the mode of a namespace."""

from __future__ import annotations

import errno

from xlpy.addr import Spa, Span
from xlpy.dom0.nvdimm import DAX_SIGNATURE
from xlpy.dom0.nvdimm.btt import ARENA_MIN, BTT1_AT, BTT2_AT, BttBlock, parse_btt
from xlpy.dom0.nvdimm.fsdax import reserve_span
from xlpy.dom0.nvdimm.infoblock import BLOCK, MODE_PMEM, PFN_AT, InfoBlockError, parse_pfn, validate_pfn
from xlpy.dom0.nvdimm.namespace import Namespace, checksum
from xlpy.typing import TYPE_CHECKING
from xlpy.uuids import uuid_if_any

if TYPE_CHECKING:
    from xlpy.dom0.nvdimm.memory import Readable


def detect(memory: Readable, region: int, span: Span[Spa], parent: bytes = bytes(16), kind: str = "none") -> Namespace:
    """Enable a namespace as its media say: the first valid info block of BTT, PFN and DAX claims it.

    A block that is one but cannot be used disables the namespace (``problem``); no valid block makes it raw.

    Args:
        memory: where it lies.
        region: number of its region.
        span: all of it.
        parent: uuid of the label that made it, zeros without labels: blocks of others are not its own.
        kind: what its label says of its use, as ``labels.ABSTRACTIONS`` has it; other blocks are not looked for.
    """
    raw = Namespace(region, span, "raw", span, size=span.size)
    version, at = (2, BTT2_AT) if kind == "btt2" else (1, BTT1_AT)
    if kind in ("none", "btt", "btt2"):
        try:
            btt = parse_btt(memory.read(Spa(span.start + at), BLOCK), parent)
        except InfoBlockError as error:
            if error.errno != errno.ENODEV:
                return raw._replace(problem=error.message)
        else:
            if btt.major == version:
                return sector(memory, raw, at, btt)
    if kind not in ("none", "pfn", "dax"):
        return raw
    try:
        return paged(memory, raw, parent)
    except InfoBlockError as error:
        return raw if error.errno == errno.ENODEV else raw._replace(problem=error.message)


def paged(memory: Readable, raw: Namespace, parent: bytes) -> Namespace:
    """A namespace with a PFN or DAX info block. InfoBlockError: there is none, or it cannot be used."""
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
        uuid=uuid_if_any(block.uuid),
        align=block.align,
        data=Span(Spa(span.start + block.start_pad + block.dataoff), size),
        size=size,
        reserve=reserve_span(span, block),
        seal=(place, checksum(data)),
    )


def sector(memory: Readable, raw: Namespace, at: int, first: BttBlock) -> Namespace:
    """A namespace with arenas from offset ``at`` on, of which the first has the info block ``first``."""
    block, start, size = first, raw.span.start + at, 0
    unit = 4096 if first.external_lbasize >= 4096 else 512  # what a block has beyond is for integrity
    while True:
        size += block.external_nlba * unit
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
        uuid=uuid_if_any(first.uuid),
        sector_size=unit,
        data=Span(Spa(place + first.dataoff), first.external_nlba * first.external_lbasize),
        size=size,
        seal=(place, checksum(first.build())),
    )
