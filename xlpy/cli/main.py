"""The entry point: one place where command lines are read, and errors become exit statuses."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

from xlpy.cli import plain
from xlpy.cli.declare import Leave
from xlpy.cli.shared import shared
from xlpy.contexts import suppress
from xlpy.errors import Exit, XlpyError, file_error
from xlpy.typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xlpy.cli.kept import Kept

RECORDING = "XLPY_RECORDING"  # names the folder of `xlpy record` below which this runs


def run(args: list[str] | None = None, kept: Kept | None = None) -> int:
    """Run one command line.

    Args:
        args: the words after ``xlpy``; None takes them from ``sys.argv``.
        kept: what a script keeps from line to line.

    Returns:
        the exit status (``xlpy help exit-codes``).
    """
    words = sys.argv[1:] if args is None else args
    if RECORDING in os.environ:
        from xlpy.cli.recording.recorder import recorded

        return recorded(os.environ[RECORDING], words, kept, lambda: _carry_out(words, kept))
    return _carry_out(words, kept)


def _carry_out(words: Sequence[str], kept: Kept | None) -> int:
    """Run one command line, and turn errors into exit statuses."""
    as_json = "--json" in words
    try:
        _run(words, kept)
        sys.stdout.flush()
    except XlpyError as error:
        return _failed(words, error, as_json)
    except Leave as stop:
        return stop.status
    except (KeyboardInterrupt, EOFError):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # the reader has what it wanted; nothing more may be written, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Exit.PIPE_CLOSED
    except OSError as error:
        return _failed(words, _from_os(error), as_json)
    except Exception as error:
        if "--debug" in words:
            raise
        bug = XlpyError(
            f"unexpected {type(error).__name__}: {error}",
            code="XLPY-BUG",
            hint="this is a bug in xlpy: run again with --debug, and report the traceback and what xlpy doctor prints",
        )
        return _failed(words, bug, as_json)
    return 0


def _failed(words: Sequence[str], error: XlpyError, as_json: bool) -> int:
    """Report an error, and keep it for ``xlpy doctor``. Returns the exit status."""
    from xlpy.cli.failures import remember

    remember(words, error)
    return _report(error, as_json)


def _run(words: Sequence[str], kept: Kept | None) -> None:
    """Run a plain line at once; click is imported for any other, and for a shell that asks what may come next."""
    line = None if plain.COMPLETING in os.environ else plain.read(words)
    if line is None:
        from xlpy.cli import grammar

        grammar.run(words, kept)
        return
    env = shared.run(**line.common)
    if kept:
        env.adopt(kept)
    try:
        line.command(env, **line.values)
    finally:
        env.settle()


def _report(error: XlpyError, as_json: bool) -> int:
    from xlpy.cli.report import report

    return report(error, as_json)


def _from_os(error: OSError) -> XlpyError:
    from errno import EBADF

    return file_error(error, "standard output" if error.errno == EBADF and not error.filename else None)


def _open_streams() -> None:
    """Make the three streams usable for whatever they are given.

    A stream that the caller closed gets its number back, or the next file opened would get what is printed: writing
    to it fails. Names may hold bytes and characters that the stream's encoding lacks: bytes come out as they went in.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR if fd == 2 else os.O_RDONLY)  # the lowest free number
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - a descriptor, for the rest of the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape" if sys.stdout.encoding == "utf-8" else "backslashreplace")


def main(listen: Callable[[bool], object] = bool) -> NoReturn:
    """Run the command line of this process, and end it.

    Args:
        listen: called with True before the command and False after it: Ctrl-C is to end it in order.
    """
    _open_streams()
    listen(True)
    status = run()
    listen(False)
    try:
        sys.stdout.flush()
    except OSError as error:
        if not status:
            status = Exit.PIPE_CLOSED if isinstance(error, BrokenPipeError) else _report(_from_os(error), as_json=False)
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(status)  # all is written and closed; taking every module apart would be a tenth of a command's time
