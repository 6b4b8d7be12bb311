"""Dom0's nd buses and what is derived from them: block devices, and reports to Xen.

This is as much of Dom0 as a change of DIMMs, regions and namespaces needs. Files and their users come on top of it.
"""

from __future__ import annotations

import errno

from xlpy.addr import Spa, Span
from xlpy.contexts import contextmanager
from xlpy.errors import StateError
from xlpy.functions import cached_property
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xlpy.dom0.nvdimm.badrange import BadRanges
    from xlpy.dom0.nvdimm.driver import Bus
    from xlpy.dom0.nvdimm.nd.bus import Nd
    from xlpy.dom0.nvdimm.pmemreport import PmemHypercalls
    from xlpy.hw.hardware import Hardware
    from xlpy.store import Store


class DriverMemory:
    """Host memory as the driver reads it: a poisoned line is an I/O error, not bytes."""

    def __init__(self, hw: Hardware) -> None:
        self._hw = hw
        self.write = hw.write
        self.zero = hw.zero

    def read(self, spa: Spa, length: int) -> bytes:
        if self._hw.poison.overlapping(Span(spa, length)):
            from xlpy.dom0.nvdimm.infoblock import InfoBlockError

            raise InfoBlockError(f"info block at {spa:#x}: the memory is poisoned", errno.EIO)
        return self._hw.read(spa, length)


class Buses:
    """The nd buses of the emulated Dom0.

    Args:
        hw: the machine.
        store: the host's state; its table ``dom0`` holds what was found at boot.
    """

    def __init__(self, hw: Hardware, store: Store) -> None:
        self.hw = hw
        self.store = store
        self.table = store.table("dom0")
        self._heir: Buses | None = None

    def _load(self, key: str) -> Any:  # noqa: ANN401 - JSON
        value = self.table.get(key)
        if value is None:
            raise StateError("Dom0 has not been started on this host", hint="make the host anew: xlpy host reset")
        return value

    @cached_property
    def bus(self) -> Bus:
        """DIMMs and regions."""
        from xlpy.dom0.nvdimm.driver import Bus

        return Bus.load(self._load("bus"))

    @cached_property
    def bad(self) -> BadRanges:
        """The memory errors that the driver knows of."""
        from xlpy.dom0.nvdimm.badrange import BadRanges

        return BadRanges(self.table)

    @cached_property
    def nd(self) -> Nd:
        """The nd bus, to look at; ``managing`` is for changes."""
        from xlpy.dom0.nvdimm.host import HostPlatform
        from xlpy.dom0.nvdimm.nd.bus import Nd

        def bad(span: Span[Spa]) -> list[Span[Spa]]:
            return self.bad.overlapping(span)

        platform = HostPlatform(self.hw, DriverMemory(self.hw), bad, self.users_of, self.hw.clear_poison)
        made = Nd(platform, self.table, self.bus)
        made.load()
        return made

    def renewed(self) -> Nd:
        """The nd bus, made of records that were written just now."""
        for name in ("bus", "nd"):
            self.__dict__.pop(name, None)
        return self.nd

    def users_of(self, span: Span[Spa]) -> list[str]:
        """Who uses persistent memory in a span: domains, mounts, and what is built on block devices."""
        from xlpy.dom0.files.block import BlockDevice

        found = []
        if self.store.table("dom0.pins").first("") is not None:
            from xlpy.dom0.files.pins import Pins

            owners = Pins(self.store).users(span)
            found = [one if one.startswith("domain ") else f"domain {one}" for one in owners]
        devices = map(BlockDevice.load, self._load("devices"))
        names = {device.name for device in devices if device.window.overlaps(span)}
        found += [f"mount {place}" for device, place, *_ in self._load("mounts") if device[len("/dev/") :] in names]
        rows = self.table.get("uses")
        if rows:
            from xlpy.dom0.files.usage import load_use

            found += [use.dev or use.kind for use in map(load_use, rows) if use.device in names]
        return list(dict.fromkeys(found))

    @contextmanager
    def managing(self, xen: PmemHypercalls) -> Iterator[Nd]:
        """The nd bus, to change it: in the end block devices follow, and Xen gets a report.

        Args:
            xen: hypercalls on behalf of Dom0.

        Raises:
            NdError: what the kernel refuses, when the caller lets it through; then nothing stays of it.
        """
        self.hw.undo.fresh()
        yield self.nd
        self.publish(xen)

    def publish(self, xen: PmemHypercalls) -> list[str]:
        """Bring block devices and Xen in line with the nd bus; what is odd about partition tables.

        Only records of namespaces that have changed are taken apart or made, whatever else there is.
        """
        from xlpy.dom0.files.block import BlockDevice, block_devices
        from xlpy.dom0.nvdimm import enabled
        from xlpy.dom0.nvdimm.namespace import Namespace, place_of
        from xlpy.dom0.nvdimm.pmemreport import PmemReport, update

        touched = {region.number: region for region in self.nd.regions if region.dev in self.nd.touched}
        same = {number: enabled.unchanged(region) for number, region in touched.items()}
        rows, old = {}, []
        for row in zip(self.table.get("namespaces", []), self.table.get("reports", []), strict=True):
            region, number = place = place_of(row[0])
            if region in touched and number not in same[region]:
                old.append((Namespace.load(row[0]), PmemReport(*row[1])))
            else:
                rows[place] = row
        made = [one for number in sorted(touched) for one in enabled.namespaces(touched[number], same[number])]
        known = self.table.get("devices", [])
        fresh, problems = block_devices(self.hw.read, made, dict(map(BlockDevice.minor, known)))
        reports = update(self.bus, old, made, xen)
        gone = {one.dev for one, _ in old}
        devices = [one for one in known if BlockDevice.shown(one) not in gone]
        if made:
            rows |= {(one.region, one.id): (one.dump(), list(told)) for one, told in zip(made, reports, strict=True)}
            rows = dict(sorted(rows.items()))
            order = {"namespace{}.{}".format(*place): at for at, place in enumerate(rows)}
            devices += [one.dump() for one in fresh]
            devices.sort(key=lambda one: order[BlockDevice.shown(one)])  # each disk before its partitions
        self.table.put("namespaces", [one for one, _ in rows.values()])
        self.table.put("devices", devices)
        self.table.put("reports", [verdict for _, verdict in rows.values()])
        self.nd.touched.clear()
        for one in touched.values():
            one.published = one.dump()
        self._changed()
        return problems

    def _changed(self) -> None:
        """Records of namespaces and devices were written: read them again when they are asked for."""
        if self._heir is not None:
            self._heir._changed()

    def hand_over(self, heir: Buses) -> None:
        """Another object takes over what this one knows, so that both see the same while this one is still used."""
        heir.__dict__.update({name: self.__dict__[name] for name in ("bus", "nd") if name in self.__dict__})
        heir.__dict__["bad"] = self.bad
        self._heir = heir

    def reread(self) -> None:
        """Changes since the last savepoint were rolled back: read the state again on next use."""
        for name in ("bus", "nd", "bad"):
            self.__dict__.pop(name, None)
