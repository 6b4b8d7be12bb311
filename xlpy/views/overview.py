"""The data of ``vm-list``, ``vcpu-list``, ``uptime`` and ``cpupool-list``, as records; rendered in `cli`."""

from __future__ import annotations

from xlpy.errors import NotFound
from xlpy.records import NamedTuple
from xlpy.toolstack.domain.lifecycle import BOOTED
from xlpy.toolstack.domain.record import dashed, load, name_of
from xlpy.typing import TYPE_CHECKING
from xlpy.views.listing import SCHEDULER, online

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.host import Host

POOL = "Pool-0"


class Vm(NamedTuple):
    """One line of ``xl vm-list``."""

    uuid: str
    domid: int
    name: str


class Vcpu(NamedTuple):
    """One line of ``xl vcpu-list``.

    cpu: the physical CPU, or None where it is offline. state: three letters. hard, soft: CPUs it may and should use.
    """

    name: str
    domid: int
    vcpu: int
    cpu: int | None
    state: str
    seconds: float
    hard: str
    soft: str


class Uptime(NamedTuple):
    """One line of ``xl uptime``. seconds: since the domain was built; for Dom0, since the host was started."""

    name: str
    domid: int
    seconds: int


class Pool(NamedTuple):
    """One line of ``xl cpupool-list``."""

    name: str
    cpus: list[int]
    scheduler: str
    domains: int


def vms(host: Host) -> list[Vm]:
    """Every domain, Dom0 included."""
    domains = [host.xen.domain(0), *host.xen.domains()]
    return [Vm(dashed(one.uuid.hex()), one.domid, _name(host, one.domid)) for one in domains]


def vcpus(host: Host, domid: int) -> list[Vcpu]:
    """The vCPUs of a domain. There is no scheduler: vCPU n is on the n-th CPU of its hard affinity, counted around."""
    domain = host.xen.domain(domid)
    every, up = list(range(host.spec.cpu.count)), online(host, domid)
    rows = []
    for number in range(domain.max_vcpus):
        hard, soft = (cpus or every for cpus in domain.affinity.get(number, (None, None)))
        cpu = hard[number % len(hard)] if number in up else None
        state = ("r--" if domain.running else "---") if number in up else "--p"
        shown = (cpu_list(hard, every), cpu_list(soft, every))
        rows.append(Vcpu(_name(host, domid), domid, number, cpu, state, 0.0, *shown))
    return rows


def cpu_list(cpus: Sequence[int], every: Sequence[int]) -> str:
    """CPUs as xl prints them: ``all``, ``none``, or ranges such as ``0-2,5``."""
    if not cpus:
        return "none"
    if set(every) <= set(cpus):
        return "all"
    ranges: list[list[int]] = []
    for cpu in sorted(cpus):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


def uptime(host: Host, domid: int, now: float) -> Uptime:
    """How long a domain has been there at ``now``, in seconds since the epoch."""
    started = load(host.store, domid).started if domid else host.store.table("libxl").get(BOOTED, now)
    return Uptime(_name(host, domid), domid, max(0, int(now - started)))


def pools(host: Host, name: str | None = None) -> list[Pool]:
    """The CPU pools: there is one. NotFound when another is asked for."""
    if name not in (None, POOL, "0"):
        raise NotFound(f"Pool '{name}' does not exist", hint=f"the only pool is {POOL}")
    return [Pool(POOL, list(range(host.spec.cpu.count)), SCHEDULER, 1 + len(host.xen.domains()))]


def _name(host: Host, domid: int) -> str:
    return name_of(host.xenstore, domid) or ""
