"""What was durable at each point of a run, kept once: an image goes from one point to a later one by the difference.

A place is an offset in an image. Its data are the 64 bytes of a line, or the 8 of a unit of a label area.
"""

from __future__ import annotations

from itertools import chain

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Pieces = Mapping[int, bytes]  # by place


class History:
    """Steps, each what has become durable in it."""

    def __init__(self) -> None:
        self.steps: list[dict[int, bytes]] = []

    def now(self) -> Durable:
        """The point behind the last step."""
        return Durable(self, len(self.steps))


class Durable:
    """What is durable at one point of a history: its first ``count`` steps. On another machine it stands alone."""

    def __init__(self, history: History, count: int) -> None:
        self.history, self.count = history, count

    def since(self, earlier: Durable) -> Iterator[tuple[int, bytes]]:
        """(place, data) of what has become durable after an earlier point of the same history."""
        return chain.from_iterable(step.items() for step in self.history.steps[earlier.count : self.count])

    def follows(self, other: Durable | None) -> bool:
        """Whether another point is of the same history and not later."""
        return other is not None and other.history is self.history and other.count <= self.count

    def whole(self) -> dict[int, bytes]:
        """Everything that differs from the memory before the run."""
        return dict(self.since(Durable(self.history, 0)))

    def __reduce__(self) -> tuple[Callable[[dict[int, bytes]], Durable], tuple[dict[int, bytes]]]:
        """Without what came before and after."""
        return standing, (self.whole(),)


def standing(whole: dict[int, bytes]) -> Durable:
    """A point with a history of its own."""
    history = History()
    history.steps.append(whole)
    return history.now()
