"""Building the states that a power failure may leave, and running a check on each.

A state is checked once, whichever epochs lead to it: states with the same content have the same number. What was
checked is kept beside the trace, so that an exploration that was interrupted goes on where it was.
"""

from __future__ import annotations

import json
import random
from concurrent.futures import FIRST_COMPLETED, wait
from math import prod
from pathlib import Path
from shutil import which
from stat import S_ISREG

from xlpy.contexts import suppress
from xlpy.digest import blake2b
from xlpy.errors import NotFound
from xlpy.powercut.bench import Bench, check_state, workers
from xlpy.powercut.check import Check, Verdict
from xlpy.powercut.epochs import Epochs
from xlpy.powercut.history import Durable, History
from xlpy.powercut.image import Digest
from xlpy.powercut.reads import Pruner, strace
from xlpy.powercut.states import USUAL, contents, high, states
from xlpy.powercut.subject import Subject, cut_to_size, place, source_of
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from xlpy.hw.persistency import Line
    from xlpy.powercut.bench import Checked
    from xlpy.powercut.epochs import Epoch
    from xlpy.powercut.trace import Trace

QUEUED = 4  # tasks per worker that wait
PATIENCE = 10  # seconds without any result after which it is asked whether there are workers


class ExploreOptions(NamedTuple):
    """What is tried. check: the check. device: block device that ``{image}`` is, None for the first. epochs: their
    numbers, None for all. strategies: see ``states``. samples: states an epoch of ``random``, chosen by the seed. jobs:
    checks at a time. scheduler: address of a dask.distributed cluster that does them instead. folder: for working
    files, see ``working_folder``. subject: what makes ``{domain}``, see ``Bench``."""

    check: Check
    device: str | None = None
    epochs: frozenset[int] | None = None
    strategies: Sequence[str] = USUAL
    samples: int = 8
    seed: int = 0
    jobs: int = 1
    scheduler: str | None = None
    folder: Path | None = None
    subject: type[Subject] = Subject


class Task(NamedTuple):
    """One state. key: its number. epoch, ended_by, state: what leads to it. lost: lines that lack a store. durable,
    kept: what differs from the memory before, see ``Image.set``."""

    key: str
    epoch: int
    ended_by: str
    state: dict[int, int]
    lost: int
    durable: Durable
    kept: dict[int, bytes]

    def result(self, verdict: Verdict, *, pruned: bool = False) -> StateResult:
        """What is told of it once there is a verdict."""
        return StateResult(self.key, self.epoch, self.ended_by, self.lost, self.state, verdict, pruned)


