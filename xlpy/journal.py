"""SQLite's write-ahead log in place of its rollback journal, for a process that goes on changing the state.

Both keep a change that is killed, or ended by a power cut, from being done by halves, and both have it on the disk when
it is done. With the journal a change waits four times for the disk, and reading costs nothing more. With the log it
waits once, but each process that opens the state has two more files to open, to map and to read. So a state at rest
has a journal, and a log lasts no longer than the processes that change the state again and again.
"""

from __future__ import annotations

import os

from xlpy.contexts import suppress
from xlpy.errors import XlpyError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    Query = Callable[[str], list[tuple[Any, ...]]]

    class Resting(Protocol):
        """What ends a log: see ``xlpy.store.Store``."""

        def rest(self) -> None: ...


PAGES = 256  # of the log, a megabyte, before they are written to the state
ROOM = 16 << 20  # bytes on the disk, below which there is no log


def room(path: str | os.PathLike[str]) -> bool:
    """Whether the disk has room for a log beside the state file."""
    left = os.statvfs(path)
    return left.f_bavail * left.f_frsize >= ROOM


def finished(path: str | os.PathLike[str]) -> bool:
    """Whether all that was written is in the state file itself: a log is empty or absent."""
    for name in (f"{path}-wal", f"{path}-journal"):
        with suppress(FileNotFoundError):
            if os.stat(name).st_size:
                return False
    return True


def unchanging(path: str | os.PathLike[str]) -> str:
    """The URI of a state file that is read without the files of a log, where they can neither be made nor locked.

    A process that did not let go of a state with a log leaves it so that SQLite makes them for each that reads.
    """
    quoted = os.fspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{quoted}?immutable=1"


def turn(query: Query, log: bool, seconds: float) -> bool:
    """Turn to the log, or back to the journal; the process holds the lock file.

    Neither can be done while another process reads the state, or uses the log: then all stays as it is.

    Args:
        query: runs a statement and returns its rows. log: what is wanted. seconds: to wait for locks otherwise.

    Returns:
        whether there is a log now.
    """
    query("PRAGMA busy_timeout = 0")
    with suppress(XlpyError):
        query(f"PRAGMA journal_mode = {'WAL' if log else 'TRUNCATE'}")
    query(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")
    found: bool = query("PRAGMA journal_mode")[0][0] == "wal"
    if found:
        query("PRAGMA synchronous = FULL")  # some builds of SQLite do not wait for the log
        query(f"PRAGMA wal_autocheckpoint = {PAGES}")
    return found


def at_exit(store: Resting) -> None:
    """A process that ends without having closed the state leaves no log behind either, unless it is killed."""
    from _weakref import ref
    from atexit import register

    pid, still = os.getpid(), ref(store)

    def leave() -> None:
        there = still()
        if there is not None and os.getpid() == pid:  # and not a child of the process
            there.rest()

    register(leave)
