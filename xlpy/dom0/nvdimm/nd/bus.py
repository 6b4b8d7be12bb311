"""``ndbusN``, and all of them together: what a process knows of the nd bus, from one command to the next.

The kernel keeps its knowledge in memory; here it is in the state file, a record for the DIMMs and one for each region,
written when something of it has changed. Everything on media is read from media.
"""

from __future__ import annotations

from errno import ENODEV

from xlpy.dom0.nvdimm.nd.dimm import NdMapping, Nvdimm
from xlpy.dom0.nvdimm.nd.error import refuse
from xlpy.dom0.nvdimm.nd.namespace import NdNamespace
from xlpy.dom0.nvdimm.nd.pfn import NdDax
from xlpy.dom0.nvdimm.nd.region import NdRegion
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.addr import Spa, Span
    from xlpy.dom0.nvdimm.driver import Bus, Dimm
    from xlpy.dom0.nvdimm.memory import HostMemory
    from xlpy.dom0.nvdimm.nd.claim import Claim
    from xlpy.dom0.nvdimm.nd.storage import ConfigData
    from xlpy.table import Table


class BusProvider(Protocol):
    """The platform under the bus, and the users of its devices."""

    memory: HostMemory  # a read of poisoned bytes raises InfoBlockError with EIO

    def poison(self, span: Span[Spa]) -> list[Span[Spa]]:
        """The unreadable parts of a span."""
        ...

    def clear_poison(self, span: Span[Spa]) -> int:
        """Make a span readable; the bytes that were not."""
        ...

    def config(self, dimm: Dimm) -> ConfigData:
        """The label area of a DIMM."""
        ...

    def flush_hints(self, dimm: Dimm) -> int:
        """How many flush hint addresses a DIMM has."""
        ...

    def users(self, span: Span[Spa]) -> list[str]:
        """Who uses persistent memory in a span: domains, mounts, devices that are built on it."""
        ...


class NdBus:
    """One bus.

    Attributes:
        number: N of ``ndbusN``.
        provider: ``ACPI.NFIT``, or ``e820`` for ranges that only the memory map knows.
        revision: of the NFIT; None without one.
        persistence: ``cpu_cache``, ``memory_controller`` or None, of its regions.
        dimms: by number.
        regions: by number.
    """

    def __init__(self, nd: Nd, number: int, provider: str, info: Bus) -> None:
        self._nd = nd
        self.number = number
        self.provider = provider
        nfit = provider != "e820"
        self.revision = info.revision if nfit else None
        self.persistence = info.persistence if nfit else None
        self.dimms = tuple(Nvdimm(self, one, nd.platform.config(one)) for one in info.dimms) if nfit else ()
        by_name = {dimm.dev: dimm for dimm in self.dimms}
        self.regions = tuple(
            NdRegion(self, one, [NdMapping(by_name[m.dimm], m.offset, m.length, m.position) for m in one.mappings])
            for one in info.regions
            if one.legacy != nfit
        )

    @property
    def dev(self) -> str:
        """Its name, such as ``ndbus0``."""
        return f"ndbus{self.number}"

    @property
    def wait_probe(self) -> int:
        """Reads as 1 when all devices were probed."""
        return 1

    @property
    def scrub_state(self) -> str | None:
        """``idle``: a scrub takes no time here; None: the bus cannot scrub."""
        return None if self.provider == "e820" else "idle"

    # --- for its devices -------------------------------------------------------------------------------------------

    @property
    def memory(self) -> HostMemory:
        """Host memory."""
        return self._nd.platform.memory

    def clear_poison(self, span: Span[Spa]) -> int:
        """Make a span readable; the bytes that were not."""
        return self._nd.platform.clear_poison(span) if self._nd.platform.poison(span) else 0

    def badblocks(self, span: Span[Spa]) -> list[tuple[int, int]]:
        """(first sector, number) of the unreadable places of a span, from its start."""
        bad = self._nd.platform.poison(span)
        if not bad:
            return []
        from xlpy.dom0.nvdimm.badrange import sectors

        return sectors(bad, span.start)

    def has_flush(self, dimm: Nvdimm) -> bool:
        """Whether a DIMM has flush hint addresses."""
        return self._nd.platform.flush_hints(dimm.info) > 0

    def users(self, namespace: NdNamespace) -> list[str]:
        """Who uses a namespace: ``domain vm``, ``mount /mnt/pmem0``, ``dm-0``; empty when it is not used."""
        return self._nd.platform.users(namespace.span) if namespace.enabled else []

    def require_idle(self, namespace: NdNamespace) -> None:
        """NdError EBUSY while a domain, a mount or another device uses a namespace."""
        users = self.users(namespace)
        if users:
            from errno import EBUSY

            refuse(EBUSY, f"{namespace.dev} is used by {', '.join(users)}")

    def uuid_taken(self, uuid: bytes) -> bool:
        """Whether a namespace, a btt or a pfn device of this bus has a uuid."""
        return any(
            one.raw_uuid == uuid
            for region in self.regions
            if region.may_have(uuid)
            for one in region.children
            if not isinstance(one, NdDax)
        )

    def changed(self, what: Nvdimm | NdRegion) -> None:
        """What the kernel knows of a DIMM or a region has changed."""
        self._nd.changed(what)

    def log(self, text: str) -> None:
        """Write a line to the kernel's log."""
        self._nd.log(text)


