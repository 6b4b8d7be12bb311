"""Clocks and random numbers: recording the values that a command got, and replaying them in order.

Waiting is not among them: deadlines of locks go by the real clock.
"""

from __future__ import annotations

import logging  # noqa: F401 - it asks for the time when it is imported, which a replay has perhaps done before
import os
import time

from xlpy.contexts import contextmanager
from xlpy.errors import Conflict
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Asked = list[list[Any]]  # [name, value] in order


@contextmanager
def heard(asked: Asked) -> Iterator[None]:
    """Inside, everything that is asked for is added to a list."""
    clock, nanoseconds, ticks, random = time.time, time.time_ns, time.monotonic_ns, os.urandom

    def note(name: str, value: Any) -> Any:  # noqa: ANN401 - what the source gives
        asked.append([name, value.hex() if isinstance(value, bytes) else value])
        return value

    with _in_place_of(
        lambda: note("time", clock()),
        lambda: note("time_ns", nanoseconds()),
        lambda: note("monotonic_ns", ticks()),
        lambda size: note("urandom", random(size)),
    ):
        yield


@contextmanager
def told(asked: Asked, problems: list[str]) -> Iterator[None]:
    """Inside, what is asked for is what a list has.

    Args:
        asked: from ``heard``.
        problems: told when something else is asked for, or more, or less.
    """
    left = list(reversed(asked))

    def next_of(name: str) -> Any:  # noqa: ANN401
        if not left or left[-1][0] != name:
            wanted = f"{left[-1][0]} was asked for then" if left else "nothing more was asked for then"
            problems.append(f"it asks for {name}, and {wanted}")
            raise Conflict(problems[-1])
        return left.pop()[1]

    with _in_place_of(
        lambda: float(next_of("time")),
        lambda: int(next_of("time_ns")),
        lambda: int(next_of("monotonic_ns")),
        lambda size: bytes.fromhex(next_of("urandom"))[:size].ljust(size, b"\0"),
    ):
        yield
    if left and not problems:
        problems.append(f"it does not ask for {left[-1][0]}, which it did then")


@contextmanager
def _in_place_of(
    clock: Callable[[], float],
    nanoseconds: Callable[[], int],
    ticks: Callable[[], int],
    random: Callable[[int], bytes],
) -> Iterator[None]:
    real = time.time, time.time_ns, time.monotonic_ns, os.urandom, time.gmtime

    def gmtime(seconds: Any = None) -> time.struct_time:  # noqa: ANN401 - as the real one takes it
        return real[4](clock() if seconds is None else seconds)

    time.time, time.time_ns, time.monotonic_ns, os.urandom, time.gmtime = clock, nanoseconds, ticks, random, gmtime
    try:
        yield
    finally:
        time.time, time.time_ns, time.monotonic_ns, os.urandom, time.gmtime = real
