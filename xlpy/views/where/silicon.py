"""The lower half of the way: from a host physical address through the NFIT to a DIMM and to a media file."""

from __future__ import annotations

import os

from xlpy.addr import PAGE_SHIFT, Spa, Span
from xlpy.errors import Constraint, NotFound
from xlpy.firmware.acpi.nfit_places import FIRST, region_map_of, spa_range_of
from xlpy.firmware.e820 import TYPE_NAMES
from xlpy.hw.memmap import fit_span
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.views.where.answer import Answer, Hop, Place

LINE = 64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.host import Host
    from xlpy.hw.hardware import Region


def below(host: Host, spa: Spa) -> Answer:
    """What lies under a host physical address.

    Raises:
        Constraint: there is no memory.
    """
    if not host.hw.has_memory(Span(spa, 1)):
        for dimm in host.spec.dimms:
            if any(spa in Span(hint, 64) for hint in host.hw.flush_hints(dimm.id)):
                hop = Hop("silicon", f"flush hint of {dimm.id}: a write drains its queue", "NFIT, flush hint addresses")
                return Answer({"spa": spa, "mfn": spa >> PAGE_SHIFT, "dimm": dimm.id}, [hop], {}, 1)
        raise Constraint(
            f"there is no memory at host address {spa:#x}",
            code="XLPY-HW-NO-MEMORY",
            hint="`xlpy host show` lists where RAM and persistent memory are",
        )
    file, offset = host.hw.locate_file(spa)
    fields = {"spa": spa, "mfn": spa >> PAGE_SHIFT, "media": {"file": file, "offset": offset}}
    media = Hop(
        "silicon", f"byte {offset:#x} of the file {file}", "the machine description", Place("file", offset, file)
    )
    try:
        region = host.hw.region_at(spa)
    except NotFound:
        return _ram(host, spa, fields, media)
    return _pmem(host, spa, region, fields, media)


def _ram(host: Host, spa: Spa, fields: dict[str, Any], media: Hop) -> Answer:
    """Host RAM, as the E820 tells of it."""
    rows = host.hw.memory_map()
    entry = next((one for one in rows if one.start <= spa < one.start + one.size), None)
    if entry is None:  # as between 640K and 1M
        kind, end = "in no entry", min((one.start for one in rows if one.start > spa), default=spa + 1)
    else:
        kind, end = TYPE_NAMES.get(entry.type, str(entry.type)), entry.start + entry.size
    hop = Hop("firmware", f"host address {spa:#x}: {kind}", "the host's E820")
    return Answer(fields, [hop, media], {"poison": False, "persistence": None}, end - spa)


def _pmem(host: Host, spa: Spa, region: Region, fields: dict[str, Any], media: Hop) -> Answer:
    dimm, dpa = host.hw.locate(spa)
    offset = spa - region.span.start
    way = region.set.dimms.index(dimm.id)
    hops, deciding, source = [], None, "NFIT"
    for source, address, table in _described(host):
        if found := spa_range_of(table, spa):
            at, index = found
            what = f"host address {spa:#x} = {region.name}+{offset:#x}"
            hops.append(Hop("firmware", what, f"{source}, SPA range {index}", Place("spa", address + at)))
            mapped = region_map_of(table, index, dimm.handle)
            deciding = None if mapped is None else Place("spa", address + mapped)
            break
    ways = len(region.set.dimms)
    share = f"way {way} of {ways}, lines of {region.set.line}" if ways > 1 else "the whole range, not interleaved"
    hops.append(
        Hop("firmware", f"{dimm.id} ({share})", f"{source}, region mapping of handle {dimm.handle:#x}", deciding)
    )
    hops.append(Hop("silicon", f"{dimm.id}, DPA {dpa:#x}", "interleaving, ACPI 6.5, 5.2.25.3"))
    poison = host.hw.poison.overlapping(Span(spa, 1))
    touch = {"poison": bool(poison), "persistence": host.dom0.bus.persistence, "flushed": _flushed(host, spa)}
    more = {"region": f"region{region.index}", "dimm": dimm.id, "dpa": dpa}
    return Answer({**fields, **more}, [*hops, media], touch, region.span.end - spa)


def _described(host: Host) -> Iterator[tuple[str, int, bytes]]:
    """(name, address, bytes) of what tells of ranges: the NFIT, and what ``_FIT`` returns, with as long a header."""
    for table in host.acpi_tables():
        if table.signature == "NFIT":
            yield "NFIT", table.address, table.data
    area = fit_span(host.spec)
    size = int.from_bytes(host.hw.read(area.start, 4), "little")
    yield "_FIT", area.start + 4 - FIRST, bytes(FIRST) + host.hw.read(Spa(area.start + 4), min(size, area.size - 4))


def _flushed(host: Host, spa: Spa) -> bool:
    """Whether a power failure leaves the byte as it reads: nothing of its line waits in a cache or a queue."""
    from xlpy.hw.power import CACHES

    if not os.path.exists(host.hw.beside(CACHES)):  # noqa: PTH110 - most have none, and their reader is not loaded
        return True
    from xlpy.toolstack.domain.durable import caches

    return spa // LINE * LINE not in caches(host.hw).lines
