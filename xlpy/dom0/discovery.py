"""Dom0 finds its persistent memory, at boot and on notification 0x80, and new regions are set up as described.

The driver probes what the NFIT or ``_FIT`` tells; then an administrator's work is done at once: labels, namespaces,
partitions, file systems. Block devices and Xen follow.
"""

from __future__ import annotations

from xlpy.addr import Spa
from xlpy.dom0.bring_up import make_filesystem, write_table
from xlpy.dom0.files.buses import DriverMemory
from xlpy.dom0.nvdimm import enabled
from xlpy.dom0.nvdimm.provision import label, provide
from xlpy.errors import Constraint
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from xlpy.dom0.files.vfs import Vfs
    from xlpy.dom0.kernel import Mount
    from xlpy.dom0.nvdimm.driver import Bus
    from xlpy.dom0.nvdimm.nd.bus import Nd
    from xlpy.dom0.nvdimm.nd.dimm import Nvdimm
    from xlpy.dom0.nvdimm.nd.region import NdRegion
    from xlpy.dom0.nvdimm.pmemreport import PmemHypercalls
    from xlpy.hw.machine import DimmSpec, MachineSpec, NamespaceSpec, SetSpec

    Wanted = Mapping[tuple[int, int], NamespaceSpec]  # by region and number of the namespace


def boot(dom0: Vfs, xen: PmemHypercalls, spec: MachineSpec) -> None:
    """Start Dom0 for the first time and set it up as described.

    Args:
        dom0: whose records are made; the caller holds a transaction.
        xen: hypercalls on behalf of Dom0.
        spec: what to set up: ``namespaces``; ``sets`` and ``dimms`` tell on which regions, and with what labels.

    Raises:
        FormatError: the firmware's tables. Constraint, Conflict: the description asks for what cannot be.
    """
    from xlpy.dom0.files.usage_described import described_uses
    from xlpy.dom0.nvdimm.probe import probe
    from xlpy.dom0.nvdimm.scrub import scrub

    table = dom0.table
    bus = probe(lambda address, length: dom0.hw.read(Spa(address), length), dom0.hw.memory_map())
    for key in ("nd", *table.keys("nd.")):
        table.delete(key)
    table.put("bus", bus.dump())
    for key in ("namespaces", "devices", "reports", "mounts"):
        table.put(key, [])
    scrub(dom0.hw, dom0.bus, dom0.bad, xen)
    nd = dom0.nd
    unused = _label(nd, spec.dimms, spec.sets)
    nd.probe()
    wanted = _provide(dom0, list(nd.regions), spec.dimms, spec.sets, spec.namespaces, unused)
    problems = dom0.publish(xen)
    disabled = [one.problem for one in dom0.namespaces if one.problem]
    table.put("problems", [*bus.problems, *nd.messages, *problems, *disabled])
    dom0.put_mounts(_file_systems(dom0, wanted))
    table.put("uses", [list(use) for use in described_uses(spec, dom0)])


def rescan(
    dom0: Vfs, xen: PmemHypercalls, sets: Sequence[SetSpec] = (), namespaces: Sequence[NamespaceSpec] = ()
) -> list[str]:
    """Notification 0x80: evaluate ``_FIT``, let go of regions that are not in it, take up those that are new.

    Args:
        dom0: whose devices change; the caller holds a transaction.
        xen: hypercalls on behalf of Dom0.
        sets, namespaces: of what is new, the labels and namespaces that an administrator makes at once.

    Returns:
        the names of new regions.

    Raises:
        FormatError: ``_FIT``. NdError: a region that is gone is used. Constraint: a namespace does not fit.
    """
    from xlpy.dom0.nvdimm.rescan import bus_now

    old, dimms = dom0.bus, dom0.hw.spec.dimms
    new = bus_now(dom0.hw, old)
    same = {(one.number, one.span, one.cookie1) for one in new.regions}
    for gone in old.regions:
        region = dom0.nd.region(gone.dev)
        if (gone.number, gone.span, gone.cookie1) not in same and region.bound:
            region.unbind()
    stay = {one.dev for one in old.regions} & {one.dev for one in new.regions}
    nd = _renew(dom0, old, new)
    unused = _label(nd, dimms, sets)
    for dimm in nd.dimms:
        if dimm.info not in old.dimms:
            _bind(nd, dimm)
    fresh = [region for region in nd.regions if region.dev not in stay]
    for region in fresh:
        _bind(nd, region)
    wanted = _provide(dom0, fresh, dimms, sets, namespaces, unused)
    dom0.publish(xen)
    if wanted:
        dom0.put_mounts([*dom0.disk_mounts, *_file_systems(dom0, wanted)])
    return [region.dev for region in fresh]


