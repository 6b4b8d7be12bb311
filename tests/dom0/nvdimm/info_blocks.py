"""Namespaces without labels, written as info blocks: what a driver finds on media that others have used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlpy.addr import Spa, Span
from xlpy.dom0.nvdimm.btt import ARENA_MIN, BTT1_AT
from xlpy.dom0.nvdimm.infoblock import PFN_AT
from xlpy.dom0.nvdimm.nd.arenas import create

if TYPE_CHECKING:
    from xlpy.dom0.nvdimm.infoblock import PfnBlock
    from xlpy.dom0.nvdimm.memory import HostMemory


def create_fsdax(memory: HostMemory, span: Span[Spa], block: PfnBlock) -> None:
    """Write the info block of a planned fsdax namespace."""
    memory.write(Spa(span.start + PFN_AT), block.build())


def create_sector(memory: HostMemory, span: Span[Spa], uuid: bytes, lbasize: int) -> None:
    """Write the arenas of a sector-mode namespace, BTT 1.1."""
    inner = Span(Spa(span.start + BTT1_AT), span.size - BTT1_AT)
    assert inner.size >= ARENA_MIN
    create(memory, inner, lbasize, uuid, bytes(16), (1, 1))
