"""Lines of memory that can no longer be read, until they are cleared."""

from __future__ import annotations

import os

from xlpy.addr import LINE, Spa, Span, align_down, align_up
from xlpy.errors import StateError
from xlpy.hw.media import trouble
from xlpy.jsontext import decode, encode
from xlpy.private import private
from xlpy.rangemap import RangeMap
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class PoisonList:
    """Poisoned spans, kept in a small file so that they outlive domains and commands.

    Spans grow outwards to whole lines of 64 bytes, and neighbours become one. Every change replaces the file at once.

    Args:
        path: the file; no file is an empty list.
        keep: called with the file's name before a change of it that may be undone later.
    """

    __slots__ = ("_keep", "_path", "_runs")

    def __init__(self, path: str | os.PathLike[str], keep: Callable[[str], None] | None = None) -> None:
        self._path = os.fspath(path)
        self._keep = keep
        self._runs: RangeMap[None] | None = None

    def __iter__(self) -> Iterator[Span[Spa]]:
        return (Span.between(Spa(run.start), Spa(run.end)) for run in self._load())

    def __len__(self) -> int:
        return len(self._load())

    def overlapping(self, span: Span[Spa]) -> list[Span[Spa]]:
        """The poisoned parts of ``span``, in order."""
        runs = self._load().overlapping(span.start, span.end)
        return [Span.between(Spa(max(run.start, span.start)), Spa(min(run.end, span.end))) for run in runs]

    def gaps(self, span: Span[Spa]) -> list[tuple[int, int]]:
        """The parts of ``span`` that are not poisoned, as (start, end)."""
        return self._load().gaps(span.start, span.end)

    def add(self, *spans: Span[Spa]) -> None:
        """Poison every line that the spans touch."""
        runs = self._load()
        fresh = [lines for span in spans if not runs.covers(*(lines := _lines(span)))]
        for lines in fresh:
            runs.join(*lines, None)
        if fresh:
            self._store()

    def clear(self, span: Span[Spa]) -> int:
        """Repair every line that ``span`` touches; what the lines hold is not changed here.

        Returns:
            the bytes that were poisoned and are not any more.
        """
        removed = self._load().remove(*_lines(span))
        if removed:
            self._store()
        return sum(run.end - run.start for run in removed)

    def reread(self) -> None:
        """The file has changed: read it again when it is asked for."""
        self._runs = None

    @classmethod
    def create(cls, path: str | os.PathLike[str], spans: Iterable[Span[Spa]]) -> None:
        """Write a list that starts with ``spans``."""
        made = cls(path)
        runs: RangeMap[None] = RangeMap()
        for span in spans:
            runs.join(*_lines(span), None)
        made._runs = runs
        made._store()

    def _load(self) -> RangeMap[None]:
        if self._runs is None:
            try:
                with open(self._path, "rb") as file:
                    pairs = decode(file.read().decode())
                self._runs = RangeMap((int(start), int(end), None) for start, end in pairs)
            except FileNotFoundError:
                self._runs = RangeMap()
            except (OSError, ValueError, TypeError) as error:
                raise StateError(
                    f"{self._path}: the list of poisoned lines cannot be read: {error}",
                    hint="remove the file to forget all poison",
                ) from error
        return self._runs

    def _store(self) -> None:
        text = encode([(run.start, run.end) for run in self._load()])
        fresh = f"{self._path}.new"
        if self._keep is not None:
            self._keep(os.path.basename(self._path))
        try:
            with open(fresh, "w", encoding="utf-8", opener=private) as file:
                file.write(text)
            os.replace(fresh, self._path)
        except OSError as error:
            raise trouble(self._path, error) from error


def _lines(span: Span[Spa]) -> tuple[int, int]:
    return (align_down(span.start, LINE), align_up(span.end, LINE)) if span.size else (span.start, span.start)
