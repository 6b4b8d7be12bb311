"""``xlpy trace cut`` and ``replay``: the states that a power failure leaves, and a check on each."""

from __future__ import annotations

import sys

from xlpy.cli.declare import argument, command, leave, option
from xlpy.cli.options import json_option
from xlpy.cli.render import json_document, json_line
from xlpy.cli.show import flush, out
from xlpy.cli.trace import EXACT, power_of_two, tell_problem, trace_argument
from xlpy.cli.types import Choice, FilePath, IntRange, Seconds
from xlpy.contexts import contextmanager
from xlpy.errors import Exit, UsageError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from xlpy.cli.env import Env
    from xlpy.powercut.check import Check
    from xlpy.powercut.explore import Exploration, ExploreOptions, StateResult, Summary
    from xlpy.powercut.subject import Subject
    from xlpy.powercut.trace import Trace

SHOWN = 5  # failures that are reported as they come


@command("""
xlpy trace cut run1 -- e2fsck -fn {image}
xlpy trace cut run1 --sample 20 --jobs 2 --prune --html run1.html -- sh -c 'e2fsck -fn "$1" >&2' check {image}
xlpy trace cut run1 --at 12 -- xlpy guest probe {domain}
xlpy trace cut run1 --mark 2 -- e2fsck -fn {image}
xlpy trace cut run1 --sample 5 --boot recover.sh
""")
@trace_argument
@option("--device", metavar="DEV", help="Block device of the guest that {image} is, such as pmem0 (else the first).")
@option("--at", "at", type=IntRange(0), metavar="EPOCH", help="Only a failure at the end of this epoch.")
@option("--mark", type=IntRange(0), metavar="N", help="At the end of every epoch between mark N and the mark before.")
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
@option("--boot", "script", type=FilePath(), metavar="SCRIPT", help="Run a script in a fresh guest.")
@option("--kernel", type=FilePath(), metavar="BZIMAGE", help="For --boot, another kernel than recorded.")
@option("--initrd", type=FilePath(), metavar="FILE", help="For --boot, another one than recorded.")
@option("--append", metavar="TEXT", help="For --boot, other words for the kernel's command line.")
@option("--prune", is_flag=True, help="Do not check what differs only in places that the check does not read.")
@option("--jobs", type=IntRange(1), default=1, metavar="N", help="Checks at a time.")
@option("--scheduler", metavar="ADDRESS", help="Hand the checks to a dask.distributed cluster (xlpy[cluster]).")
@option("--timeout", type=Seconds(some=True), default=60.0, metavar="S", help="Seconds that a check may take.")
@option("--keep", type=FilePath(out="file"), metavar="FILE", help="Where a reduced failure goes.")
@option(
    "--work-dir",
    "work",
    type=FilePath(out="folder"),
    metavar="DIR",
    help="Where images are (else memory, or the trace).",
)
@option("--html", "page", type=FilePath(out="stream"), metavar="FILE", help="Write all that was found as one page.")
@json_option
@argument("words", nargs=-1, metavar="[-- CHECK...]")
def cut(
    env: Env,
    trace: Path,
    device: str | None,
    at: int | None,
    mark: int | None,
    every: bool,
    sample: int | None,
    seed: int,
    strategies: tuple[str, ...],
    samples: int,
    script: Path | None,
    kernel: Path | None,
    initrd: Path | None,
    append: str | None,
    prune: bool,
    jobs: int,
    scheduler: str | None,
    timeout: float,
    keep: Path | None,
    work: Path | None,
    page: Path | None,
    as_json: bool,
    words: tuple[str, ...],
) -> None:
    """Build what a power failure may leave, and run CHECK on each distinct state.

    {image} in CHECK is the content of one of the guest's block devices. {domain} is a domain as the recorded one was,
    on a host of its own, and {image} then all of its vNVDIMMs. With --boot a fresh guest runs a script on the state;
    the guest kit's initramfs is needed. A state passes when CHECK, or the script, ends with 0. The first failing one is
    reduced to the fewest lost lines and kept for `xlpy trace replay`. Results are kept beside the trace: an exploration
    that was interrupted goes on. Exit status 10: a state has failed.
    """
    from xlpy.powercut.explore import Exploration, ExploreOptions
    from xlpy.powercut.states import USUAL
    from xlpy.powercut.trace import Trace

    _refuse_combinations(words, script, (kernel, initrd, append), (at, mark, sample, every or None), scheduler, jobs)
    opened = Trace(trace)
    check = _check(opened, words, script, (kernel, initrd, append), timeout, prune)
    options = ExploreOptions(
        check,
        device,
        _epochs(opened, at, mark, sample, seed),
        strategies or USUAL,
        samples,
        seed,
        jobs,
        scheduler,
        work,
        subject=_subject(check),
    )
    results: list[StateResult] = []
    with _progress(env, options, opened) as tell_progress:

        def tell(result: StateResult) -> None:
            results.append(result)
            _tell(env, result, exploration.failed, as_json)
            tell_progress(exploration, results)

        exploration = Exploration(opened, options, tell)
        summary = exploration.run()
    _report(env, opened, options, summary, results, keep, page, as_json)
    leave(Exit.FINDINGS if summary.failed else 0)


