"""The state directory of a host: where it is, what belongs into it, and how it goes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from xlpy.errors import Conflict, NotFound, StateError, UsageError
from xlpy.store import Store, exclusive

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = "machine.yaml"
STATE = "state.db"
UNCLEAN = "unclean"  # present while a command changes media; left behind only by one that was killed
BOOTS = "boot"  # the table where xlpy.boot keeps which domains an emulator runs
FOLDERS = ("hw", "domains", "labels", "dump")
OURS = {STATE, f"{STATE}-journal", "lock", MACHINE, UNCLEAN, *FOLDERS}


def locate(root: str | os.PathLike[str] | None) -> str:
    """Where the state is: ``root``, ``XLPY_ROOT``, ``$XDG_STATE_HOME/xlpy``, or ``~/.local/state/xlpy``.

    Raises:
        UsageError: nothing says.
    """
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


def prepare(where: Path) -> None:
    """Make the directory for a new host, or see that a host may be made in it.

    Raises:
        StateError: media without a state. Conflict: somebody else's directory.
    """
    where.mkdir(parents=True, exist_ok=True)
    if (where / "hw").exists() and not has_content(str(where / STATE)):
        raise StateError(
            f"{where} holds media, and {STATE} is missing or empty: nothing is made over them",
            hint="start the host anew on the same media with: xlpy host reset --keep-media",
        )
    strangers = {path.name for path in where.iterdir()} - OURS
    if strangers and not (where / STATE).exists():
        raise Conflict(
            f"{where} is not empty and holds no xlpy host (it has {sorted(strangers)[0]!r})",
            hint="choose an empty or new directory with --root",
        )


def wipe(where: Path, keep_media: bool) -> None:
    """Remove what an earlier host left, but its state and description."""
    for name in ("domains",) if keep_media else ("domains", "hw", "labels"):
        _remove_tree(where / name)
    (where / UNCLEAN).unlink(missing_ok=True)


def forget(where: Path, holder: str) -> None:
    """End all boots and remove the state; media, labels and description stay. Conflict: a command is using it."""
    end_boots(where / STATE)
    with exclusive(where / STATE, holder):
        for name in (STATE, f"{STATE}-journal"):
            (where / name).unlink(missing_ok=True)


def remove(where: Path) -> None:
    """Remove everything that is ours, and nothing else in the directory.

    Raises:
        NotFound: there is no host. Conflict: a command is using it.
    """
    if not (where / STATE).exists():
        raise NotFound(f"no host in {where}", hint="xlpy host init makes one")
    end_boots(where / STATE)
    with exclusive(where / STATE, "removing the host"):
        for name in (STATE, f"{STATE}-journal", MACHINE, UNCLEAN):
            (where / name).unlink(missing_ok=True)
        for name in FOLDERS:
            _remove_tree(where / name)
    (where / "lock").unlink(missing_ok=True)


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
