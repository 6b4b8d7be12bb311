"""How much work something is, counted and not timed: a busy machine counts the same."""

from __future__ import annotations

import sys
from typing import NamedTuple

_FILES = {"open", "listdir", "scandir", "stat", "lstat", "unlink", "rename", "replace", "mkdir"}


def calls(act) -> int:
    """How many functions are called, those of C included, while ``act`` runs."""
    return work(act).calls


class Work(NamedTuple):
    """What was done.

    calls: of functions, those of C included. sql: steps of SQLite's machine, of which each row that is looked at takes
    some. hypercalls: made. notices: connections that were asked whether a change of xenstore concerns them. files:
    system calls that name a file or a folder.
    """

    calls: int
    sql: int
    hypercalls: int
    notices: int
    files: int

    def grown(self, few: Work) -> dict[str, tuple[int, int]]:
        """What is more than with few, by name; of calls and steps a hundredth more is nothing."""
        room = Work(few.calls // 100 + 30, few.sql // 100 + 30, 0, 0, 0)
        pairs = zip(self._fields, few, self, room, strict=True)
        return {name: (before, now) for name, before, now, more in pairs if now > before + more}


def work(act, *stores) -> Work:
    """Count what ``act`` does; SQL is counted in these stores."""
    called = sql = hypercalls = notices = files = 0

    def step():
        nonlocal sql
        sql += 1

    def profile(frame, event, argument):
        nonlocal called, hypercalls, notices, files
        if event == "call":
            code = frame.f_code
            if code is step.__code__:
                return
            called += 1
            hypercalls += code.co_name == "call" and code.co_filename.endswith("hypervisor/gate.py")
            notices += code.co_name == "notice" and code.co_filename.endswith("xenstore/daemon.py")
        elif event == "c_call":
            called += 1
            files += argument.__name__ in _FILES and argument.__module__ in ("posix", "io", "_io")

    before = sys.getprofile()
    for store in stores:
        store._db.set_progress_handler(step, 1)
    sys.setprofile(profile)
    try:
        act()
    finally:
        sys.setprofile(before)
        for store in stores:
            store._db.set_progress_handler(None, 1)
    return Work(called, sql, hypercalls, notices, files)
