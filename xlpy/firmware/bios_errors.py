"""The host platform's side of memory errors: root functions 1 to 4 and 7 to 9 of its NVDIMM ``_DSM``.

(NVDIMM ``_DSM`` interface 1.8, functions of the root device.) A scrub takes no time. Media go bad, and are cleared, in
lines of 64 bytes.
"""

from __future__ import annotations

from xlpy.addr import LINE
from xlpy.errors import Constraint
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.addr import Spa, Span
    from xlpy.hw.hardware import Hardware


class ErrorFunctions:
    """The functions, in host physical addresses.

    Args:
        hw: the machine.
    """

    def __init__(self, hw: Hardware) -> None:
        self._hw = hw

    def scrub(self, span: Span[Spa]) -> list[Span[Spa]]:
        """Functions 2 and 3: what a scrub of a range finds, ascending. Constraint: not one region's."""
        self._require(span)
        return self._hw.poison.overlapping(span)

    def clear(self, span: Span[Spa]) -> int:
        """Function 4: bad lines of a range become good ones, filled with zeros; good ones are not touched.

        Returns:
            bytes that were bad and are not any more.

        Raises:
            Constraint: not one region's, or not in units of ``LINE``; a DIMM of the region is not there.
        """
        self._require(span)
        if any(region.set.out and region.span.overlaps(span) for region in self._hw.regions):
            raise Constraint(f"{span} cannot be cleared: a DIMM under it was pulled out")
        if span.start % LINE or span.size % LINE:
            raise Constraint(f"{span} cannot be cleared: it must begin and end on {LINE} bytes")
        for bad in self._hw.poison.overlapping(span):
            self._hw.zero(bad)
        return self._hw.clear_poison(span)

    def inject(self, spans: Iterable[Span[Spa]]) -> None:
        """Function 7: the lines of the ranges become bad. Constraint: not one region's; nothing is done then."""
        wanted = [span for span in spans if self._require(span)]
        self._hw.injected.add(*wanted)
        self._hw.poison.add(*wanted)

    def uninject(self, spans: Iterable[Span[Spa]]) -> None:
        """Function 8: injected errors of the ranges are gone, with what was stored there before.

        Who has found them meanwhile goes on believing in them. Constraint: as for ``inject``.
        """
        for span in [span for span in spans if self._require(span)]:
            for mine in self._hw.injected.overlapping(span):
                self._hw.clear_poison(mine)

    def injected(self) -> list[Span[Spa]]:
        """Function 9: the errors that were injected and are still there."""
        return list(self._hw.injected)

    def _require(self, span: Span[Spa]) -> bool:
        if not span.size or not any(region.span.covers(span) for region in self._hw.regions):
            raise Constraint(
                f"{span} is not persistent memory of one region", hint="xlpy host show tells where regions are"
            )
        return True
