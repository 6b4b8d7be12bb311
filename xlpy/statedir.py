"""The state directory of a host: where it is, what belongs into it, and how it goes."""

from __future__ import annotations

import os
from contextlib import suppress

from xlpy import limits
from xlpy.errors import ConfigError, Conflict, NotFound, StateError, UsageError
from xlpy.inputs import read_file
from xlpy.private import claim, folder, open_to_others, private
from xlpy.store import Store, exclusive
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xlpy.hw.machine import MachineSpec

MACHINE = "machine.yaml"
STATE = "state.db"
JOURNAL = f"{STATE}-journal"
DEFAULT = "the default machine"
MAKING = "making"  # the description of a host whose media are not finished, and worth nothing
UNCLEAN = "unclean"  # present while a command changes media; left behind only by one that was killed
BOOTS = "boot"  # the table where xlpy.boot keeps which domains an emulator runs
FOLDERS = ("hw", "domains", "labels", "dump")
OURS = {
    STATE,
    f"{STATE}.new",
    f"{STATE}.new-journal",
    JOURNAL,
    "lock",
    MACHINE,
    MAKING,
    f"{MAKING}.new",
    UNCLEAN,
    *FOLDERS,
}


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


def prepare(where: Path, text: str | None) -> None:
    """Make the directory for a new host, or see that a host may be made in it.

    Args:
        where: the directory.
        text: the description of the machine that is to replace the host that is there; None: there is to be none.

    Raises:
        StateError: media without a state. Conflict: somebody else's directory, or a command is using the host.
    """
    folder(where)
    strangers = {path.name for path in where.iterdir()} - OURS
    if strangers and not ((where / STATE).exists() or (where / "hw").exists()):
        raise Conflict(
            f"{where} is not empty and holds no xlpy host (it has {sorted(strangers)[0]!r})",
            hint="choose an empty or new directory with --root",
        )
    if not strangers:
        claim(where)
    if text is not None:
        forget(where, "removing the host", text)
    elif not has_content(str(where / STATE)):
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


def warn_if_open(where: str, note: Callable[[str], None]) -> None:
    """Tell when others may read a host, as older versions made them, and how to end that."""
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


def forget(where: Path, holder: str, text: str | None = None) -> None:
    """End all boots and put an empty state in the place of the old one, whatever that holds.

    Args:
        where: the directory. holder: told to commands that wait.
        text: the description from which the host is to be made anew; None: media, labels and description stay.

    Raises:
        Conflict: a command is using the host.
    """
    if (where / STATE).exists():
        end_boots(where / STATE)
    with exclusive(where / STATE, holder):
        _remove_tree(where / "domains")  # the disk may be full
        new = where / f"{STATE}.new"
        for leftover in (where / f"{STATE}.new-journal", new):
            leftover.unlink(missing_ok=True)
        Store(new).close()
        (where / JOURNAL).unlink(missing_ok=True)  # it must not outlive what it belongs to
        new.replace(where / STATE)
        if text is not None:
            announce(where, text)


def remove(where: Path) -> None:
    """Remove everything that is ours, and nothing else in the directory.

    Raises:
        NotFound: there is no host. Conflict: a command is using it.
    """
    if not (where / STATE).exists():
        raise NotFound(f"no host in {where}", hint="xlpy host init makes one")
    end_boots(where / STATE)
    with exclusive(where / STATE, "removing the host"):
        for name in (JOURNAL, STATE):
            (where / name).unlink(missing_ok=True)
        for name in FOLDERS:
            _remove_tree(where / name)
        for name in (MACHINE, MAKING, UNCLEAN, "lock"):
            (where / name).unlink(missing_ok=True)


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
