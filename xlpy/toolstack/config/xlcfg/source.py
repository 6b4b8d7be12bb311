"""Positions: named texts, positions in them, and problems that point at a line."""

from __future__ import annotations

from xlpy.errors import ConfigError
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND_LINE = "<command line>"
_WIDTH = 90  # characters of a line that are shown on each side of a place


class Position(NamedTuple):
    """A place in a configuration: what editors jump to.

    ``line`` and ``column`` count from 1, columns in characters; ``text`` is the line without its end, of a long line
    the part around the place, whose first character stands in column ``first``.
    """

    source: str
    line: int
    column: int
    text: str
    first: int = 1

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"


class Problem(NamedTuple):
    """One finding: an error or a warning, where it is, and the suggested fix.

    ``xl_line`` is the line that libxlutil would print for a syntax error (it is off by one at line ends), else None.
    """

    where: Position | None
    message: str
    severity: str = "error"
    hint: str | None = None
    xl_line: int | None = None

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        mark = "warning: " if self.severity == "warning" else ""
        return f"{place}{mark}{self.message}" + (f" ({self.hint})" if self.hint else "")

    def lines(self) -> list[str]:
        """The finding for a terminal: the message, the line, and a caret under the column."""
        shown = [str(self)]
        if self.where and self.where.text.strip():
            shown += excerpt(self.where)
        return shown


class Refused(ConfigError):
    """A configuration that cannot be used.

    Args:
        message: one line for all of it.
        problems: every error; their text becomes ``details``.
        warnings: what else was found.
        xl_status: exit status of ``xl create`` for the same text (1, 3 or 6); None when only xlpy refuses it.
    """

    def __init__(
        self,
        message: str,
        problems: list[Problem],
        *,
        hint: str | None = None,
        warnings: Sequence[Problem] = (),
        xl_status: int | None = 1,
    ) -> None:
        super().__init__(message, hint=hint, details=[line for problem in problems for line in problem.lines()])
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)
        self.xl_status = xl_status


class Source:
    """A configuration text: a file, and the ``KEY=VALUE`` arguments that xl appends to it.

    Args:
        text: the file.
        name: its name in messages.
        extra: settings from the command line, each its own line after an empty one, as xl joins them.
    """

    __slots__ = ("_starts", "boundary", "extra", "name", "text")

    def __init__(self, text: str, name: str, extra: tuple[str, ...] = ()) -> None:
        self.boundary = len(text) + 1
        self.text = "\n".join((text, *extra, "")) if extra else text
        self.name = name
        self.extra = extra
        self._starts: list[int] | None = None

    def line_of(self, offset: int) -> int:
        """The line number, from 1, counted through file and command line as xl counts."""
        if self._starts is None:
            starts, at = [0], self.text.find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = self.text.find("\n", at + 1)
            self._starts = starts
        from _bisect import bisect_right

        return bisect_right(self._starts, offset)

    def position(self, offset: int) -> Position:
        """The place of the character at ``offset``; the end of the text counts as one more character."""
        line = self.line_of(offset)
        assert self._starts is not None
        start = self._starts[line - 1]
        cut = max(start, offset - _WIDTH)
        shown = self.text[cut : offset + _WIDTH].partition("\n")[0].rstrip("\r")
        name = self.name
        if start >= self.boundary:
            name, line = COMMAND_LINE, line - self.line_of(self.boundary) + 1
        return Position(name, line, offset - start + 1, shown, cut - start + 1)


def excerpt(where: Position) -> list[str]:
    """The line and a caret under its column."""
    return [f"    {printable(where.text.expandtabs(1))}", " " * (4 + where.column - where.first) + "^"]


def printable(text: str) -> str:
    """The text with control characters and undecodable bytes replaced, each by one character."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)
