"""Where checks run: threads of this process, or the workers of a dask.distributed cluster.

Both take the same function and give the same futures. Each worker keeps its subjects from one state to the next.
"""

from __future__ import annotations

import logging
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from xlpy.contexts import contextmanager, suppress
from xlpy.errors import Constraint, MissingTool, NotFound
from xlpy.powercut.check import GUEST_ENDED, Check, Verdict, run_check
from xlpy.powercut.reads import merged, reads_of, reads_of_guest, strace, strace_words
from xlpy.powercut.record import READS
from xlpy.powercut.subject import StateSource, Subject
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from xlpy.powercut.history import Durable
    from xlpy.powercut.reads import Ranges

AGAIN = "what was checked is kept: the same command goes on"


class Bench(NamedTuple):
    """What all checks of an exploration have in common. folder: for working files, see ``working_folder``.

    subject: makes what a check is run on; a class of a module, so that the workers of a cluster find it.
    """

    source: StateSource
    check: Check
    folder: str | None = None
    subject: type[Subject] = Subject


class Checked(NamedTuple):
    """A verdict, what was read of the state (None: not known), and whether the image had to be made anew before."""

    verdict: Verdict
    read: Ranges | None
    rebuilt: bool


_lock = Lock()
_idle: dict[Bench, list[Subject]] = {}


def check_state(bench: Bench, durable: Durable, kept: Mapping[int, bytes]) -> Checked:
    """Check one state, in whatever process.

    Args:
        durable, kept: the state, see ``Image.set``.
    """
    with _lock:
        waiting = _idle.setdefault(bench, [])
        subject = waiting.pop() if waiting else None
    if subject is None:
        subject = bench.subject(bench.source, Path(bench.folder) if bench.folder else None)
    try:
        before = subject.image.rebuilt
        subject.set(durable, kept)
        verdict, read = _run(bench.check, subject)
        return Checked(verdict, read, subject.image.rebuilt > before)
    finally:
        with _lock:
            _idle.setdefault(bench, []).append(subject)


def close(bench: Bench) -> None:
    """Remove the files of all subjects of this process."""
    with _lock:
        subjects = _idle.pop(bench, [])
    for subject in subjects:
        subject.close()


def _run(check: Check, subject: Subject) -> tuple[Verdict, Ranges | None]:
    if not check.prune:
        return run_check(check, subject.values, subject.variables), None
    log = subject.folder / "reads"
    if check.guest:
        windows = {one.gpa: (one.size, one.offset) for one in subject.trace.header.windows}
        labels = tuple((one.labels, one.labels + one.label_size) for one in subject.trace.header.windows)
        with TemporaryDirectory(dir=subject.folder) as record:
            recorded = check._replace(command=(*check.command, "--record", record))
            verdict = run_check(recorded, subject.values, {**subject.variables, READS: str(log)})
        if GUEST_ENDED not in verdict.output or not log.exists():
            return verdict, None  # it did not come to its end, and who knows why
        found = merged((*reads_of_guest(log, windows), *labels))  # all labels: they are read through _DSM
    else:
        words = strace_words(strace(), subject.image.path, log)
        verdict = run_check(check._replace(command=(*words, *check.command)), subject.values, subject.variables)
        if verdict.status is None or not log.exists():
            return verdict, None
        traced = reads_of(log, subject.source.size)
        if traced is None:
            return verdict, None
        found = traced
    log.unlink()
    return verdict, found


class Inline(Executor):
    """Carries out each call at once, in the calling thread: no thread waits for another."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Call; the future has the outcome already."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Workers(NamedTuple):
    """What carries out calls. threads: how many at a time. look: raises Constraint when nothing does any longer."""

    pool: Executor
    threads: int
    look: Callable[[], None]


@contextmanager
def workers(bench: Bench, jobs: int, scheduler: str | None) -> Iterator[Workers]:
    """Those who carry out checks.

    Args:
        jobs: threads of this process. scheduler: address of a cluster's scheduler instead; its workers must find the
            trace under the same path.

    Raises:
        MissingTool: dask.distributed is not installed. NotFound: nothing answers there. Constraint: no workers.
    """
    if scheduler is None:
        with Inline() if jobs == 1 else ThreadPoolExecutor(jobs) as pool:
            try:
                yield Workers(pool, jobs, lambda: None)
            finally:
                pool.shutdown(cancel_futures=True)
                close(bench)
        return
    client = _client(scheduler)

    def threads() -> int:
        try:
            count: int = sum(client.nthreads().values())
        except (OSError, TimeoutError) as error:
            raise _gone(scheduler) from error
        if not count:
            raise Constraint(
                f"the cluster at {scheduler} has no workers", hint=f"start some: dask worker ADDRESS; {AGAIN}"
            )
        return count

    def look() -> None:
        threads()

    pool = client.get_executor(pure=False, retries=0)
    try:
        yield Workers(pool, threads(), look)
    except CancelledError as error:
        raise _gone(scheduler) from error
    finally:
        with suppress(OSError, TimeoutError, CancelledError):
            pool.shutdown(wait=False)
            client.run(close, bench)
        client.close()


def _gone(scheduler: str) -> Constraint:
    return Constraint(f"the scheduler at {scheduler} answers no longer", hint=AGAIN)


def _client(address: str) -> Any:  # noqa: ANN401 - distributed is optional, and not typed
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise MissingTool("dask.distributed", "python3-distributed") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it is an error here
    try:
        return distributed.Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise NotFound(
            f"no scheduler answers at {address}: {error}",
            hint="name one as tcp://HOST:8786; `dask scheduler` starts one",
        ) from error
