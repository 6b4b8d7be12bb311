"""Holds two results of a sequence against each other."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ndctl.differences import plain
from ndctl.recorded import changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ndctl.recorded import Kept, Result, Told


def answer(real: Told, ours: Told) -> Iterator[str]:
    """What differs between two answers to one command, in lines."""
    if real.status != ours.status:
        yield f"status {real.status}, ours {ours.status}"
    for name in ("out", "err"):
        theirs, mine = (plain(real.command, getattr(one, name)).splitlines() for one in (real, ours))
        delta = list(difflib.unified_diff(theirs, mine, lineterm="", n=0))[2:]
        yield from (f"{name} {line}" for line in delta if not line.startswith("@@"))


def compare(real: Kept, ours: Result, state: Iterable[str]) -> Iterator[str]:
    """Everything that differs in a sequence, with the command where it does.

    Args:
        real, ours: the results.
        state: what lay there when ours began.
    """
    for theirs, mine in zip(real.answers, ours.answers, strict=True):
        found = list(answer(theirs, mine))
        if found:
            yield "\n    ".join([f"$ {theirs.command}", *found])
    mine = changes([plain(line, line) for line in state], [plain(line, line) for line in ours.left])
    yield from (f"left, real only: {line}" for line in real.changed if line not in mine)
    yield from (f"left, ours only: {line}" for line in mine if line not in real.changed)
