"""The last failure of a command on a host, kept in its state directory for ``xlpy doctor``."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from xlpy import limits
from xlpy.contexts import suppress
from xlpy.errors import UsageError, XlpyError
from xlpy.inputs import read_file
from xlpy.private import private
from xlpy.statedir import FAILURE, STATE, locate
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECRET = re.compile(r"(?i)(\w*(?:passw|secret|token)\w*)(\s*=\s*)(\"[^\"]*\"?|'[^']*'?|[^\s,\]]+)")


def redact(text: str) -> str:
    """A text in which values of settings with telling names (``vncpasswd=``) are replaced, and the home folder is ~."""
    home = os.environ.get("HOME")
    if home and home != "/":
        text = re.sub(rf"{re.escape(home.rstrip('/'))}(?=/|$|[^\w.-])", "~", text)
    return _SECRET.sub(r"\1\2***", text)


def remember(words: Sequence[str], error: XlpyError) -> None:
    """Keep a failure in the state directory that the command worked on; where there is none, or no right, it is lost.

    Args:
        words: the command line after ``xlpy``. error: why it failed; a usage error tells of no host.
    """
    if isinstance(error, UsageError):
        return
    with suppress(OSError, XlpyError):
        where = Path(locate(root_option(words)))
        if where.stat().st_uid == os.geteuid() and (where / STATE).exists():
            _write(where / FAILURE, json.dumps(_described(words, error)))


def _write(path: Path, text: str) -> None:
    """In one step: a reader finds the old one or the new one. OSError: neither has changed."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        with open(fresh, "w", encoding="utf-8", errors="backslashreplace", opener=private) as file:
            file.write(text)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _described(words: Sequence[str], error: XlpyError) -> dict[str, Any]:
    from time import time

    return {
        "when": round(time()),
        "command": redact(" ".join(words)),
        "code": error.code,
        "exit": error.exit,
        "message": redact(str(error)),
        "details": [redact(line) for line in error.details],
        "hint": error.hint and redact(error.hint),
    }


def root_option(words: Sequence[str]) -> str | None:
    """``--root`` as given."""
    for at, word in enumerate(words):
        if word == "--root" and at + 1 < len(words):
            return words[at + 1]
        if word.startswith("--root="):
            return word.removeprefix("--root=")
    return None


def last(where: str) -> dict[str, Any] | None:
    """The last failure on the host in a state directory, or None."""
    try:
        found = json.loads(read_file(Path(where, FAILURE), limits.RECORD))
    except (OSError, ValueError, RecursionError, XlpyError):
        return None
    kinds = {"when": int, "command": str, "code": str, "exit": int, "message": str, "details": list}
    if not isinstance(found, dict) or not all(isinstance(found.get(key), kind) for key, kind in kinds.items()):
        return None
    return found
