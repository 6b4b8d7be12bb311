"""Signals while a guest runs."""

from __future__ import annotations

import signal
import threading

from xlpy.contexts import contextmanager
from xlpy.typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextmanager
def ending_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the process as an exception would, so that everything is put in order first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    saved = [(number, signal.signal(number, leave)) for number in (signal.SIGTERM, signal.SIGHUP)]
    try:
        yield
    finally:
        for number, handler in saved:
            signal.signal(number, handler)
