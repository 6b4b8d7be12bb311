"""Types of parameters: how plain text is read, and the click type that decides about any other.

``plain`` takes only what click would take as well; where it raises ValueError, click is asked.
"""

from __future__ import annotations

from xlpy.addr import parse_size
from xlpy.errors import UsageError, XlpyError
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
    """A path, which is not empty. What reads it says what is wrong with it.

    Args:
        out: what is written there, which must be possible before anything else is done: a "file", a "stream" (a file,
            or the FIFO or device that is there; - is standard output), or what goes into a "folder".
        folder: whether a folder is read or written, for completion.
    """

    def __init__(self, *, out: str = "", folder: bool = False) -> None:
        self.out = out
        self.folder = folder or out == "folder"

    def checked(self, text: str) -> Path:
        """The path. Errors as ``require_place``."""
        from pathlib import Path

        if self.out and not (self.out == "stream" and text == "-"):
            from xlpy.outputs import require_place

            require_place(text, folder=self.folder, stream=self.out == "stream")
        return Path(text)

    def plain(self, text: str) -> Path:
        try:
            return self.checked(text)
        except XlpyError:
            raise ValueError(text) from None  # unless something is wrong with the command line itself

    def click(self) -> click.ParamType[Any]:
        import click

        checked = self.checked

        class Named(click.Path):
            def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
                if value == "":  # Path("") is the folder one is in
                    self.fail("a path is missing: the word is empty", param, ctx)
                return checked(value) if isinstance(value, str) else value

        return Named(file_okay=not self.folder, dir_okay=self.folder)


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
