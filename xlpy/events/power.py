"""Stores that may be lost, and power failures of the whole machine.

``Host.write_memory`` makes every store durable. Here are the steps one by one, for those who want to see what happens
when one is left out.
"""

from __future__ import annotations

import random

from xlpy.addr import LINE, Gpa, Spa
from xlpy.errors import Constraint, NotFound, UsageError
from xlpy.hw import power
from xlpy.hw.caches import Caches
from xlpy.hw.persistency import pieces as pieces_of
from xlpy.records import NamedTuple
from xlpy.toolstack.domain.durable import caches, pieces
from xlpy.toolstack.domain.model import device_model
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from xlpy.host import Host
    from xlpy.hw.persistency import Line

FEATURES = {"clwb": 24, "clflushopt": 23}  # CPUID leaf 7, EBX
RANDOM, ALL, NONE = "random", "all", "none"  # which stores a failure leaves


class Failure(NamedTuple):
    """What a power failure did. lines: that could lose something; lost: that did; dirty: DIMMs that say so; labels: how
    many bytes are left of each label write that was in flight."""

    lines: int
    lost: list[int]
    dirty: list[str]
    domains: list[str]
    labels: list[int] = []  # noqa: RUF012 - never changed in place


class LabelReach(NamedTuple):
    """A label area, as far as a failure reaches it."""

    write: Callable[[int, bytes], None]


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
    """Write back everything, as hardware may at any time: another program is about to use the media."""
    if Caches.exist(host.hw.beside(power.CACHES)):
        with host.store.transaction("writing back caches"):
            caches(host.hw).clear()


def cut(host: Host, keep: str, seed: int, writing: Sequence[str] = (), dry_run: bool = False) -> Failure:
    """The machine loses power: what was not safe is lost or kept line by line, domains are gone.

    Args:
        keep: ``random`` (by the seed), ``all`` or ``none`` of the stores that are not safe; or which lines keep some:
            ``ADDRESS[:N],...``, where an address is a host's, or a guest's as ``DOMAIN@ADDRESS``, and ``N`` how many of
            the stores that the line has (all). Lines that are not named lose whatever is not safe.
        writing: label writes in flight, ``AREA@OFFSET=HEX``: of a DIMM by its id, or of a vNVDIMM as ``DOMAIN/SLOT``.
            They are torn by the same choice: none, all, or any units of 8 bytes and of each some of the first bytes.
        dry_run: only tell.

    Raises:
        UsageError: ``keep`` or ``writing`` cannot be read. NotFound: no such area. Constraint: a line has fewer stores
        that may be kept, or a write leaves its area.
    """
    chooser = random.Random(seed)
    choices: dict[str, Callable[[Line], int]] = {
        RANDOM: lambda line: chooser.randint(line.durable, len(line.stores)),
        ALL: lambda line: len(line.stores),
        NONE: lambda line: line.durable,
    }
    flying = [_label_write(host, text) for text in writing]
    for domain in () if dry_run else host.xen.domains():
        host.end_boot(domain.domid)
    with host.change("the power fails"):
        model = caches(host.hw)
        if keep in choices:
            chosen = {address: choices[keep](line) for address, line in sorted(model.lines.items())}
        else:
            named = _named_lines(host, keep, model.lines)
            chosen = {address: named.get(address, line.durable) for address, line in sorted(model.lines.items())}
        lost = [address for address, left in chosen.items() if left < len(model.lines[address].stores)]
        dirty = sorted({host.hw.locate(Spa(address))[0].id for address in lost if host.spec.persistence == "none"})
        names = [host.lifecycle.running(domain.domid).name for domain in host.xen.domains()]
        torn = [(area, _torn(offset, data, keep, chooser)) for area, offset, data in flying]
        counts = [sum(len(part) for _, part in parts) for _, parts in torn]
        found = Failure(len(chosen), lost, dirty, names, counts)
        if not dry_run:
            for address, data in list(model.contents(lambda address, line: chosen.get(address, len(line.stores)))):
                host.hw.write(Spa(address), data)
            for area, parts in torn:
                for offset, data in parts:
                    area.write(offset, data)
            model.clear()
            host.hw.sync()
            power.count_failure(host.root, dirty)
            power.switch(host.root, on=False)
    return found


def _named_lines(host: Host, text: str, lines: Mapping[int, Line]) -> dict[int, int]:
    """By host address of a line, how many of its stores are kept."""
    found = {}
    for word in text.split(","):
        place, _, count = word.partition(":")
        domain, at, address = place.rpartition("@")
        try:
            number = int(address, 0)
            kept = int(count) if count else None
        except ValueError:
            raise UsageError(
                f"--keep {word}: no line of memory",
                hint="random, all, none, or lines as ADDRESS[:N],..., such as 0x443df8000 or vm1@0x500001000:1",
            ) from None
        if at:
            parts = list(pieces(host.domain(domain), number, 1))
            if not parts:
                raise Constraint(f"domain {domain} has no persistent memory at {number:#x}")
            number = parts[0][0]
        start = number - number % LINE
        line = lines.get(start)
        least, most = (line.durable, len(line.stores)) if line else (0, 0)
        if line is None or not least <= (most if kept is None else kept) <= most:
            raise Constraint(
                f"{word}: the line at {start:#x} can keep {f'{least} to {most} stores' if line else 'nothing'}",
                hint="xlpy host power cut -n --keep none --json lists the lines that may lose something",
            )
        found[start] = most if kept is None else kept
    return found


def _label_write(host: Host, text: str) -> tuple[LabelReach, int, bytes]:
    """A label write in flight: its area, offset and bytes."""
    name, _, rest = text.rpartition("@")
    offset, _, digits = rest.partition("=")
    try:
        at, data = int(offset, 0), bytes.fromhex(digits)
    except ValueError:
        at, data = -1, b""
    if at < 0 or not data or not name:
        raise UsageError(
            f"--writing {text}: no label write", hint="AREA@OFFSET=HEX, such as dimm0@0x100=616263 or vm1/0@0=00"
        )
    domain, slash, slot = name.rpartition("/")
    if slash:
        running = host.domain(domain)
        vnvdimms = running.record.vnvdimms
        model = device_model(host.xen, host.xenstore, host.store, running.domid) if vnvdimms else None
        device = next((one for one in model.devices if str(one.slot) == slot), None) if model else None
        area = model.labels(device) if model and device else None
        if area is None:
            raise NotFound(f"domain {domain} has no vNVDIMM with labels in slot {slot}", hint="xlpy nvdimm-list")
        size, found = area.size, LabelReach(area.write)
    else:
        size = host.hw.dimm(name).label_size
        found = LabelReach(lambda offset, data: host.hw.labels_write(name, offset, data))
    if at + len(data) > size:
        raise Constraint(f"[{at:#x}, {at + len(data):#x}) leaves the label area of {name}, {size:#x} bytes")
    return found, at, data


def _torn(offset: int, data: bytes, keep: str, chooser: random.Random) -> list[tuple[int, bytes]]:
    """The parts of a label write that a failure in the middle of it leaves."""
    if keep == ALL:
        return [(offset, data)]
    if keep != RANDOM:
        return []
    parts = []
    for at, unit in pieces_of(offset, data):
        parts.append((at, unit[: chooser.randint(0, len(unit))]))
    return [(at, part) for at, part in parts if part]
