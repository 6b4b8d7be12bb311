"""Power cut between, and in the middle of, writes that follow each other, each made durable before the next one begins.

That is how our own actors write: Dom0's driver, the hypervisor, the device model. What a write in flight leaves follows
the model of guests: of each line of memory a prefix of its stores, of a label area any units of 8 bytes, and of a unit
any of the first bytes.
"""

from __future__ import annotations

import random

from xlpy.addr import LINE
from xlpy.hw.persistency import UNIT, CpuStore, Line, pieces
from xlpy.powercut.states import USUAL, states
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


BULK = 64 << 10  # bytes of a write from which on only large parts of it are left out


class Write(NamedTuple):
    """Bytes put at an offset of a file or an area. labels: it is a label area."""

    area: str
    offset: int
    data: bytes
    labels: bool = False


class Cut(NamedTuple):
    """A failure. done: how many writes were whole. left: what the one in flight has left, in order."""

    done: int
    left: list[tuple[int, bytes]]


def cuts(writes: Sequence[Write], samples: int = 4, seed: int = 0) -> Iterator[Cut]:
    """Failures at every write, and after the last.

    Args:
        samples: states by chance of each write, beside nothing, everything, each line alone and each prefix.
    """
    for number, write in enumerate(writes):
        if len(write.data) >= BULK:
            yield from _bulk(number, write)
            continue
        lines = _lines(write)
        for state in states(lines, USUAL, random.Random(f"{seed}-{number}"), samples):
            kept = [(store.order, line, store) for line, left in state.items() for store in lines[line].stores[:left]]
            yield Cut(number, [(line + store.offset, store.data) for _, line, store in sorted(kept)])
    yield Cut(len(writes), [])


def _bulk(number: int, write: Write) -> Iterator[Cut]:
    """Nothing, everything, and each third of it alone and left out."""
    step = -(-len(write.data) // 3 // LINE) * LINE
    parts = [(write.offset + at, write.data[at : at + step]) for at in range(0, len(write.data), step)]
    yield Cut(number, [])
    yield Cut(number, parts)
    for at, part in enumerate(parts):
        yield Cut(number, [part])
        yield Cut(number, parts[:at] + parts[at + 1 :])


def _lines(write: Write) -> dict[int, Line]:
    """The write as stores to lines; those of a label area are of 8 bytes, stored byte by byte."""
    found: dict[int, Line] = {}
    size = UNIT if write.labels else LINE
    parts = (
        [(write.offset + at, write.data[at : at + 1]) for at in range(len(write.data))]
        if write.labels
        else pieces(write.offset, write.data)
    )
    for order, (at, data) in enumerate(parts):
        line = found.setdefault(at - at % size, Line(b""))
        line.stores.append(CpuStore(at % size, data, order))
    return found
