"""What is measured: a subject and its peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = 12


class Case(NamedTuple):
    """One comparison.

    name: what is measured. peer: what it is held against. target: the ratio that it should stay under, or (when
    ``least``) reach. subject, against: one run each. runs: how many of each.
    """

    name: str
    peer: str
    target: float
    subject: Callable[[], object]
    against: Callable[[], object]
    least: bool = False
    runs: int = RUNS


class Skip(NamedTuple):
    """A comparison whose peer is not here."""

    name: str
    why: str


AFTER: list[Callable[[], object]] = []  # what undoes a run, outside of what is measured
