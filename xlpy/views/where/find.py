"""The four queries: by guest address, host address, DIMM address, or file offset. All return an ``Answer``."""

from __future__ import annotations

from xlpy.addr import PAGE_SHIFT, Dpa, Gpa, Spa
from xlpy.errors import Constraint, NotFound, Unsafe
from xlpy.typing import TYPE_CHECKING
from xlpy.views.where import guest_side, silicon, storage
from xlpy.views.where.answer import Addresses, Answer, Part, Touch, host_place, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.host import Host
    from xlpy.toolstack.domain.running import Running

MOST_PIECES = 100_000  # of one range: more extents than a file may reasonably have


def by_gpa(host: Host, domain: str | int, gpa: int) -> Answer:
    """Where the byte lives that a domain sees at a guest-physical address.

    Raises:
        NotFound: no such domain, or nothing is there.
    """
    running = _looked_at(host, domain)
    part = guest_side.from_guest(host, running, Gpa(gpa))
    if part.fields.get("spa") is None or part.fields.get("media"):
        return _whole(host, part)
    return _whole(host, _joined(part, _host_half(host, part.fields["spa"], _paths(running))))


def by_spa(host: Host, spa: int) -> Answer:
    """What a host physical address holds. Constraint: there is no memory."""
    found = guest_side.owner(host, Spa(spa))
    if found is not None and host.xen.find(found[0]) is not None:
        domid, gpa = found
        return by_gpa(host, str(domid), gpa)
    return _whole(host, _host_half(host, Spa(spa), ()))


def by_dpa(host: Host, dimm: str, dpa: int) -> Answer:
    """What a DIMM's cell holds. NotFound: no such DIMM. Constraint: beyond its end, or it is in no set."""
    return by_spa(host, host.hw.spa_of(dimm, Dpa(dpa)))


def by_file(host: Host, path: str, offset: int) -> Answer:
    """Where a byte of a file or block device of the emulated Dom0 lives; errors as ``storage.spa_of_file``."""
    return by_spa(host, storage.spa_of_file(host, path, offset))


def pieces(
    ask: Callable[[int], Answer], start: int, length: int, following: Callable[[int], int | None] | None = None
) -> Iterator[tuple[int, Answer]]:
    """(bytes, answer) of each stretch of a range that lies together.

    Args:
        ask: gives the answer for one address. start, length: of the range.
        following: gives the next address with something, for one with nothing: such a stretch inside of the range has
            an answer without addresses then. Without it, as at the start, it is an error.

    Raises:
        Constraint: there are more than ``MOST_PIECES``. What ``ask`` raises.
    """
    at, end = start, start + length
    for _ in range(MOST_PIECES):
        try:
            answer = ask(at)
        except (Constraint, NotFound, Unsafe):
            if at == start or following is None:
                raise
            answer = Answer(Addresses(), [], Touch(), (following(at) or end) - at)
        size = min(max(answer.run, 1), end - at)
        yield size, answer
        at += size
        if at >= end:
            return
    raise Constraint(f"the range lies in more than {MOST_PIECES} pieces", hint="ask for a shorter one: --length")


def after_gpa(host: Host, domain: str | int, gpa: int) -> int | None:
    """The next guest-physical address at which a domain has something."""
    from xlpy.views.where.guest_memory import REGISTERS

    starts = [row.start for row in _looked_at(host, domain).map(extents=False)]
    return min((start for start in [*starts, *(start for _, start, _ in REGISTERS)] if start > gpa), default=None)


def after_spa(host: Host, spa: int) -> int | None:
    """The next host-physical address at which there is something."""
    from xlpy.hw.memmap import DEVICES, FLUSH_HINTS, ram_spans

    spans = [*ram_spans(host.spec), *(region.span for region in host.hw.regions)]
    starts = [FLUSH_HINTS, DEVICES, *(span.start for span in spans)]
    return min((start for start in starts if start > spa), default=None)


def after_offset(host: Host, path: str, offset: int) -> int | None:
    """The next offset of a file of Dom0 at which something is stored."""
    return storage.next_stored(host, path, offset)


def _looked_at(host: Host, domain: str | int) -> Running:
    """A domain without its device model, which an onlooker does not need."""
    from xlpy.toolstack.domain.record import load
    from xlpy.toolstack.domain.running import Running

    domid = host.domid(domain)
    if domid == 0:
        raise NotFound("domain 0 has no guest-physical addresses here", hint="ask by host address: xlpy whereis spa")
    return Running(host.xen.domain(domid), load(host.store, domid), host.hw)


def _paths(running: Running) -> list[str]:
    return [device.path for device in running.record.vnvdimms]


def _host_half(host: Host, spa: Spa, likely: list[str] | tuple[()]) -> Part:
    """Everything from the host address downwards, and Dom0's view of it."""
    part = silicon.below(host, spa)
    if "region" not in part.fields:
        return part
    hops, dom0 = guest_side.frame(host, spa)
    part = _joined(Part({}, hops, {"dom0": dom0}, part.run), part)
    part = _joined(storage.above(host, spa, likely), part)
    path = part.fields.get("path")
    held = host.dom0.holder(path) if path else None
    part.touch["pins"] = (held,) if held else ()
    return part


def _joined(upper: Part, lower: Part) -> Part:
    run = min(upper.run, lower.run)
    return Part({**lower.fields, **upper.fields}, upper.hops + lower.hops, {**lower.touch, **upper.touch}, run)


def _whole(host: Host, part: Part) -> Answer:
    spa = part.fields.get("spa")
    fields = {**part.fields, "mfn": None if spa is None else spa >> PAGE_SHIFT}
    hops = [hop if hop.place is None else hop._replace(place=host_place(host, hop.place)) for hop in part.hops]
    return Answer(Addresses(**fields), in_order(hops), Touch(**part.touch), part.run)
