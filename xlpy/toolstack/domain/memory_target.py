"""``mem-set`` and ``mem-max``: the target and the maximum of a domain's RAM (libxl ``libxl_mem.c``).

The target goes to xenstore, for the guest's balloon driver, and to Xen as the domain's allowance. A guest without a
balloon driver, as the model guest is, keeps the RAM that it has until it starts again.
"""

from __future__ import annotations

from xlpy.errors import Constraint, UsageError
from xlpy.toolstack.domain.build_info import MAXMEM_SLACK
from xlpy.toolstack.domain.record import load, number, save, vm_path
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.domain.lifecycle import Lifecycle
    from xlpy.toolstack.domain.record import DomainRecord

_SIZE = r"\s*([+-]?[0-9]{0,20})([tgmkb]?)"
_SHIFTS = {"t": 30, "g": 20, "m": 10, "": 10, "k": 0}


def parse_kib(text: str) -> int:
    """A size in xl's form: decimal, then one of t g m k b or nothing, which means MiB (the manual says KiB).

    No digits are 0, as in xl.

    Returns:
        KiB; it may be negative.

    Raises:
        UsageError: something else, or 2**53 KiB and more.
    """
    import re

    match = re.fullmatch(_SIZE, text, re.IGNORECASE)
    if match and match[1] not in ("+", "-"):
        number, unit = int(match[1] or 0), match[2].lower()
        size = number >> 10 if unit == "b" else number << _SHIFTS[unit]
        if -(1 << 53) < size < 1 << 53:
            return size
    raise UsageError(f"invalid memory size: {text}", hint="a number and t, g, m, k or b; without a letter it is MiB")


def set_target(life: Lifecycle, domid: int, kib: int, dry_run: bool = False) -> int:
    """Tell a domain how much memory to use (``mem-set``).

    Args:
        life: the toolstack.
        domid: the domain.
        kib: with video memory.
        dry_run: check only.

    Returns:
        what its allowance in Xen becomes, KiB.

    Raises:
        Conflict: Dom0. Constraint: above the static maximum.
    """
    domain = life.guest(domid)
    connection = life.xenstore.connection(0)
    home = f"/local/domain/{domid}/memory"
    most, video = (number(connection, f"{home}/{leaf}") for leaf in ("static-max", "videoram"))
    target = kib - video
    if target > most or kib < 0:
        raise Constraint(
            f"memory_dynamic_max must be less than or equal to memory_static_max: {kib} KiB wanted, {most} KiB is it",
            hint=f"xlpy mem-max {domid} SIZE raises it",
        )
    target = max(target, 0)
    if not dry_run:
        calls = life.xen.hypercalls(0)
        calls.domctl_max_mem(domid, target + video + MAXMEM_SLACK)
        if domain.pod:
            calls.memory_set_pod_target(domid, (target + MAXMEM_SLACK) // 4)
        connection.write(f"{home}/target", str(target))
        connection.write(f"{vm_path(life.xenstore, load(life.store, domid))}/memory", str(target // 1024))
        _keep(life, domid, "target_memkb", target + video + target_fudge(load(life.store, domid)))
    return target + video + MAXMEM_SLACK


def target_fudge(record: DomainRecord) -> int:
    """KiB by which libxl keeps the target in xenstore below the configuration's, for a domain populated on demand."""
    build = record.config["b_info"]
    return MAXMEM_SLACK if build.get("max_memkb", 0) > build.get("target_memkb", build.get("max_memkb", 0)) else 0


def set_maximum(life: Lifecycle, domid: int, kib: int, dry_run: bool = False) -> int:
    """Set what a domain may have (``mem-max``): its allowance in Xen, and what a target may be.

    Returns:
        the allowance, KiB.

    Raises:
        Conflict: Dom0. Constraint: below what it is told to use, or no size.
    """
    life.guest(domid)
    connection, home = life.xenstore.connection(0), f"/local/domain/{domid}/memory"
    target = number(connection, f"{home}/target")
    if kib < target:
        raise Constraint(
            f"memory_static_max must be greater than or equal to memory_dynamic_max: {kib} KiB wanted, "
            f"{target} KiB is the target",
            hint=f"xlpy mem-set {domid} SIZE lowers it",
        )
    if not dry_run:
        life.xen.hypercalls(0).domctl_max_mem(domid, kib + MAXMEM_SLACK)
        connection.write(f"{home}/static-max", str(kib))
        _keep(life, domid, "max_memkb", kib)
    return kib + MAXMEM_SLACK


def _keep(life: Lifecycle, domid: int, field: str, kib: int) -> None:
    """The next start is to have it too."""
    record = load(life.store, domid)
    save(life.store, record._replace(sizes={**record.sizes, field: kib}))
