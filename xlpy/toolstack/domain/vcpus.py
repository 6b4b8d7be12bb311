"""``vcpu-set`` and ``vcpu-pin``: how many vCPUs a guest may have up, and where they run (libxl ``libxl_domain.c``)."""

from __future__ import annotations

from xlpy.errors import Constraint, HypercallError, UsageError
from xlpy.toolstack.config.cnumbers import INT_MAX, strtoul
from xlpy.toolstack.config.reading.cpulists import BadCpuList, parse_cpu_list
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.reading.reader import HostFacts
    from xlpy.toolstack.domain.lifecycle import Lifecycle


def set_online(
    life: Lifecycle, domid: int, text: str, up: int, ignore_host: bool = False, dry_run: bool = False
) -> int:
    """Say how many vCPUs a guest may have up. A guest without a driver for that keeps those it has.

    Args:
        life: the toolstack.
        domid: the domain.
        text: how many, decimal as in xl: what follows the digits is ignored.
        up: how many are up now.
        ignore_host: allow more than the host has CPUs.
        dry_run: check only.

    Returns:
        how many.

    Raises:
        UsageError: not a number. Conflict: Dom0. Constraint: none, more than the domain can have or the host has.
    """
    count, end = strtoul(text)
    if end == 0 or count > INT_MAX:
        raise UsageError("Error: Invalid argument.", hint=f"{text!r} is not a number of vCPUs")
    domain = life.guest(domid)
    cpus = life.xen.hw.spec.cpu.count
    if not ignore_host and count > up and count > cpus:
        raise Constraint(
            f"You are overcommmitting! You have {cpus} physical CPUs and want {count} vCPUs! Aborting, use "
            "--ignore-host to continue",
            hint=f"xlpy vcpu-set --ignore-host {domid} {count}",
        )
    if not count:
        raise Constraint("Requested 0 VCPUs!", hint="a guest needs one")
    if count > domain.max_vcpus:
        raise Constraint(
            f"Requested {count} VCPUs, however maxcpus is {domain.max_vcpus}!", hint="maxvcpus = sets it at the start"
        )
    if dry_run:
        return count
    connection = life.xenstore.connection(0)
    with connection.transaction() as tree:
        for cpu in range(domain.max_vcpus):
            tree.write(f"/local/domain/{domid}/cpu/{cpu}/availability", "online" if cpu < count else "offline")
    if domain.part("xen.chipset"):
        from xlpy.hypervisor.chipset import Chipset

        board = Chipset(domain)
        board.plug_cpus(count)
        board.save()
    return count


def cpu_set(text: str, host: HostFacts) -> list[int] | None:
    """A CPU list from the command line; None for ``-``, which leaves things alone. UsageError: it cannot be read."""
    if text == "-":
        return None
    try:
        return parse_cpu_list(text, host)
    except BadCpuList as bad:
        raise UsageError(f"Invalid pcpu range: {bad.message}", hint="for example 0-3,^2, node:0 or all") from None


def pin(
    life: Lifecycle, domid: int, vcpu: str, hard: list[int] | None, soft: list[int] | None, dry_run: bool = False
) -> list[int]:
    """Say where a vCPU, or ``all`` of them, may run and should run.

    Returns:
        the vCPUs.

    Raises:
        UsageError: not a vCPU. Constraint: no CPU of the host is left. HypercallError: no such vCPU.
    """
    domain = life.xen.domain(domid)
    number, end = strtoul(vcpu)
    if vcpu.startswith("-") or (end == 0 and vcpu != "all"):
        raise UsageError(f"Error: Invalid argument {vcpu} as VCPU.", hint="a number, or all")
    chosen = list(range(domain.max_vcpus)) if vcpu == "all" else [number]
    if hard is not None and not hard:
        raise Constraint(
            "vcpu hard affinity map is empty", hint=f"the host has CPUs 0 to {life.xen.hw.spec.cpu.count - 1}"
        )
    if not dry_run:
        for one in chosen:
            try:
                life.xen.hypercalls(0).domctl_setvcpuaffinity(domid, one, hard, soft or None)
            except HypercallError as error:
                error.details = (f"Could not set affinity for vcpu `{one}'.", *error.details)
                raise
    return chosen
