"""Which stores to persistent memory survive a power failure: the Px86 model, by cache lines.

Each hardware thread has a store buffer. What leaves it reaches the cache in an order that the instructions allow (TSO,
with CLFLUSHOPT and CLWB free to move past stores to other lines); from there a line may be written back at any time.
So a failure leaves of each line the result of a prefix of its stores, each line for itself: at least those that a
flush and a fence have forced, at most those that have reached the cache.

Sources: Raad, Wickerson, Neiger, Vafeiadis, "Persistency semantics of the Intel-x86 architecture", POPL 2020 (the order
in which a buffer drains is its table of preserved pairs); Intel SDM volume 2, CLFLUSH, CLFLUSHOPT, CLWB, SFENCE.
"""

from __future__ import annotations

from xlpy.addr import LINE
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

UNIT = 8  # bytes: an aligned store of so many is never torn

STORE, CLFLUSH, CLWB, SFENCE = "store", "clflush", "clwb", "sfence"  # CLFLUSHOPT is ordered as CLWB is


class CpuStore(NamedTuple):
    """Bytes put at ``offset`` of a line. order: position among all stores, from 0; atomic: by a locked instruction."""

    offset: int
    data: bytes
    order: int
    atomic: bool = False


class Line:
    """One cache line that has stores which may be lost.

    Attributes:
        base: its bytes on the media before the first of ``stores``.
        stores: in coherence order.
        durable: how many of them are forced: a failure leaves at least these.
    """

    __slots__ = ("base", "durable", "stores")

    def __init__(self, base: bytes) -> None:
        self.base = base
        self.stores: list[CpuStore] = []
        self.durable = 0

    @property
    def choices(self) -> int:
        """How many contents a failure may leave: one for each prefix from ``durable`` on."""
        return len(self.stores) - self.durable + 1

    def content(self, prefix: int) -> bytes:
        """The line after the first ``prefix`` stores."""
        made = bytearray(self.base)
        for store in self.stores[:prefix]:
            made[store.offset : store.offset + len(store.data)] = store.data
        return bytes(made)

    def settle(self) -> bool:
        """Fold the forced stores into the base; whether nothing is left that may be lost."""
        self.base = self.content(self.durable)
        del self.stores[: self.durable]
        self.durable = 0
        return not self.stores


class _Pending(NamedTuple):
    """An operation in a store buffer. line: address of its cache line, 0 for a fence."""

    kind: str
    line: int
    offset: int = 0
    data: bytes = b""
    nontemporal: bool = False
    atomic: bool = False


