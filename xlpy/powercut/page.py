"""The results of an exploration as one self-contained HTML page: no network, no script.

Everything that comes from the trace, the check or its output is text there, never markup.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from html import escape
from importlib.resources import files
from math import log2

from xlpy.powercut.epochs import Epochs
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xlpy.powercut.explore import ExploreOptions, StateResult, Summary
    from xlpy.powercut.trace import Trace

MOST_FAILURES, MOST_PLACES = 100, 50  # that are shown in full
MOST_BARS, BAR, HEIGHT = 1200, 8, 120  # of the timeline: how many at most, pixels
_CONTROL = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "�")


class _Row(NamedTuple):
    """What the page says of an epoch."""

    number: int
    ended_by: str
    mark: int | None
    stores: int
    stored: int
    flushed: int
    open: int
    bits: float


def page(trace: Trace, options: ExploreOptions, summary: Summary, results: Sequence[StateResult]) -> str:
    """The page."""
    rows = list(_rows(trace))
    by_epoch: dict[int, list[StateResult]] = defaultdict(list)
    for one in results:
        by_epoch[one.epoch].append(one)
    command = shlex.join(options.check.command)
    facts = [
        ("trace", str(trace.path)),
        ("domain", trace.header.domain),
        ("check", command),
        ("device", options.device or next((one.dev for one in trace.header.devices), "-")),
        ("strategies", " ".join(options.strategies)),
        ("seed", options.seed),
        ("epochs", f"{summary.epochs} tried of {len(rows)}"),
        ("possible states", _power(summary.possible)),
        ("chosen, distinct", f"{summary.chosen}, {summary.distinct}"),
        ("known from before, pruned", f"{summary.known}, {summary.pruned}"),
        ("failed", summary.failed),
        ("the trace ends early", summary.problem or ("no" if trace.header.complete else "its guest was ended")),
    ]
    parts = {
        "title": _text(f"{trace.header.domain}: {command}"),
        "verdict": (
            f'<strong class="failed">{summary.failed} of {summary.distinct} distinct states fail.</strong>'
            if summary.failed
            else f'<strong class="passed">All {summary.distinct} distinct states pass.</strong>'
        ),
        "facts": "\n".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in facts),
        "timeline": _timeline(rows, by_epoch),
        "failures": _failures(trace, results),
        "epochs": "\n".join(_epoch(row, by_epoch[row.number]) for row in rows if row.number in by_epoch),
    }
    text = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    head, *pieces = text.split("{{")
    made = [head]
    for piece in pieces:  # in one pass, so that what is filled in is not looked at again
        name, _, rest = piece.partition("}}")
        made += [parts[name], rest]
    return "".join(made)


def _rows(trace: Trace) -> Iterable[_Row]:
    for epoch in Epochs(trace, trace.before):
        choices = [line.choices for line in epoch.lines.values() if line.choices > 1]
        bits = sum(map(log2, choices))
        yield _Row(
            epoch.number, epoch.ended_by, epoch.mark, epoch.stores, epoch.stored, epoch.flushed, len(choices), bits
        )


def _text(value: object) -> str:
    """A value as text of the document; control characters would end it for some readers."""
    return escape(str(value).translate(_CONTROL))


def _power(count: int) -> str:
    return str(count) if count < 1 << 53 else f"2^{count.bit_length() - 1}"


def _timeline(rows: list[_Row], by_epoch: dict[int, list[StateResult]]) -> str:
    """One bar for each epoch, or for some that follow each other."""
    each = -(-len(rows) // MOST_BARS) or 1
    bars = [rows[at : at + each] for at in range(0, len(rows), each)]
    highest = max((row.open for row in rows), default=0)
    scale = HEIGHT / log2(highest + 2)
    parts = [
        f'<svg width="{len(bars) * BAR}" height="{HEIGHT + 20}" role="img" aria-label="epochs" '
        'xmlns="http://www.w3.org/2000/svg">'
    ]
    for at, bar in enumerate(bars):
        found = [one for row in bar for one in by_epoch.get(row.number, ())]
        kind = "untried" if not found else "passed" if all(one.verdict.passed for one in found) else "failed"
        height = max(log2(max(row.open for row in bar) + 1) * scale, 2)
        which = str(bar[0].number) if len(bar) == 1 else f"{bar[0].number} to {bar[-1].number}"
        failed = sum(not one.verdict.passed for one in found)
        parts.append(
            f'<rect class="{kind}" x="{at * BAR}" y="{HEIGHT - height:.1f}" width="{BAR - 1}" height="{height:.1f}">'
            f"<title>epoch {which}: {max(row.open for row in bar)} open lines, {len(found)} checked, {failed} failed"
            "</title></rect>"
        )
        for row in bar:
            if row.mark is not None:
                x = at * BAR + BAR - 1
                parts.append(f'<line class="mark" x1="{x}" y1="0" x2="{x}" y2="{HEIGHT + 6}"/>')
                parts.append(f'<text x="{x}" y="{HEIGHT + 17}" text-anchor="middle">{row.mark}</text>')
    return "\n".join([*parts, "</svg>"])


def _failures(trace: Trace, results: Sequence[StateResult]) -> str:
    failures = sorted((one for one in results if not one.verdict.passed), key=lambda one: (one.lost, one.epoch))
    if not failures:
        return "<p>None.</p>"
    parts = []
    for one in failures[:MOST_FAILURES]:
        status = "stopped after its time" if one.verdict.status is None else f"exit {one.verdict.status}"
        kept = [trace.place(line) for line in sorted(one.state)]
        listed = ", ".join(kept[:MOST_PLACES]) or "none"
        more = f" and {len(kept) - MOST_PLACES} more" if len(kept) > MOST_PLACES else ""
        parts.append(
            f"<details><summary>epoch {one.epoch}, {one.lost} lines lack stores: {status}"
            f"{' (not run again: nothing that it reads differs)' if one.pruned else ''}</summary>"
            f"<p>state {_text(one.key)}; lines that kept stores: {_text(listed)}{more}</p>"
            f"<pre>{_text(one.verdict.output)}</pre></details>"
        )
    if len(failures) > MOST_FAILURES:
        parts.append(f"<p>{len(failures) - MOST_FAILURES} more are in the results beside the trace.</p>")
    return "\n".join(parts)


def _epoch(row: _Row, found: list[StateResult]) -> str:
    mark = "" if row.mark is None else f" {row.mark}"
    failed = sum(not one.verdict.passed for one in found)
    possible = f"2^{row.bits:.0f}" if row.bits > 20 else f"{round(2**row.bits)}"
    cells = (
        row.number,
        row.ended_by + mark,
        row.stores,
        row.stored,
        row.flushed,
        row.open,
        possible,
        len(found),
        failed,
    )
    return "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells) + "</tr>"
