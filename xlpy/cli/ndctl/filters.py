"""Which devices a command is about: ``-b -r -d -n``, and names on the command line.

A filter is a text with one or more names between blanks. A number stands for the device of that number, but only when
it is the whole text; ``all`` is every device.
"""

from __future__ import annotations

from xlpy.cli.ndctl.order import key, met
from xlpy.cli.ndctl.sizes import NONE, number
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.dom0.nvdimm.nd.bus import Nd, NdBus
    from xlpy.dom0.nvdimm.nd.dimm import Nvdimm
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace
    from xlpy.dom0.nvdimm.nd.region import NdRegion


def buses(nd: Nd) -> list[NdBus]:
    """All buses in the order in which ndctl meets them, by their devices ndctl0, ndctl1, ..."""
    return sorted(nd.buses, key=lambda bus: key(f"ndctl{bus.number}"), reverse=True)


def regions(bus: NdBus) -> list[NdRegion]:
    """The regions of a bus, in ndctl's order."""
    return met(bus.regions)


def dimms(bus: NdBus) -> list[Nvdimm]:
    """The DIMMs of a bus, in ndctl's order."""
    return met(bus.dimms)


def namespaces(region: NdRegion) -> list[NdNamespace]:
    """The namespaces of a region, in ndctl's order; none while it is disabled."""
    return met(region.namespaces)


def _named(words: str | None, names: Iterable[str], its_number: int) -> bool:
    if words is None:
        return True
    value, rest = number(words)
    numeric = not rest and words[-1:].isalnum() and value != NONE
    for word in words.split(" "):
        if not word:
            continue
        if word == "all" or (value == its_number if numeric else word in names):
            return True
    return False


def wants_bus(bus: NdBus, words: str | None) -> bool:
    """Whether a bus is meant: by provider, name or number."""
    return _named(words, (bus.provider, bus.dev), bus.number)


def wants_region(region: NdRegion, words: str | None) -> bool:
    """Whether a region is meant."""
    return _named(words, (region.dev,), region.number)


def wants_dimm(dimm: Nvdimm, words: str | None) -> bool:
    """Whether a DIMM is meant."""
    return _named(words, (dimm.dev,), int(dimm.dev.removeprefix("nmem")))


def wants_namespace(namespace: NdNamespace, words: str | None) -> bool:
    """Whether a namespace is meant: by name, or as REGION.NUMBER."""
    if words is None:
        return True
    names = ("all", namespace.dev, f"{namespace.region.number}.{namespace.id}")
    return any(word in names for word in words.split(" "))


def every(words: str | None) -> bool:
    """Whether a filter leaves nothing out, for the sake of what another device has in common with it."""
    return words is None or words == "all"


def bus_has(bus: NdBus, dimm: str | None, region: str | None, namespace: str | None) -> bool:
    """Whether a bus has a DIMM, a region and a namespace that the filters want."""
    return (
        (every(dimm) or any(wants_dimm(one, dimm) for one in bus.dimms))
        and (every(region) or any(wants_region(one, region) for one in bus.regions))
        and (every(namespace) or any(region_has(one, None, namespace) for one in bus.regions))
    )


def region_has(region: NdRegion, dimm: str | None, namespace: str | None) -> bool:
    """Whether a region has a DIMM and a namespace that the filters want."""
    return (every(dimm) or any(wants_dimm(one.dimm, dimm) for one in region.mappings)) and (
        every(namespace) or any(wants_namespace(one, namespace) for one in region.namespaces)
    )


def dimm_in(dimm: Nvdimm, region: str | None, namespace: str | None, node: int | None) -> bool:
    """Whether a DIMM is part of a region that the filters want, of one with such a namespace, and of one on a node."""
    mine = [one for one in dimm.bus.regions if any(part.dimm is dimm for part in one.mappings)]
    return (
        (every(region) or any(wants_region(one, region) for one in mine))
        and (every(namespace) or any(region_has(one, None, namespace) for one in mine))
        and (node is None or any(one.numa_node == node for one in mine))
    )