def _epochs(trace: Trace, at: int | None, mark: int | None, sample: int | None, seed: int) -> frozenset[int] | None:
    """The numbers of the epochs that are wanted; None: all of them."""
    from xlpy.powercut.epochs import before_mark, sampled

    if mark is not None:
        return before_mark(trace, mark)
    if sample is not None:
        return sampled(trace, sample, seed)
    return None if at is None else frozenset((at,))


def _refuse_combinations(
    words: tuple[str, ...],
    script: Path | None,
    guest: tuple[Path | None, Path | None, str | None],
    chosen: tuple[int | None, ...],
    scheduler: str | None,
    jobs: int,
) -> None:
    """UsageError for options that exclude each other."""
    if not words and script is None:
        raise UsageError("a check is needed behind --", hint="xlpy trace cut TRACE -- e2fsck -fn {image}")
    if words and script is not None:
        raise UsageError("--boot and a check behind -- exclude each other", hint="choose one of them")
    if script is None and (any(word is not None for word in guest)):
        raise UsageError("--kernel, --initrd and --append belong to --boot", hint="xlpy trace cut TRACE --boot SCRIPT")
    if sum(one is not None for one in chosen) > 1:
        raise UsageError("--at, --mark, --sample and --all exclude each other", hint="choose one of them")
    if scheduler is not None and jobs != 1:
        raise UsageError("--jobs and --scheduler exclude each other", hint="the cluster's workers say how many")


