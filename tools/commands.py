"""The page of all commands: ``python -m tools.commands`` writes ``docs/cli.md`` from their help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from xlpy.cli.grammar import root_context
from xlpy.cli.tree import TREE

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
HEAD = """# Commands

Made by `python -m tools.commands` from the commands' own help; the options that stand before a command come last. A
command may be shortened as long as it stays the only one. What `--json` prints is in [json.md](json.md).
Examples run as they stand in the folder of the sources, on a host with the domain of `configs/quickstart.cfg`.

"""


def contexts(branch: str, parent: click.Context) -> Iterator[click.Context]:
    """The context in which each command below a branch speaks."""
    group = parent.command
    assert isinstance(group, click.Group)
    for name in sorted(TREE[branch]):
        command = group.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent, max_content_width=100, terminal_width=100)
        path = f"{branch} {name}".strip()
        if TREE[branch][name][0]:
            yield context
        if path in TREE:
            yield from contexts(path, context)


def page() -> str:
    """The whole page."""
    root = root_context()
    root.terminal_width = 100
    parts = [HEAD]
    for context in [*contexts("", root), root]:
        title = context.command_path if context is not root else "Before the command"
        parts.append(f"## {title}\n\n```text\n{context.command.get_help(context).rstrip()}\n```\n\n")
    return "".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
