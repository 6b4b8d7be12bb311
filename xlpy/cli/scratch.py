"""A temporary folder of a command, removed however the command ends."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

from xlpy.held import hold, sweep
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

PREFIX = "xlpy-dry-run-"
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class ScratchFolder:
    """The folder, held by a lock as long as the process lives; those whose process was killed are removed first."""

    def __init__(self) -> None:
        sweep(Path(tempfile.gettempdir()), PREFIX)
        self.path = tempfile.mkdtemp(prefix=PREFIX)
        self._lock = hold(Path(self.path))
        self._before = {number: signal.signal(number, self._end) for number in _ENDING}

    def remove(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        """A signal that ends the process."""
        shutil.rmtree(self.path, ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
