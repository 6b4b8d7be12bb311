"""Answers in a file: made by `python -m ndctl.record`, read where no real ndctl can be had.

The file of ndctl 76 has all sequences, that of a later version those that it answers otherwise.

Text, so that a change can be read in a diff: ``==`` the sequence, ``$`` a command, ``=`` its status, ``>`` and ``!``
lines of its two outputs (a backslash ends the last line of an output that has no line end). Behind ``~`` stands what
was left: ``-`` and ``+`` lines that differ from those of the state that the sequence began with, which is recorded
itself as ``== state NAME``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ndctl.normal import Names, output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ndctl.sequences import Answer, Sequence

FOLDER = Path(__file__).parent / "recorded"
BASE = "76"  # the version whose answers are complete


def file(version: str) -> Path:
    """Where the answers of a version of ndctl are."""
    return FOLDER / f"{version}.txt"


class Told(NamedTuple):
    """One command's answer, with names for UUIDs."""

    command: str
    status: int
    out: str
    err: str


class Result(NamedTuple):
    """What a sequence did: its commands' answers, and what was left, in lines."""

    answers: tuple[Told, ...]
    left: tuple[str, ...]


FINISH = ("ndctl check-labels all", "ndctl list -DRNXi", "ndctl check-namespace all")  # after each sequence


def result(
    sequence: Sequence, answers: Iterable[Answer], finish: Iterable[Answer], bytes_left: Iterable[str]
) -> Result:
    """Put together what one side did.

    Args:
        finish: answers to FINISH.
        bytes_left: lines of ``ndctl.media``.
    """
    names = Names(sequence.commands)
    told = tuple(
        Told(command, one.status, names(output(one.out)), names(output(one.err)))
        for command, one in zip(sequence.commands, answers, strict=True)
    )
    left = []
    for command, one in zip(FINISH, finish, strict=True):
        lines = output(one.out)
        rows = list(_objects(json.loads(lines))) if lines.startswith(("[", "{")) else lines.splitlines()
        left += [f"{command}: {row}" for row in (*rows, *output(one.err).splitlines(), f"= {one.status}")]
    return Result(told, tuple(names(line) for line in (*left, *bytes_left)))


def _objects(listed: object) -> Iterator[str]:
    """Each object of a listing in a line of its own, without those inside it."""
    if isinstance(listed, list):
        for one in listed:
            yield from _objects(one)
    elif isinstance(listed, dict):
        inner = {key: value for key, value in listed.items() if key in ("dimms", "regions", "namespaces")}
        rest = {key: value for key, value in listed.items() if key not in inner}
        if rest:
            yield json.dumps(rest)
        for value in inner.values():
            yield from _objects(value)


def _marked(mark: str, text: str) -> Iterator[str]:
    lines = text.split("\n")
    yield from (f"{mark}{line}" for line in lines[:-1])
    if lines[-1]:
        yield f"{mark}{lines[-1]}\\"


def dump(
    states: dict[str, tuple[str, ...]],
    results: dict[str, tuple[str, Result]],
    base: tuple[dict[str, tuple[str, ...]], dict[str, Kept]] | None = None,
) -> str:
    """The text of a file.

    Args:
        states: what lies there at the start, by state.
        results: (state, result) by sequence.
        base: (states, sequences) of another file; what is the same there is left out.
    """
    lines = []
    known, kept = base or ({}, {})
    for state, left in states.items():
        if sorted(left) != sorted(known.get(state, ())):
            lines += [f"== state {state}", *(f"+{line}" for line in left)]
    for name, (state, one) in results.items():
        if name in kept and kept[name].same(one, states[state]):
            continue
        lines.append(f"== {name}")
        for told in one.answers:
            lines += [f"${told.command}", f"={told.status}", *_marked(">", told.out), *_marked("!", told.err)]
        lines += ["~", *changes(states[state], one.left)]
    return "\n".join(lines) + "\n"


def changes(before: Iterable[str], after: Iterable[str]) -> list[str]:
    """Lines that are gone, and lines that came."""
    old, new = list(before), list(after)
    return [f"-{line}" for line in old if line not in new] + [f"+{line}" for line in new if line not in old]


class Kept(NamedTuple):
    """One sequence of a file: answers, and the lines that differ from its state's."""

    answers: tuple[Told, ...]
    changed: tuple[str, ...]

    def over(self, state: Iterable[str]) -> Result:
        """The whole result, with what was left of the state that the sequence began with."""
        gone = {line[1:] for line in self.changed if line[0] == "-"}
        came = [line[1:] for line in self.changed if line[0] == "+"]
        return Result(self.answers, (*(line for line in state if line not in gone), *came))

    def same(self, one: Result, state: Iterable[str]) -> bool:
        """Whether a result over that state is this one; in which order things are left does not count."""
        return self.answers == one.answers and sorted(self.changed) == sorted(changes(state, one.left))


def answers(version: str) -> tuple[dict[str, tuple[str, ...]], dict[str, Kept]]:
    """(states, sequences) of a version, with those of BASE that it has no answers of its own to; empty for none."""
    states, kept = load(file(BASE).read_text()) if file(BASE).exists() else ({}, {})
    if version != BASE and file(version).exists():
        own, others = load(file(version).read_text())
        return states | own, kept | others
    return states, kept


def load(text: str) -> tuple[dict[str, tuple[str, ...]], dict[str, Kept]]:
    """(states, sequences) of a file."""
    states: dict[str, list[str]] = {}
    sequences: dict[str, tuple[list[list[str]], list[str]]] = {}
    rows: list[list[str]] = []
    left: list[str] = []
    for line in text.split("\n")[:-1]:
        mark, rest = line[:1], line[1:]
        if line.startswith("== state "):
            left = states[line[9:]] = []
        elif line.startswith("== "):
            rows, left = sequences[line[3:]] = ([], [])
        elif mark == "$":
            rows.append([rest, "0", "", ""])
        elif mark == "=":
            rows[-1][1] = rest
        elif mark in (">", "!"):
            rows[-1][2 if mark == ">" else 3] += rest.removesuffix("\\") if rest.endswith("\\") else f"{rest}\n"
        elif mark in ("-", "+"):
            left.append(line)
    return (
        {name: tuple(line[1:] for line in lines) for name, lines in states.items()},
        {
            name: Kept(tuple(Told(row[0], int(row[1]), row[2], row[3]) for row in rows), tuple(left))
            for name, (rows, left) in sequences.items()
        },
    )
