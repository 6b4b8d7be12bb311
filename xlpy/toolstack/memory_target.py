"""``mem-set`` and ``mem-max``: how much RAM a domain shall have, and may have (libxl ``libxl_mem.c``).

The target goes to xenstore, for the guest's balloon driver, and to Xen as the domain's allowance. A guest without a
balloon driver, as the model guest is, keeps the RAM that it has until it starts again.
"""

from __future__ import annotations

import re

from xlpy.errors import Constraint, UsageError
from xlpy.toolstack.record import load, number, save
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.lifecycle import Lifecycle

MAXMEM_SLACK = 1024  # KiB that libxl adds to a domain's allowance
LEAST = 8 << 10  # KiB of RAM with which hvmloader can work
_SIZE = re.compile(r"([0-9]{1,20})([tgmkb]?)", re.IGNORECASE)
_SHIFTS = {"t": 30, "g": 20, "m": 10, "": 10, "k": 0}


def parse_kib(text: str) -> int:
    """A size in xl's form: decimal, then one of t g m k b or nothing, which means MiB (the manual says KiB).

    Returns:
        KiB.

    Raises:
        UsageError: something else, or 2**53 KiB and more.
    """
    match = _SIZE.fullmatch(text)
    if match:
        number, unit = int(match[1]), match[2].lower()
        size = number >> 10 if unit == "b" else number << _SHIFTS[unit]
        if size < 1 << 53:
            return size
    raise UsageError(f"invalid memory size: {text}", hint="a number and t, g, m, k or b; without a letter it is MiB")


def set_target(life: Lifecycle, domid: int, kib: int, dry_run: bool = False) -> int:
    """Tell a domain how much memory to use (``mem-set``).

    Args:
        life: the toolstack.
        domid: whom.
        kib: with video memory.
        dry_run: check only.

    Returns:
        what its allowance in Xen becomes, KiB.

    Raises:
        Conflict: Dom0. Constraint: above the static maximum, or too little to work with.
    """
    life.guest(domid)
    connection = life.xenstore.connection(0)
    home = f"/local/domain/{domid}/memory"
    most, current, video = (number(connection, f"{home}/{leaf}") for leaf in ("static-max", "target", "videoram"))
    if kib > most:
        raise Constraint(
            f"memory_dynamic_max must be less than or equal to memory_static_max: {kib} KiB wanted, {most} KiB is it",
            hint="set maxmem in the configuration and start the domain again",
        )
    if kib - video < LEAST:
        raise Constraint(
            f"{kib} KiB leave {max(0, kib - video)} KiB of RAM, at least {LEAST} are needed", hint="mem-set"
        )
    info = life.xen.hypercalls(0).domctl_getdomaininfo(domid)
    allowance = info.max_pages * 4 - current + kib - video
    if not dry_run:
        life.xen.hypercalls(0).domctl_max_mem(domid, allowance)
        connection.write(f"{home}/target", str(kib - video))
        record = load(life.store, domid)
        build = {**record.config["b_info"], "target_memkb": kib}
        save(life.store, record._replace(config={**record.config, "b_info": build}))
    return allowance


def set_maximum(life: Lifecycle, domid: int, kib: int, dry_run: bool = False) -> int:
    """Set what a domain may have in Xen (``mem-max``); it is forgotten when the domain starts again.

    Returns:
        the allowance, KiB.

    Raises:
        Conflict: Dom0. Constraint: below what it is told to use.
    """
    life.guest(domid)
    target = number(life.xenstore.connection(0), f"/local/domain/{domid}/memory/target")
    if kib < target:
        raise Constraint(
            f"memory_static_max must be greater than or equal to memory_dynamic_max: {kib} KiB wanted, "
            f"{target} KiB is the target",
            hint=f"xlpy mem-set {domid} first",
        )
    if not dry_run:
        life.xen.hypercalls(0).domctl_max_mem(domid, kib + MAXMEM_SLACK)
    return kib + MAXMEM_SLACK
