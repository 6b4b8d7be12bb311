"""Making, replacing and removing a host's state directory, so that the old or the new host is always complete."""

from __future__ import annotations

import os

from xlpy import limits
from xlpy.contexts import contextmanager
from xlpy.errors import Conflict, HostTrouble, NotFound, StateError
from xlpy.inputs import read_file
from xlpy.locking import exclusive
from xlpy.private import claim, folder, private
from xlpy.statedir import (
    FILES,
    FOLDERS,
    GONE,
    JOURNALS,
    LOCK,
    MACHINE,
    MAKING,
    NEXT,
    OURS,
    READY,
    STATE,
    UNCLEAN,
    has_content,
    made,
    refuse_foreign,
)
from xlpy.store import Store
from xlpy.table import BOOTS
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xlpy.hw.machine import MachineSpec


def prepare(where: Path, anew: bool) -> None:
    """Make the directory for a new host, or see that a host may be made in it.

    Args:
        where: the directory.
        anew: a host that is there is to be replaced.

    Raises:
        StateError: media without a state. Conflict: another user's directory.
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


def announce(where: Path, text: str) -> None:
    """Tell later commands that a host is being made, and from which description."""
    new = where / f"{MAKING}.new"
    write(new, text)
    new.replace(where / MAKING)


def description(where: Path) -> tuple[str, MachineSpec]:
    """The description of the machine to which media belong. NotFound, ConfigError: it is missing or damaged."""
    from xlpy.hw.describe import parse_machine

    try:
        text = read_file(where / MACHINE, limits.MACHINE).decode("utf-8", "replace")
    except (NotFound, HostTrouble) as error:
        raise NotFound(
            f"{error.message}: what the media in {where / 'hw'} belong to is not known",
            hint="put it back, or make a new host on new media: xlpy host reset",
        ) from None
    if (where / "hw" / "plugged").exists():
        from xlpy.hw.hardware import Hardware

        return text, Hardware.open(where).described
    return text, parse_machine(text, str(where / MACHINE))


def wipe(where: Path, keep_media: bool) -> None:
    """Remove what an earlier host left, but its state and description."""
    for name in ("domains",) if keep_media else FOLDERS:
        _remove_tree(where / name)
    (where / UNCLEAN).unlink(missing_ok=True)


def void(where: Path, holder: str) -> None:
    """Empty a state that cannot be read; media, labels and description stay. Conflict: a command is using the host."""
    with exclusive(where / STATE, holder):
        for name in JOURNALS:  # they must not outlive what they belong to
            (where / name).unlink(missing_ok=True)
        empty = where / f"{STATE}.new"
        write(empty, "")
        empty.replace(where / STATE)  # another file: who still has the old one open is told that the host was reset


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
            write(unclean, f"{holder} (pid {os.getpid()})\n")  # the command that finds it removes NEXT
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
    parts = [name for name in (*FOLDERS, *FILES) if (ready / name).exists()]
    if parts and not (ready / GONE).exists():  # without parts all have moved, and it was being removed
        _remove_parts(where)
        (ready / GONE).touch()
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