class Persistency:
    """The caches in front of persistent memory.

    Args:
        read: ``read(address, length)`` gives what the memory holds before a store that is about to be told of.
        caches_survive: whether the platform writes its caches back when power fails (eADR).
        queue_survives: whether it writes the memory controllers' queues back (ADR); where it does not, what was
            flushed and fenced waits until the queue is drained.
    """

    def __init__(
        self, read: Callable[[int, int], bytes], *, caches_survive: bool = False, queue_survives: bool = True
    ) -> None:
        self._read = read
        self._survive = caches_survive
        self._queue_survives = queue_survives
        self._queued: dict[int, int] = {}  # line -> stores that the memory controller's queue holds
        self.lines: dict[int, Line] = {}
        self._buffers: dict[int, list[_Pending]] = {}
        self._flushing: dict[int, dict[int, int]] = {}  # thread -> line -> stores that its write-back covers
        self._forced: set[int] = set()  # lines that have become durable, at least in part, since they were settled
        self._count = 0

    # -- instructions: they enter the buffer of their thread -------------------------------------------------------

    def store(self, thread: int, address: int, data: bytes, *, nontemporal: bool = False, atomic: bool = False) -> None:
        """A store, cut where lines and units of 8 bytes end; what lies in one unit is not torn."""
        for at, part in pieces(address, data):
            line = at - at % LINE
            self._enter(thread, _Pending(STORE, line, at - line, part, nontemporal, atomic))

    def store_at_once(self, thread: int, address: int, data: bytes, *, nontemporal: bool = False) -> None:
        """A store by a thread whose buffer is empty, which reaches the cache at once."""
        whole = address % UNIT + len(data) <= UNIT
        for at, part in ((address, data),) if whole else pieces(address, data):
            self._reach_cache(thread, at - at % LINE, CpuStore(at % LINE, part, self._count), nontemporal=nontemporal)

    def clwb(self, thread: int, address: int) -> None:
        """CLWB or CLFLUSHOPT of the line of an address."""
        self._enter(thread, _Pending(CLWB, address - address % LINE))

    def clflush(self, thread: int, address: int) -> None:
        """CLFLUSH of the line of an address."""
        self._enter(thread, _Pending(CLFLUSH, address - address % LINE))

    def sfence(self, thread: int) -> None:
        """SFENCE. It waits in the buffer as a store does."""
        self._enter(thread, _Pending(SFENCE, 0))

    def mfence(self, thread: int) -> None:
        """MFENCE: an SFENCE after which the buffer is empty."""
        self.sfence(thread)
        self.drain(thread)

    def locked(self, thread: int, address: int, data: bytes) -> None:
        """A locked read-modify-write: a fence, and then its store, which does not wait in the buffer."""
        self.mfence(thread)
        self.store(thread, address, data, atomic=True)
        self.drain(thread)

    def _enter(self, thread: int, operation: _Pending) -> None:
        self._buffers.setdefault(thread, []).append(operation)

    # -- the buffer empties -----------------------------------------------------------------------------------------

    def drain(self, thread: int) -> None:
        """Let everything in a thread's buffer take effect, in program order."""
        for operation in self._buffers.pop(thread, ()):
            self._take_effect(thread, operation)

    def ready(self, thread: int) -> list[int]:
        """Positions in a thread's buffer whose operation may take effect next."""
        buffer = self._buffers.get(thread, [])
        return [at for at, later in enumerate(buffer) if not any(_ordered(earlier, later) for earlier in buffer[:at])]

    def step(self, thread: int, at: int) -> None:
        """Let one operation of ``ready`` take effect."""
        self._take_effect(thread, self._buffers[thread].pop(at))

    def _take_effect(self, thread: int, one: _Pending) -> None:
        if one.kind == STORE:
            store = CpuStore(one.offset, one.data, self._count, one.atomic)
            self._reach_cache(thread, one.line, store, nontemporal=one.nontemporal)
        elif one.kind == CLFLUSH:
            if (line := self.lines.get(one.line)) is not None:
                self._force(one.line, len(line.stores))
        elif one.kind == CLWB:
            if (line := self.lines.get(one.line)) is not None:
                self._flushing.setdefault(thread, {})[one.line] = len(line.stores)
        else:
            for address, covered in self._flushing.pop(thread, {}).items():
                self._force(address, covered)

    def _reach_cache(self, thread: int, address: int, store: CpuStore, *, nontemporal: bool) -> None:
        line = self.lines.get(address)
        if line is None:
            line = self.lines[address] = Line(self._read(address, LINE))
        line.stores.append(store)
        self._count += 1
        if self._survive:
            self._force(address, len(line.stores))
        elif nontemporal:
            if thread not in self._flushing:
                self._flushing[thread] = {}
            self._flushing[thread][address] = len(line.stores)

    def drain_queue(self) -> None:
        """The memory controllers write their queues to the media (a flush hint address was written)."""
        queued, self._queued = self._queued, {}
        for address, covered in queued.items():
            self._force(address, covered, drained=True)

    def _force(self, address: int, covered: int, *, drained: bool = False) -> None:
        line = self.lines[address]
        if not (drained or self._queue_survives or self._survive):
            self._queued[address] = max(covered, self._queued.get(address, 0))
            return
        line.durable = max(line.durable, covered)
        self._forced.add(address)

    # -- between commands -------------------------------------------------------------------------------------------

    def waiting(self) -> tuple[dict[str, int], dict[str, int]]:
        """By line, as JSON: write-backs of thread 0 that wait for its fence, and what waits in queues."""
        flushing = self._flushing.get(0, {})
        return {f"{line:x}": n for line, n in flushing.items()}, {f"{line:x}": n for line, n in self._queued.items()}

    def restore(self, waiting: Mapping[str, int], queued: Mapping[str, int]) -> None:
        """Take up what ``waiting`` gave; the lines are there already."""
        self._flushing[0] = {int(line, 16): n for line, n in waiting.items()}
        self._queued = {int(line, 16): n for line, n in queued.items()}
        self._count = sum(len(line.stores) for line in self.lines.values())

    # -- power fails ------------------------------------------------------------------------------------------------

    def settle(self) -> dict[int, bytes]:
        """Forget what can no longer be lost.

        Returns:
            by address, the durable content of each line that has become durable, in part at least, since the last
            call. A line with a write-back that waits for its fence keeps its stores.
        """
        waiting = {line for lines in self._flushing.values() for line in lines} | self._queued.keys()
        found = {}
        for address in sorted(self._forced):
            line = self.lines[address]
            if address in waiting:
                found[address] = line.content(line.durable)
                continue
            if line.settle():
                del self.lines[address]
            found[address] = line.base
        self._forced &= waiting
        return found

    def open_lines(self) -> dict[int, Line]:
        """The lines of which a failure may leave more than one content."""
        return {address: line for address, line in sorted(self.lines.items()) if line.choices > 1}

    def states(self) -> int:
        """How many contents a failure now may leave, over all lines."""
        count = 1
        for line in self.lines.values():
            count *= line.choices
        return count

    def image(self, prefixes: Mapping[int, int]) -> Iterator[tuple[int, bytes]]:
        """(address, 64 bytes) of every line after a failure.

        Args:
            prefixes: by line, how many stores are left; lines that are not in it keep the forced ones only.
        """
        for address, line in self.lines.items():
            yield address, line.content(prefixes.get(address, line.durable))


def pieces(address: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """(address, bytes) of the parts of a store that are atomic each: up to 8 bytes that do not cross 8."""
    at = 0
    while at < len(data):
        size = min(UNIT - (address + at) % UNIT, len(data) - at)
        yield address + at, data[at : at + size]
        at += size


def _ordered(earlier: _Pending, later: _Pending) -> bool:
    """Whether two operations of one thread take effect in program order."""
    if SFENCE in (earlier.kind, later.kind):
        return True
    if CLWB not in (earlier.kind, later.kind):
        return True  # stores and CLFLUSH among each other
    if earlier.kind == CLWB and later.kind != CLFLUSH:
        return False  # CLWB with a later store or CLWB
    return earlier.line == later.line
