"""``ndctl list``."""

from __future__ import annotations

from errno import EINVAL
from itertools import chain

from xlpy.cli.ndctl import filters
from xlpy.cli.ndctl.jsonc import show, show_array
from xlpy.cli.ndctl.objects import MODE_WORDS, Detail, Object, bus_object, dimm_object, namespace_object, region_object
from xlpy.cli.ndctl.options import NdctlOption, Parser, Values, flag, text
from xlpy.cli.ndctl.sizes import number
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.cli.ndctl.session import NdctlSession
    from xlpy.dom0.nvdimm.nd.bus import NdBus
    from xlpy.dom0.nvdimm.nd.dimm import Nvdimm
    from xlpy.dom0.nvdimm.nd.namespace import NdNamespace
    from xlpy.dom0.nvdimm.nd.region import NdRegion

USAGE = "ndctl list [<options>]"
OPTIONS = (
    text("b", "bus", "bus-id", "filter by bus"),
    text("r", "region", "region-id", "filter by region"),
    text("d", "dimm", "dimm-id", "filter by dimm"),
    text("n", "namespace", "namespace-id", "filter by namespace id"),
    text("m", "mode", "namespace-mode", "filter by namespace mode"),
    text("t", "type", "region-type", "filter by region-type"),
    text("U", "numa-node", "numa node", "filter by numa node"),
    flag("B", "buses", "include bus info"),
    flag("D", "dimms", "include dimm info"),
    flag("F", "firmware", "include firmware info"),
    flag("H", "health", "include dimm health"),
    flag("R", "regions", "include region info"),
    flag("N", "namespaces", "include namespace info (default)"),
    flag("X", "device-dax", "include device-dax info"),
    flag("C", "capabilities", "include region capability info"),
    flag("i", "idle", "include idle devices"),
    flag("c", "configured", "include configured namespaces, disabled or not"),
    flag("M", "media-errors", "include media errors"),
    flag("u", "human", "use human friendly number formats "),
    NdctlOption("v", "verbose", "increase output detail", kind="count"),
)
KINDS = ("buses", "dimms", "regions", "namespaces")


def run(session: NdctlSession, words: Sequence[str]) -> int:
    """List devices."""
    parser = Parser(session, OPTIONS, USAGE)
    values, rest = parser.parse(words)
    for word in rest:
        session.error(f'unknown parameter "{word}"\n')
    if rest:
        parser.usage()
    _imply(values)
    node = _check(session, values)
    if isinstance(node, str):
        return -EINVAL
    with session.looking():
        NdctlListing(session, values, node).show()
    return 0


def _imply(values: Values) -> None:
    """What follows when no kind of device is asked for, and from ``-v``."""
    if not any(values[kind] for kind in KINDS):
        values["buses"], values["regions"], values["dimms"] = (
            values[name] is not None for name in ("bus", "region", "dimm")
        )
        if values.device_dax and values.mode is None:
            values["mode"] = "dax"
    if values.verbose >= 3:
        values["idle"] = values["firmware"] = values["health"] = values["capabilities"] = True
    if values.verbose >= 2:
        values["dimms"] = values["buses"] = values["regions"] = True
    if values.verbose:
        values["media_errors"] = values["namespaces"] = values["device_dax"] = True
    if not any(values[kind] for kind in KINDS):
        values["namespaces"] = True


def _check(session: NdctlSession, values: Values) -> int | str | None:
    """The NUMA node asked for, None for any; a text when a value is wrong, which has been reported."""
    if values.type is not None and values.type not in ("pmem", "blk"):
        session.error(f'unknown type "{values.type}" must be "pmem" or "blk"\n')
        return "type"
    if values.mode is not None and values.mode.lower() not in MODE_WORDS:
        session.error(f"invalid mode: '{values.mode}'\n")
        return "mode"
    if values.numa_node is None or values.numa_node == "all":
        return None
    node, behind = number(values.numa_node, session.release.binary)
    if behind or not values.numa_node:
        session.error(f"invalid numa_node: '{values.numa_node}'\n")
        return "node"
    return node