class StateResult(NamedTuple):
    """A checked state. lost: lines that lack a store; state: stores left by line. pruned: the check would read nothing
    that it has not read before, so it was not run."""

    key: str
    epoch: int
    ended_by: str
    lost: int
    state: dict[int, int]
    verdict: Verdict
    pruned: bool = False

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values; addresses are guest-physical, in hex."""
        fields = self._asdict()
        fields["state"] = {f"{address:#x}": left for address, left in self.state.items()}
        fields["verdict"] = self.verdict._asdict()
        return fields

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> StateResult:
        """What ``to_json`` gave. ValueError, KeyError, TypeError: it is damaged."""
        fields["state"] = {int(address, 16): int(left) for address, left in fields["state"].items()}
        fields["verdict"] = Verdict(**fields["verdict"])
        return cls(**fields)


class Summary(NamedTuple):
    """The whole. possible: states that exist over all tried epochs; chosen: by the strategies; distinct: contents among
    them; known: from an earlier exploration; pruned: not run, see ``StateResult``; failed: among all distinct ones.
    rebuilt: how often the check had opened its image for writing, or replaced it. problem: why the trace ends early."""

    epochs: int
    possible: int
    chosen: int
    distinct: int
    known: int
    pruned: int
    failed: int
    rebuilt: int
    problem: str | None


class Exploration:
    """One exploration of a trace.

    Args:
        trace: what was recorded. options: what is tried.
        tell: called with each result as it comes, those known from an earlier exploration included.

    Attributes:
        epochs, chosen: how many have been looked at so far. failed: distinct states that did not pass so far.

    Raises:
        NotFound: the trace has no such device or epoch. ValueError: nothing makes the domain that the check names.
    """

    def __init__(self, trace: Trace, options: ExploreOptions, tell: Callable[[StateResult], None]) -> None:
        if options.check.domain and options.subject is Subject:
            raise ValueError("a check of {domain} needs a subject that makes one: xlpy.events.crashed.DomainSubject")
        self._trace, self._options, self._tell = trace, options, tell
        self.source = source_of(trace, options.device, domain=options.check.domain)
        folder = None if options.folder is None else str(options.folder)
        self._bench = Bench(self.source, options.check, folder, options.subject)
        facts = json.dumps([options.check.command, self.source.start, *map(_version, options.check.command)]).encode()
        self.log = trace.path / f"results-{blake2b(facts, digest_size=6).hexdigest()}.jsonl"
        self.epochs = self.chosen = self.failed = 0
        self._possible = 0

    # -- states ---------------------------------------------------------------------------------------------------

    def tasks(self) -> Iterator[Task]:
        """All chosen states whose content has not come before."""
        options, wanted = self._options, self._options.epochs
        last = None if wanted is None else max(wanted, default=-1)
        history, digest, seen = History(), Digest(), set()
        for epoch in Epochs(self._trace, self._trace.before):
            step = self._settled(epoch)
            if step:
                history.steps.append(step)
                for at, data in step.items():
                    digest.put(at, data)
            if not (wanted is None or epoch.number in wanted):
                continue
            self.epochs += 1
            lines = self._lines(epoch)
            self._possible += prod(line.choices for line in lines.values())
            chooser = random.Random(f"{options.seed}-{epoch.number}")
            full = high(lines)
            for state in states(lines, options.strategies, chooser, options.samples):
                self.chosen += 1
                kept = self.kept(lines, state)
                key = digest.with_lines(kept.items())
                if key not in seen:
                    seen.add(key)
                    lost = sum(state.get(a, lines[a].durable) < most for a, most in full.items())
                    yield Task(f"{key:032x}", epoch.number, epoch.ended_by, state, lost, history.now(), kept)
            if epoch.number == last:
                break  # what comes later has no part in any of them
        if options.epochs and not self.epochs:
            raise _no_epoch(min(options.epochs))

    def at(self, number: int) -> tuple[dict[int, Line], Durable]:
        """An epoch: its lines that lie in the source, and what was durable by then.

        Raises:
            NotFound: the trace has no such epoch.
        """
        history = History()
        for epoch in Epochs(self._trace, self._trace.before):
            history.steps.append(self._settled(epoch))
            if epoch.number == number:
                return self._lines(epoch), history.now()
        raise _no_epoch(number)

    def check(self, lines: dict[int, Line], durable: Durable, state: dict[int, int]) -> Verdict:
        """Check one state of an epoch, at once."""
        return check_state(self._bench, durable, self.kept(lines, state)).verdict

    @property
    def bench(self) -> Bench:
        """What its checks have in common."""
        return self._bench

    def _place(self, line: int) -> int | None:
        return place(self._trace, self.source, line)

    def _settled(self, epoch: Epoch) -> dict[int, bytes]:
        found = ((self._place(line), cut_to_size(line, data)) for line, data in epoch.settled.items())
        return {at: data for at, data in found if at is not None}

    def kept(self, lines: dict[int, Line], state: dict[int, int]) -> dict[int, bytes]:
        """By place, what a state has on top of what was durable."""
        return {self._place(line) or 0: cut_to_size(line, data) for line, data in contents(lines, state)}

    def _lines(self, epoch: Epoch) -> dict[int, Line]:
        return {a: line for a, line in epoch.lines.items() if line.choices > 1 and self._place(a) is not None}

    # -- checks ---------------------------------------------------------------------------------------------------

    def run(self) -> Summary:
        """Check all states; results go to the listener and to the trace's folder."""
        options, check = self._options, self._options.check
        known, pruner = self._known(), Pruner() if check.prune else None
        if check.prune and not check.guest:
            strace()
        count = dict.fromkeys(("distinct", "known", "pruned", "rebuilt"), 0)
        running: dict[Future[Checked], Task] = {}
        with (
            self.log.open("a", encoding="utf-8") as log,
            workers(self._bench, options.jobs, options.scheduler) as (pool, threads, look),
        ):

            def keep(result: StateResult) -> None:
                self.failed += not result.verdict.passed
                log.write(json.dumps(result.to_json()) + "\n")
                log.flush()
                self._tell(result)

            def collect() -> None:
                while not (done := wait(running, timeout=PATIENCE, return_when=FIRST_COMPLETED).done):
                    look()
                for future in done:
                    task, checked = running.pop(future), future.result()
                    count["rebuilt"] += checked.rebuilt
                    if pruner is not None and checked.read is not None:
                        pruner.learn(task.durable, task.kept, checked.read, checked.verdict)
                    keep(task.result(checked.verdict))

            queued = 1 if pruner else QUEUED  # a state that waits cannot be pruned by what is learnt meanwhile
            most = 1 if threads == 1 else threads * queued
            for task in self.tasks():
                count["distinct"] += 1
                if (old := known.get(task.key)) is not None:
                    count["known"] += 1
                    self.failed += not old.verdict.passed
                    self._tell(old)
                elif pruner is not None and (found := pruner.verdict(task.durable, task.kept)) is not None:
                    count["pruned"] += 1
                    keep(task.result(found, pruned=True))
                else:
                    running[pool.submit(check_state, self._bench, task.durable, task.kept)] = task
                    if len(running) >= most:
                        collect()
            while running:
                collect()
        problem = self._trace.problem
        return Summary(self.epochs, self._possible, self.chosen, **count, failed=self.failed, problem=problem)

    def _known(self) -> dict[str, StateResult]:
        """By key, what an earlier exploration with the same check has found."""
        found = {}
        with suppress(FileNotFoundError), self.log.open(encoding="utf-8", errors="replace") as log:
            for line in log:
                with suppress(ValueError, KeyError, TypeError, AttributeError):  # the last may be cut short
                    one = StateResult.from_json(json.loads(line))
                    if one.verdict.status is not None:  # with more time it may end
                        found[one.key] = one
        return found


def _no_epoch(number: int) -> NotFound:
    return NotFound(f"the trace has no epoch {number}", hint="xlpy trace show lists them")


def _version(word: str) -> tuple[int, int] | None:
    """What changes when a program or a script does that a check names; None: it is no such file."""
    path = which(word)
    try:
        found = Path(path or word).stat()
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if S_ISREG(found.st_mode) else None
