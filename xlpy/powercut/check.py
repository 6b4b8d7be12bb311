"""Running a check on a crash image: any program, with bounds on its time and on what it prints."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
from contextlib import suppress

from xlpy.errors import NotFound
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KEEP = 16 << 10  # bytes of output that are kept: the first half and the last
CHUNK = 1 << 16


class Verdict(NamedTuple):
    """How a check ended. status: as a shell tells it (128 + signal); None: it was stopped after its time."""

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
    timeout = check.timeout
    started = time.monotonic()
    try:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(variables or {})},
        )
    except OSError as error:
        raise NotFound(f"{words[0]}: {error.strerror}", hint="name a program that can be run") from error
    head, tail, in_time = b"", b"", True
    assert child.stdout is not None
    with child, selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            left = started + timeout - time.monotonic()
            if left <= 0 or not selector.select(left):
                in_time = False
                break
            chunk = os.read(child.stdout.fileno(), CHUNK)
            if not chunk:
                break
            room = KEEP // 2 - len(head)
            head, tail = head + chunk[:room], (tail + chunk[max(room, 0) :])[-KEEP // 2 :]
        try:
            child.wait(max(started + timeout - time.monotonic(), 0.01) if in_time else 0.01)
        except subprocess.TimeoutExpired:
            in_time = False
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # whatever it has left running too
        status = child.wait()
    text = (head + tail if len(head) < KEEP // 2 or not tail else head + b"\n[...]\n" + tail).decode(errors="replace")
    final = None if not in_time else status if status >= 0 else 128 - status
    if check.guest and final == 0:
        final = _guest_status(text)
    return Verdict(final, text, round(time.monotonic() - started, 3))


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _guest_status(console: str) -> int:
    """What the guest's script has ended with; 255 when its console does not tell."""
    found = re.findall(r"^guest: exit status (\d+)", console, re.MULTILINE)
    return int(found[-1]) if found else 255
