"""A region: the host physical addresses of one interleave set."""

from __future__ import annotations

from xlpy.functions import cache
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from xlpy.addr import Spa, Span
    from xlpy.hw.interleave import Interleave
    from xlpy.hw.machine import SetSpec


class Region(NamedTuple):
    """A span of host physical addresses that belongs to one interleave set.

    index: position in the machine, from 0 (``regionN``); file: whose byte x is the region's byte x.
    """

    name: str
    index: int  # type: ignore[assignment]  # hides tuple.index, which is not needed here
    span: Span[Spa]
    set: SetSpec
    file: str

    @property
    def path(self) -> Path:
        """Its file."""
        from pathlib import Path

        return Path(self.file)

    @property
    def table(self) -> Interleave:
        """How its bytes are spread over the DIMMs of the set."""
        return _interleave(len(self.set.dimms), self.set.line)


@cache
def _interleave(ways: int, line: int) -> Interleave:
    from xlpy.hw.interleave import Interleave

    return Interleave.round_robin(ways, line)
