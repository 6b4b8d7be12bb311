"""Building the states that a power failure may leave, and holding a check against each.

A state is checked once, whichever epochs lead to it: states with the same content have the same number. What was
checked is kept beside the trace, so that an exploration that was interrupted goes on where it was.
"""

from __future__ import annotations

import json
import random
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from math import prod
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from xlpy.digest import blake2b
from xlpy.errors import NotFound
from xlpy.hw.persistency import LINE
from xlpy.powercut.check import Verdict, run_check
from xlpy.powercut.epochs import Epochs
from xlpy.powercut.image import Digest, Image
from xlpy.powercut.states import USUAL, contents, high, states
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xlpy.hw.persistency import Line
    from xlpy.powercut.epochs import Epoch
    from xlpy.powercut.trace import Device, Trace

QUEUED = 4  # tasks per worker that wait


class Options(NamedTuple):
    """What is tried. command: the check, see ``run_check``. epochs: their numbers, None for all. sample: so many
    epochs of those, chosen by the seed. strategies: see ``states``. samples: states an epoch of ``random``. jobs:
    checks at a time. timeout: seconds each. folder: for working images; None is the trace's."""

    command: Sequence[str]
    epochs: frozenset[int] | None = None
    sample: int | None = None
    strategies: Sequence[str] = USUAL
    samples: int = 8
    seed: int = 0
    jobs: int = 1
    timeout: float = 60.0
    folder: Path | None = None


class Task(NamedTuple):
    """One state. key: its number. epoch, state: what leads to it. lines: what differs from the memory before."""

    key: str
    epoch: int
    ended_by: str
    state: dict[int, int]
    lost: int
    lines: dict[int, bytes]


