"""Rendering: the same records as a table on a terminal, aligned lines in a pipe, or JSON."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xlpy.cli.env import Env

RICH_ROWS = 200  # a rich table of more rows takes seconds


class Encoded(list[str]):
    """Items of a list that are JSON text already: integers by the ten thousand need no encoder."""


def json_document(schema: str, **fields: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON object that begins with its schema: a field a line, a list with an item a line.

    Lines are made by ``json``'s compiled encoder, which an indented document would not use: extents come in thousands.
    """
    encode = json.JSONEncoder().encode
    lines = [f'  "schema": {encode(schema)}']
    for key, value in fields.items():
        if isinstance(value, list) and value:
            rows = ",\n    ".join(value if isinstance(value, Encoded) else map(encode, value))
            lines.append(f"  {encode(key)}: [\n    {rows}\n  ]")
        else:
            lines.append(f"  {encode(key)}: {encode(value)}")
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")


def json_items(schema: str, items: Iterable[Any]) -> None:
    """Print a list as ``{"schema": ..., "items": [...]}``, one item a line."""
    json_document(schema, items=list(items))


def table(env: Env, columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """Show rows: a rich table for a person at a terminal, else aligned plain columns with nothing cut."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max([len(c), *(len(row[i]) for row in cells)]) for i, c in enumerate(columns)]
    if env.picture and len(cells) <= RICH_ROWS:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        grid = Table(title=title, header_style="bold", box=None, pad_edge=False)
        for at, column in enumerate(columns):
            numeric = bool(cells) and all(_numeric(row[at]) for row in cells)
            grid.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in cells:
            grid.add_row(*map(escape, row))
        out = console(env, Console)
        out.width = max(out.width, sum(widths) + 2 * len(widths))  # a terminal wraps lines better than cells
        out.print(grid)
        return
    for row in [list(columns), *cells]:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def console(env: Env, factory: Any) -> Any:  # noqa: ANN401 - rich is imported only where it is used
    """A rich console that follows our own colour decision."""
    colours = "auto" if env.coloured else None  # None leaves bold out too
    return factory(color_system=colours, highlight=False, markup=True, force_terminal=env.picture or None)


def _numeric(text: str) -> bool:
    return text.removeprefix("0x").rstrip("KMGTP").replace(".", "").isalnum() and text[:1].isdigit()
