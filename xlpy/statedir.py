"""The state directory of a host: where it is, what belongs into it, and how it goes."""

from __future__ import annotations

import os

from xlpy import limits
from xlpy.contexts import contextmanager, suppress
from xlpy.errors import ConfigError, Conflict, NotFound, StateError, UsageError
from xlpy.inputs import read_file
from xlpy.private import claim, folder, open_to_others, private
from xlpy.store import Store, exclusive
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from xlpy.hw.machine import MachineSpec

MACHINE = "machine.yaml"
STATE = "state.db"
JOURNAL = f"{STATE}-journal"
_SHARE = 1 << 16  # bytes: unit of the reserve
DEFAULT = "the default machine"
MAKING = "making"  # the description of a host whose media are not finished, and worth nothing
UNCLEAN = "unclean"  # present while a command changes media; left behind only by one that was killed
BOOTS = "boot"  # the table where xlpy.boot keeps which domains an emulator runs
NEXT = "next"  # a host that is being made to replace the one that is there
READY = "replacing"  # the same once it is whole: from then on it is the host, and its parts only have to be moved
GONE = "old-is-gone"  # in READY: the parts that are there now are of the new host
LOCK = "lock"
FAILURE = "last-failure"  # of a command, for `xlpy doctor`
RESERVE = "reserve"  # space for the commands that free some, when the disk is full
UNPLUGGED = "unplugged"  # DIMMs that were taken out
FOLDERS = ("hw", "domains", "labels", "dump", UNPLUGGED)
FILES = (JOURNAL, STATE, MACHINE, MAKING, f"{MAKING}.new", UNCLEAN, RESERVE, FAILURE)
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


def prepare(where: Path, anew: bool) -> None:
    """Make the directory for a new host, or see that a host may be made in it.

    Args:
        where: the directory.
        anew: a host that is there is to be replaced.

    Raises:
        StateError: media without a state. Conflict: somebody else's directory.
    """
    folder(where)
    refuse_foreign(where)
    strangers = {path.name for path in where.iterdir()} - OURS
    if strangers and not ((where / STATE).exists() or (where / "hw").exists()):
        raise Conflict(
            f"{where} is not empty and holds no xlpy host (it has {sorted(strangers)[0]!r})",
            hint="choose an empty or new directory with --root",
        )
    if not strangers:
        claim(where)
    if not anew and not has_content(str(where / STATE)):
        refuse_media(where)


def refuse_media(where: Path) -> None:
    """StateError when there are media; those of a host that was never finished are none."""
    if (where / "hw").exists() and not (where / MAKING).exists():
        raise StateError(
            f"{where} holds media, and {STATE} is missing or empty: nothing is made over them",
            hint="start the host anew on the same media with: xlpy host reset --keep-media",
        )


def write(path: Path, text: str) -> None:
    """Write one of our text files."""
    with open(path, "w", encoding="utf-8", opener=private) as file:
        file.write(text)


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


def announce(where: Path, text: str) -> None:
    """Tell later commands that a host is being made, and from which description."""
    new = where / f"{MAKING}.new"
    write(new, text)
    new.replace(where / MAKING)


def description(where: Path) -> tuple[str, MachineSpec]:
    """The description of the machine to which media belong. NotFound, ConfigError: it is missing or damaged."""
    from xlpy.hw.describe import parse_machine

    try:
        text = read_file(where / MACHINE, limits.MACHINE, ConfigError).decode("utf-8", "replace")
    except OSError as error:
        raise NotFound(
            f"{where / MACHINE}: {error.strerror}: what the media in {where / 'hw'} belong to is not known",
            hint="put it back, or make a new host on new media: xlpy host reset",
        ) from None
    if (where / "hw" / "plugged").exists():
        from xlpy.hw.hardware import Hardware

        return text, Hardware.open(where).described
    return text, parse_machine(text, str(where / MACHINE))


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


def wipe(where: Path, keep_media: bool) -> None:
    """Remove what an earlier host left, but its state and description."""
    for name in ("domains",) if keep_media else FOLDERS:
        _remove_tree(where / name)
    (where / UNCLEAN).unlink(missing_ok=True)


def void(where: Path, holder: str) -> None:
    """Empty a state that cannot be read; media, labels and description stay. Conflict: a command is using the host."""
    with exclusive(where / STATE, holder):
        (where / JOURNAL).unlink(missing_ok=True)  # it must not outlive what it belongs to
        os.truncate(where / STATE, 0)


@contextmanager
def replacing(where: Path, holder: str) -> Iterator[Path]:
    """Replace a host by another one, which is made inside; the old one stays as it is until the new one is whole.

    Args:
        where: the directory. holder: told to commands that wait.

    Yields:
        the directory in which to make the new host.

    Raises:
        Conflict: a command is using the host.
    """
    if (where / STATE).exists():
        end_boots(where / STATE)
    with exclusive(where / STATE, holder):
        _move_in(where)
        unclean = where / UNCLEAN
        ours = not unclean.exists()
        if ours:
            write(unclean, f"{holder} (pid {os.getpid()})\n")  # whoever finds it removes NEXT
        try:
            _remove_tree(where / NEXT)
            yield where / NEXT
        except BaseException:
            _remove_tree(where / NEXT)
            if ours:
                unclean.unlink(missing_ok=True)
            raise
        (where / NEXT).rename(where / READY)
        _move_in(where)


def finish(where: str) -> None:
    """Finish what a killed command began: the new host is there and takes the place of the old one."""
    from pathlib import Path

    with exclusive(os.path.join(where, STATE), "replacing the host"):
        _move_in(Path(where))


def tidy(where: Path) -> None:
    """Remove a host that a killed command was making to replace the one that is there."""
    _remove_tree(where / NEXT)


def _move_in(where: Path) -> None:
    """Put the parts of a new host in the place of those of the old one; it may be killed and called again."""
    ready = where / READY
    if not ready.exists():
        return
    if not (ready / GONE).exists():
        _remove_parts(where)
        (ready / GONE).touch()
    parts = [name for name in (*FOLDERS, *FILES) if (ready / name).exists()]
    for name in sorted(parts, key=(STATE,).__contains__):  # the state comes last
        (ready / name).rename(where / name)
    _remove_tree(ready)


def _remove_parts(where: Path) -> None:
    for name in FILES:
        (where / name).unlink(missing_ok=True)
    for name in FOLDERS:
        _remove_tree(where / name)


def remove(where: Path) -> None:
    """Remove everything that is ours, and nothing else in the directory.

    Raises:
        NotFound: there is no host. Conflict: a command is using it.
    """
    if not made(str(where)):
        raise NotFound(f"no host in {where}", hint="xlpy host init makes one")
    end_boots(where / STATE)
    with exclusive(where / STATE, "removing the host"):
        _remove_parts(where)
        for name in (NEXT, READY):
            _remove_tree(where / name)
        (where / LOCK).unlink(missing_ok=True)


def end_boots(state: Path) -> None:
    """Stop all emulators of a host that is about to go; a state that cannot be read names none."""
    from xlpy.boot.session import end

    try:
        store = Store(state)
        domids = store.table(BOOTS).keys()
    except StateError:
        return
    for domid in domids:
        end(store, int(domid))
    store.close()


def _remove_tree(path: Path) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)