class Result(NamedTuple):
    """A checked state. lost: lines that lack a store; state: stores left by line."""

    key: str
    epoch: int
    ended_by: str
    lost: int
    state: dict[int, int]
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values; addresses are guest-physical, in hex."""
        fields = self._asdict()
        fields["state"] = {f"{address:#x}": left for address, left in self.state.items()}
        fields["verdict"] = self.verdict._asdict()
        return fields


class Summary(NamedTuple):
    """The whole. possible: states that exist over all tried epochs; chosen: by the strategies; distinct: contents among
    them; known: from an earlier exploration; failed: among all distinct ones. problem: why the trace ends early."""

    epochs: int
    possible: int
    chosen: int
    distinct: int
    known: int
    failed: int
    rebuilt: int
    problem: str | None


class Exploration:
    """One exploration of a trace on one of its block devices.

    Args:
        trace: what was recorded. device: which device the image holds.
        options: what is tried.
        tell: told each result as it comes, and how many states have been chosen so far.
    """

    def __init__(self, trace: Trace, device: Device, options: Options, tell: Callable[[Result, int], None]) -> None:
        self._trace, self._device, self._options, self._tell = trace, device, options, tell
        window = trace.window_of(device.gpa)
        assert window is not None, "a device lies in a window"
        self._source = (trace.base, window.offset + device.gpa - window.gpa, device.size)
        words = json.dumps([*options.command, device.dev]).encode()
        self._log = trace.path / f"results-{blake2b(words, digest_size=6).hexdigest()}.jsonl"
        self._possible = self._chosen = self._epochs = 0

    # -- states ---------------------------------------------------------------------------------------------------

    def tasks(self) -> Iterator[Task]:
        """All chosen states whose content has not come before."""
        options = self._options
        wanted = self._wanted()
        durable: dict[int, bytes] = {}
        digest, seen = Digest(), set()
        for epoch in Epochs(self._trace, self._before):
            for address, data in epoch.settled.items():
                if (at := self._offset(address)) is not None:
                    durable[at] = data
                    digest.put(at, data)
            if not (wanted is None or epoch.number in wanted):
                continue
            self._epochs += 1
            lines = self._lines(epoch)
            self._possible += prod(line.choices for line in lines.values())
            chooser = random.Random(f"{options.seed}-{epoch.number}")
            full = high(lines)
            for state in states(lines, options.strategies, chooser, options.samples):
                self._chosen += 1
                changed = [(self._offset(a) or 0, data) for a, data in contents(lines, state)]
                key = digest.with_lines(changed)
                if key not in seen:
                    seen.add(key)
                    lost = sum(state.get(a, lines[a].durable) < most for a, most in full.items())
                    whole = durable | dict(changed)
                    yield Task(f"{key:032x}", epoch.number, epoch.ended_by, state, lost, whole)

    def at(self, number: int) -> tuple[dict[int, Line], dict[int, bytes]]:
        """An epoch: its lines that lie in the image, and by offset in the image what was durable by then.

        Raises:
            NotFound: the trace has no such epoch.
        """
        durable: dict[int, bytes] = {}
        for epoch in Epochs(self._trace, self._before):
            durable |= {at: data for a, data in epoch.settled.items() if (at := self._offset(a)) is not None}
            if epoch.number == number:
                return self._lines(epoch), durable
        raise NotFound(f"the trace has no epoch {number}", hint="xlpy trace show lists them")

    def image(self, path: Path) -> Image:
        """A working image of the device."""
        return Image(path, *self._source)

    def content(self, lines: dict[int, Line], durable: dict[int, bytes], state: dict[int, int]) -> dict[int, bytes]:
        """What differs from the memory before the run, by offset in the image, in one state of an epoch."""
        return durable | {self._offset(a) or 0: data for a, data in contents(lines, state)}

    def _lines(self, epoch: Epoch) -> dict[int, Line]:
        return {a: line for a, line in epoch.lines.items() if line.choices > 1 and self._offset(a) is not None}

    def _wanted(self) -> frozenset[int] | set[int] | None:
        options = self._options
        if options.sample is None:
            return options.epochs
        numbers = [epoch.number for epoch in Epochs(self._trace, self._before)]
        if options.epochs is not None:
            numbers = [number for number in numbers if number in options.epochs]
        chooser = random.Random(options.seed)
        return set(chooser.sample(numbers, min(options.sample, len(numbers))))

    def _before(self, gpa: int, length: int) -> bytes:
        window = self._trace.window_of(gpa)
        if window is None:
            return bytes(length)
        with self._trace.base.open("rb") as file:
            file.seek(window.offset + gpa - window.gpa)
            return file.read(length).ljust(length, b"\0")

    def _offset(self, gpa: int) -> int | None:
        """Where a line lies in the image; None outside of it."""
        at = gpa - self._device.gpa
        return at if 0 <= at <= self._device.size - LINE else None

    # -- checks ---------------------------------------------------------------------------------------------------

    def run(self) -> Summary:
        """Check all states; results go to the listener and to the trace's folder."""
        known = self._known()
        distinct = reused = failed = 0
        with (
            TemporaryDirectory(prefix="images-", dir=self._options.folder or self._trace.path) as folder,
            self._log.open("a", encoding="utf-8") as log,
            ThreadPoolExecutor(self._options.jobs) as pool,
        ):
            images = [self.image(Path(folder) / f"image{i}") for i in range(self._options.jobs)]
            free: SimpleQueue[Image] = SimpleQueue()
            for image in images:
                free.put(image)
            running: set[Future[Result]] = set()

            def collect(done: set[Future[Result]]) -> None:
                nonlocal failed
                for future in done:
                    result = future.result()
                    failed += not result.verdict.passed
                    log.write(json.dumps(result.to_json()) + "\n")
                    log.flush()
                    self._tell(result, self._chosen)

            for task in self.tasks():
                distinct += 1
                if task.key in known:
                    reused += 1
                    failed += not known[task.key]
                    continue
                running.add(pool.submit(self._check, task, free))
                if len(running) >= self._options.jobs * QUEUED:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    collect(done)
            collect(running)
            rebuilt = sum(image.rebuilt for image in images)
        return Summary(
            self._epochs, self._possible, self._chosen, distinct, reused, failed, rebuilt, self._trace.problem
        )

    def _check(self, task: Task, free: SimpleQueue[Image]) -> Result:
        image = free.get()
        try:
            image.set(task.lines)
            verdict = run_check(self._options.command, image.path, self._options.timeout)
        finally:
            free.put(image)
        return Result(task.key, task.epoch, task.ended_by, task.lost, task.state, verdict)

    def _known(self) -> dict[str, bool]:
        """Whether a state passed, for those that were checked by an earlier exploration with the same check."""
        found = {}
        with suppress(FileNotFoundError):
            for line in self._log.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, KeyError, TypeError):  # the last line may be cut short
                    values = json.loads(line)
                    found[values["key"]] = values["verdict"]["status"] == 0
        return found
