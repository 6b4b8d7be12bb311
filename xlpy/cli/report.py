"""An error as every command reports it: text for people on standard error, JSON for programs on standard output."""

from __future__ import annotations

from xlpy.cli.show import err
from xlpy.contexts import suppress
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.errors import XlpyError


def report(error: XlpyError, as_json: bool) -> int:
    """Print an error as the conventions want it: one line ``error: ...``, details below, then the hint.

    Returns:
        the exit status of the error.
    """
    err(
        f"error: {error}",
        *(f"  {line}" for text in error.details for line in text.rstrip("\n").split("\n")),
        *([f"  hint: {error.hint}"] if error.hint else []),
    )
    if as_json:
        from xlpy.cli.render import json_line

        with suppress(OSError):  # the exit status reports it too
            json_line(
                "xlpy.error/1",
                code=error.code,
                exit=error.exit,
                message=str(error),
                details=list(error.details),
                hint=error.hint,
            )
    return error.exit
