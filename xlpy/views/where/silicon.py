"""The lower half of the translation: from a host physical address through the NFIT to a DIMM and to a media file."""

from __future__ import annotations

import os

from xlpy.addr import LINE, Spa, Span
from xlpy.firmware.acpi.nfit_places import FIRST, interleave_of, region_map_of, spa_range_of
from xlpy.hw.memmap import fit_span
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.views.where.answer import Hop, OnFile, Part, Place

if TYPE_CHECKING:
    from xlpy.host import Host
    from xlpy.hw.region import Region


def below(host: Host, spa: Spa) -> Part:
    """The hardware behind a host physical address.

    Raises:
        Constraint: there is no memory.
    """
    if not host.hw.has_memory(Span(spa, 1)):
        from xlpy.views.where.host_memory import without_bytes

        return without_bytes(host, spa)
    file, offset = host.hw.locate_file(spa)
    fields = {"spa": spa, "media": OnFile(file, offset)}
    media = Hop("silicon", f"media file, byte {offset:#x}", "the machine description", Place("file", offset, file))
    region = next((one for one in host.hw.regions if spa in one.span), None)
    if region is None:
        from xlpy.views.where.host_memory import ram

        return ram(host, spa, fields, media)
    return _pmem(host, spa, region, fields, media)


def _pmem(host: Host, spa: Spa, region: Region, fields: dict[str, Any], media: Hop) -> Part:
    """Persistent memory: its range in the NFIT, and the DIMM whose turn it is."""
    offset = spa - region.span.start
    here = f"host address {spa:#x} = {region.name}+{offset:#x}"
    poison = host.hw.poison.overlapping(Span(spa, 1))
    touch = {"poison": bool(poison), "persistence": host.dom0.bus.persistence, "flushed": _flushed(host, spa)}
    fields = {**fields, "region": f"region{region.index}"}
    if not region.set.dimms:
        hop = Hop("firmware", f"{here}, on no DIMM that firmware describes", "the host's E820, type 12")
        return Part(fields, [hop, media], touch, region.span.end - spa)
    dimm, dpa = host.hw.locate(spa)
    table, start, data = _table(host, spa)
    index, places = 0, dict[str, Place]()
    if found := spa_range_of(data, spa):
        at, index = found
        places["range"] = Place("spa", start + at)
        if mapped := region_map_of(data, index, dimm.handle):
            places["map"] = Place("spa", start + mapped)
            if ways := interleave_of(data, mapped):
                places["ways"] = Place("spa", start + ways)
    pulled = ", pulled out" if any(dimm.id == name for name, _ in region.set.out) else ""
    line, count = region.set.line, len(region.set.dimms)
    way = f"way {region.set.dimms.index(dimm.id)} of {count}, line {offset // line} of {line} bytes"
    share = way if count > 1 else "the whole range, not interleaved"
    decided = f"{table}, interleave structure" if count > 1 else f"{table}, region mapping"
    hops = [
        Hop("firmware", here, f"{table}, SPA range {index}", places.get("range")),
        Hop(
            "firmware", f"{dimm.id} ({share})", f"{table}, region mapping of handle {dimm.handle:#x}", places.get("map")
        ),
        Hop("silicon", f"{dimm.id}, DPA {dpa:#x}{pulled}", decided, places.get("ways" if count > 1 else "map")),
    ]
    return Part({**fields, "dimm": dimm.id, "dpa": dpa}, [*hops, media], touch, region.span.end - spa)


def _table(host: Host, spa: Spa) -> tuple[str, int, bytes]:
    """What describes a range: name, address and bytes of the NFIT, or of what ``_FIT`` returns for one plugged in."""
    nfit = next((table for table in host.acpi_tables() if table.signature == "NFIT"), None)
    if nfit is not None and spa_range_of(nfit.data, spa):
        return "NFIT", nfit.address, nfit.data
    area = fit_span(host.spec)
    length = int.from_bytes(host.hw.read(area.start, 4), "little")
    return "_FIT", area.start + 4 - FIRST, bytes(FIRST) + host.hw.read(Spa(area.start + 4), min(length, area.size - 4))


def _flushed(host: Host, spa: Spa) -> bool:
    """Whether a power failure leaves the byte as it reads: nothing of its line waits in a cache or a queue."""
    from xlpy.hw.power import CACHES

    if not os.path.exists(host.hw.beside(CACHES)):  # noqa: PTH110 - most have none, and their reader is not loaded
        return True
    from xlpy.toolstack.domain.durable import caches

    return spa // LINE * LINE not in caches(host.hw).lines
