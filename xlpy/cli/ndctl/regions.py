"""``ndctl enable-region`` and ``disable-region``."""

from __future__ import annotations

from xlpy.cli.ndctl import filters
from xlpy.cli.ndctl.device import disable_region, disable_unused, enable_region
from xlpy.cli.ndctl.options import Parser, text
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.region import NdRegion

OPTIONS = (
    text("b", "bus", "bus-id", "<region> must be on a bus with an id/provider of <bus-id>"),
    text("t", "type", "region-type", "<region> must be of the specified type"),
)


def _switch(
    session: NdctlSession, words: Sequence[str], verb: str, act: Callable[[NdctlSession, NdRegion], int]
) -> int:
    parser = Parser(session, OPTIONS, f"ndctl {verb}-region <region> [<options>]")
    values, rest = parser.parse(words)
    if not rest:
        session.error('specify a specific region id to act on, or "all"\n')
    for word in rest[1:]:
        session.error(f'unknown extra parameter "{word}"\n')
    if len(rest) != 1:
        parser.usage()
    if values.type not in (None, "pmem", "blk"):
        session.error(f"unknown region type '{values.type}', should be 'pmem' or 'blk'\n")
        parser.usage()
    done = 0
    with session.change(f"ndctl {verb}-region {rest[0]}") as nd:
        for bus in filters.buses(nd):
            if not filters.wants_bus(bus, values.bus) or values.type == "blk":
                continue
            for region in filters.regions(bus):
                if filters.wants_region(region, rest[0]):
                    done += act(session, region) == 0
    session.err(f"{verb}d {done} region{'' if done == 1 else 's'}")
    return 0


def enable(session: NdctlSession, words: Sequence[str]) -> int:
    """``enable-region``."""
    return _switch(session, words, "enable", enable_region)


def disable(session: NdctlSession, words: Sequence[str]) -> int:
    """``disable-region``: its namespaces first, as far as they are not used."""

    def act(session: NdctlSession, region: NdRegion) -> int:
        for one in filters.namespaces(region):
            result = disable_unused(session, one)
            if result:
                return result
        return disable_region(session, region)

    return _switch(session, words, "disable", act)
