"""Rendering: the same records as a table on a terminal, aligned lines in a pipe, or JSON."""

from __future__ import annotations

from xlpy.cli.show import exact, out, visible
from xlpy.jsontext import encode
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from xlpy.cli.env import Env
    from xlpy.columns import Column

RICH_ROWS = 200  # a rich table of more rows takes seconds
BATCH = 1000  # objects; the memory of so many is used again for the next
SEPARATOR = ",\n    "


class NumberRows:
    """A list of objects with the same keys and whole numbers, as columns in parts; there is at least one.

    Its text is made of a pattern, many objects at a time: an encoder would need most of the time of a command.
    """

    def __init__(self, names: Sequence[str], parts: Iterable[Sequence[Column]]) -> None:
        self._names, self._parts = names, parts

    def texts(self) -> Iterator[bytes]:
        """The text of all objects, many at a time. A column of equal numbers goes into the pattern."""
        skipped = len(SEPARATOR)  # nothing is before the first
        for part in self._parts:
            varied = [None if column.equal() else column.numbers() for column in part]
            words = ("%d" if numbers else column.first for numbers, column in zip(varied, part, strict=True))
            pairs = (f'"{name}": {word}' for name, word in zip(self._names, words, strict=True))
            pattern = f"{SEPARATOR}{{{', '.join(pairs)}}}".encode()  # filled in faster than text
            columns = list(filter(None, varied))
            count, width = len(part[0]), len(columns)
            values = [0] * (count * width)
            for place, numbers in enumerate(columns):
                values[place::width] = numbers
            for at in range(0, count, BATCH):
                text = pattern * min(count - at, BATCH) % tuple(values[at * width : (at + BATCH) * width])
                yield text[skipped:]
                skipped = 0


def json_document(schema: str, **fields: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON object that begins with its schema: a field a line, a list with an item a line.

    Lines are made by the compiled encoder, which an indented document would not use.
    """
    exact(_document({"schema": schema, **fields}))


def _document(fields: dict[str, Any]) -> Iterator[str | bytes]:
    start = "{\n"
    for key, value in fields.items():
        yield f"{start}  {encode(key)}: "
        start = ",\n"
        if isinstance(value, NumberRows):
            yield "[\n    "
            yield from value.texts()
            yield "\n  ]"
        elif isinstance(value, list) and value:
            yield f"[\n    {SEPARATOR.join(map(encode, value))}\n  ]"
        else:
            yield encode(value)
    yield "\n}\n"


def json_line(schema: str, **fields: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON object on one line, for results that follow each other."""
    exact([_line({"schema": schema, **fields})])


def _line(fields: dict[str, Any]) -> str:
    return encode(fields) + "\n"


def json_items(schema: str, items: Iterable[Any]) -> None:
    """Print a list as ``{"schema": ..., "items": [...]}``, one item a line."""
    json_document(schema, items=list(items))


def table(env: Env, columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """Show rows: a rich table for a person at a terminal, else aligned plain columns with nothing cut."""
    cells = [[visible(str(cell)) for cell in row] for row in rows]
    widths = [max([len(c), *(len(row[i]) for row in cells)]) for i, c in enumerate(columns)]
    if env.picture and len(cells) <= RICH_ROWS:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        grid = Table(title=title and visible(title), header_style="bold", box=None, pad_edge=False)
        for at, column in enumerate(columns):
            numeric = bool(cells) and all(_numeric(row[at]) for row in cells)
            grid.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in cells:
            grid.add_row(*map(escape, row))
        screen = console(env, Console)
        screen.width = max(screen.width, sum(widths) + 2 * len(widths))  # a terminal wraps lines better than cells
        screen.print(grid)
        return
    for row in [list(columns), *cells]:
        out("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def console(env: Env, factory: Any) -> Any:  # noqa: ANN401 - rich is imported only where it is used
    """A rich console that follows our own colour decision."""
    colours = "auto" if env.coloured else None  # None leaves bold out too
    return factory(color_system=colours, highlight=False, markup=True, force_terminal=env.picture or None)


def _numeric(text: str) -> bool:
    return text.removeprefix("0x").rstrip("KMGTP").replace(".", "").isalnum() and text[:1].isdigit()
