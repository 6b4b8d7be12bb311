"""What SQLite says about a state file, as our own errors; nothing needs it while all is well."""

from __future__ import annotations

from xlpy.errors import Conflict, Constraint, StateError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from xlpy.errors import XlpyError

    Path = str | os.PathLike[str] | None


def no_space(path: Path) -> Constraint:
    """The disk is full."""
    return Constraint(
        f"{path}: no space left on the device",
        code="XLPY-NO-SPACE",
        hint="free some space and run the command again",
    )


def damaged(path: Path, error: Exception) -> StateError:
    """The file, or a record in it, is not as it was written."""
    why = str(error).partition("\n")[0]  # sqlite quotes what it cannot decode, line ends included
    return StateError(
        f"{path}: the state file cannot be read: {why}",
        hint="the media files beside it are untouched; start the host anew with: xlpy host reset --keep-media",
    )


def explained(path: Path, error: Exception) -> XlpyError:
    """An error of SQLite's."""
    text = str(error) if type(error).__name__ == "OperationalError" else ""
    if "locked" in text or "busy" in text:
        return Conflict(f"{path}: held by another process", hint="wait for the other command to end")
    if "full" in text:
        return no_space(path)
    if "readonly" in text or "read-only" in text:
        return Constraint(
            f"{path}: the state directory cannot be written", hint="choose another with --root or XLPY_ROOT"
        )
    return damaged(path, error)
