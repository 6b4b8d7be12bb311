"""The data of `xlpy info` and `host show`, as records; rendered in `cli`."""

from __future__ import annotations

from xlpy import __version__
from xlpy.addr import MIB, PAGE
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.views.listing import SCHEDULER
from xlpy.xen_version import numbers

if TYPE_CHECKING:
    from xlpy.host import Host

XL_CONFIG_FORMAT = 4


class HostInfo(NamedTuple):
    """``xl info``'s keys in its order, as far as the model has them, then what is particular to persistent memory.

    Memory is in MiB; pmem_regions is a count; root: the state directory.
    """

    host: str
    release: str
    version: str
    machine: str
    nr_cpus: int
    max_cpu_id: int
    nr_nodes: int
    cores_per_socket: int
    threads_per_core: int
    cpu_mhz: str
    hw_caps: str
    virt_caps: str
    total_memory: int
    free_memory: int
    sharing_freed_memory: int
    sharing_used_memory: int
    outstanding_claims: int
    free_cpus: int
    xen_major: int
    xen_minor: int
    xen_extra: str
    xen_version: str
    xen_caps: str
    xen_scheduler: str
    xen_pagesize: int
    xen_commandline: str
    xend_config_format: int
    physical_bits: int
    cpu_features: str
    pmem_regions: int
    pmem_memory: int
    root: str


class DimmRow(NamedTuple):
    """A DIMM. capacity, label_size: bytes. serial: its number. region: name of the set it is in, or None.

    out: it was pulled out of a set that stays.
    """

    id: str
    handle: int
    capacity: int
    label_size: int
    serial: int
    health: str
    flags: tuple[str, ...]
    region: str | None
    out: bool


class RegionRow(NamedTuple):
    """A range of host-physical addresses on some DIMMs. spa, size, line: bytes. media: the file that has its bytes."""

    name: str
    spa: int
    size: int
    dimms: tuple[str, ...]
    line: int
    media: str


class Machine(NamedTuple):
    """The hardware. ram: bytes. features: of the processors. persistence: what survives a power failure."""

    root: str
    name: str
    ram: int
    cpus: int
    physical_bits: int
    features: tuple[str, ...]
    persistence: str
    dimms: tuple[DimmRow, ...]
    regions: tuple[RegionRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        lists: dict[str, Any] = {"features": list(self.features)}
        lists["dimms"] = [one._asdict() | {"flags": list(one.flags)} for one in self.dimms]
        lists["regions"] = [one._asdict() | {"dimms": list(one.dimms)} for one in self.regions]
        return self._asdict() | lists


def info(host: Host) -> HostInfo:
    """What ``xl info`` says."""
    facts = host.xen.hypercalls(0).sysctl_physinfo()
    cpu = host.spec.cpu
    version = host.xen.version
    major, minor = numbers(version)
    return HostInfo(
        host=host.spec.name,
        release="xlpy",
        version=__version__,
        machine="x86_64",
        nr_cpus=cpu.count,
        max_cpu_id=cpu.count - 1,
        nr_nodes=host.spec.nodes,
        cores_per_socket=-(-cpu.count // host.spec.nodes),
        threads_per_core=1,
        cpu_mhz="2400.000",
        hw_caps=":".join(f"{word:08x}" for word in _hw_caps(host)),
        virt_caps="pv hvm hap gnttab-v1 gnttab-v2",
        total_memory=facts.total_pages * PAGE // MIB,
        free_memory=facts.free_pages * PAGE // MIB,
        sharing_freed_memory=0,
        sharing_used_memory=0,
        outstanding_claims=0,
        free_cpus=0,
        xen_major=major,
        xen_minor=minor,
        xen_extra="",
        xen_version=version,
        xen_caps="xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ",  # the blank is Xen's
        xen_scheduler=SCHEDULER,
        xen_pagesize=PAGE,
        xen_commandline="",
        xend_config_format=XL_CONFIG_FORMAT,
        physical_bits=cpu.physical_bits,
        cpu_features=" ".join(cpu.features),
        pmem_regions=len(host.hw.regions),
        pmem_memory=sum(region.span.size for region in host.hw.regions) // MIB,
        root=str(host.root),
    )


def _hw_caps(host: Host) -> list[int]:
    """The first eight feature words of the processor, in the order of Xen's feature sets."""
    words = ((1, 0, 3), (1, 0, 2), (0x80000001, 0, 3), (0x80000001, 0, 2), (0xD, 1, 0), (7, 0, 1), (7, 0, 2))
    found = [host.hw.cpuid(leaf, subleaf)[register] for leaf, subleaf, register in words]
    return [*found, host.hw.cpuid(0x80000007, 0)[3]]


def machine(host: Host) -> Machine:
    """The hardware for ``host show``."""
    spec = host.spec
    region_of = {dimm: one.name for one in spec.sets for dimm in one.dimms}
    gone = {dimm for one in spec.sets for dimm, _ in one.out}
    dimms = tuple(
        DimmRow(
            dimm.id,
            dimm.handle,
            dimm.capacity,
            dimm.label_size,
            dimm.serial,
            dimm.health.state,
            tuple(dimm.flags),
            region_of.get(dimm.id),
            dimm.id in gone,
        )
        for dimm in spec.dimms
    )
    regions = tuple(
        RegionRow(one.name, one.span.start, one.span.size, tuple(one.set.dimms), one.set.line, str(one.path))
        for one in host.hw.regions
    )
    return Machine(
        str(host.root),
        spec.name,
        spec.ram,
        spec.cpu.count,
        spec.cpu.physical_bits,
        tuple(spec.cpu.features),
        spec.persistence,
        dimms,
        regions,
    )
