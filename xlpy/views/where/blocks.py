"""A namespace in sector mode: the map of an arena gives the block of a sector, and the sector of a block."""

from __future__ import annotations

import os

from xlpy.addr import Spa
from xlpy.dom0.nvdimm.sectors import Sectors, part
from xlpy.hw.sparse import written
from xlpy.typing import TYPE_CHECKING
from xlpy.views.where.answer import Hop, Part, Place

LAYOUT = "layout of an arena, UEFI 2.7, 6.4"

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.dom0.nvdimm.namespace import Namespace
    from xlpy.dom0.nvdimm.sectors import Arena
    from xlpy.host import Host


def spa_of(host: Host, namespace: Namespace, offset: int) -> Spa:
    """The host address of a byte of the device, as the map has it now."""
    found = Sectors(host.hw.read, namespace).at(offset)
    return Spa(found.spa + offset % found.size)


def sector(host: Host, namespace: Namespace, spa: Spa) -> tuple[Part, int | None]:
    """What a host address in the namespace is: a sector of the device, a free block, or what the BTT needs itself.

    Returns:
        the answer, and the offset on the device, None where it is on none.
    """
    sectors = Sectors(host.hw.read, namespace)
    arena = next((one for one in sectors.arenas if one.start <= spa < one.end), None)
    if arena is None:
        first = sectors.arenas[0].start
        what = "the unused first page" if spa < first else "behind the last arena"
        return Part({}, [Hop("dom0", what, "BTT info block", Place("spa", first))], {}, 1), None
    info = Hop("dom0", f"arena at {arena.start:#x}+{spa - arena.start:#x}", "BTT info block", Place("spa", arena.start))
    block, within = divmod(spa - arena.start - arena.block.dataoff, arena.block.internal_lbasize)
    if not 0 <= block < arena.block.internal_nlba:
        what, end = part(arena, spa)
        return Part({}, [Hop("dom0", what, LAYOUT), info], {}, end - spa), None
    run = arena.block.internal_lbasize - within
    found = sectors.holder(arena, block, lambda at, length: _written(host, at, length))
    if found is None or within >= found.size:
        hop = (
            _free(sectors, arena, block) if found is None else Hop("dom0", f"padding of sector {found.number}", LAYOUT)
        )
        return Part({}, [hop, info], {}, run), None
    state = f" ({found.state})" if found.state else ""
    hop = Hop(
        "dom0",
        f"sector {found.number} in block {block} of the arena{state}",
        f"BTT map, entry {found.number - arena.first}",
        Place("spa", found.place),
    )
    return Part({}, [hop, info], {}, found.size - within), found.number * found.size + within


def _free(sectors: Sectors, arena: Arena, block: int) -> Hop:
    lane = sectors.lane(arena, block)
    if lane is None:
        return Hop("dom0", f"block {block}, in no sector and no lane", "map and log of the arena")
    what = f"block {block}, free for the next write of lane {lane[0]}"
    return Hop("dom0", what, "log of the arena", Place("spa", lane[1]))


def _written(host: Host, spa: Spa, length: int) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of what was ever stored in a stretch."""
    path, start = host.hw.locate_file(spa)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield from ((at - start, data) for at, data in written(fd, start, length))
    finally:
        os.close(fd)