class NdctlListing:
    """One listing.

    Args:
        session: where from and where to.
        values: of the options.
        node: only devices of this NUMA node, None for all.
    """

    def __init__(self, session: NdctlSession, values: Values, node: int | None) -> None:
        self._session = session
        self._values = values
        self._node = node
        self._mode = None if values.mode is None else MODE_WORDS[values.mode.lower()]
        self._detail = Detail(
            human=values.human,
            verbose=bool(values.verbose),
            idle=values.idle,
            configured=values.configured,
            dax=values.device_dax,
            media=values.media_errors,
            capabilities=values.capabilities,
            firmware=values.firmware,
            wide=self._session.release.wide,
        )
        self._all = values.idle or values.configured  # what is disabled too
        self._inside = False  # the last region that is shown has namespaces in it: they count as a kind of their own

    def show(self) -> None:
        """Print it."""
        values, human = self._values, self._detail.human
        parts = [self._bus(bus) for bus in filters.buses(self._session.nd) if self._wants_bus(bus)]
        if values.buses:
            if parts:
                show_array(self._session, parts, human)
            return
        found = {kind: list(chain.from_iterable(part.get(kind, ()) for part in parts)) for kind in KINDS[1:]}
        filled = {kind: rows for kind, rows in found.items() if rows}
        if len(filled) + self._inside > 1:
            show(self._session, filled)
        elif filled:
            show_array(self._session, next(iter(filled.values())), human)

    def _wants_bus(self, bus: NdBus) -> bool:
        values = self._values
        return filters.wants_bus(bus, values.bus) and filters.bus_has(bus, values.dimm, values.region, values.namespace)

    def _bus(self, bus: NdBus) -> Object:
        """A bus with what is below it; without ``-B`` only what is below it."""
        values = self._values
        made: Object = bus_object(bus) if values.buses else {}
        if values.dimms:
            dimms = [
                self._dimm(one)
                for one in filters.dimms(bus)
                if filters.wants_dimm(one, values.dimm)
                and filters.dimm_in(one, values.region, values.namespace, self._node)
                and (self._all or one.bound)
            ]
            if dimms:
                made["dimms"] = dimms
        regions, namespaces = [], []
        for region in filters.regions(bus):
            if not self._wants_region(region):
                continue
            inside = self._namespaces(region) if values.namespaces else []
            if not values.regions:
                namespaces += inside
            elif self._all or region.bound:
                parts = [one for one in region.mappings if values.dimms and filters.wants_dimm(one.dimm, values.dimm)]
                parts = [one for one in parts if self._all or one.dimm.bound]
                one = region_object(region, self._detail, parts)
                self._inside = bool(inside)
                if inside:
                    one["namespaces"] = inside
                regions.append(one)
        if regions:
            made["regions"] = regions
        if namespaces:
            made["namespaces"] = namespaces
        return made

    def _dimm(self, one: Nvdimm) -> Object:
        made = dimm_object(one, self._detail)
        if self._values.health:
            from xlpy.cli.ndctl.health import health_object

            health = health_object(self._session, one)
            if health:
                made["health"] = health
        return made

    def _wants_region(self, region: NdRegion) -> bool:
        values = self._values
        return (
            filters.wants_region(region, values.region)
            and filters.region_has(region, values.dimm, values.namespace)
            and self._node in (None, region.numa_node)
            and values.type in (None, "pmem")
        )

    def _namespaces(self, region: NdRegion) -> list[Object]:
        return [namespace_object(one, self._detail) for one in filters.namespaces(region) if self._wants(one)]

    def _wants(self, one: NdNamespace) -> bool:
        values = self._values
        if not filters.wants_namespace(one, values.namespace) or self._mode not in (None, one.mode):
            return False
        return one.enabled or values.idle or (values.configured and one.size > 0)
