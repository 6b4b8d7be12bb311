"""The toolstack's end of a guest's xenstore ring (Xen ``io/xs_wire.h``), as far as firmware uses it: reading."""

from struct import Struct

RING = 1024
HEAD = Struct("<IIII")  # type, request, transaction, length
INDEXES = Struct("<IIII")  # request consumer and producer, response consumer and producer
INDEXES_AT = 2 * RING
XS_READ, XS_ERROR = 2, 16


class Ring:
    """One page shared with the guest: requests, responses, four free-running indexes.

    Args:
        read, write: access to the page, by offset.
        lookup: the value of a key, or None.
        asked: gets each key that was asked for, in order.
    """

    def __init__(self, read, write, lookup, asked):
        self._read, self._write = read, write
        self._lookup, self._asked = lookup, asked
        self._pending = b""

    def serve(self):
        """Answer the requests that are there."""
        consumer, producer, taken, given = INDEXES.unpack(self._read(INDEXES_AT, INDEXES.size))
        assert 0 <= (producer - consumer) % 2**32 <= RING
        while consumer != producer:
            self._pending += self._read(consumer % RING, 1)
            consumer = (consumer + 1) % 2**32
        answer = b""
        while len(self._pending) >= HEAD.size:
            kind, request, transaction, length = HEAD.unpack_from(self._pending)
            if len(self._pending) < HEAD.size + length:
                break
            payload, self._pending = self._pending[HEAD.size :][:length], self._pending[HEAD.size + length :]
            assert kind == XS_READ, f"request {kind}"
            assert payload.endswith(b"\0")
            key = payload[:-1].decode()
            self._asked.append(key)
            value = self._lookup(key)
            data = b"ENOENT\0" if value is None else value.encode()
            answer += HEAD.pack(XS_ERROR if value is None else kind, request, transaction, len(data)) + data
        assert len(answer) <= RING - (given - taken) % 2**32, "the response does not fit the ring"
        for byte in answer:
            self._write(RING + given % RING, bytes([byte]))
            given = (given + 1) % 2**32
        self._write(INDEXES_AT, INDEXES.pack(consumer, producer, taken, given))
