"""The contents of the picture, as plain values: three columns of address spaces, and the extents that connect them.

A column is a list of spaces, a space a list of segments (stretches of addresses that are there), a segment may have
bands in it (namespaces, partitions, files). Extents are kept in pages, one pair of numbers each, because there may be
tens of thousands: guest addresses and file offsets follow from their order.
"""

from __future__ import annotations

from _operator import rshift
from itertools import chain, repeat

from xlpy.addr import PAGE_SHIFT
from xlpy.records import NamedTuple
from xlpy.toolstack.domain.record import load
from xlpy.toolstack.domain.running import Running
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.dom0.nvdimm.namespace import Namespace
    from xlpy.host import Host


class Band(NamedTuple):
    """A part of a segment: ``depth`` 1 lies in the segment, 2 in a band of depth 1, and so on."""

    start: int
    end: int
    kind: str
    label: str
    depth: int


class Segment(NamedTuple):
    """Addresses ``[start, end)`` of a space. kind: ``ram``, ``pmem``, ``mmio``, ``acpi``, ``region`` or ``dimm``.

    spa: the host address behind a stretch of a guest's RAM, None for all else.
    """

    start: int
    end: int
    kind: str
    label: str
    bands: list[Band]
    spa: int | None = None


class AddressSpace(NamedTuple):
    """One address space. id: stable name, such as ``guest:vm1``, ``host`` or ``dimm:dimm0``."""

    id: str
    title: str
    segments: list[Segment]


class DrawnBacking(NamedTuple):
    """A vNVDIMM. extents: (machine frame, pages) pairs, flat, in the guest's order."""

    space: str
    slot: int
    path: str
    gpa: int
    size: int
    extents: list[int]


class Interleaved(NamedTuple):
    """A region and its DIMMs: byte ``o`` of it is in turn ``o // line`` of the set. starts: of its parts, DPAs."""

    name: str
    start: int
    size: int
    dimms: list[str]
    line: int
    starts: list[int]


class Share(NamedTuple):
    """A part of the capacity of some DIMMs: what it is for, and its bytes."""

    what: str
    size: int


class Capacity(NamedTuple):
    """Where the raw bytes behind a namespace go: its shares add up to ``raw``; the last is what can be used."""

    name: str
    raw: int
    shares: list[Share]


class Picture(NamedTuple):
    """Everything. columns: guests, host, DIMMs. poison: (start, end) host addresses."""

    host: str
    columns: list[list[AddressSpace]]
    backings: list[DrawnBacking]
    regions: list[Interleaved]
    poison: list[tuple[int, int]]
    ledger: list[Capacity] = []  # noqa: RUF012 - never changed in place


def picture(host: Host, only: str | None = None) -> Picture:
    """Look at a host.

    Args:
        only: the name or domid of one domain; None shows all.

    Raises:
        NotFound: no such domain.
    """
    domids = [host.domid(only)] if only is not None else [domain.domid for domain in host.xen.domains()]
    guests, backings = [], []
    for domid in domids:
        running = Running(host.xen.domain(domid), load(host.store, domid), host.hw)
        space = f"guest:{running.name}"
        guests.append(AddressSpace(space, f"domain {running.name}", _guest(running)))
        for device in running.record.vnvdimms:
            flat = list(map(rshift, chain.from_iterable(device.extents), repeat(PAGE_SHIFT)))
            backings.append(DrawnBacking(space, device.slot, device.path, device.gpa, device.size, flat))
    regions = [
        Interleaved(
            f"region{r.index}",
            r.span.start,
            r.span.size,
            list(r.set.dimms),
            r.set.line,
            [int(r.set.part(dimm).start) for dimm in r.set.dimms],
        )
        for r in host.hw.regions
    ]
    dimms = [
        AddressSpace(f"dimm:{dimm.id}", dimm.id, [Segment(0, dimm.capacity, "dimm", f"handle {dimm.handle:#x}", [])])
        for dimm in host.spec.dimms
    ]
    poison = [(int(span.start), int(span.end)) for span in host.hw.poison]
    columns = [guests, [_host(host)], dimms]
    return Picture(host.spec.name, columns, backings, regions, poison, list(_ledger(host)))


def _ledger(host: Host) -> Iterator[Capacity]:
    """The capacity ledger, a namespace at a time."""
    from xlpy.views.ledger import accounts

    for one in accounts(host):
        raw = sum(row.size for row in one.rows if row.size > 0 and not row.total)
        taken = [Share(row.what, -row.size) for row in one.rows if row.size < 0]
        yield Capacity(one.name, raw, [*taken, Share(one.rows[-1].what, one.guest)])


def _guest(running: Running) -> list[Segment]:
    """A domain's stretches, each vNVDIMM as one."""
    return [Segment(row.start, row.end, row.kind, row.what, [], row.spa) for row in running.map(extents=False)]


def _host(host: Host) -> AddressSpace:
    from xlpy.hw.memmap import ram_spans

    segments = [Segment(span.start, span.end, "ram", "host RAM (not to scale)", []) for span in ram_spans(host.spec)]
    for region in host.hw.regions:
        bands = [
            band
            for namespace in host.dom0.namespaces
            if region.span.covers(namespace.span)
            for band in _namespace(host, namespace)
        ]
        label = f"region{region.index}: {', '.join(region.set.dimms)}"
        segments.append(Segment(region.span.start, region.span.end, "region", label, bands))
    return AddressSpace("host", f"host {host.spec.name}", sorted(segments))


def _namespace(host: Host, one: Namespace) -> Iterable[Band]:
    """A namespace, its parts, and the block devices in its data."""
    yield Band(one.span.start, one.span.end, "namespace", f"{one.dev} ({one.problem or one.mode})", 1)
    if one.seal:
        yield Band(one.seal[0], one.seal[0] + 4096, "info", "info block", 2)
    if one.reserve:
        yield Band(one.reserve.start, one.reserve.end, "reserve", "reserve for Xen", 2)
    if one.char:
        yield Band(one.data.start, one.data.end, "device", f"/dev/{one.char}", 2)
    mounts = {mount.device: mount.mountpoint for mount in host.dom0.disk_mounts}
    for device in host.dom0.devices:
        if device.namespace == one.dev:
            path = f"/dev/{device.name}"
            mounted = f" on {mounts[path]}" if path in mounts else ""
            depth = 3 if device.partition else 2
            yield Band(device.window.start, device.window.end, "device", path + mounted, depth)
