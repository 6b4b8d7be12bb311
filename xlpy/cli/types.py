"""Types of parameters: how plain text is read, and the click type that decides about any other.

``plain`` takes only what click would take as well; where it raises ValueError, click is asked.
"""

from __future__ import annotations

import os

from xlpy.addr import parse_size
from xlpy.errors import NotFound, UsageError
from xlpy.typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import click

MOST_SECONDS = 1e9  # 31 years: time.sleep refuses 292 of them


class Type(Protocol):
    """What a value may be."""

    def plain(self, text: str) -> Any:  # noqa: ANN401 - any value
        """The value of a text that leaves no doubt. ValueError: click shall decide."""
        raise ValueError(text)

    def click(self) -> Any:  # noqa: ANN401 - a click.ParamType, or what click makes one of
        """The same type for click."""


class Choice(Type):
    """One of some words."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words

    def plain(self, text: str) -> str:
        if text not in self.words:
            raise ValueError(text)
        return text

    def click(self) -> click.ParamType[Any]:
        import click

        return click.Choice(self.words)


class IntRange(Type):
    """An integer between bounds, both of them allowed."""

    def __init__(self, low: int, high: int | None = None) -> None:
        self.low = low
        self.high = high

    def click(self) -> click.ParamType[Any]:
        import click

        return click.IntRange(self.low, self.high)


class Seconds(Type):
    """A time, zero or more.

    Args:
        some: whether it must be more than zero.
    """

    def __init__(self, *, some: bool = False) -> None:
        self.some = some

    def click(self) -> click.ParamType[Any]:
        import click

        class Range(click.FloatRange):
            def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
                found = super().convert(value, param, ctx)
                if not found <= MOST_SECONDS:  # nan too, which lies in every range for click
                    self.fail(f"{value} is no number of seconds up to {MOST_SECONDS:.0f}", param, ctx)
                return found

        return Range(min=0, min_open=self.some)


class FilePath(Type):
    """A path.

    Args:
        exists: whether something must be there.
        file_okay, dir_okay: whether what is there may be a file, a directory.
    """

    def __init__(self, *, exists: bool = False, file_okay: bool = True, dir_okay: bool = True) -> None:
        self.exists = exists
        self.file_okay = file_okay
        self.dir_okay = dir_okay

    def plain(self, text: str) -> Path:
        from pathlib import Path

        if not text:  # Path("") is the folder one is in
            raise ValueError(text)
        path = Path(text)
        if path.exists():
            if not (self.dir_okay if path.is_dir() else self.file_okay) or not os.access(path, os.R_OK):
                raise ValueError(text)
        elif self.exists:
            raise ValueError(text)
        return path

    def click(self) -> click.ParamType[Any]:
        from pathlib import Path

        import click

        class Named(click.Path):
            def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
                if value == "":
                    self.fail("a path is missing: the word is empty", param, ctx)
                if self.exists and not os.path.exists(value):  # noqa: PTH110 - as everywhere, not a wrong usage
                    raise NotFound(f"{value}: No such file or directory", hint="check the path")
                return super().convert(value, param, ctx)

        return Named(self.exists, file_okay=self.file_okay, dir_okay=self.dir_okay, path_type=Path)


class Size(Type):
    """A size or address: 4096, 0x1000, 64M."""

    def plain(self, text: str) -> int:
        try:
            return parse_size(text)
        except UsageError as error:
            raise ValueError(f"{error} ({error.hint})") from None

    def click(self) -> Callable[[str], int]:
        def size(text: str) -> int:  # click takes its name for that of the type
            return self.plain(text)

        return size
