"""The table of situations in docs/real-hosts.md: `PYTHONPATH=tests:. python -m realhost.table` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from realhost.situations import KERNELS, RACES, SITUATIONS, Situation

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "real-hosts.md"


def kernels(absent: tuple[str, ...]) -> str:
    """The kernels that a situation was tried on."""
    return ", ".join(kernel for kernel in KERNELS.values() if kernel not in absent)


def verdict(situation: Situation) -> str:
    """In words: accepted (and how that was checked), or the refusal."""
    if not situation.status:
        return "accepted, every page compared" if situation.content else "accepted"
    return f"{situation.status} `{situation.code}`"


def rows() -> Iterator[str]:
    """The table, line by line."""
    yield "| situation | kernels | verdict | reason |"
    yield "|---|---|---|---|"
    for one in SITUATIONS:
        yield f"| {one.what} | {kernels(one.absent)} | {verdict(one)} | {one.why} |"
    yield ""
    yield "| between resolving and mapping | kernels | not held | held (immutable) |"
    yield "|---|---|---|---|"
    for race in RACES:
        free, held = (
            "" if seen is None else f"{'done' if seen[0] else 'refused'}, extents {'the same' if seen[1] else 'differ'}"
            for seen in (race.free, race.held)
        )
        yield f"| {race.what} | {kernels(race.absent)} | {free} | {held} |"


if __name__ == "__main__":
    text = PAGE.read_text().partition("<!-- table -->\n")[0]
    PAGE.write_text(text + "<!-- table -->\n" + "\n".join(rows()) + "\n")
