"""What a configuration tells the hypervisor about a domain besides its memory: parameters, CPUID, virtual NUMA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlpy.addr import KIB, MIB, Gpa
from xlpy.errors import ConfigError
from xlpy.firmware.layout import FOUR_GIB
from xlpy.hypervisor import abi

if TYPE_CHECKING:
    from xlpy.hypervisor.hypercalls import Hypercalls
    from xlpy.toolstack.config import DomainConfig
    from xlpy.toolstack.layout import MemoryLayout

STORE_PFN, STORE_PORT = 0xFEFFC, 1
CONSOLE_PFN, CONSOLE_PORT = 0xFEFFF, 2
VIRIDIAN_BASE = 1  # HVM_PARAM_VIRIDIAN, bit 0: the other groups are bits of their own


def apply(calls: Hypercalls, domid: int, config: DomainConfig, layout: MemoryLayout) -> None:
    """Set what an HVM domain is told: parameters, CPUID policy, virtual NUMA.

    Raises:
        ConfigError: virtual NUMA nodes that do not fit the domain. HypercallError: a bad CPUID override.
    """
    if config.cpuid:
        calls.domctl_set_cpu_policy(domid, config.cpuid)
    if config.type != "hvm":
        return
    for index, value in (
        (abi.HVM_PARAM_STORE_PFN, STORE_PFN),
        (abi.HVM_PARAM_STORE_EVTCHN, STORE_PORT),
        (abi.HVM_PARAM_CONSOLE_PFN, CONSOLE_PFN),
        (abi.HVM_PARAM_CONSOLE_EVTCHN, CONSOLE_PORT),
        (abi.HVM_PARAM_HPET_ENABLED, int(config.hpet)),
    ):
        calls.hvm_set_param(domid, index, value)
    if config.viridian:
        calls.hvm_set_param(domid, abi.HVM_PARAM_VIRIDIAN, VIRIDIAN_BASE)
    if config.vnuma:
        _vnuma(calls, domid, config, layout)


def _vnuma(calls: Hypercalls, domid: int, config: DomainConfig, layout: MemoryLayout) -> None:
    """Nodes lie one after another from 0, around the hole below 4 GiB; video RAM is taken from node 0."""
    from xlpy.firmware.platform import Vnuma, VnumaRange

    nodes = config.vnuma
    total = sum(node["memkb"] for node in nodes)
    if total != config.max_kib:
        raise ConfigError(
            f"{config.name}: the vnuma nodes have {total // KIB} MiB, the domain has {config.max_kib // KIB} MiB",
            hint="make the sizes sum to maxmem",
        )
    node_of = {cpu: at for at, node in enumerate(nodes) for cpu in node.get("vcpus", ())}
    missing = [cpu for cpu in range(config.max_vcpus) if cpu not in node_of]
    if missing:
        raise ConfigError(
            f"{config.name}: vCPU {missing[0]} is in no vnuma node", hint="name every vCPU in one vcpus= entry"
        )
    for at, node in enumerate(nodes):
        distances = node.get("distances", ())
        if len(distances) != len(nodes) or any(distance < distances[at] for distance in distances):
            raise ConfigError(
                f"{config.name}: vnuma node {at} has distances {list(distances)}: one for each of the {len(nodes)} "
                "nodes is required, none smaller than its own",
                hint="vdistances=10,20 for the first of two nodes",
            )
    ranges, start = [], 0
    for at, node in enumerate(nodes):
        left = node["memkb"] * KIB - (config.videoram_kib * KIB if at == 0 else 0)
        if left < MIB:
            raise ConfigError(
                f"{config.name}: vnuma node 0 is smaller than the video memory", hint="give it more memory"
            )
        while left:
            limit = layout.low_end if start < layout.low_end else layout.high_end or layout.low_end
            size = min(left, limit - start)
            if size <= 0:
                raise ConfigError(f"{config.name}: vnuma node {at} does not fit into the domain's memory")
            ranges.append(VnumaRange(Gpa(start), Gpa(start + size), at))
            start, left = start + size, left - size
            if start == layout.low_end:
                start = FOUR_GIB
    of_vcpu = tuple(node_of[cpu] for cpu in range(config.max_vcpus))
    calls.domctl_setvnumainfo(domid, Vnuma(of_vcpu, tuple(tuple(node["distances"]) for node in nodes), tuple(ranges)))
