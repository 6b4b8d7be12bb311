"""Accesses outside memory: ioreq servers, and which server gets which access.

A device model registers ranges; an access goes to the first enabled server, from the highest id down, one of whose
ranges holds the whole access. When there is none, reads give all ones and writes are dropped. One device is inside Xen
itself, the HPET (IA-PC HPET specification, 2.3).
"""

from __future__ import annotations

from xlpy import abi
from xlpy.abi import in_range, refuse
from xlpy.addr import PAGE
from xlpy.firmware.layout import HPET
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KINDS = {abi.XEN_DMOP_IO_RANGE_PORT: "port", abi.XEN_DMOP_IO_RANGE_MEMORY: "memory", abi.XEN_DMOP_IO_RANGE_PCI: "pci"}

HPET_SIZE = 0x400
_HPET_PERIOD = 16_000_000  # femtoseconds per tick: 62.5 MHz
_HPET_CAPABILITIES = 0x8086A201 | _HPET_PERIOD << 32  # Intel, 64-bit counter, legacy routing, 3 timers, revision 1
_HPET_FIXED = 8  # bytes of registers that cannot be written


class IoRequest(NamedTuple):
    """One request to an emulator (Xen ``hvm/ioreq.h``).

    address: guest physical address, or port number. size: 1, 2, 4 or 8 bytes. value: what is written, little-endian.
    reps: units that a string instruction reads, one behind the other; all of them are the answer, little-endian.
    """

    address: int
    size: int
    write: bool
    value: int = 0
    kind: int = abi.XEN_DMOP_IO_RANGE_MEMORY
    reps: int = 1

    @property
    def length(self) -> int:
        """Bytes of all units."""
        return self.size * self.reps


Handler = "Callable[[IoRequest], int]"  # the answer of a read; that of a write is ignored


class IoreqServer:
    """One registered device model of a domain.

    Attributes:
        id: 0 to 7.
        emulator: domid of the device model.
        enabled: whether it gets requests.
        ranges: for each kind, inclusive ``(start, end)`` pairs.
    """

    __slots__ = ("emulator", "enabled", "id", "ranges")

    def __init__(self, number: int, emulator: int) -> None:
        self.id = number
        self.emulator = emulator
        self.enabled = False
        self.ranges: dict[int, list[tuple[int, int]]] = {kind: [] for kind in KINDS}

    def holds(self, kind: int, first: int, last: int) -> bool:
        """Whether one range contains every address from ``first`` to ``last``."""
        return any(start <= first and last <= end for start, end in self.ranges[kind])

    def map_range(self, kind: int, start: int, end: int) -> None:
        """Add an inclusive range: EINVAL, EEXIST (overlap within this server), ENOSPC."""
        known = self._known(kind, start, end)
        for a, b in known:
            if start <= b and a <= end:
                refuse(
                    abi.EEXIST,
                    f"{KINDS[kind]} range [{start:#x}, {end:#x}] overlaps [{a:#x}, {b:#x}] of ioreq server {self.id}",
                )
        if len(known) >= abi.MAX_IO_RANGES:
            refuse(abi.ENOSPC, f"ioreq server {self.id} has {len(known)} {KINDS[kind]} ranges, no more are possible")
        known.append((start, end))

    def unmap_range(self, kind: int, start: int, end: int) -> None:
        """Remove a range that was added with these ends: EINVAL, ENOENT."""
        known = self._known(kind, start, end)
        if (start, end) not in known:
            refuse(abi.ENOENT, f"ioreq server {self.id} has no {KINDS[kind]} range [{start:#x}, {end:#x}]")
        known.remove((start, end))

    def _known(self, kind: int, start: int, end: int) -> list[tuple[int, int]]:
        if kind not in self.ranges:
            refuse(abi.EINVAL, f"range type {kind}, required 0 (port), 1 (memory) or 2 (PCI)")
        in_range(start, 1 << 64, "start of the range")
        in_range(end, 1 << 64, "end of the range")
        if start > end:
            refuse(abi.EINVAL, f"the range starts at {start:#x}, after its end {end:#x}")
        return self.ranges[kind]

    def to_json(self) -> dict[str, Any]:
        """The state, for ``from_json``."""
        return {
            "emulator": self.emulator,
            "enabled": self.enabled,
            "ranges": [[kind, *pair] for kind, pairs in self.ranges.items() for pair in pairs],
        }

    @classmethod
    def from_json(cls, number: int, data: dict[str, Any]) -> IoreqServer:
        """The server that ``to_json`` described."""
        made = cls(number, data["emulator"])
        made.enabled = data["enabled"]
        for kind, start, end in data["ranges"]:
            made.ranges[kind].append((start, end))
        return made


