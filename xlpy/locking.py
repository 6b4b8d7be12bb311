"""The lock file beside a state: one command at a time; a waiting command is shown which one holds it."""

from __future__ import annotations

import fcntl
import os
import time

from xlpy.contexts import contextmanager, suppress
from xlpy.errors import Conflict, Constraint
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_SECONDS = 10.0


def inode(path: str | os.PathLike[str]) -> int | None:
    """Which file has the name now; None when there is none."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None


@contextmanager
def exclusive(path: str | os.PathLike[str] | None, holder: str, seconds: float | None = None) -> Iterator[None]:
    """Hold the lock file beside a state file, and write who holds it.

    Args:
        path: the state file; None (kept in memory) needs no lock.
        holder: what this process is doing, shown to commands that wait.
        seconds: to wait for it; None for ``LOCK_SECONDS``.

    Raises:
        Conflict: another process held it for longer. Constraint: it cannot be made.
    """
    if path is None:
        yield
        return
    lock = os.path.join(os.path.dirname(path), "lock")
    deadline = time.monotonic() + (LOCK_SECONDS if seconds is None else seconds)
    fd = _locked(lock, deadline)
    while inode(lock) != os.fstat(fd).st_ino:  # a host that is removed takes its lock file along
        os.close(fd)
        fd = _locked(lock, deadline)
    try:
        os.ftruncate(fd, 0)
        with suppress(OSError):  # a full disk must not hinder commands that free space
            os.pwrite(fd, f"{holder} (pid {os.getpid()})".encode(errors="surrogateescape"), 0)
        yield
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _locked(lock: str, deadline: float) -> int:
    """A descriptor of the lock file, held."""
    try:
        fd = private(lock, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise Constraint(
            f"{lock}: {error.strerror}", hint="choose another state directory with --root or XLPY_ROOT"
        ) from error
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    other = os.pread(fd, 200, 0).decode(errors="replace").strip() or "another process"
                    raise Conflict(
                        f"the host is held by {other}", hint="wait for it to end, then run the command again"
                    ) from None
                time.sleep(0.01)
            else:
                return fd
    except BaseException:
        os.close(fd)
        raise