def _renew(dom0: Vfs, old: Bus, new: Bus) -> Nd:
    """The nd bus with other devices: those that stay keep what the kernel knows of them."""
    known, touched = {dimm.dev: dimm.dump() for dimm in dom0.nd.dimms}, set(dom0.nd.touched)
    dom0.table.put("bus", new.dump())
    dom0.table.put("nd", {"dimms": []})
    for one in old.regions:
        if one not in new.regions:
            dom0.table.delete(f"nd.{one.dev}")
    nd = dom0.renewed()
    nd.touched |= touched
    for region in nd.regions:
        if region.dev in touched:
            region.publish_anew()
    for dimm in nd.dimms:
        if dimm.info in old.dimms:
            dimm.load(known[dimm.dev])
    dom0.table.put("nd", {"dimms": [dimm.dump() for dimm in nd.dimms]})
    return nd


def _bind(nd: Nd, one: Nvdimm | NdRegion) -> None:
    """Bind the driver of a new device; what fails is in the kernel's log."""
    try:
        one.bind()
    except OSError:
        nd.changed(one)


def _label(nd: Nd, dimms: Iterable[DimmSpec], sets: Iterable[SetSpec]) -> set[int]:
    """Initialise the label areas of sets that are to have labels; the handles of those that had none."""
    handles = {dimm.id: dimm.handle for dimm in dimms}
    return label(nd, {handles[name]: int(one.labels[-1]) for one in sets if one.labels for name in one.dimms})


def _provide(
    dom0: Vfs,
    regions: Sequence[NdRegion],
    dimms: Iterable[DimmSpec],
    sets: Iterable[SetSpec],
    namespaces: Iterable[NamespaceSpec],
    unused: set[int],
) -> Wanted:
    """Make namespaces on regions, and partition tables on them.

    Args:
        unused: handles of the DIMMs whose label areas have just been initialised.

    Raises:
        Constraint, Conflict: as ``provide`` and ``write_table``; or there is no such region.
    """
    handles = {dimm.id: dimm.handle for dimm in dimms}
    homes = {one.name: one for one in sets}
    at = {int(region.resource): region for region in regions}
    wanted: dict[tuple[int, int], NamespaceSpec] = {}
    seen: dict[str, int] = {}
    for one in namespaces:
        home = homes[one.region]
        region = at.get(int(home.base))
        if region is None:
            raise Constraint(f"the firmware describes no persistent memory at {home.base:#x}, a namespace needs it")
        place = seen[one.region] = seen.get(one.region, -1) + 1
        made = provide(region, one, place, bool(unused & {handles[name] for name in home.dimms}))
        if made is not None:
            wanted[region.number, made.id] = one
    media = DriverMemory(dom0.hw)
    for region in regions:
        for found in enabled.namespaces(region):
            spec = wanted.get((region.number, found.id))
            if spec and not found.problem:
                write_table(media, found, spec.partitions)
    return wanted


def _file_systems(dom0: Vfs, wanted: Wanted) -> Iterator[Mount]:
    """Make the file systems that namespaces ask for; their mounts."""
    for device in dom0.devices:
        namespace = dom0.namespace_of(device)
        spec = wanted.get((namespace.region, namespace.id))
        if spec is None:
            continue
        wish = spec.filesystem
        if device.partition:  # of the table that was asked for, or of one that a guest or an administrator made
            places = {(one.start, one.size): one.filesystem for one in spec.partitions}
            wish = places.get((device.offset, device.size))
        if wish:
            read_only = wish.read_only or dom0.bus.region(namespace.region).read_only
            yield make_filesystem(dom0.hw, device, wish._replace(read_only=read_only))