class Nd:
    """The nd bus type: all buses, and look-ups by name.

    Args:
        platform: what lies under it.
        table: of the state, where it is kept.
        info: what firmware says.

    Attributes:
        buses: ``ndbus0`` and so on; the one of the NFIT first.
        messages: lines of the kernel's log that were written since this object was made.
        touched: names of the regions that have changed since its reader has cleared it.
    """

    def __init__(self, platform: BusProvider, table: Table, info: Bus) -> None:
        self.platform = platform
        self._table = table
        self.touched: set[str] = set()
        self.messages: list[str] = []
        providers = ["ACPI.NFIT"] if info.revision else []
        if any(one.legacy for one in info.regions):
            providers.append("e820")
        self.buses = tuple(NdBus(self, number, provider, info) for number, provider in enumerate(providers))

    # --- look-ups --------------------------------------------------------------------------------------------------

    @property
    def dimms(self) -> Iterator[Nvdimm]:
        """All DIMMs, by number."""
        return (dimm for bus in self.buses for dimm in bus.dimms)

    @property
    def regions(self) -> Iterator[NdRegion]:
        """All regions, by number."""
        return (region for bus in self.buses for region in bus.regions)

    @property
    def namespaces(self) -> Iterator[NdNamespace]:
        """All namespaces, seeds included, by region and number."""
        return (one for region in self.regions for one in region.namespaces)

    def dimm(self, dev: str) -> Nvdimm:
        """The DIMM ``nmemN``. NdError ENODEV: there is none."""
        found = next((one for one in self.dimms if one.dev == dev), None)
        if found is None:
            refuse(ENODEV, f"there is no {dev}")
        return found

    def region(self, dev: str) -> NdRegion:
        """The region ``regionN``. NdError ENODEV: there is none."""
        found = next((one for one in self.regions if one.dev == dev), None)
        if found is None:
            refuse(ENODEV, f"there is no {dev}")
        return found

    def device(self, dev: str) -> NdNamespace | Claim:
        """A namespace, or a btt, pfn or dax device. NdError ENODEV: there is none."""
        found = next((one for region in self.regions for one in region.children if one.dev == dev), None)
        if found is None:
            refuse(ENODEV, f"there is no {dev}")
        return found

    def namespace(self, dev: str) -> NdNamespace:
        """The namespace ``namespaceR.S``. NdError ENODEV: there is none."""
        found = self.device(dev)
        if not isinstance(found, NdNamespace):
            refuse(ENODEV, f"{dev} is not a namespace")
        return found

    # --- life ------------------------------------------------------------------------------------------------------

    def probe(self) -> None:
        """Bind the drivers of all devices, as at boot: DIMMs, then regions; what fails is in ``messages``."""
        devices: list[Nvdimm | NdRegion] = [*self.dimms, *self.regions]
        for one in devices:
            try:
                one.bind()
            except OSError:
                self.changed(one)

    def load(self) -> None:
        """Take over what earlier commands left in the state."""
        rows = self._table.get("nd", {"dimms": []})
        for dimm, values in zip(self.dimms, rows["dimms"], strict=False):
            dimm.load(values)
        for region in self.regions:
            region.defer(self._table, f"nd.{region.dev}")

    def changed(self, what: Nvdimm | NdRegion) -> None:
        """Write a DIMM or a region to the state at the end of the transaction."""
        self._table.follow("nd", lambda: {"dimms": [dimm.dump() for dimm in self.dimms]})
        if isinstance(what, NdRegion):
            self._table.follow(f"nd.{what.dev}", what.dump)
            self.touched.add(what.dev)

    def log(self, text: str) -> None:
        """Write a line to the kernel's log."""
        self.messages.append(text)