class Ioreq:
    """A domain's ioreq servers, and the emulators that this process connected to them.

    Args:
        domid: whose they are.
        blocked: called with the reason why a vCPU waits.
        saved: what ``to_json`` gave.
    """

    def __init__(self, domid: int, blocked: Callable[[str], None], saved: dict[str, Any]) -> None:
        self._domid = domid
        self._blocked = blocked
        self.servers = {int(key): IoreqServer.from_json(int(key), row) for key, row in saved.items()}
        self._handlers: dict[int, Callable[[IoRequest], int]] = {}
        self.inside: list[tuple[int, int, Callable[[IoRequest], int]]] = []  # devices that Xen emulates: [start, end)

    def to_json(self) -> dict[str, Any]:
        """The servers; who is connected does not outlive the process."""
        return {str(number): server.to_json() for number, server in self.servers.items()}

    def connect(self, number: int, handler: Callable[[IoRequest], int]) -> None:
        """Let ``handler`` answer for a server, in this process."""
        self.server(number)
        self._handlers[number] = handler

    def create(self, emulator: int) -> int:
        """Register a device model: its lowest free id; ENOSPC when there are eight."""
        free = [number for number in range(abi.MAX_IOREQ_SERVERS) if number not in self.servers]
        if not free:
            refuse(abi.ENOSPC, f"d{self._domid} has {abi.MAX_IOREQ_SERVERS} ioreq servers, no more are possible")
        self.servers[free[0]] = IoreqServer(free[0], emulator)
        return free[0]

    def destroy(self, number: int) -> None:
        """Forget a server."""
        del self.servers[self.server(number).id]
        self._handlers.pop(number, None)

    def server(self, number: int, emulator: int | None = None) -> IoreqServer:
        """A server by id: ENOENT when there is none, EPERM when it belongs to another ``emulator``."""
        if number not in self.servers:
            refuse(abi.ENOENT, f"d{self._domid} has no ioreq server {number}")
        found = self.servers[number]
        if emulator is not None and found.emulator != emulator:
            refuse(abi.EPERM, f"ioreq server {number} of d{self._domid} belongs to d{found.emulator}")
        return found

    def access(self, request: IoRequest) -> int:
        """Dispatch one access; all ones when nothing responds."""
        last = request.address + request.length - 1
        ones = (1 << 8 * request.length) - 1
        if request.kind == abi.XEN_DMOP_IO_RANGE_MEMORY:
            for start, end, handler in self.inside:
                if start <= request.address and last < end:
                    return handler(request) & ones
        for number in sorted(self.servers, reverse=True):
            server = self.servers[number]
            if server.enabled and server.holds(request.kind, request.address, last):
                if number in self._handlers:
                    return self._handlers[number](request) & ones
                self._blocked(f"waits for ioreq server {number} at {request.address:#x}, no emulator is connected")
                break
        return ones

    def read(self, address: int, length: int) -> bytes:
        """Bytes from MMIO space: one access where the length is 1, 2, 4 or 8, several aligned ones otherwise."""
        if _single(address, length):
            return self.access(IoRequest(address, length, write=False)).to_bytes(length, "little")
        answer = bytearray()
        for start, size, claimed in self._split(address, length):
            if claimed:
                answer += self.access(IoRequest(start, size, write=False)).to_bytes(size, "little")
            else:
                answer += b"\xff" * size
        return bytes(answer)

    def read_run(self, address: int, size: int, count: int) -> bytes:
        """Units of ``size`` bytes from MMIO space: one request where a device has all of them, else one for each."""
        kind, last = abi.XEN_DMOP_IO_RANGE_MEMORY, address + size * count - 1
        one = any(server.holds(kind, address, last) for server in self.servers.values())
        requests = [(address, count)] if one else [(address + at * size, 1) for at in range(count)]
        answers = [self.access(IoRequest(start, size, False, reps=units)) for start, units in requests]
        return b"".join([answer.to_bytes(size * requests[0][1], "little") for answer in answers])

    def write(self, address: int, data: bytes | memoryview) -> None:
        """Bytes to MMIO space, cut as in ``read``."""
        if _single(address, len(data)):
            self.access(IoRequest(address, len(data), write=True, value=int.from_bytes(data, "little")))
            return
        for start, size, claimed in self._split(address, len(data)):
            if claimed:
                value = int.from_bytes(data[start - address : start - address + size], "little")
                self.access(IoRequest(start, size, write=True, value=value))

    def _split(self, address: int, length: int) -> Iterator[tuple[int, int, bool]]:
        """(address, size, whether a device might answer) of what ``length`` bytes at ``address`` become."""
        end = address + length
        while address < end:
            near = self._next_range(address, end)
            if near is None:
                yield address, end - address, False
                return
            if near > address:
                yield address, near - address, False
                address = near
                continue
            size = 8
            while address % size or address + size > end:
                size //= 2
            yield address, size, True
            address += size

    def _next_range(self, address: int, end: int) -> int | None:
        """The first address from ``address`` on, below ``end``, that lies in a registered range."""
        ranges = [(start, last - 1) for start, last, _ in self.inside]
        for server in self.servers.values():
            ranges += server.ranges[abi.XEN_DMOP_IO_RANGE_MEMORY]
        found = [max(start, address) for start, last in ranges if last >= address and start < end]
        return min(found, default=None)


def attach_hpet(ioreq: Ioreq, params: dict[int, int]) -> None:
    """Let the HPET answer for its range while HVM_PARAM_HPET_ENABLED is set: enough for firmware to see one.

    Registers keep what is written; the counter stands still.
    """
    registers = bytearray(HPET_SIZE)
    registers[:_HPET_FIXED] = _HPET_CAPABILITIES.to_bytes(8, "little")

    def access(request: IoRequest) -> int:
        if not params.get(abi.HVM_PARAM_HPET_ENABLED):
            return -1
        at = request.address - HPET
        there = slice(at, at + request.size)
        if not request.write:
            return int.from_bytes(registers[there], "little")
        if at >= _HPET_FIXED:
            registers[there] = request.value.to_bytes(request.size, "little")
        return 0

    ioreq.inside.append((HPET, HPET + HPET_SIZE, access))


def _single(address: int, length: int) -> bool:
    """Whether this is one access of a processor."""
    return length in (1, 2, 4, 8) and address // PAGE == (address + length - 1) // PAGE
