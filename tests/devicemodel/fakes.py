"""Stand-ins for the actors around the device model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlpy.addr import Gpa, Spa, Span

if TYPE_CHECKING:
    from collections.abc import Iterable


class FakeMedia:
    """A poison list."""

    def __init__(self, *bad: tuple[int, int]) -> None:
        self.bad = [Span(Spa(start), size) for start, size in bad]
        self.cleared: list[Span[Spa]] = []

    def poisoned(self, span: Span[Spa]) -> Iterable[Span[Spa]]:
        return [bad for bad in self.bad if bad.overlaps(span)]

    def clear_poison(self, span: Span[Spa], guest: Span[Gpa]) -> None:
        self.cleared.append(span)
        assert guest.size == span.size
        left = []
        for bad in self.bad:
            for start, end in ((bad.start, min(bad.end, span.start)), (max(bad.start, span.end), bad.end)):
                if start < end:
                    left.append(Span(Spa(start), end - start))
        self.bad = left
