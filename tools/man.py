"""Man pages for every command, made from the help texts: ``python -m tools.man DIRECTORY``.

The pages are build products (Debian: ``man/*.1``), so they are not kept in the repository. ``SOURCE_DATE_EPOCH`` sets
their date, as in every reproducible build. Needs click-man, which is in the dev group.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

try:
    from click_man.man import ManPage
except ImportError:
    sys.exit("error: click-man is not installed\n  hint: pip install click-man")

from xlpy import __version__
from xlpy.cli.grammar import root_context
from xlpy.cli.tree import GROUPS, TREE

if TYPE_CHECKING:
    from collections.abc import Iterator

SUMMARY = "Xen's vNVDIMM design on any machine"


def commands(branch: str, parent: click.Context) -> Iterator[tuple[str, click.Context]]:
    """Every command below a branch, with its one line and the context in which it speaks."""
    group = parent.command
    assert isinstance(group, click.Group)
    for name, (_, summary) in sorted(TREE[branch].items()):
        command = group.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent)
        yield summary, context
        path = f"{branch} {name}".strip()
        if path in TREE:
            yield from commands(path, context)


def escape(line: str) -> str:
    """Text as roff takes it: backslashes, hyphens that shall stay hyphens, and no line that looks like a request."""
    line = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line[:1] in (".", "'") else line


def description(text: str) -> str:
    """A help text in roff; what click leaves as it is laid out (after ``\\b``) stays so."""
    lines, literal = [], False
    for line in text.split("\n"):
        if line == "\b":
            lines.append(".nf")
            literal = True
        elif line or not literal:
            lines.append(escape(line))
        else:
            lines += [".fi", ""]
            literal = False
    return "\n".join([*lines, ".fi"] if literal else lines)


def page(context: click.Context, summary: str) -> str:
    """The man page of one command."""
    command = context.command
    made = ManPage(context.command_path)
    made.version = f"xlpy {__version__}"
    made.short_help = escape(summary.rstrip("."))
    made.synopsis = " ".join(command.collect_usage_pieces(context))
    made.description = description(command.help or "")
    made.options = [
        (record[0], escape(record[1]))
        for param in command.get_params(context)
        if isinstance(param, click.Option) and (record := param.get_help_record(context))
    ]
    branch = context.command_path.removeprefix("xlpy").strip()
    if branch in TREE:
        made.commands = [(name, escape(text)) for name, (_, text) in sorted(TREE[branch].items())]
    return str(made)


def write(folder: Path) -> list[Path]:
    """Write all pages into a folder."""
    root = root_context()
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for summary, context in [(SUMMARY, root), *commands("", root)]:
        path = folder / f"{context.command_path.replace(' ', '-')}.1"
        path.write_text(page(context, GROUPS.get(context.command_path.removeprefix("xlpy "), summary)), "utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tools.man DIRECTORY")
    print(f"{len(write(Path(sys.argv[1])))} man pages in {sys.argv[1]}")
