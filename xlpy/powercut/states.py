"""Which of the states that a failure may leave are tried.

A state is a number of stores left for each line that has more than one content; what it does not name keeps the forced
stores only. Strategies, each a way to choose some of the product of all lines:

| strategy | states |
|---|---|
| all-lo | nothing but what was forced |
| all-hi | everything that reached the cache |
| single | one line kept on top of all-lo, and one line lost of all-hi, for each line |
| prefix | the stores in the order in which they were made, cut after each |
| random | some, by a seed |
| all | every one, while there are at most ``MOST`` |
"""

from __future__ import annotations

from itertools import islice, product

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from random import Random

    from xlpy.hw.persistency import Line

    State = dict[int, int]  # by address of a line, how many of its stores are left

STRATEGIES = ("all-lo", "all-hi", "single", "prefix", "random", "all")
USUAL = STRATEGIES[:5]
MOST = 4096  # states of one epoch that a strategy gives at most


def states(lines: Mapping[int, Line], strategies: Iterable[str], random: Random, samples: int) -> Iterator[State]:
    """The states of one epoch, without those that a strategy before has given.

    Args:
        lines: of the epoch. strategies: names, in the order in which they are tried.
        random: for ``random``; samples: how many it gives.
    """
    seen = set()
    for strategy in strategies:
        made = _STRATEGIES[strategy]
        for state in islice(made(lines, random, samples), MOST):
            more = {address: left for address, left in state.items() if left > lines[address].durable}
            key = frozenset(more.items())
            if key not in seen:
                seen.add(key)
                yield more


def high(lines: Mapping[int, Line]) -> State:
    """Everything that reached the cache."""
    return {address: len(line.stores) for address, line in lines.items() if line.choices > 1}


def _all_lo(lines: Mapping[int, Line], _random: Random, _samples: int) -> Iterator[State]:
    yield {}


def _all_hi(lines: Mapping[int, Line], _random: Random, _samples: int) -> Iterator[State]:
    yield high(lines)


def _single(lines: Mapping[int, Line], _random: Random, _samples: int) -> Iterator[State]:
    full = high(lines)
    for address, most in full.items():
        yield {address: most}
    for address in full:
        yield {other: most for other, most in full.items() if other != address}


def _prefix(lines: Mapping[int, Line], _random: Random, _samples: int) -> Iterator[State]:
    open_stores = sorted(
        (store.order, address, at + 1)
        for address, line in lines.items()
        for at, store in enumerate(line.stores)
        if at >= line.durable
    )
    state: State = {}
    step = -(-len(open_stores) // MOST) or 1
    for count, (_, address, left) in enumerate(open_stores):
        if count % step == 0:
            yield dict(state)
        state[address] = left
    yield state


def _random(lines: Mapping[int, Line], random: Random, samples: int) -> Iterator[State]:
    for _ in range(samples):
        yield {address: random.randint(line.durable, len(line.stores)) for address, line in lines.items()}


def _all(lines: Mapping[int, Line], _random: Random, _samples: int) -> Iterator[State]:
    addresses = list(lines)
    for chosen in product(*(range(line.durable, len(line.stores) + 1) for line in lines.values())):
        yield dict(zip(addresses, chosen, strict=True))


_STRATEGIES: dict[str, Callable[[Mapping[int, Line], Random, int], Iterator[State]]] = dict(
    zip(STRATEGIES, (_all_lo, _all_hi, _single, _prefix, _random, _all), strict=True)
)


def contents(lines: Mapping[int, Line], state: State) -> Iterator[tuple[int, bytes]]:
    """(address, 64 bytes) of the lines that a state changes on top of what was forced."""
    for address, left in state.items():
        line = lines[address]
        if left > line.durable:
            yield address, line.content(left)
