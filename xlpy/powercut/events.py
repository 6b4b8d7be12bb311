"""Events of a trace, and their encoding (docs/powercut.md): a byte for the kind, then its fields."""

from __future__ import annotations

from xlpy.addr import LINE
from xlpy.errors import FormatError
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KINDS = (
    *("store", "nontemporal", "locked", "clwb", "clflushopt", "clflush"),
    *("sfence", "mfence", "mark", "vcpu", "dsm"),
)
STORES, FLUSHES, FENCES = KINDS[:3], KINDS[3:6], KINDS[6:8]
MOST = 16  # bytes of one store
MOST_LABEL = 4096  # bytes of one label write; a page holds its request
TOP = 1 << 52  # above all addresses of guests
_STORES = frozenset(kind | power << 4 for kind in range(len(STORES)) for power in range(MOST.bit_length()))
NUMBER = 10  # bytes of the longest number: 64 bits


class TraceEvent(NamedTuple):
    """One event. address: guest-physical, of a store or of a flushed line; of a label write, the offset in its area.

    number: what a mark, a vCPU or a label write has, see docs/powercut.md.
    """

    kind: str
    vcpu: int
    address: int = 0
    data: bytes = b""
    number: int = 0


def encode(events: Iterable[TraceEvent]) -> bytes:
    """The bytes of events; what the plugin writes."""
    out = bytearray()
    at = vcpu = 0
    for event in events:
        if event.vcpu != vcpu:
            vcpu = event.vcpu
            out.append(KINDS.index("vcpu"))
            out += _number(vcpu)
        kind = KINDS.index(event.kind)
        if event.kind in STORES:
            size = len(event.data)
            if size.bit_count() != 1 or size > MOST:
                raise ValueError(f"a store of {size} bytes: 1, 2, 4, 8 or 16 are possible")
            out.append(kind | size.bit_length() - 1 << 4)
            out += _number(_zigzag(event.address - at)) + event.data
            at = event.address + size
        elif event.kind in FLUSHES:
            line = event.address // LINE
            out.append(kind)
            out += _number(_zigzag(line - at // LINE))
            at = line * LINE
        elif event.kind == "dsm":
            out.append(kind)
            out += _number(event.number) + _number(event.address) + _number(len(event.data)) + event.data
        else:
            out.append(kind)
            if event.kind not in FENCES:
                out += _number(event.number)
    return bytes(out)


def decode(chunks: Iterable[bytes]) -> Iterator[TraceEvent]:
    """The events in a stream of bytes.

    Raises:
        FormatError: an unknown kind, an address out of range, or an end in the middle of an event.
    """
    buffer, position, done, at, vcpu = b"", 0, 0, 0, 0
    for chunk in chunks:
        buffer, position, done = buffer[position:] + chunk, 0, done + position
        last = len(buffer) - 4 * NUMBER - MOST_LABEL  # so much holds any event
        while position < last:
            kind, near = buffer[position], buffer[position + 1]
            if kind in _STORES and not near & 0x81 and at < TOP - LINE:
                # as most: a store a little behind the one before
                first = position + 2
                position, at = first + (size := 1 << (kind >> 4)), at + (near >> 1) + size
                yield TraceEvent(KINDS[kind & 15], vcpu, at - size, buffer[first:position])
                continue
            event, position, at = _event(buffer, position, at, vcpu, done)
            if event.kind == "vcpu":
                vcpu = event.number
            else:
                yield event
    while position < len(buffer):
        event, position, at = _event(buffer, position, at, vcpu, done)
        if event.kind == "vcpu":
            vcpu = event.number
        else:
            yield event


def _event(buffer: bytes, position: int, at: int, vcpu: int, done: int) -> tuple[TraceEvent, int, int]:
    """(event, position behind it, place)."""
    start, byte = position, buffer[position]
    position += 1
    if (number := byte & 15) >= len(KINDS) or (byte >> 4 and number > 2) or byte >> 4 > 4:
        raise FormatError(f"the trace has no event of kind {byte:#x}", offset=done + start)
    kind, data, value = KINDS[number], b"", 0
    if kind not in FENCES:
        value, position = _read_number(buffer, position, done)
    if kind in STORES:
        size = 1 << (byte >> 4)
        address = at + _unzigzag(value)
        data = buffer[position : position + size]
        position += size
        at = address + size
        if len(data) < size:
            raise FormatError("the trace ends in the middle of a store", offset=done + start)
    elif kind in FLUSHES:
        address = at = (at // LINE + _unzigzag(value)) * LINE
    elif kind == "dsm":
        address, position = _read_number(buffer, position, done)
        size, position = _read_number(buffer, position, done)
        if size > MOST_LABEL:
            raise FormatError(f"a label write of {size} bytes, {MOST_LABEL} are possible", offset=done + start)
        data = buffer[position : position + size]
        if len(data) < size:
            raise FormatError("the trace ends in the middle of a label write", offset=done + start)
        return TraceEvent(kind, vcpu, address, data, value), position + size, at
    else:
        return TraceEvent(kind, vcpu, number=value), position, at
    if not 0 <= address < TOP:
        raise FormatError(f"a {kind} at {address:#x}, no guest has such an address", offset=done + start)
    return TraceEvent(kind, vcpu, address, data), position, at


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_number(buffer: bytes, position: int, done: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * NUMBER, 7):
        if position >= len(buffer):
            raise FormatError("the trace ends in the middle of a number", offset=done + position)
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise FormatError("a number in the trace has more than 64 bits", offset=done + position)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else -value * 2 - 1


def _unzigzag(value: int) -> int:
    return value >> 1 if value % 2 == 0 else -(value + 1 >> 1)
