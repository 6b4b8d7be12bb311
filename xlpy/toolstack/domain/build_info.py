"""The parameters of building a domain: its memory layout (libxl's ``build_hvm``), parameters, CPUID, virtual NUMA."""

from __future__ import annotations

from xlpy import abi
from xlpy.addr import KIB, MIB, PAGE, Gpa, Span
from xlpy.errors import ConfigError, Constraint
from xlpy.firmware.layout import FOUR_GIB, VGA_WINDOW
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.hypervisor.hypercalls import Hypercalls
    from xlpy.toolstack.config.domain_config import DomainConfig

STORE_PFN, STORE_PORT = 0xFEFFC, 1
CONSOLE_PFN, CONSOLE_PORT = 0xFEFFF, 2
VIRIDIAN_BASE = 1  # HVM_PARAM_VIRIDIAN, bit 0: the other groups are bits of their own

MAXMEM_SLACK = 1024  # KiB that libxl adds to a domain's allowance for tables
MMIO_HOLE = 256 * MIB
LEAST_RAM = {"hvm": 8 * MIB, "pvh": 8 * MIB, "pv": MIB}  # for hvmloader and what it is given; for a kernel
HVMLOADER_SIZE = 0x34000  # hvmloader's image and bss, in whole pages; modules follow it


class MemoryLayout(NamedTuple):
    """Bytes: low_end is the first address after RAM below 4 GiB; high_end the one after RAM above, or 0.

    vga: whether the guest has a hole for VGA below 1 MiB.
    """

    low_end: Gpa
    high_end: Gpa
    vga: bool = True

    @property
    def end(self) -> Gpa:
        """The first address after all RAM."""
        return self.high_end or self.low_end

    @property
    def ram(self) -> tuple[Span[Gpa], ...]:
        """Populated stretches: the VGA window below 1 MiB has no RAM."""
        spans = [Span.between(Gpa(0), self.low_end)]
        if self.vga:
            spans = [Span(Gpa(0), VGA_WINDOW), Span.between(Gpa(0xC0000), self.low_end)]
        if self.high_end:
            spans.append(Span.between(FOUR_GIB, self.high_end))
        return tuple(spans)


def memory_layout(config: DomainConfig) -> MemoryLayout:
    """Split the domain's memory at the hole below 4 GiB.

    Args:
        config: ``max_kib``, ``videoram_kib`` and ``mmio_hole`` (MiB, or None) count.

    Raises:
        Constraint: no size, or less RAM than the domain builder needs.
    """
    if config.type != "pv" and not config.memory_given:
        raise Constraint(
            f"{config.name}: no memory is given: libxl then computes a paging pool that no host has",
            code="XLPY-NO-MEMORY",
            hint="give the domain some: memory = 512",
        )
    ram = (config.max_kib - config.videoram_kib) * KIB // PAGE * PAGE
    least = LEAST_RAM[config.type]
    if ram < least:
        raise Constraint(
            f"{config.name}: {max(ram, 0) // MIB} MiB of RAM remain after {config.videoram_kib // 1024} MiB of video "
            f"memory, at least {least // MIB} are needed",
            code="XLPY-NO-MEMORY",
            hint="give the domain more: memory = 512",
        )
    hole = max((config.mmio_hole or 0) * MIB, MMIO_HOLE)
    start = FOUR_GIB - hole
    high = FOUR_GIB + ram - start if ram > start else 0
    return MemoryLayout(Gpa(min(ram, start)), Gpa(high), vga=config.type == "hvm")


def apply(calls: Hypercalls, domid: int, config: DomainConfig, layout: MemoryLayout) -> None:
    """Set what a domain is told: parameters, CPUID policy, virtual NUMA.

    Raises:
        ConfigError: virtual NUMA nodes that do not fit the domain. HypercallError: a bad CPUID override.
    """
    if config.cpuid:
        calls.domctl_set_cpu_policy(domid, config.cpuid)
    affinities = (config.hard_affinity, config.soft_affinity)
    for vcpu in range(max(map(len, affinities))):
        hard, soft = (rows[vcpu] if vcpu < len(rows) and rows[vcpu] else None for rows in affinities)
        if hard or soft:
            calls.domctl_setvcpuaffinity(domid, vcpu, hard, soft)
    if config.weight is not None or config.cap is not None:
        calls.domctl_scheduler_op(domid, config.weight, config.cap)
    if config.type == "pv":
        return
    for index, value in (
        (abi.HVM_PARAM_STORE_PFN, STORE_PFN),
        (abi.HVM_PARAM_STORE_EVTCHN, STORE_PORT),
        (abi.HVM_PARAM_CONSOLE_PFN, CONSOLE_PFN),
        (abi.HVM_PARAM_CONSOLE_EVTCHN, CONSOLE_PORT),
        (abi.HVM_PARAM_HPET_ENABLED, int(config.type == "hvm" and config.hpet)),
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
