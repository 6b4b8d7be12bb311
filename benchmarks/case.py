"""What is measured: a subject and its peer, by CPU time and by the clock."""

from __future__ import annotations

import resource
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from version import Version

    Act = Callable[[], object]

RUNS = 12
BEFORE = "before"  # the peer of a case that is held against the older version


class Sample(NamedTuple):
    """One run. cpu: of this process and of children that have ended; wall: by the clock; seconds, or MiB for both."""

    cpu: float
    wall: float


class Case(NamedTuple):
    """One comparison.

    name: what is measured. peer: what it is held against; ``BEFORE`` is the same of the older version. target: the
    ratio that it should stay under, or (when ``least``) reach. make: called with a version, prepares both sides and
    returns them, each one run; one that measures itself returns a ``Sample``. The second is not used when the peer is
    ``BEFORE``. row: of the table of targets, 0 for one that is not there; those are measured with the older version as
    well. runs: how many of each, after one that does not count unless it is ``slow``. quick: whether a quick run has
    it. unit: ``ms`` or ``MiB``.
    """

    name: str
    peer: str
    target: float
    make: Callable[[Version], tuple[Act, Act]]
    row: int = 0
    least: bool = False
    runs: int = RUNS
    slow: bool = False
    quick: bool = True
    unit: str = "ms"


class Skip(Exception):
    """A comparison that cannot be made here; says why."""


class Column(NamedTuple):
    """What one side took: the fastest run and the median, by CPU time and by the clock."""

    cpu: float
    cpu_median: float
    wall: float
    wall_median: float

    @classmethod
    def of(cls, samples: Sequence[Sample], unit: str) -> Column:
        """From the samples of all turns."""
        factor = 1000 if unit == "ms" else 1
        cpu, wall = [one.cpu * factor for one in samples], [one.wall * factor for one in samples]
        return cls(*(round(x, 3) for x in (min(cpu), statistics.median(cpu), min(wall), statistics.median(wall))))


AFTER: list[Act] = []  # what undoes a run, outside of what is measured


def nothing() -> None:
    """The peer of a case that is held against the older version."""


def _spent() -> float:
    """CPU seconds so far, children included."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def sample(act: Act) -> Sample:
    """One run."""
    cpu, wall = _spent(), time.perf_counter()
    result = act()
    taken = Sample(_spent() - cpu, time.perf_counter() - wall)
    while AFTER:
        AFTER.pop()()
    return result if isinstance(result, Sample) else taken


def median(times: Sequence[Sequence[float]]) -> Sample:
    """The median of what a worker has timed: pairs of CPU time and time by the clock."""
    cpu, wall = zip(*times, strict=True)
    return Sample(statistics.median(cpu), statistics.median(wall))


def measure(case: Case, versions: Sequence[Version], turns: int) -> list[tuple[Column, Column]]:
    """Both sides of each version, all in turn; turns: 0 for as many as the case says."""
    sides = [case.make(version) for version in versions]
    if turns == 0 and not case.slow:
        for act in (act for pair in sides for act in pair):
            sample(act)
    turns = [[(sample(mine), sample(theirs)) for mine, theirs in sides] for _ in range(turns or case.runs)]
    return [
        (Column.of([a for a, _ in pairs], case.unit), Column.of([b for _, b in pairs], case.unit))
        for pairs in zip(*turns, strict=True)
    ]
