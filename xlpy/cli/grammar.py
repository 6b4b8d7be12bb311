"""The command tree for click: help, completion, usage errors, prefixes of names, and any line that is not plain.

``xlpy --help`` imports no command: names and one-line descriptions stand in ``xlpy.cli.tree``.
"""

from __future__ import annotations

import os
from inspect import cleandoc

import click

from xlpy import __version__
from xlpy.cli import completers
from xlpy.cli.declare import Leave
from xlpy.cli.plain import COMPLETING, find
from xlpy.cli.shared import shared
from xlpy.cli.tree import GROUPS, TREE
from xlpy.errors import Exit, UsageError
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

    from xlpy.cli.declare import Command, Parameter
    from xlpy.cli.kept import Kept

KEPT = "xlpy.kept"  # in a context's meta: what a script keeps


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
        path, where = f"{self._branch} {cmd_name}".strip(), entries[cmd_name][0]
        if path in TREE and where:
            return BothGroup(cmd_name, find(where), branch=path)
        if path in TREE:
            return LazyGroup(cmd_name, branch=path, help=GROUPS[path], no_args_is_help=True)
        return _clicked(cmd_name, find(where))

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click itself would exit with 1
            raise Leave(Exit.PIPE_CLOSED) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]  # click takes an option from the list before it complains
        try:
            name, command, rest = super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = " or ".join(f"'{name}'" for name in get_close_matches(word, TREE[self._branch], 2))
            raise click.UsageError(f"{error.message} Did you mean {near}?" if near else error.message, ctx) from None
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


class _Silent(click.Argument):
    """An argument that the usage of commands below its command says nothing of."""

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:
        del ctx
        return []


class BothGroup(LazyGroup):
    """A command that has further commands below it: the next word decides which is meant.

    Args:
        name: its name.
        declared: the command that it is itself.
        branch: where the others stand in the tree.
    """

    def __init__(self, name: str, declared: Command, branch: str) -> None:
        super().__init__(name, branch=branch, help=_help(declared), params=_params(declared, _Silent))
        self._declared = declared
        self.allow_interspersed_args = True

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        own = [one.make_metavar(ctx) for one in self.params if isinstance(one, click.Argument)]
        return ["[OPTIONS]", *own]

    def _below(self, args: Sequence[str]) -> bool:
        return bool(args) and args[0] in TREE[self._branch]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self._below(args):
            ctx.args = args
            return args
        return click.Command.parse_args(self, ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        if not self._below(ctx.args):
            return self._declared(ctx.obj, **ctx.params)
        name, command, rest = self.resolve_command(ctx, ctx.args)
        assert command is not None  # it is in the tree
        with command.make_context(name, rest, parent=ctx) as context:
            return command.invoke(context)


def root_group() -> LazyGroup:
    """The whole tree."""

    def begin(**values: Any) -> None:  # noqa: ANN401 - any values
        context = click.get_current_context()
        context.obj = shared.run(**values)
        if kept := context.meta.get(KEPT):
            context.obj.adopt(kept)
        context.call_on_close(context.obj.settle)

    group = LazyGroup(
        "xlpy",
        callback=begin,
        params=_params(shared),
        help=_help(shared),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        no_args_is_help=True,
        epilog="Exit statuses are listed by: xlpy help exit-codes",
    )
    return click.version_option(__version__, "--version", message="xlpy %(version)s")(group)


def root_context() -> click.Context:
    """The context in which the group speaks, of its help for example."""
    group = root_group()
    return click.Context(group, info_name=group.name, **group.context_settings)


def run(words: Sequence[str], kept: Kept | None = None) -> None:
    """Run a command line as click reads it, with what a script keeps from line to line.

    Raises:
        UsageError: click finds it wrong.
        Leave: the command, or click after showing help, ends with a status of its own.
        KeyboardInterrupt: the user ended it.
    """
    group = root_group()
    if COMPLETING in os.environ:
        group.main(prog_name="xlpy")  # answers the shell and exits
    try:
        # not click's main(): it makes 1 of the status of a closed pipe
        with group.make_context("xlpy", list(words)) as context:
            context.meta[KEPT] = kept
            group.invoke(context)
    except click.exceptions.Exit as stop:
        raise Leave(stop.exit_code) from None
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        raise Leave(UsageError.exit) from None
    except click.UsageError as error:
        hint = f"{error.ctx.command_path} --help" if error.ctx else None
        raise UsageError(error.format_message(), hint=hint) from None
    except click.ClickException as error:
        raise UsageError(error.format_message()) from None
    except click.Abort:
        raise KeyboardInterrupt from None


class _Raw(click.Command):
    """A command that gets all words as they are; click would take the first ``--`` out."""

    ignore_unknown_options = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """With one ``--`` more for click."""
        at = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [*args[:at], *args[at : at + 1], *args[at:]])


def _clicked(name: str, declared: Command) -> click.Command:
    def call(**values: Any) -> None:  # noqa: ANN401 - any values
        declared(click.get_current_context().obj, **values)

    kind = _Raw if any(one.raw for one in declared.parameters) else click.Command
    return kind(name, callback=call, params=_params(declared), help=_help(declared))


def _params(declared: Command, argument: type[click.Argument] = click.Argument) -> list[click.Parameter]:
    return [
        (click.Option if one.spellings else argument)(one.declarations, **_settings(one)) for one in declared.parameters
    ]


def _settings(one: Parameter) -> dict[str, Any]:
    """What click takes beside the declarations; a completer is declared by its name."""
    settings = {**one.settings, "type": click.UNPROCESSED if one.raw else one.type.click() if one.type else None}
    if "shell_complete" in settings:
        settings["shell_complete"] = getattr(completers, settings["shell_complete"])
    return settings


def _help(declared: Command) -> str:
    example = "\n".join(f"  {line}" for line in declared.example.splitlines())
    return f"{cleandoc(declared.run.__doc__ or '')}\n\n\b\nExample:\n{example}\n"