def _report(
    env: Env,
    opened: Trace,
    options: ExploreOptions,
    summary: Summary,
    results: list[StateResult],
    keep: Path | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """The sum, the smallest failure, and the page."""
    tell_problem(env, opened)
    _sum_up(summary, as_json)
    if summary.rebuilt:
        env.note(f"note: the check writes to its image, which was made anew {summary.rebuilt} times: give it a copy")
    if summary.failed:
        _reduce(env, opened, options, results, keep)
    if page is not None:
        _write_page(env, page, opened, options, summary, results)


def _check(
    trace: Trace,
    words: tuple[str, ...],
    script: Path | None,
    guest: tuple[Path | None, Path | None, str | None],
    timeout: float,
    prune: bool,
) -> Check:
    from xlpy.powercut.check import Check
    from xlpy.powercut.recovery import Guest, guest_check

    if script is not None:
        return guest_check(trace, script, Guest(*guest), timeout, prune=prune)
    check = Check(words, timeout, prune=prune)
    if prune and check.domain:
        raise UsageError("what a check reads of {domain} is not followed", hint="leave --prune out, or use --boot")
    return check


def _subject(check: Check) -> type[Subject]:
    if check.domain:
        from xlpy.events.crashed import DomainSubject

        return DomainSubject
    from xlpy.powercut.subject import Subject

    return Subject


def _tell(env: Env, result: StateResult, failures: int, as_json: bool) -> None:
    if as_json:
        json_line("xlpy.trace-result/1", **result.to_json())
        flush()
    if not result.verdict.passed and failures <= SHOWN:
        status = result.verdict.status
        how = "was stopped after its time" if status is None else f"exit {status}"
        env.note(f"epoch {result.epoch}: {result.lost} lines lack stores: {how}")


def _sum_up(summary: Summary, as_json: bool) -> None:
    if as_json:
        json_line("xlpy.trace-cut/1", **summary._asdict() | {"possible": power_of_two(summary.possible)})
        return
    possible = summary.possible if summary.possible < EXACT else power_of_two(summary.possible)
    pruned = f", {summary.pruned} pruned" if summary.pruned else ""
    out(
        f"{summary.epochs} epochs, {possible} states possible, {summary.chosen} chosen, {summary.distinct} distinct"
        f" ({summary.known} known from before{pruned}), {summary.failed} failed"
    )


def _reduce(env: Env, trace: Trace, options: ExploreOptions, results: list[StateResult], keep: Path | None) -> None:
    """Make the smallest failure smaller, and keep it."""
    from xlpy.powercut.counterexample import reduced, save

    failures = (result for result in results if not result.verdict.passed)
    smallest = min(failures, key=lambda result: (result.lost, result.epoch))
    kept = keep or trace.path / f"failure-{smallest.key[:8]}.json"
    found = reduced(trace, options, smallest)
    save(kept, found)
    env.note(f"{kept}: reduced from {smallest.lost} lost lines to {len(found.lost)} of {found.open_lines}:")
    for place in found.lost[:20]:
        env.note(f"  {place}")
    env.note(f"  hint: xlpy trace replay {kept} -o crash.img")


def _write_page(
    env: Env, path: Path, trace: Trace, options: ExploreOptions, summary: Summary, results: list[StateResult]
) -> None:
    from xlpy.outputs import replacing
    from xlpy.powercut.page import page

    with replacing(path, stream=True) as file:
        file.write(page(trace, options, summary, results).encode())
    env.note(f"{path}: {len(results)} states, {summary.failed} failed")


@command("""
xlpy trace replay run1/failure-0a1b2c3d.json -o crash.img
""")
@argument("failure", type=FilePath())
@option("-o", "--output", type=FilePath(out="file"), required=True, help="Where the crash image goes.")
@json_option
def replay(env: Env, failure: Path, output: Path, as_json: bool) -> None:
    """Build a failing state again and run its check: the image stays, to be looked at. Exit status 10: it fails."""
    from xlpy.powercut import counterexample
    from xlpy.powercut.check import Check

    found = counterexample.load(failure)
    subject = _subject(Check(tuple(found.command)))
    verdict = counterexample.replay(found, output, env.note, subject)
    if as_json:
        json_document("xlpy.trace-replay/1", image=str(output), lost=found.lost, **verdict._asdict())
    else:
        out(*verdict.output.splitlines())
    leave(0 if verdict.passed else Exit.FINDINGS)


@contextmanager
def _progress(
    env: Env, options: ExploreOptions, trace: Trace
) -> Iterator[Callable[[Exploration, list[StateResult]], None]]:
    """A bar over the epochs, for a person at a terminal."""
    if env.quiet or not sys.stderr.isatty():
        yield lambda _exploration, _results: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from xlpy.powercut.epochs import count_epochs

    total = count_epochs(trace) if options.epochs is None else len(options.epochs)
    columns = (TextColumn("epochs"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("building states", total=total)

        def tell(exploration: Exploration, results: list[StateResult]) -> None:
            text = f"{len(results)} states checked, {exploration.failed} failed; {exploration.chosen} chosen so far"
            progress.update(bar, completed=exploration.epochs, description=text)

        yield tell
