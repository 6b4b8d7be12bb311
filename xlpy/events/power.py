"""Stores that may be lost, and power failures of the whole machine.

``Host.write_memory`` makes every store durable. Here are the steps one by one, for those who want to see what happens
when one is left out.
"""

from __future__ import annotations

import random

from xlpy.addr import Gpa, Spa
from xlpy.errors import Constraint
from xlpy.hw import power
from xlpy.hw.caches import Caches
from xlpy.hw.persistency import LINE
from xlpy.records import NamedTuple
from xlpy.toolstack.domain.durable import caches, pieces
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.host import Host
    from xlpy.hw.persistency import Line

FEATURES = {"clwb": 24, "clflushopt": 23}  # CPUID leaf 7, EBX
RANDOM, ALL, NONE = "random", "all", "none"  # which stores a failure leaves


class Failure(NamedTuple):
    """What a power failure did. lines: that could lose something; lost: that did; dirty: DIMMs that say so."""

    lines: int
    lost: list[int]
    dirty: list[str]
    domains: list[str]


def store(host: Host, domain: str, gpa: Gpa, data: bytes, dry_run: bool = False) -> None:
    """Write guest memory and leave it in the caches. Errors as ``Host.write_memory``."""
    running = host.domain(domain)
    running.require_mapped(gpa, len(data))
    host.check_backings(running)
    if dry_run or not data:
        return
    with host.store.transaction(f"writing to {domain}"):
        model = caches(host.hw)
        for spa, at, size in pieces(running, gpa, len(data)):
            model.store(spa, data[at : at + size])
        running.memory.write(gpa, data)


def flush(
    host: Host, domain: str, gpa: int, length: int, instruction: str, dry_run: bool = False
) -> tuple[int, str | None]:
    """Write back the cache lines of a guest's range.

    Args:
        instruction: ``clwb``, ``clflushopt`` or ``clflush``. dry_run: only tell.

    Returns:
        lines that had something to write back, and what to tell about the instruction.

    Raises:
        Constraint: no byte of the range is persistent memory.
    """
    running = host.domain(domain)
    parts = list(pieces(running, gpa, length))
    if not parts:
        raise Constraint(
            f"domain {domain} has no persistent memory in the {length} bytes at {gpa:#x}",
            hint=f"xlpy map {domain} shows where it is",
        )
    model = caches(host.hw)
    if dry_run:
        count = sum(spa - LINE < line < spa + size for line in model.lines for spa, _, size in parts)
    else:
        with host.store.transaction(f"flushing memory of {domain}"):
            count = sum(model.write_back(spa, size, instruction) for spa, _, size in parts)
    bit = FEATURES.get(instruction)
    hidden = bit is not None and not running.domain.cpuid(7)[1] >> bit & 1
    return count, f"{instruction} is not in the CPUID of {domain}: its software would not use it" if hidden else None


def fence(host: Host, drain: bool, dry_run: bool = False) -> int:
    """Order write-backs before what follows: SFENCE; with ``drain``, queues are written to the media too.

    Returns:
        lines that may still be lost.
    """
    model = caches(host.hw)
    if not dry_run:
        with host.store.transaction("fencing"):
            model.fence(drain=drain)
    return len(model.lines)


def settle(host: Host) -> None:
    """Write back everything, as hardware may at any time: somebody else is about to use the media."""
    if Caches.exist(host.hw.beside(power.CACHES)):
        with host.store.transaction("writing back caches"):
            caches(host.hw).clear()


def cut(host: Host, keep: str, seed: int, dry_run: bool = False) -> Failure:
    """The machine loses power: what was not safe is lost or kept line by line, domains are gone.

    Args:
        keep: ``random`` (by the seed), ``all`` or ``none`` of the stores that are not safe.
        dry_run: only tell.
    """
    chooser = random.Random(seed)
    choices: dict[str, Callable[[Line], int]] = {
        RANDOM: lambda line: chooser.randint(line.durable, len(line.stores)),
        ALL: lambda line: len(line.stores),
        NONE: lambda line: line.durable,
    }
    with host.change("the power fails"):
        model = caches(host.hw)
        chosen = {address: choices[keep](line) for address, line in sorted(model.lines.items())}
        lost = [address for address, left in chosen.items() if left < len(model.lines[address].stores)]
        dirty = sorted({host.hw.locate(Spa(address))[0].id for address in lost if host.spec.persistence == "none"})
        names = [host.lifecycle.running(domain.domid).name for domain in host.xen.domains()]
        found = Failure(len(chosen), lost, dirty, names)
        if not dry_run:
            for address, data in list(model.contents(lambda address, line: chosen.get(address, len(line.stores)))):
                host.hw.write(Spa(address), data)
            model.clear()
            host.hw.sync()
            power.count_failure(host.root, dirty)
            power.switch(host.root, on=False)
    return found
