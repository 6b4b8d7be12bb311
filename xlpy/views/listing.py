"""What `xlpy list`, `info`, `pmem list` and `host show` say, as records: rendering is elsewhere."""

from __future__ import annotations

from xlpy import __version__, abi
from xlpy.addr import MIB, PAGE, Spa, Span
from xlpy.records import NamedTuple
from xlpy.toolstack.domain.record import dashed, load, name_of, number
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.xen_version import numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.host import Host
    from xlpy.hypervisor.domain import Domain

XL_CONFIG_FORMAT = 4
PIRQ_SINCE = (4, 19)  # from which Xen on libxl says whether a guest gets physical interrupts
SCHEDULER = "credit2"  # what Xen 4.17 has by default
REASONS = "-rscwS"  # by shutdown code
UNSET_DOMID = 0xFFFFFFFF  # c_info.domid where Xen chose the id


class DomainRow(NamedTuple):
    """One line of ``xl list``. state: the six letters; reason: shutdown code in hex, or ``-``."""

    name: str
    memory_mb: int
    vcpus: int
    state: str
    seconds: float
    uuid: str
    reason: str


def domids(host: Host) -> list[int]:
    """Every domain's id, Domain-0 first."""
    return [0, *(domain.domid for domain in host.xen.domains())]


def rows(host: Host, domids: Iterable[int]) -> list[DomainRow]:
    """Domains as ``xl list`` shows them."""
    with host.store.reading():
        return [row(host, domid) for domid in domids]


