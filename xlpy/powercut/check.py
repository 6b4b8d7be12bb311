"""Running a check on a crash image: any program, with bounds on its time and on what it prints."""

from __future__ import annotations

import os
import re
import select
import signal
import time
from itertools import count
from pathlib import Path

from xlpy.contexts import suppress
from xlpy.errors import NotFound
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KEEP = 16 << 10  # bytes of output that are kept: the first half and the last
CHUNK = 1 << 16
MARK = "XLPY_CHECK"  # in the environment of all that a check starts: what has left its process group is found by it
ROUNDS = 16  # in which what was started meanwhile is looked for
GUEST_ENDED = "guest: exit status "  # what the guest kit's /init says on the console, with the status of the script

_numbers = count()


class Verdict(NamedTuple):
    """How a check ended. status: as a shell reports it (128 + signal); None: it was stopped after its time."""

    status: int | None
    output: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether it found nothing."""
        return self.status == 0


class Check(NamedTuple):
    """A check. command: program and arguments with placeholders. timeout: seconds; then the program and all that it has
    started are killed. guest: its status is what the guest's console says (``guest/init.sh``). prune: what it reads is
    followed, see ``reads``."""

    command: tuple[str, ...]
    timeout: float = 60.0
    guest: bool = False
    prune: bool = False

    @property
    def domain(self) -> bool:
        """Whether it wants a domain."""
        return any("{domain}" in word for word in self.command)


def run_check(check: Check, values: Mapping[str, str], variables: Mapping[str, str] | None = None) -> Verdict:
    """Run a check.

    Args:
        check: what. values: what stands for ``{name}`` in its command, by name. variables: of its environment.

    Raises:
        NotFound: there is no such program.
    """
    words = [_filled(word, values) for word in check.command]
    timeout, mark = check.timeout, f"{os.getpid()}-{next(_numbers)}"
    started = time.monotonic()
    ours, theirs = os.pipe()
    try:
        # less than half of what a subprocess.Popen costs, and checks are often as short as that
        child = os.posix_spawnp(
            words[0],
            words,
            {**os.environ, **(variables or {}), MARK: mark},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, theirs, 1),
                (os.POSIX_SPAWN_DUP2, theirs, 2),
            ],
            setsid=True,
        )
    except OSError as error:
        os.close(ours)
        raise NotFound(f"{words[0]}: {error.strerror}", hint="name a program that can be run") from error
    finally:
        os.close(theirs)
    head, tail, in_time = b"", b"", False
    try:
        ended, deadline = os.pidfd_open(child), started + timeout
        try:
            while (chunk := _read(ours, deadline)) is not None and chunk:
                room = KEEP // 2 - len(head)
                head, tail = head + chunk[:room], (tail + chunk[max(room, 0) :])[-KEEP // 2 :]
            in_time = chunk is not None and _ready(ended, deadline)
        finally:
            os.close(ended)
    finally:
        os.close(ours)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # whatever it has left running too
        if not in_time:
            _kill_marked(f"{MARK}={mark}".encode())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    text = (head + tail if len(head) < KEEP // 2 or not tail else head + b"\n[...]\n" + tail).decode(errors="replace")
    final = None if not in_time else status if status >= 0 else 128 - status
    if check.guest and final == 0:
        final = _guest_status(text)
    return Verdict(final, text, round(time.monotonic() - started, 3))


def _kill_marked(mark: bytes) -> None:
    """Kill all processes that have this in their environment: daemons of a check that was stopped."""
    for _ in range(ROUNDS):
        found = False
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is another user's
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)
                    found = True
        if not found:
            return


def _ready(fd: int, deadline: float) -> bool:
    """Whether a descriptor can be read before time is up."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(deadline - time.monotonic(), 0) * 1000))


def _read(fd: int, deadline: float) -> bytes | None:
    """What comes next, empty at the end; None: time is up."""
    return os.read(fd, CHUNK) if _ready(fd, deadline) else None


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _guest_status(console: str) -> int:
    """What the guest's script has ended with; 255 when its console does not show it."""
    found = re.findall(rf"^{GUEST_ENDED}(\d+)", console, re.MULTILINE)
    return int(found[-1]) if found else 255
