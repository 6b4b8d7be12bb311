"""What is wrong or wasted in a trace, found without building any state: pmemcheck's classes, for a whole guest.

Source of the classes: pmemcheck of the Valgrind of pmem/valgrind, its documentation in the PMDK manual.
"""

from __future__ import annotations

from xlpy.addr import LINE
from xlpy.hw.persistency import pieces
from xlpy.powercut.events import FENCES, FLUSHES, STORES
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.powercut.events import TraceEvent

CLASSES = {
    "not-durable": "stored and never made durable before the guest said that it was done",
    "overwritten": "overwritten before it was durable",
    "flushed-twice": "written back twice with no store in between",
    "flushed-clean": "written back although nothing was stored in it",
    "idle-fence": "a fence with nothing to order",
}
ERRORS = ("not-durable",)  # the others cost time or hint at a mistake
WITHOUT_EADR = ("not-durable", "overwritten")


class TraceFinding(NamedTuple):
    """One line of memory and what is wrong with it. code: of ``CLASSES``. times: how often. event: where first."""

    code: str
    address: int
    times: int
    event: int


class _Line:
    """A line since it was last durable: bytes that are dirty, and how far a write-back has come."""

    __slots__ = ("dirty", "first", "flushed")

    def __init__(self) -> None:
        self.dirty = 0  # one bit a byte
        self.first = 0  # event of the first store
        self.flushed: int | None = None  # vCPU that wrote it back since the last store


def findings(events: Iterable[TraceEvent], *, caches_survive: bool = False) -> list[TraceFinding]:
    """Everything that there is to say about a trace; "done" is each mark, and its end.

    Args:
        caches_survive: with eADR what is stored is durable.
    """
    found: dict[tuple[str, int], list[int]] = {}
    for code, address, event in _search(events):
        if caches_survive and code in WITHOUT_EADR:
            continue
        entry = found.setdefault((code, address), [0, event])
        entry[0] += 1
    order = list(CLASSES)
    rows = [TraceFinding(code, address, count, first) for (code, address), (count, first) in found.items()]
    return sorted(rows, key=lambda one: (order.index(one.code), one.address))


def _search(events: Iterable[TraceEvent]) -> Iterator[tuple[str, int, int]]:
    lines: dict[int, _Line] = {}
    since_fence: dict[int, bool] = {}
    waiting: dict[int, set[int]] = {}  # by vCPU, the lines that it has written back since its last fence
    number = -1
    for number, event in enumerate(events):
        if event.kind in STORES:
            for address, data in pieces(event.address, event.data):
                base = address - address % LINE
                line = lines.setdefault(base, _Line())
                bits = ((1 << len(data)) - 1) << address % LINE
                if line.dirty & bits:
                    yield "overwritten", base, number
                if not line.dirty:
                    line.first = number
                line.dirty |= bits
                line.flushed = event.vcpu if event.kind == "nontemporal" else None
                if event.kind == "nontemporal":
                    waiting.setdefault(event.vcpu, set()).add(base)
            since_fence[event.vcpu] = True
        elif event.kind in FLUSHES:
            known = lines.get(event.address)
            if known is None:
                yield "flushed-clean", event.address, number
            elif known.flushed is not None:
                yield "flushed-twice", event.address, number
            if known is not None:
                known.flushed = event.vcpu
                waiting.setdefault(event.vcpu, set()).add(event.address)
                if event.kind == "clflush":
                    del lines[event.address]
            since_fence[event.vcpu] = True
        if event.kind in FENCES and not since_fence.get(event.vcpu):
            yield "idle-fence", 0, number
        if event.kind in FENCES or event.kind == "locked":
            since_fence[event.vcpu] = False
            for base in waiting.pop(event.vcpu, ()):
                if base in lines and lines[base].flushed == event.vcpu:
                    del lines[base]
        if event.kind == "mark":
            yield from (("not-durable", base, line.first) for base, line in lines.items())
    yield from (("not-durable", base, line.first) for base, line in lines.items())