def row(host: Host, domid: int) -> DomainRow:
    """One domain as ``xl list`` shows it."""
    domain = host.xen.domain(domid)
    name = name_of(host.xenstore, domid) or ""
    vcpus = len(online(host, domid))
    reason = "-" if domain.shutdown_code is None else f"{domain.shutdown_code:x}"
    return DomainRow(name, domain.pages * PAGE // MIB, vcpus, state(domain), 0.0, dashed(domain.uuid.hex()), reason)


def state(domain: Domain) -> str:
    """xl's six letters: running, blocked, paused, shut down, the reason of that, dying."""
    flags = domain.info_flags
    ended = bool(flags & abi.XEN_DOMINF_SHUTDOWN)
    letters = (
        ("r", flags & abi.XEN_DOMINF_RUNNING),
        ("b", flags & abi.XEN_DOMINF_BLOCKED),
        ("p", flags & abi.XEN_DOMINF_PAUSED),
        ("s", ended),
        (REASONS[flags >> abi.XEN_DOMINF_SHUTDOWNSHIFT & 0xFF], ended),
        ("d", flags & abi.XEN_DOMINF_DYING),
    )
    return "".join(letter if is_so else "-" for letter, is_so in letters)


def online(host: Host, domid: int) -> list[int]:
    """The vCPUs of a domain that are up.

    A new domain has its first one, and the firmware or kernel starts the others that are available; a guest that powers
    off takes all of them down, one that reboots or crashes all but the one that asks for it.
    """
    domain = host.xen.domain(domid)
    if domid == 0:
        return list(range(domain.max_vcpus))
    if domain.shutdown_code is not None and domain.shutdown_code != abi.SHUTDOWN_SUSPEND:
        return [] if domain.shutdown_code == abi.SHUTDOWN_POWEROFF else [0]
    return available(host, domid) if domain.started else [0]


def available(host: Host, domid: int) -> list[int]:
    """The vCPUs that a guest may have up, by xenstore."""
    tree = host.xenstore.tree(f"/local/domain/{domid}/cpu")
    paths = (path.split("/") for path, node in tree.items() if node.value == "online")
    return sorted(
        int(parts[5]) for parts in paths if len(parts) == 7 and parts[6] == "availability" and parts[5].isdecimal()
    )


def summary(host: Host, domid: int) -> dict[str, Any]:
    """One domain for ``list --json``."""
    shown, record = row(host, domid), load(host.store, domid)
    return {
        "domid": domid,
        "name": shown.name,
        "uuid": shown.uuid,
        "memory_mb": shown.memory_mb,
        "vcpus": shown.vcpus,
        "state": shown.state,
        "vnvdimms": [
            {
                "path": device.path,
                "gpa": device.gpa,
                "size": device.size,
                "extents": [{"spa": spa, "length": length} for spa, length in device.extents],
            }
            for device in record.vnvdimms
        ],
    }


def long(host: Host, domid: int) -> dict[str, Any]:
    """One domain for ``list -l``: its stored configuration in libxl's shape, with what is true of it now."""
    if domid == 0:
        return _long_dom0(host)
    from xlpy.toolstack.config.libxl_json import in_order
    from xlpy.toolstack.domain.memory_target import target_fudge

    record = load(host.store, domid)
    config = record.config
    build, home = dict(config["b_info"]), f"/local/domain/{domid}/memory"
    connection, domain = host.xenstore.connection(0), host.xen.domain(domid)
    most, target, video = (number(connection, f"{home}/{leaf}") for leaf in ("static-max", "target", "videoram"))
    build["max_memkb"], build["video_memkb"] = most, video
    build["target_memkb"] = target + video + target_fudge(record)
    params = {"sched": SCHEDULER, **build.get("sched_params", {}), "weight": domain.weight, "cap": domain.cap}
    build["sched_params"] = params
    build["arch_x86"] = {"msr_relaxed": "False", **build.get("arch_x86", {})}
    if "max_vcpus" in build:
        build["avail_vcpus"] = _plugged(host, domid)
    if "type.hvm" in build and numbers(host.xen.version) >= PIRQ_SINCE:
        build["type.hvm"] = in_order("hvm", {"pirq": "False"} | build["type.hvm"])
    identity = in_order("c_info", {"domid": UNSET_DOMID} | config["c_info"])
    config = {**config, "c_info": identity, "b_info": in_order("b_info", build)}
    return {"domid": domid, "xen": host.xen.version, "config": config}


def _long_dom0(host: Host) -> dict[str, Any]:
    kib = host.xen.domain(0).pages * PAGE // 1024
    build = {
        "max_memkb": kib,
        "target_memkb": kib - 1,
        "sched_params": {"sched": SCHEDULER, "weight": host.xen.domain(0).weight, "cap": 0},
        "type.pv": {},
        "arch_arm": {},
        "arch_x86": {},
    }
    return {
        "domid": 0,
        "xen": host.xen.version,
        "config": {"c_info": {"type": "pv", "name": "Domain-0"}, "b_info": build},
    }


def _plugged(host: Host, domid: int) -> list[int]:
    """The vCPUs of a domain as its toolstack sees them: QEMU never takes one out again."""
    domain, now = host.xen.domain(domid), available(host, domid)
    if domain.part("xen.chipset"):
        from xlpy.hypervisor.chipset import Chipset

        now = sorted({*now, *Chipset(domain).plugged})
    return now


def pmem(host: Host) -> list[dict[str, Any]]:
    """The host's persistent memory in ndctl's keys, those of ``ndctl list -M`` included, and who uses it."""
    users: dict[str, list[str]] = {}
    for domain in host.xen.domains():
        for device in load(host.store, domain.domid).vnvdimms:
            users.setdefault(device.device, []).append(name_of(host.xenstore, domain.domid) or str(domain.domid))
    exports = host.store.table("exports")
    for record in filter(None, map(exports.get, exports.keys())):
        for one in record["vnvdimms"]:
            users.setdefault(one["data"]["device"], []).append(f"{record['name']} (exported)")
    items = host.dom0.list_namespaces()
    for item in items:
        item["users"] = sorted(set(users.get(item.get("blockdev", item.get("chardev", "")), [])))
        item |= _bad_blocks(host, item)
    return items


def _bad_blocks(host: Host, item: dict[str, Any]) -> dict[str, Any]:
    """The keys with which ``ndctl list -M`` tells of bad sectors, and what they lie in."""
    device = item.get("blockdev", item.get("chardev"))
    if device is None or item["resource"] is None or not len(host.dom0.bad):
        return {}
    from xlpy.views.bad_blocks import inside

    return inside(host, Span(Spa(item["resource"]), item["size"]), item.get("blockdev"))


def info(host: Host) -> dict[str, Any]:
    """``xl info``'s keys in its order, as far as the model has them, then what is particular to persistent memory."""
    facts = host.xen.hypercalls(0).sysctl_physinfo()
    cpu = host.spec.cpu
    version = host.xen.version
    major, minor = numbers(version)
    return {
        "host": host.spec.name,
        "release": "xlpy",
        "version": __version__,
        "machine": "x86_64",
        "nr_cpus": cpu.count,
        "max_cpu_id": cpu.count - 1,
        "nr_nodes": host.spec.nodes,
        "cores_per_socket": -(-cpu.count // host.spec.nodes),
        "threads_per_core": 1,
        "cpu_mhz": "2400.000",
        "hw_caps": ":".join(f"{word:08x}" for word in _hw_caps(host)),
        "virt_caps": "pv hvm hap gnttab-v1 gnttab-v2",
        "total_memory": facts.total_pages * PAGE // MIB,
        "free_memory": facts.free_pages * PAGE // MIB,
        "sharing_freed_memory": 0,
        "sharing_used_memory": 0,
        "outstanding_claims": 0,
        "free_cpus": 0,
        "xen_major": major,
        "xen_minor": minor,
        "xen_extra": "",
        "xen_version": version,
        "xen_caps": "xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ",  # the blank is Xen's
        "xen_scheduler": SCHEDULER,
        "xen_pagesize": PAGE,
        "xen_commandline": "",
        "xend_config_format": XL_CONFIG_FORMAT,
        "physical_bits": cpu.physical_bits,
        "cpu_features": " ".join(cpu.features),
        "pmem_regions": len(host.hw.regions),
        "pmem_memory": sum(region.span.size for region in host.hw.regions) // MIB,
        "root": str(host.root),
    }


def _hw_caps(host: Host) -> list[int]:
    """The first eight feature words of the processor, in the order of Xen's feature sets."""
    words = ((1, 0, 3), (1, 0, 2), (0x80000001, 0, 3), (0x80000001, 0, 2), (0xD, 1, 0), (7, 0, 1), (7, 0, 2))
    found = [host.hw.cpuid(leaf, subleaf)[register] for leaf, subleaf, register in words]
    return [*found, host.hw.cpuid(0x80000007, 0)[3]]


def machine(host: Host) -> dict[str, Any]:
    """The hardware for ``host show``."""
    spec = host.spec
    region_of = {dimm: one.name for one in spec.sets for dimm in one.dimms}
    gone = {dimm for one in spec.sets for dimm, _ in one.out}
    return {
        "root": str(host.root),
        "name": spec.name,
        "ram": spec.ram,
        "cpus": spec.cpu.count,
        "physical_bits": spec.cpu.physical_bits,
        "features": list(spec.cpu.features),
        "persistence": spec.persistence,
        "dimms": [
            {
                "id": dimm.id,
                "handle": dimm.handle,
                "capacity": dimm.capacity,
                "label_size": dimm.label_size,
                "serial": dimm.serial,
                "health": dimm.health.state,
                "flags": list(dimm.flags),
                "region": region_of.get(dimm.id),
                "out": dimm.id in gone,
            }
            for dimm in spec.dimms
        ],
        "regions": [
            {
                "name": region.name,
                "spa": region.span.start,
                "size": region.span.size,
                "dimms": list(region.set.dimms),
                "line": region.set.line,
                "media": str(region.path),
            }
            for region in host.hw.regions
        ],
    }
