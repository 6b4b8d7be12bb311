"""``xlpy trace``: what a recorded guest made durable, and whether it recovers from a power failure."""

from __future__ import annotations

import sys
from contextlib import nullcontext

from xlpy.cli.declare import argument, command, leave, option
from xlpy.cli.options import json_option
from xlpy.cli.render import json_document, json_items, json_line, table
from xlpy.cli.show import flush, out
from xlpy.cli.types import Choice, FilePath, IntRange, Seconds
from xlpy.errors import Exit, UsageError
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from xlpy.cli.env import Env
    from xlpy.powercut.explore import Result
    from xlpy.powercut.trace import Trace

EXACT = 1 << 53  # larger counts are no numbers to every reader of JSON

trace_argument = argument("trace", type=FilePath(file_okay=False))
device_option = option("--device", metavar="DEV", help="Block device of the guest, such as pmem0 (else the first).")


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
    for epoch in Epochs(opened, lambda _address, length: bytes(length)):
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
            "states": epoch.states if epoch.states < EXACT else _power(epoch.states),
        }
        if lines:
            item["lines"] = [
                {"gpa": a, "place": opened.place(a), "stores": len(line.stores), "durable": line.durable}
                for a, line in open_lines.items()
            ]
        items.append(item)
    _tell_problem(env, opened)
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
    found = findings(opened.events())
    _tell_problem(env, opened)
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


@command("""
xlpy trace cut run1 -- e2fsck -fn {image}
xlpy trace cut run1 --sample 20 --seed 1 --jobs 2 -- sh -c 'python3 check.py "$1"' check {image}
""")
@trace_argument
@device_option
@option("--at", "at", type=IntRange(0), metavar="EPOCH", help="Only a failure at the end of this epoch.")
@option("--all", "every", is_flag=True, help="At the end of every epoch (the default).")
@option("--sample", type=IntRange(1), metavar="N", help="At the end of N epochs, chosen by the seed.")
@option("--seed", type=IntRange(0), default=0, metavar="S", help="Of random choices.")
@option(
    "--strategy",
    "strategies",
    multiple=True,
    type=Choice(["all-lo", "all-hi", "single", "prefix", "random", "all"]),
    help="Which states of an epoch are tried; may be repeated (else all but `all`).",
)
@option("--samples", type=IntRange(0), default=8, metavar="N", help="States an epoch that `random` tries.")
@option("--jobs", type=IntRange(1), default=1, metavar="N", help="Checks at a time.")
@option("--timeout", type=Seconds(some=True), default=60.0, metavar="S", help="Seconds that a check may take.")
@option(
    "--keep",
    type=FilePath(dir_okay=False),
    metavar="FILE",
    help="Where a reduced failure goes.",
)
@json_option
@argument("words", nargs=-1, metavar="-- CHECK...")
def cut(
    env: Env,
    trace: Path,
    device: str | None,
    at: int | None,
    every: bool,
    sample: int | None,
    seed: int,
    strategies: tuple[str, ...],
    samples: int,
    jobs: int,
    timeout: float,
    keep: Path | None,
    as_json: bool,
    words: tuple[str, ...],
) -> None:
    """Build what a power failure may leave, and run CHECK on each distinct state.

    {image} in CHECK is the content of one of the guest's block devices. A state passes when CHECK exits with 0. The
    first failing one is reduced to the fewest lost lines and kept for `xlpy trace replay`. Results are kept beside the
    trace: an exploration that was interrupted goes on. Exit status 10: a state has failed.
    """
    from xlpy.powercut.counterexample import reduced, save
    from xlpy.powercut.explore import Exploration, Options
    from xlpy.powercut.states import USUAL
    from xlpy.powercut.trace import Trace

    if not words:
        raise UsageError("a check is needed behind --", hint="xlpy trace cut TRACE -- e2fsck -fn {image}")
    if sum(one is not None and one is not False for one in (at, sample, every or None)) > 1:
        raise UsageError("--at, --sample and --all exclude each other", hint="choose one of them")
    opened = Trace(trace)
    chosen = opened.device(device)
    options = Options(
        words,
        None if at is None else frozenset((at,)),
        sample,
        strategies or USUAL,
        samples,
        seed,
        jobs,
        timeout,
    )
    failures: list[Result] = []
    count = 0

    def tell(result: Result, chosen_so_far: int) -> None:
        nonlocal count
        count += 1
        if as_json:
            json_line("xlpy.trace-result/1", **result.to_json())
            flush()
        if not result.verdict.passed:
            failures.append(result)
            if len(failures) <= 5:
                how = "was stopped after its time" if result.verdict.status is None else f"exit {result.verdict.status}"
                env.note(f"epoch {result.epoch}: {result.lost} lines lack stores: {how}")
        if status is not None:
            status.update(f"{count} states checked, {len(failures)} failed; {chosen_so_far} chosen so far")

    with _progress(env) as status:
        summary = Exploration(opened, chosen, options, tell).run()
    _tell_problem(env, opened)
    if as_json:
        json_line("xlpy.trace-cut/1", **summary._asdict() | {"possible": _power(summary.possible)})
    else:
        possible = summary.possible if summary.possible < EXACT else _power(summary.possible)
        out(
            f"{summary.epochs} epochs, {possible} states possible, {summary.chosen} chosen, {summary.distinct} distinct"
            f" ({summary.known} known from before), {summary.failed} failed"
        )
    if summary.rebuilt:
        env.note(f"note: the check changes its image, made anew {summary.rebuilt} times: give it a copy")
    if failures:
        smallest = min(failures, key=lambda result: (result.lost, result.epoch))
        kept = keep or trace / f"failure-{smallest.key[:8]}.json"
        found = reduced(opened, chosen.dev, options, smallest)
        save(kept, found)
        env.note(f"{kept}: reduced from {smallest.lost} lost lines to {len(found.lost)} of {found.open_lines}:")
        for place in found.lost[:20]:
            env.note(f"  {place}")
        env.note(f"  hint: xlpy trace replay {kept} -o crash.img")
    leave(Exit.FINDINGS if summary.failed else 0)


@command("""
xlpy trace replay run1/failure-0a1b2c3d.json -o crash.img
""")
@argument("failure", type=FilePath(dir_okay=False))
@option("-o", "--output", type=FilePath(dir_okay=False), required=True, help="Where the crash image goes.")
@json_option
def replay(env: Env, failure: Path, output: Path, as_json: bool) -> None:
    """Build a failing state again and run its check: the image stays, to be looked at. Exit status 10: it fails."""
    from xlpy.powercut import counterexample

    found = counterexample.load(failure)
    verdict = counterexample.replay(found, output, env.note)
    if as_json:
        json_document("xlpy.trace-replay/1", image=str(output), lost=found.lost, **verdict._asdict())
    else:
        out(*verdict.output.splitlines())
    leave(0 if verdict.passed else Exit.FINDINGS)


def _progress(env: Env) -> Any:  # noqa: ANN401 - rich is imported only where it is used
    """A line that tells how far the checks are, for a person at a terminal."""
    if env.quiet or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status("building states")


def _power(count: int) -> str:
    """A large count as a power of two at most as large."""
    return f"2^{count.bit_length() - 1}"


def _tell_problem(env: Env, trace: Trace) -> None:
    if trace.problem:
        env.warn(f"the trace ends early: {trace.problem}")
    elif not trace.header.complete:
        env.warn("the recorded guest did not end by itself")
