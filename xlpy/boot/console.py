"""Everything that happens while a guest runs, in one loop: its serial console, its mailbox, its end.

A byte on a port of the emulator's board says that a guest has rung the mailbox's doorbell. A guest may ring without
it, so this process looks all the same: seldom until it finds such a request; from then on every millisecond while there
is such traffic, less often the longer there is none, which costs next to nothing when the guest is idle.
"""

from __future__ import annotations

import os
import select
import sys
import time

from xlpy.contexts import contextmanager, suppress
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.boot.emulator import Emulator

BUSY_MS, IDLE_MS = 1, 5  # how often the doorbell is looked at, of a guest that rings without a byte on the port
TOLD_MS = 50  # of one that has not done so yet
PATIENCE = 0.25  # seconds without a request after which looking becomes less frequent
BACKLOG = 1 << 20  # bytes of console output that may wait for a slow reader
SERIAL_LOG = "serial.log"  # in the domain's directory
LOG_MAX = 16 << 20  # bytes of console output that are kept
_CHUNK = 4096  # PIPE_BUF: what a pipe takes without blocking once it is writable
_TAIL = 4096


class GuestRunEnd(NamedTuple):
    """How a guest's run ended.

    timed_out: time was up before it ended. tail: the end of the console output. requests: how many the mailbox has
    answered.
    """

    timed_out: bool
    tail: str
    requests: int


class GuestRun:
    """Serves a guest until it ends or time is up.

    Args:
        emulator: it runs in there.
        out: descriptor for its console output.
        source: descriptor with its console input, or None.
        deadline: by ``time.monotonic``, or None.
        doorbell: answers a waiting request and returns whether there was one; None: there is no mailbox.
        log: descriptor of a file that keeps the console output, or None.
    """

    def __init__(
        self,
        emulator: Emulator,
        out: int,
        source: int | None,
        deadline: float | None,
        doorbell: Callable[[], bool] | None,
        log: int | None = None,
    ) -> None:
        self._emulator, self._out, self._source, self._log = emulator, out, source, log
        self._deadline, self._doorbell = deadline, doorbell
        self._pending = self._typed = self._tail = b""
        self._requests, self._last, self._pause, self._most = 0, 0.0, float(TOLD_MS), TOLD_MS
        self._told = False  # by the port, of a request that was not answered yet
        self._open = True  # whether more console output may come
        self._poll = select.poll()
        self._read: dict[int, Callable[[], bool]] = {  # by descriptor: False at its end
            emulator.errors: emulator.read_errors,
            emulator.monitor.fileno(): emulator.read_monitor,
            emulator.wake.fileno(): emulator.read_wake,
        }
        for fd in (emulator.console_out, *self._read):
            self._poll.register(fd, select.POLLIN)
        if source is not None:
            self._poll.register(source, select.POLLIN)

    def serve(self) -> GuestRunEnd:
        """Do it.

        Raises:
            BrokenPipeError: ``out`` has no reader any more.
        """
        while self._open or self._pending:
            now = time.monotonic()
            if self._deadline is not None and now >= self._deadline:
                return self._ended(timed_out=True)
            self._answer(now)
            for fd, _ in self._poll.poll(self._wait(now)):
                self._handle(fd)
            self._watch(self._out, select.POLLOUT, wanted=bool(self._pending))
            wanted = self._open and len(self._pending) < BACKLOG
            self._watch(self._emulator.console_out, select.POLLIN, wanted=wanted)
        return self._ended(timed_out=False)

    def _ended(self, *, timed_out: bool) -> GuestRunEnd:
        return GuestRunEnd(timed_out, self._tail.decode(errors="replace"), self._requests)

    def _answer(self, now: float) -> None:
        """Look at the doorbell, and decide how soon to look again."""
        if self._doorbell is None:
            return
        if self._doorbell():
            self._requests += 1
            if not self._told:
                self._last, self._pause, self._most = now, BUSY_MS, IDLE_MS
        elif now - self._last > PATIENCE:
            self._pause = min(self._pause * 1.25, self._most)
        self._told = False

    def _wait(self, now: float) -> float | None:
        """Milliseconds until the doorbell or the deadline is due."""
        due = [] if self._doorbell is None else [self._pause]
        if self._deadline is not None:
            due.append((self._deadline - now) * 1000 + 1)
        return min(due, default=None)

    def _handle(self, fd: int) -> None:
        """Something happened at a descriptor."""
        emulator = self._emulator
        if fd == emulator.console_out:
            data = os.read(fd, 1 << 16)
            if self._log is not None:
                _append(self._log, data)
            self._pending, self._tail = self._pending + data, (self._tail + data)[-_TAIL:]
            self._open = bool(data)
        elif fd in self._read:
            self._told |= fd == emulator.wake.fileno()
            if not self._read[fd]():
                self._poll.unregister(fd)
        elif fd == self._source:
            self._typed = os.read(fd, _CHUNK)
            self._poll.unregister(fd)
            if self._typed:
                self._poll.register(emulator.console_in, select.POLLOUT)
        elif fd == emulator.console_in:
            self._typed = _feed(fd, self._typed)
            if not self._typed:
                self._poll.unregister(fd)
                if self._source is not None:
                    self._poll.register(self._source, select.POLLIN)
        else:
            self._pending = self._pending[os.write(self._out, self._pending[:_CHUNK]) :]

    def _watch(self, fd: int, events: int, *, wanted: bool) -> None:
        if wanted:
            self._poll.register(fd, events)
        else:
            with suppress(KeyError):
                self._poll.unregister(fd)


def _append(log: int, data: bytes) -> None:
    """Keep console output; what a full disk or a talkative guest costs is the rest of the log, never the boot."""
    with suppress(OSError):
        if os.fstat(log).st_size < LOG_MAX:
            os.write(log, data)


def _feed(fd: int, typed: bytes) -> bytes:
    """Type at the guest; what it has not taken. An emulator that is gone takes everything."""
    try:
        return typed[os.write(fd, typed) :]
    except BlockingIOError:
        return typed
    except BrokenPipeError:
        return b""


@contextmanager
def keyboard() -> Iterator[int | None]:
    """This process's standard input for the guest, or None when there is none to read.

    A terminal passes each key at once and does not echo it, since the guest does; Ctrl-C stays xlpy's.
    """
    try:
        fd = sys.stdin.fileno()
    except (AttributeError, ValueError, OSError):  # closed, or replaced by something that is no file
        yield None
        return
    if not os.isatty(fd):
        yield fd
        return
    try:
        background = os.tcgetpgrp(fd) != os.getpgrp()
    except OSError:  # not the terminal that controls this process, so reading it is always allowed
        background = False
    if background:
        yield None
        return
    import termios

    saved = termios.tcgetattr(fd)
    keys = termios.tcgetattr(fd)
    keys[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(fd, termios.TCSADRAIN, keys)
    try:
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, saved)
