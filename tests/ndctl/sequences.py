"""The table of sequences: what real and emulated ndctl both get. `sequences.txt` is the data.

A sequence begins with a line ``== NAME [STATE]`` and has one command per line; ``#`` begins a comment. States:

- ``bare`` (default): label areas and media are all zeros
- ``1.1``, ``1.2``: label areas with empty index blocks of that format
- ``legacy``: bare, and the region without DIMMs too

Commands are ``ndctl`` and ``daxctl`` with their words (``< FILE`` at the end is standard input), and:

- ``poke nmemN OFFSET HEX``: bytes of a label area change, as by a stranger
- ``poke regionN OFFSET HEX``: bytes of the media change
- ``mount DEVICE`` / ``umount DEVICE``: it gets an ext4 file system that is mounted / not any more
- anything else is a line of shell, run in the sequence's own folder
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("sequences.txt")
STATES = ("bare", "1.1", "1.2", "legacy")


class Answer(NamedTuple):
    """What one command did."""

    status: int
    out: bytes
    err: bytes


class Sequence(NamedTuple):
    """Commands that are given one after the other, from a state of which each is the same."""

    name: str
    state: str
    commands: tuple[str, ...]


def parse(text: str) -> list[Sequence]:
    """The sequences of a table."""
    found: list[Sequence] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            name, _, state = line[3:].partition(" [")
            found.append(Sequence(name.strip(), state.rstrip("]") or "bare", ()))
            if found[-1].state not in STATES:
                raise ValueError(f"line {number}: state {found[-1].state!r}")
        else:
            found[-1] = found[-1]._replace(commands=(*found[-1].commands, line))
    names = [one.name for one in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"twice in the table: {sorted(twice)}")
    return found


def table() -> list[Sequence]:
    """All sequences."""
    return parse(FILE.read_text())
