"""The state directory of a host: its location, its contents, and who may use it; ``replacing`` makes and removes it."""

from __future__ import annotations

import os

from xlpy.contexts import suppress
from xlpy.errors import ConfigError, Conflict, UsageError
from xlpy.private import open_to_others, private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


MACHINE = "machine.yaml"
STATE = "state.db"
JOURNALS = (f"{STATE}-journal", f"{STATE}-wal", f"{STATE}-shm")  # SQLite's, see ``journal``
_SHARE = 1 << 16  # bytes: unit of the reserve
DEFAULT = "the default machine"
MAKING = "making"  # the description of a host whose media are not finished, and worth nothing
UNCLEAN = "unclean"  # present while a command changes media; left behind only by one that was killed
NEXT = "next"  # a host that is being made to replace the one that is there
READY = "replacing"  # the same once it is whole: from then on it is the host, and its parts only have to be moved
GONE = "old-is-gone"  # in READY: the parts that are there now are of the new host
LOCK = "lock"
FAILURE = "last-failure"  # of a command, for `xlpy doctor`
RESERVE = "reserve"  # space for the commands that free some, when the disk is full
UNPLUGGED = "unplugged"  # DIMMs that were taken out
FOLDERS = ("hw", "domains", "labels", "dump", UNPLUGGED)
FILES = (*JOURNALS, STATE, f"{STATE}.new", MACHINE, MAKING, f"{MAKING}.new", UNCLEAN, RESERVE, FAILURE)
OURS = {LOCK, NEXT, READY, *FILES, *FOLDERS}


def locate(root: str | os.PathLike[str] | None) -> str:
    """Where the state is: ``root``, ``XLPY_ROOT``, ``$XDG_STATE_HOME/xlpy``, or ``~/.local/state/xlpy``.

    Raises:
        UsageError: nothing says, or ``root`` is empty.
    """
    if root is not None and not os.fspath(root):
        raise UsageError("the state directory's name is empty", hint="leave --root out for the host at its usual place")
    chosen = root or os.environ.get("XLPY_ROOT")
    if chosen:
        return os.path.abspath(chosen)
    state = os.environ.get("XDG_STATE_HOME")
    if not state:
        home = os.environ.get("HOME")
        if not home:
            raise UsageError(
                "no state directory: neither HOME nor XDG_STATE_HOME nor XLPY_ROOT is set",
                hint="name one: xlpy --root DIR ...",
            )
        state = os.path.join(home, ".local", "state")
    return os.path.abspath(os.path.join(state, "xlpy"))


def has_content(path: str) -> bool:
    """Whether a file is there and not empty."""
    return os.path.exists(path) and os.path.getsize(path) > 0


def reserve(where: str) -> None:
    """Keep space back with which a command can end a domain on a full disk.

    SQLite keeps the pages that a transaction changes, so it is as much as the state has, and a little.

    Raises:
        Constraint: no space left on the device.
    """
    from xlpy.hw.media import trouble

    path = os.path.join(where, RESERVE)
    wanted = (os.path.getsize(os.path.join(where, STATE)) // _SHARE + 3) * _SHARE
    try:
        if not os.path.exists(path) or os.path.getsize(path) < wanted:
            fd = private(path, os.O_RDWR | os.O_CREAT)
            try:
                os.posix_fallocate(fd, 0, wanted)
            finally:
                os.close(fd)
    except OSError as error:
        raise trouble(path, error) from error


def spend(where: str) -> None:
    """Give the reserve back when nothing else is left."""
    left = os.statvfs(where)
    if left.f_bavail * left.f_frsize < 16 * _SHARE:
        with suppress(OSError):
            os.truncate(os.path.join(where, RESERVE), 0)


def made(path: str) -> bool:
    """Whether a host was made in a directory."""
    return os.path.exists(os.path.join(path, STATE)) or os.path.exists(os.path.join(path, READY))


def refuse_foreign(where: str | os.PathLike[str]) -> None:
    """Conflict: the folder belongs to another user, who may have put anything into it; root may do what he wants."""
    owner, me = os.stat(where).st_uid, os.geteuid()
    if me and owner not in (me, 0):
        raise Conflict(
            f"{os.fspath(where)} belongs to another user (uid {owner}), who may have put anything into it",
            code="XLPY-ROOT-OWNER",
            hint="choose a root of your own with --root or XLPY_ROOT",
        )


def warn_if_open(where: str, note: Callable[[str], None]) -> None:
    """Tell when others may read a host, as older versions made them, and how to end that. Conflict: it is not ours."""
    refuse_foreign(where)
    mode = open_to_others(where)
    if mode:
        note(
            f"warning: {where} is open to other users (mode {mode:04o}), who can read guests' memory and data and hold "
            f"its locks; end that with: chmod -R go= {_shell_word(where)}"
        )


def _shell_word(path: str) -> str:
    """A path as a shell reads it."""
    from shlex import quote

    return quote(path)


def check_description(where: str, text: str) -> None:
    """See that ``machine.yaml`` is still the description that the host was made from; a missing one is put back.

    Raises:
        ConfigError: it is another.
    """
    path, made_from = os.path.join(where, MACHINE), text.encode()
    try:
        with open(path, "rb") as file:
            same = file.read(len(made_from) + 1) == made_from
    except FileNotFoundError:
        with suppress(OSError), open(path, "wb", opener=private) as file:
            file.write(made_from)
        same = True
    except OSError:
        same = False
    if not same:
        raise ConfigError(
            f"{path} is not the description that this host was made from",
            code="XLPY-MACHINE-CHANGED",
            hint="remove the file to get the original back, or make the host anew: xlpy host reset --machine FILE",
        )
