"""Keys on Xen's console, those with data in the model: what ``xl debug-keys`` sends (Xen ``keyhandler.c``)."""

from __future__ import annotations

import time

from xlpy.hypervisor.mmio import KINDS
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.hypervisor.domain import Domain, Hypervisor
    from xlpy.hypervisor.mmio import IoreqServer

HELP = {
    "h": "show this message",
    "m": "memory info",
    "q": "dump domain (and guest debug) info",
    "r": "dump run queues",
}


def press(xen: Hypervisor, keys: str) -> None:
    """Handle each key; the console has what it says. Keys without a handler are ignored."""
    handlers: dict[str, Callable[[Hypervisor], Iterator[str]]] = {"h": _help, "m": _memory, "q": _domains, "r": _queues}
    for key in keys:
        for line in handlers[key](xen) if key in handlers else ():
            xen.console.write(f"(XEN) {line}")


def _help(_xen: Hypervisor) -> Iterator[str]:
    yield "'h' pressed -> showing installed handlers"
    for key, text in HELP.items():
        yield f" key '{key}' (ascii '{ord(key):02x}') => {text}"


def _memory(xen: Hypervisor) -> Iterator[str]:
    yield "Physical memory information:"
    yield f"    Xen heap: {xen.heap.pages << 2}kB free"
    for region in xen.pmem.regions:
        yield f"    pmem: [{region.data.start:x}, {region.data.end - 1:x}], not in the heap"


def _queues(xen: Hypervisor) -> Iterator[str]:
    yield f"sched_smt_power_savings: disabled; NOW={time.monotonic_ns()}"
    yield f"Online Cpus: 0-{xen.hw.spec.cpu.count - 1}"
    yield "Scheduler: SMP Credit Scheduler rev2 (credit2); nothing is scheduled in a model"


def _domains(xen: Hypervisor) -> Iterator[str]:
    yield f"'q' pressed -> dumping domain info (now = {time.monotonic_ns()})"
    for domain in [xen.domain(0), *xen.domains()]:
        yield from _domain(domain)


def _domain(domain: Domain) -> Iterator[str]:
    uuid = domain.uuid.hex()
    handle = "-".join((uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:]))
    yield f"General information for domain {domain.domid}:"
    yield f"    refcnt=3 dying={2 * domain.dying} pause_count={domain.pause_count}"
    yield f"    nr_pages={domain.pages} max_pages={domain.max_pages}"
    yield f"    handle={handle} vm_assist=00000000"
    if domain.hvm:
        yield "    paging assistance: hap refcounts translate external "
        yield f"Rangesets belonging to domain {domain.domid}:"
        for server in domain.ioreq.servers.values():
            yield from _server(server)
        if domain.pod:
            yield f"    PoD entries={domain.pod}"
        pmem = ", ".join(f"{piece.start:x}-{piece.end - 1:x}" for piece in domain.p2m.pmem)
        if pmem:
            yield f"    pmem frames {{ {pmem} }}"
    yield f"VCPU information and callbacks for domain {domain.domid}:"
    for vcpu in range(domain.max_vcpus):
        hard, soft = domain.affinity.get(vcpu, (None, None))
        yield f"  UNIT{vcpu} affinities: hard={_set(hard)} soft={_set(soft)}"


def _server(server: IoreqServer) -> Iterator[str]:
    for kind, ranges in server.ranges.items():
        if ranges:
            yield f"    ioreq_server {server.id} {KINDS[kind]} {{ {', '.join(f'{a:x}-{b:x}' for a, b in ranges)} }}"


def _set(cpus: list[int] | None) -> str:
    return "{all}" if cpus is None else "{" + ",".join(map(str, cpus)) + "}"
