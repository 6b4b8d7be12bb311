"""From events to epochs: the events between two points at which something is forced to be durable.

Within an epoch lines may be written back in any order, so the states that a failure at its end may leave include those
of a failure anywhere in it. An epoch ends in front of a fence that forces something, in front of a CLFLUSH, while a
label write is in flight, at a mark, and at the end of the trace.
"""

from __future__ import annotations

from xlpy.errors import NotFound
from xlpy.hw.persistency import UNIT, Persistency
from xlpy.powercut.events import FENCES, FLUSHES, STORES
from xlpy.powercut.trace import label_line
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.hw.persistency import Line
    from xlpy.powercut.events import TraceEvent
    from xlpy.powercut.trace import Trace


class Epoch(NamedTuple):
    """One epoch, seen at its end, before what ends it takes effect.

    number: from 0. ended_by: kind of the event, or ``end``. mark: its number at a mark. stores, stored: how many, and
    bytes. flushed: lines written back. settled: by guest address, the lines that became durable, in part at least,
    since the epoch before. lines: all lines with stores that a failure here may lose; they live on, so they are to be
    looked at before the next epoch is asked for.
    """

    number: int
    ended_by: str
    mark: int | None
    stores: int
    stored: int
    flushed: int
    settled: dict[int, bytes]
    lines: dict[int, Line]

    @property
    def states(self) -> int:
        """How many contents a failure here may leave."""
        count = 1
        for line in self.lines.values():
            count *= line.choices
        return count


class Epochs:
    """Goes through a trace once.

    Args:
        trace: whose events.
        read: ``read(gpa, length)`` gives the memory before the run.
    """

    def __init__(self, trace: Trace, read: Callable[[int, int], bytes]) -> None:
        self._trace = trace
        self._before = read
        self._settled: dict[int, bytes] = {}  # lines whose durable content differs from the base's

    def __iter__(self) -> Iterator[Epoch]:
        header = self._trace.header
        model = Persistency(
            self._read, caches_survive=header.caches_survive, queue_survives=header.persistence != "none"
        )
        labels = Persistency(self._read)  # no cache is in front of them, so nothing of it helps a write in flight
        number = stores = stored = flushed = 0
        waiting: set[int] = set()  # vCPUs with a write-back that no fence has followed

        def epoch(ended_by: str, mark: int | None = None) -> Epoch:
            nonlocal number, stores, stored, flushed
            settled = self._settle(model) | self._settle(labels)
            lines = {**model.lines, **labels.lines} if labels.lines else model.lines
            made = Epoch(number, ended_by, mark, stores, stored, flushed, settled, lines)
            number, stores, stored, flushed = number + 1, 0, 0, 0
            return made

        for event in self._trace.events():
            if (kind := event.kind) == "store" or kind == "nontemporal":  # nearly all events
                stores += 1
                stored += len(event.data)
                if streaming := kind == "nontemporal":
                    waiting.add(event.vcpu)
                model.store_at_once(event.vcpu, event.address, event.data, nontemporal=streaming)
                continue
            if event.kind == "clflush" or event.kind == "mark":
                if stores or event.kind == "mark":
                    yield epoch(event.kind, event.number if event.kind == "mark" else None)
            elif (event.kind in FENCES or event.kind == "locked") and event.vcpu in waiting:
                yield epoch(event.kind)
            if event.kind in FENCES or event.kind == "locked":
                waiting.discard(event.vcpu)
            elif event.kind in ("clwb", "clflushopt"):
                waiting.add(event.vcpu)
            stores += event.kind == "locked"
            stored += len(event.data)
            flushed += event.kind in FLUSHES
            if event.kind == "dsm":
                _begin_label_write(labels, event)
                yield epoch("dsm")
                _end_label_write(labels, event)
            else:
                apply(model, event)
        yield epoch("end")

    def _settle(self, model: Persistency) -> dict[int, bytes]:
        """Take over what can no longer be lost."""
        found = model.settle()
        self._settled.update(found)
        return found

    def _read(self, address: int, length: int) -> bytes:
        return self._settled.get(address) or self._before(address, length)


def count_epochs(trace: Trace) -> int:
    """How many epochs a trace has; at least one."""
    return sum(1 for _ in Epochs(trace, trace.before))


def sampled(trace: Trace, count: int, seed: int) -> frozenset[int]:
    """The numbers of ``count`` epochs, or of all when there are fewer: the same for the same seed."""
    import random

    total = count_epochs(trace)
    return frozenset(random.Random(seed).sample(range(total), min(count, total)))


def before_mark(trace: Trace, number: int) -> frozenset[int]:
    """The numbers of the epochs between a mark and the mark before it, or the start of the trace.

    Args:
        trace: whose epochs.
        number: of the mark; when the guest set it several times, all of them count.

    Raises:
        NotFound: the trace has no such mark.
    """
    found: set[int] = set()
    since: list[int] = []
    for epoch in Epochs(trace, trace.before):
        since.append(epoch.number)
        if epoch.ended_by == "mark":
            if epoch.mark == number:
                found.update(since)
            since.clear()
    if not found:
        raise NotFound(f"the trace has no mark {number}", hint="xlpy trace show lists them")
    return frozenset(found)


def apply(model: Persistency, event: TraceEvent) -> None:
    """Let one event take effect at once: the trace has stores in the order in which they reached the cache."""
    thread = event.vcpu
    if event.kind == "locked":
        model.locked(thread, event.address, event.data)
    elif event.kind in STORES:
        model.store_at_once(thread, event.address, event.data, nontemporal=event.kind == "nontemporal")
        return
    elif event.kind == "clflush":
        model.clflush(thread, event.address)
    elif event.kind in FLUSHES:
        model.clwb(thread, event.address)
    elif event.kind in FENCES:
        model.mfence(thread)
    model.drain(thread)


def _begin_label_write(model: Persistency, event: TraceEvent) -> None:
    """A label write is in flight: cut short it may leave any units of 8 bytes, and of each some of the first bytes."""
    for at, byte in enumerate(event.data, event.address):
        model.store(event.vcpu, label_line(event.number, at) + at % UNIT, bytes((byte,)))
    model.drain(event.vcpu)


def _end_label_write(model: Persistency, event: TraceEvent) -> None:
    """It is answered: it lasts."""
    for at in range(event.address - event.address % UNIT, event.address + len(event.data), UNIT):
        model.clflush(event.vcpu, label_line(event.number, at))
    model.drain(event.vcpu)
