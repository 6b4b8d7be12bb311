"""Holds two answers to the same steps against each other, and counts what was compared."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from realxen.normal import output, store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realxen.scene import Answer
    from realxen.steps import Step


class Finding(NamedTuple):
    """One difference.

    kind: ``status``, ``output``, ``node`` (missing, or another value) or ``permission``; place: the command, or the
    path of the node; real, ours: what each has.
    """

    kind: str
    place: str
    real: str
    ours: str

    def __str__(self) -> str:
        return f"{self.kind} {self.place}\n    xl:   {self.real}\n    xlpy: {self.ours}"


def compare(step: Step, real: Answer, ours: Answer, counts: Counter[str]) -> Iterator[Finding]:
    """What differs at one step.

    Texts on stderr and outputs of commands that fail are xlpy's own words, see "exit status" in docs/departures.md: of
    those only that both fail is compared.
    """
    counts["commands"] += 1
    if bool(real.status) != bool(ours.status):
        said = real.err.strip().splitlines() or real.out.strip().splitlines() or [""]
        yield Finding("status", step.text, f"{real.status} {said[-1]}", f"{ours.status} {ours.err.strip()[:160]}")
    elif not real.status:
        lines = output(step.text, real.out), output(step.text, ours.out)
        counts["lines"] += len(lines[0])
        delta = [line for line in difflib.ndiff(*lines) if line[0] in "+-"]
        if delta:
            theirs, mine = ("\n          ".join(line[2:] for line in delta if line[0] == sign) for sign in "-+")
            yield Finding("output", step.text, theirs, mine)
    if step.tree:
        yield from compare_stores(real.tree, ours.tree, counts)


def compare_stores(real: str, ours: str, counts: Counter[str]) -> Iterator[Finding]:
    """What differs between two listings of the store."""
    theirs, mine = store(real), store(ours)
    counts["stores"] += 1
    for path in sorted(theirs.keys() | mine.keys()):
        a, b = theirs.get(path), mine.get(path)
        counts["nodes"] += 1
        if a is None or b is None:
            yield Finding("node", path, "absent" if a is None else a.value, "absent" if b is None else b.value)
            continue
        counts["permissions"] += 1
        if a.value != b.value:
            yield Finding("node", path, a.value, b.value)
        if a.perms != b.perms:
            yield Finding("permission", path, a.perms, b.perms)


def compare_all(
    steps: Iterable[Step], real: Iterable[Answer], ours: Iterable[Answer | None]
) -> tuple[list[tuple[Step, Finding]], Counter[str]]:
    """Everything that differs, with the step where it does, and what was counted."""
    counts: Counter[str] = Counter()
    found = []
    for step, theirs, mine in zip(steps, real, ours, strict=True):
        if mine is None or step.model[1] != step.words[1]:  # another command stands for what the kernel did by itself
            counts["not compared"] += 1
        else:
            found += [(step, finding) for finding in compare(step, theirs, mine, counts)]
    return found, counts


def told(counts: Counter[str]) -> str:
    """What was counted, in one line."""
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
