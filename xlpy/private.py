"""Files and folders that only their owner may read, whatever the umask: guest memory, media, state, dumps."""

from __future__ import annotations

import os
from errno import ENOTDIR
from stat import S_IMODE

from xlpy.contexts import suppress

FILE, FOLDER = 0o600, 0o700
OTHERS = 0o077  # the rights of anybody else


def private(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file, as ``os.open``; one that is made is its owner's alone. Fit for ``open(..., opener=private)``.

    One that is there keeps its rights. OSError as ``os.open``.
    """
    flags |= os.O_CLOEXEC
    if flags & os.O_CREAT:
        try:
            fd = os.open(path, flags | os.O_EXCL, FILE)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
        else:
            if S_IMODE(os.fstat(fd).st_mode) != FILE:  # the umask took the owner's own rights
                os.fchmod(fd, FILE)
            return fd
    return os.open(path, flags, FILE)


def folder(path: str | os.PathLike[str]) -> None:
    """Make a folder for its owner alone, unless it is there; missing ones above it are made as usual.

    OSError as ``os.mkdir``.
    """
    above = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(above):
        os.makedirs(above, exist_ok=True)
    try:
        os.mkdir(path, FOLDER)
    except FileExistsError:
        if not os.path.isdir(path):
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), path) from None
    else:
        if S_IMODE(os.stat(path).st_mode) != FOLDER:
            os.chmod(path, FOLDER)


def claim(path: str | os.PathLike[str]) -> None:
    """Remove all other users' permissions from a folder of ours; a folder of another user is left unchanged."""
    found = os.stat(path)
    if found.st_mode & OTHERS and found.st_uid == os.geteuid():
        os.chmod(path, S_IMODE(found.st_mode) & ~OTHERS)


def open_to_others(path: str | os.PathLike[str]) -> int:
    """The rights of a folder or file when anybody else has some of them, else 0. OSError: it is not there."""
    mode = S_IMODE(os.stat(path).st_mode)
    return mode if mode & OTHERS else 0


def discard(path: str | os.PathLike[str]) -> None:
    """Remove a folder with what is in it, as far as that is possible, and without ``shutil``, which imports ``re``."""
    with suppress(OSError):
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    discard(entry.path)
                else:
                    with suppress(OSError):
                        os.unlink(entry.path)
        os.rmdir(path)
