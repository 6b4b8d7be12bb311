"""The entry point: one lazily loaded command tree, one place where errors become exit statuses.

``xlpy --help`` imports no command: names and one-line descriptions stand in ``xlpy.cli.tree``.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NoReturn

import click

from xlpy import __version__
from xlpy.cli.env import Env, report
from xlpy.cli.tree import GROUPS, TREE
from xlpy.errors import UsageError, XlpyError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COLLECT_AFTER = 200_000  # objects; a command is short, and looking for circles among its extents doubles their time
INTERRUPTED, PIPE_CLOSED = 130, 141
COMPLETING = "_XLPY_COMPLETE"  # set by the shell's completion script


class LazyGroup(click.Group):
    """A group whose commands are imported when they run; unambiguous prefixes work, as in xl."""

    def __init__(self, *args: Any, branch: str = "", **kwargs: Any) -> None:  # noqa: ANN401 - click's own signature
        super().__init__(*args, **kwargs)
        self._branch = branch

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(TREE[self._branch])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entries = TREE[self._branch]
        if cmd_name not in entries:
            fitting = [name for name in entries if name.startswith(cmd_name)]
            if len(fitting) != 1:
                return None
            cmd_name = fitting[0]
        path = f"{self._branch} {cmd_name}".strip()
        if path in TREE:
            return LazyGroup(cmd_name, branch=path, help=GROUPS[path], no_args_is_help=True)
        module, attribute = entries[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(f"xlpy.cli.{module}"), attribute)
        command.name = cmd_name
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click itself would exit with 1
            raise click.exceptions.Exit(PIPE_CLOSED) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return (command.name if command else name), command, rest

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        rows = [
            CompletionItem(name, help=summary)
            for name, (_, summary) in sorted(TREE[self._branch].items())
            if name.startswith(incomplete)
        ]
        return rows + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        rows = [(name, summary) for name, (_, summary) in sorted(TREE[self._branch].items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
    epilog="Exit statuses are listed by: xlpy help exit-codes",
)
@click.option(
    "--root", metavar="DIR", help="State directory of the host (else XLPY_ROOT, else the XDG state directory)."
)
@click.option("-v", "--verbose", count=True, help="Tell each step; twice: hypercalls too.")
@click.option("-q", "--quiet", is_flag=True, help="No warnings or notes, only errors.")
@click.option("-N", "dry_run", is_flag=True, help="Dry run: check everything, change nothing.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colour and pictures.")
@click.option("--debug", is_flag=True, help="Show a traceback for unexpected errors.")
@click.version_option(__version__, "--version", message="xlpy %(version)s")
@click.pass_context
def root_group(
    ctx: click.Context, root: str | None, verbose: int, quiet: bool, dry_run: bool, color: str, debug: bool
) -> None:
    """Xen's vNVDIMM design on any machine: an xl-style command over an emulated NVDIMM host.

    \b
    Example:
      xlpy create configs/quickstart.cfg
      xlpy map quickstart
    """
    ctx.obj = Env(root=root, verbose=verbose, quiet=quiet, dry_run=dry_run, color=color, debug=debug)
    ctx.call_on_close(ctx.obj.settle)


def run(args: list[str] | None = None) -> int:
    """Run one command line.

    Args:
        args: the words after ``xlpy``; None takes them from ``sys.argv``.

    Returns:
        the exit status (``xlpy help exit-codes``).
    """
    words = sys.argv[1:] if args is None else args
    as_json = "--json" in words
    try:
        if COMPLETING in os.environ:
            root_group.main(prog_name="xlpy")  # answers the shell and exits
        # not click's main(): it makes 1 of the status of a closed pipe
        with root_group.make_context("xlpy", list(words)) as context:
            result = root_group.invoke(context)
        sys.stdout.flush()
    except XlpyError as error:
        return report(error, as_json)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        hint = f"{error.ctx.command_path} --help" if error.ctx else None
        return report(UsageError(error.format_message(), hint=hint), as_json)
    except click.ClickException as error:
        return report(UsageError(error.format_message()), as_json)
    except (KeyboardInterrupt, EOFError, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # the reader has what it wanted; nothing more may be written, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return PIPE_CLOSED
    except OSError as error:
        return report(_from_os(error), as_json)
    except Exception as error:
        if "--debug" in words:
            raise
        return report(
            XlpyError(
                f"unexpected {type(error).__name__}: {error}",
                code="XLPY-BUG",
                hint="this is a bug in xlpy: run again with --debug and report the traceback",
            ),
            as_json,
        )
    return result if isinstance(result, int) else 0


def _from_os(error: OSError) -> XlpyError:
    import errno

    from xlpy.errors import Constraint, NotFound

    where = f"{error.filename}: " if error.filename else "standard output: " if error.errno == errno.EBADF else ""
    text = f"{where}{error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Constraint(text, code="XLPY-NO-SPACE", hint="free some space and run the command again")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(text)
    return Constraint(text, hint="check the path and its permissions")


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


def main() -> NoReturn:
    """Console script ``xlpy``."""
    gc.set_threshold(COLLECT_AFTER)
    _open_streams()
    status = run()
    try:
        sys.stdout.flush()
    except OSError as error:
        if not status:
            status = PIPE_CLOSED if isinstance(error, BrokenPipeError) else report(_from_os(error), as_json=False)
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(status)  # all is written and closed; taking every module apart would be a tenth of a command's time
