"""Writing files where a user wants them: there when all of it is written, as before when that fails."""

from __future__ import annotations

import os
from errno import ENOENT
from stat import S_IMODE, S_ISDIR, S_ISREG, S_ISSOCK

from xlpy.contexts import contextmanager, suppress
from xlpy.errors import file_error
from xlpy.inputs import refuse_special, require_folder
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


def require_place(path: str | os.PathLike[str], *, folder: bool = False, stream: bool = False) -> None:
    """See that a file can be made or replaced, or that a folder is there or can be made, before anything is done.

    Args:
        path: of the file, or of the folder; it is made with those above it that are missing.
        folder: whether it is one. stream: whether the file may be a FIFO or device that is there.

    Raises:
        NotFound: there is no folder for the file. HostTrouble: what is there is of another kind.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = 0
    except OSError as error:
        raise file_error(error, path) from None
    if folder:
        if mode:
            require_folder(path)
        return
    if mode and (not stream or S_ISDIR(mode) or S_ISSOCK(mode)):
        refuse_special(mode, path)
    if not mode or S_ISREG(mode):
        _require_folder_for(path)


def _require_folder_for(path: str | os.PathLike[str]) -> None:
    fresh = _fresh(path)
    above = os.path.dirname(fresh)
    with _told(path, fresh):
        if not os.path.isdir(above):
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
        if not os.access(above, os.W_OK | os.X_OK, effective_ids=True):
            os.close(private(fresh, os.O_CREAT | os.O_EXCL))  # the system says why not
            os.unlink(fresh)


def _fresh(path: str | os.PathLike[str]) -> str:
    return f"{os.path.realpath(path)}.{os.getpid()}.new"


@contextmanager
def replacing(path: str | os.PathLike[str], *, stream: bool = False) -> Iterator[BinaryIO]:
    """A new file that takes the place of a regular one, behind links, or of none, when all of it is written.

    One that is new is its owner's alone; one that is there keeps its rights.

    Args:
        path: where.
        stream: whether a FIFO or device may be there instead, such as /dev/stdout, which is written as it is.

    Raises:
        NotFound: there is no folder for it. HostTrouble: something else is there, or it cannot be written.
    """
    require_place(path, stream=stream)
    if os.path.exists(path) and not os.path.isfile(path):
        with _told(path, path), open(path, "wb") as file:
            yield file
        return
    with replaced(path) as fresh, open(fresh, "wb", opener=private) as file:
        yield file


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[str]:
    """The name for a file that is written, and then takes the place of another. Errors as ``replacing``."""
    fresh = _fresh(path)
    try:
        with _told(path, fresh):
            yield fresh
            with suppress(FileNotFoundError):
                os.chmod(fresh, S_IMODE(os.stat(path).st_mode))
            os.replace(fresh, os.path.realpath(path))
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise


@contextmanager
def _told(path: str | os.PathLike[str], real: str | os.PathLike[str]) -> Iterator[None]:
    """Errors of a file by the name that the user has given it."""
    try:
        yield
    except OSError as error:
        if error.filename not in (None, real) or isinstance(error, BrokenPipeError):
            raise  # of another file
        raise file_error(error, path) from None
