"""What a part of the campaign has done, and running one command in it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

CONFIGS = __file__.rpartition("/tests/")[0] + "/configs"
UUID = 'uuid="0d50f988-4674-48ee-b4a9-5ee17be61703"'
DOCUMENTED = {*range(12), 130, 141} - {1}  # `xlpy help exit-codes`; 1 is a bug
PATIENCE = 120  # seconds for one command; none takes a second by itself


class Done(NamedTuple):
    """What a command did. status: as in a shell, 128 + n for signal n."""

    words: tuple[str, ...]
    status: int
    out: str
    err: str

    @property
    def bug(self) -> bool:
        """Whether it ended as no command may: by itself with a traceback, a signal or an undocumented status."""
        return self.status not in DOCUMENTED or "Traceback" in self.err or "this is a bug in xlpy" in self.err


class Figures:
    """Counts and findings of one part.

    Args:
        name: of the part.
        deadline: by ``time.monotonic()``.
    """

    def __init__(self, name: str, deadline: float) -> None:
        self.name, self.deadline = name, deadline
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.findings: list[str] = []
        self._began = time.monotonic()

    @property
    def time_left(self) -> bool:
        """Whether the part may go on."""
        return time.monotonic() < self.deadline

    def count(self, what: str, number: int = 1) -> None:
        """Add to a count."""
        self.counts[what] += number

    def find(self, text: str) -> None:
        """Report what must not be."""
        self.findings.append(text)
        print(f"FOUND by {self.name}: {text}", flush=True)

    def xlpy(self, root: Path, *words: str, check: bool = True) -> Done:
        """Run a command on a host, and report it when it ends as no command may.

        Args:
            root: the state directory.
            words: of the command line.
            check: False leaves judging to the caller.
        """
        env = {**os.environ, "XLPY_ROOT": str(root), "E2FSPROGS_FAKE_TIME": "1700000000"}
        command = [sys.executable, "-m", "xlpy", *words]
        try:
            ran = subprocess.run(
                command,
                cwd=CONFIGS,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self.find(f"{' '.join(words)} has not ended after {PATIENCE} s")
            return Done(words, 124, "", "")
        status = ran.returncode if ran.returncode >= 0 else 128 - ran.returncode
        done = Done(words, status, ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace"))
        self.note(done, check)
        return done

    def note(self, done: Done, check: bool = True) -> None:
        """Count a command that has ended."""
        self.count("commands")
        self.statuses[done.status] += 1
        if check and done.bug:
            self.find(f"{' '.join(done.words)[:300]} ended with {done.status}: {done.err[-1500:]}")

    def summary(self) -> str:
        """One line of figures."""
        counts = ", ".join(f"{number} {what}" for what, number in self.counts.items())
        statuses = " ".join(f"{status}:{number}" for status, number in sorted(self.statuses.items()))
        return (
            f"{self.name}: {counts}; exit statuses {statuses}; {len(self.findings)} findings;"
            f" {time.monotonic() - self._began:.0f} s"
        )
