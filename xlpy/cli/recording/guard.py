"""While a recording is replayed, nothing outside of its folder is changed, since it may be untrusted."""

from __future__ import annotations

import errno
import os
import sys

from xlpy.contexts import contextmanager
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATHS = {  # audit events of Python, and which of their arguments name what is changed
    "os.mkdir": (0,),
    "os.rmdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.link": (0, 1),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.utime": (0,),
    "os.setxattr": (0,),
    "sqlite3.connect": (0,),
}
_NEVER = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.spawn"),
    *("socket.connect", "socket.bind", "os.kill", "os.killpg"),
)
_within: list[str] = []  # the folder, while there is one
_installed = False


@contextmanager
def only_in(folder: str) -> Iterator[None]:
    """Inside, what would change anything else, start a program or open a connection fails with PermissionError."""
    global _installed
    if not _installed:
        sys.addaudithook(_watch)  # it cannot be taken away again, and does nothing without a folder
        _installed = True
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    _within.append(os.path.realpath(folder))
    try:
        yield
    finally:
        _within.pop()
        sys.dont_write_bytecode = bytecode


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _within:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & _WRITING:
            _require_inside(path)
    elif event in _PATHS:
        for at in _PATHS[event]:
            _require_inside(arguments[at])
    elif event.startswith(_NEVER):
        raise PermissionError(errno.EACCES, f"a replay does not do this ({event})")


def _require_inside(path: Any) -> None:  # noqa: ANN401 - whatever names a file
    if not isinstance(path, str | bytes | os.PathLike):  # a descriptor: its file was opened, or it is in memory
        return
    text = os.fsdecode(path)
    if text.startswith("file:"):  # a URI of SQLite, which is read-only here
        return
    real = os.path.realpath(text)
    if text in (os.devnull, ":memory:") or real.startswith(("/dev/fd/", "/proc/self/fd/", "/memfd:")):
        return
    if not (real == _within[-1] or real.startswith(f"{_within[-1]}/")):
        raise PermissionError(errno.EACCES, "a replay changes nothing outside of its folder", text)
