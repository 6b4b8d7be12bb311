"""The data of `xlpy list`, as records; rendered in `cli`."""

from __future__ import annotations

from xlpy import abi
from xlpy.addr import MIB, PAGE
from xlpy.records import NamedTuple
from xlpy.toolstack.domain.record import dashed, load, name_of, number
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.xen_version import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.host import Host
    from xlpy.hypervisor.domain import Domain
    from xlpy.views.pmem import PmemRow

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


class HostExtent(NamedTuple):
    """``length`` bytes of host-physical memory at ``spa``."""

    spa: int
    length: int


class VnvdimmSummary(NamedTuple):
    """A vNVDIMM of a domain. path: as configured. gpa: its first guest-physical address. size: bytes."""

    path: str
    gpa: int
    size: int
    extents: tuple[HostExtent, ...]


class DomainSummary(NamedTuple):
    """A domain with its vNVDIMMs. state: xl's six letters. vcpus: that are up."""

    domid: int
    name: str
    uuid: str
    memory_mb: int
    vcpus: int
    state: str
    vnvdimms: tuple[VnvdimmSummary, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        devices = [one._asdict() | {"extents": [part._asdict() for part in one.extents]} for one in self.vnvdimms]
        return self._asdict() | {"vnvdimms": devices}


def domids(host: Host) -> list[int]:
    """Every domain's id, Domain-0 first."""
    return [0, *host.xen.domids()]


def rows(host: Host, domids: Sequence[int]) -> list[DomainRow]:
    """Domains as ``xl list`` shows them."""
    with host.store.reading():
        if len(domids) == 1:
            return [row(host, domids[0])]
        names = host.xenstore.names()
        return [row(host, domid, names.get(domid, "")) for domid in domids]


def row(host: Host, domid: int, name: str | None = None) -> DomainRow:
    """One domain as ``xl list`` shows it. name: where it is known."""
    domain = host.xen.domain(domid)
    if name is None:
        name = name_of(host.xenstore, domid) or ""
    vcpus = len(online(host, domid))
    reason = "-" if domain.shutdown_code is None else f"{domain.shutdown_code:x}"
    return DomainRow(name, domain.pages * PAGE // MIB, vcpus, state(domain), 0.0, dashed(domain.uuid.hex()), reason)


def state(domain: Domain) -> str:
    """xl's six letters: running, blocked, paused, shut down, the reason of that, dying."""
    flags = domain.info_flags
    ended = bool(flags & abi.XEN_DOMINF_SHUTDOWN)
    reason = REASONS[flags >> abi.XEN_DOMINF_SHUTDOWNSHIFT & 0xFF]
    letters = (
        ("r", flags & abi.XEN_DOMINF_RUNNING),
        ("b", flags & abi.XEN_DOMINF_BLOCKED),
        ("p", flags & abi.XEN_DOMINF_PAUSED),
        ("s", ended),
        (reason, ended),
        ("d", flags & abi.XEN_DOMINF_DYING),
    )
    return "".join([letter if is_so else "-" for letter, is_so in letters])


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
    below = host.xenstore.values(f"/local/domain/{domid}/cpu")
    paths = (path.split("/") for path, value in below if value == "online")
    return sorted(
        int(parts[5]) for parts in paths if len(parts) == 7 and parts[6] == "availability" and parts[5].isdecimal()
    )


def summary(host: Host, domid: int) -> DomainSummary:
    """One domain for ``list --json``."""
    shown, record = row(host, domid), load(host.store, domid)
    vnvdimms = tuple(
        VnvdimmSummary(one.path, one.gpa, one.size, tuple(HostExtent(*extent) for extent in one.extents))
        for one in record.vnvdimms
    )
    return DomainSummary(domid, shown.name, shown.uuid, shown.memory_mb, shown.vcpus, shown.state, vnvdimms)


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


def pmem(host: Host) -> list[PmemRow]:
    """The host's persistent memory in ndctl's keys, and who uses it; see ``xlpy.views.pmem``."""
    from xlpy.views.pmem import pmem

    return pmem(host)
