"""The enabled devices of the nd bus, as records for block devices, mounts and Xen."""

from __future__ import annotations

from xlpy.addr import Spa
from xlpy.dom0.nvdimm.namespace import Namespace
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.uuids import ZERO

if TYPE_CHECKING:
    from collections.abc import Container

    from xlpy.dom0.nvdimm.memory import Readable
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace
    from xlpy.dom0.nvdimm.nd.region import NdRegion


def namespaces(region: NdRegion, but: Container[int] = ()) -> list[Namespace]:
    """The namespaces of a region that have a size, by number; those that are not enabled with the reason.

    Args:
        but: numbers of those that are left out.
    """
    return [_record(region.bus.memory, one) for one in region.namespaces if one.size and one.id not in but]


def unchanged(region: NdRegion) -> set[int]:
    """The numbers of enabled namespaces that are what they were when the region was last published."""
    if region.published is None:
        return set()
    before, now = _facts(region.published), _facts(region.dump())
    return {one.id for one in region.namespaces if one.enabled and one.size and now[one.id] == before.get(one.id)}


def _facts(dumped: list[Any]) -> dict[int, tuple[Any, ...]]:
    """What a dump of a region says of each namespace, and of the device that has claimed it."""
    *_, namespaces, btts, pfns, daxs = dumped
    claims = {row[2]: (kind, row) for kind, rows in enumerate((btts, pfns, daxs)) for row in rows}
    return {row[0]: (row, claims.get(row[0])) for row in namespaces}


def _record(memory: Readable, one: NdNamespace) -> Namespace:
    raw = Namespace(
        one.region.number,
        one.span,
        "raw",
        one.span,
        sector_size=one.sector_size,
        size=one.size,
        id=one.id,
        name=one.alt_name,
        label=one.uuid if one.has_label else "",
        holder=one.holder,
    )
    if not one.enabled:
        return raw._replace(problem=_reason(memory, one))
    if one.claim is None:
        return raw._replace(mode="fsdax", map="mem") if one.mode == "memory" else raw
    from xlpy.dom0.nvdimm.infoblock import InfoBlockError

    try:
        return _claimed(memory, raw, one)
    except InfoBlockError as error:  # damaged since it was enabled
        return raw._replace(problem=error.message)


def _claimed(memory: Readable, raw: Namespace, one: NdNamespace) -> Namespace:
    from xlpy.dom0.nvdimm.detect import paged, sector

    parent = one.raw_uuid or ZERO
    if one.mode == "safe":
        from xlpy.dom0.nvdimm.btt import parse_btt
        from xlpy.dom0.nvdimm.infoblock import BLOCK
        from xlpy.dom0.nvdimm.nd.btt import NdBtt

        _, at = NdBtt.version(one)
        return sector(memory, raw, at, parse_btt(memory.read(Spa(one.span.start + at), BLOCK), parent))
    return paged(memory, raw, parent)


def _reason(memory: Readable, one: NdNamespace) -> str:
    """Why a namespace is not enabled, as far as its media show the reason."""
    from xlpy.dom0.nvdimm.detect import detect

    found = detect(memory, one.region.number, one.span, one.raw_uuid or ZERO, one.kind)
    return found.problem or "it is not enabled"
