"""``xlpy trace``: what a recorded guest made durable, and whether it recovers from a power failure."""

from __future__ import annotations

import sys

from xlpy.cli.declare import argument, command, leave, option
from xlpy.cli.options import json_option
from xlpy.cli.render import json_items, table
from xlpy.cli.show import out
from xlpy.cli.types import FilePath
from xlpy.errors import Exit
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import TypeVar

    from xlpy.cli.env import Env
    from xlpy.powercut.trace import Trace

    Item = TypeVar("Item")

EXACT = 1 << 53  # larger counts are no numbers to every reader of JSON

trace_argument = argument("trace", type=FilePath(folder=True))


@command("""
xlpy trace show run1
""")
@trace_argument
@option("--lines", is_flag=True, help="Also each line that a failure may lose, with its place.")
@json_option
def show(env: Env, trace: Path, lines: bool, as_json: bool) -> None:
    """Show the epochs of a trace: what was stored, what was written back, what a failure there may lose."""
    from xlpy.powercut.epochs import Epochs
    from xlpy.powercut.trace import Trace

    opened = Trace(trace)
    items: list[dict[str, Any]] = []
    for epoch in _followed(env, opened, Epochs(opened, lambda _address, length: bytes(length))):
        open_lines = {a: line for a, line in sorted(epoch.lines.items()) if line.choices > 1}
        item: dict[str, Any] = {
            "epoch": epoch.number,
            "ended_by": epoch.ended_by,
            "mark": epoch.mark,
            "stores": epoch.stores,
            "bytes": epoch.stored,
            "flushed": epoch.flushed,
            "durable": len(epoch.settled),
            "open": len(open_lines),
            "states": epoch.states if epoch.states < EXACT else power_of_two(epoch.states),
        }
        if lines:
            item["lines"] = [
                {"gpa": a, "place": opened.place(a), "stores": len(line.stores), "durable": line.durable}
                for a, line in open_lines.items()
            ]
        items.append(item)
    tell_problem(env, opened)
    if as_json:
        json_items("xlpy.trace-show/1", items)
        return
    keys = ("epoch", "stores", "bytes", "flushed", "durable", "open", "states", "ended_by")
    rows = [(*(item[key] for key in keys), "-" if item["mark"] is None else item["mark"]) for item in items]
    table(env, (*(key.upper().replace("_", " ") for key in keys), "MARK"), rows)
    for item in items if lines else ():
        for line in item["lines"]:
            out(f"epoch {item['epoch']}: {line['place']}: {line['stores'] - line['durable']} stores may be lost")


@command("""
xlpy trace check run1
""")
@trace_argument
@json_option
def check(env: Env, trace: Path, as_json: bool) -> None:
    """Find stores that were never made durable, and write-backs and fences that do nothing.

    A guest says that it is done by a mark (see the guest kit), and by its end. Exit status 10: a store was not durable
    then. What only costs time does not count.
    """
    from xlpy.powercut.findings import CLASSES, ERRORS, findings
    from xlpy.powercut.trace import Trace

    opened = Trace(trace)
    found = findings(_followed(env, opened, opened.events()), caches_survive=opened.header.caches_survive)
    tell_problem(env, opened)
    if as_json:
        items = [{**one._asdict(), "place": opened.place(one.address)} for one in found]
        json_items("xlpy.trace-check/1", items)
    else:
        for code, meaning in CLASSES.items():
            rows = [one for one in found if one.code == code]
            if rows:
                out(f"{code}: {meaning}: {sum(one.times for one in rows)} times in {len(rows)} lines")
                for one in rows if code in ERRORS else ():
                    out(f"  {opened.place(one.address)} (event {one.event})")
        if not found:
            env.note("nothing found")
    leave(Exit.FINDINGS if any(one.code in ERRORS for one in found) else 0)


def _followed(env: Env, trace: Trace, items: Iterable[Item]) -> Iterator[Item]:
    """The items that come of a trace; for a person at a terminal, with a bar over what has been read of it."""
    if env.quiet or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("reading", total=1.0)
        for item in items:
            if progress.tasks[bar].completed != trace.read:
                progress.update(bar, completed=trace.read)
            yield item


def power_of_two(count: int) -> str:
    """A large count as a power of two at most as large."""
    return f"2^{count.bit_length() - 1}"


def tell_problem(env: Env, trace: Trace) -> None:
    if trace.problem:
        env.warn(f"the trace ends early: {trace.problem}")
    elif not trace.header.complete:
        env.warn("the recorded guest did not end by itself")
