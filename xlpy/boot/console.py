"""Everything that happens while a guest runs, in one loop: its serial console, its mailbox, its end.

A byte on a port of the emulator's board tells that a guest has rung the mailbox's doorbell. A guest may ring without
it, so this process looks all the same: every millisecond while there is such traffic, less often the longer there is
none, which costs next to nothing when the guest is idle.
"""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import contextmanager, suppress

from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.boot.emulator import Emulator

BUSY_MS, IDLE_MS = 1, 5  # how often the doorbell is looked at
PATIENCE = 0.25  # seconds without a request after which looking becomes less frequent
BACKLOG = 1 << 20  # bytes of console output that may wait for a slow reader
SERIAL_LOG = "serial.log"  # in the domain's directory
LOG_MAX = 16 << 20  # bytes of console output that are kept
_CHUNK = 4096  # PIPE_BUF: what a pipe takes without blocking once it is writable
_TAIL = 4096


class Run(NamedTuple):
    """How a guest's run ended.

    timed_out: time was up before it ended. tail: the end of the console output. requests: how many the mailbox has
    answered.
    """

    timed_out: bool
    tail: str
    requests: int


def run(
    emulator: Emulator,
    out: int,
    source: int | None,
    deadline: float | None,
    doorbell: Callable[[], bool] | None,
    log: int | None = None,
) -> Run:
    """Serve a guest until it ends or time is up.

    Args:
        emulator: it runs in there.
        out: descriptor for its console output.
        source: descriptor with its console input, or None.
        deadline: by ``time.monotonic``, or None.
        doorbell: answers a waiting request and tells whether there was one; None: there is no mailbox.
        log: descriptor of a file that keeps the console output, or None.

    Raises:
        BrokenPipeError: nobody reads ``out`` any more.
    """
    poll = select.poll()
    for fd in (emulator.console_out, emulator.errors, emulator.monitor.fileno(), emulator.wake.fileno()):
        poll.register(fd, select.POLLIN)
    if source is not None:
        poll.register(source, select.POLLIN)
    pending, typed, tail = b"", b"", b""
    requests, last, pause = 0, 0.0, float(IDLE_MS)
    open_ = True
    while open_ or pending:
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            return Run(True, tail.decode(errors="replace"), requests)
        if doorbell is not None:
            if doorbell():
                requests, last, pause = requests + 1, now, BUSY_MS
            elif now - last > PATIENCE:
                pause = min(pause * 1.25, IDLE_MS)
        wait = None if doorbell is None else pause
        if deadline is not None:
            left = (deadline - now) * 1000 + 1
            wait = left if wait is None else min(wait, left)
        for fd, _ in poll.poll(wait):
            if fd == emulator.console_out:
                data = os.read(fd, 1 << 16)
                if log is not None:
                    _log(log, data)
                pending, tail, open_ = pending + data, (tail + data)[-_TAIL:], bool(data)
            elif fd == emulator.errors:
                if not emulator.read_errors():
                    poll.unregister(fd)
            elif fd == emulator.monitor.fileno():
                if not emulator.read_monitor():
                    poll.unregister(fd)
            elif fd == emulator.wake.fileno():
                if not emulator.heard():
                    poll.unregister(fd)
            elif fd == source:
                typed = os.read(fd, _CHUNK)
                poll.unregister(fd)
                if typed:
                    poll.register(emulator.console_in, select.POLLOUT)
            elif fd == emulator.console_in:
                typed = _feed(fd, typed)
                if not typed:
                    poll.unregister(fd)
                    if source is not None:
                        poll.register(source, select.POLLIN)
            else:
                pending = pending[os.write(out, pending[:_CHUNK]) :]
        _watch(poll, out, select.POLLOUT, wanted=bool(pending))
        _watch(poll, emulator.console_out, select.POLLIN, wanted=open_ and len(pending) < BACKLOG)
    return Run(False, tail.decode(errors="replace"), requests)


def _log(log: int, data: bytes) -> None:
    """Keep console output; what a full disk or a talkative guest costs is the rest of the log, never the boot."""
    with suppress(OSError):
        if os.fstat(log).st_size < LOG_MAX:
            os.write(log, data)


def _watch(poll: select.poll, fd: int, events: int, *, wanted: bool) -> None:
    if wanted:
        poll.register(fd, events)
    else:
        try:
            poll.unregister(fd)
        except KeyError:
            return


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
