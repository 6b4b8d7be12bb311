"""The memory errors that Dom0's driver knows of, and the state of those that it does not know yet.

An error is found by a scrub (at boot, on notification 0x81, on demand), and stays known until its range is cleared,
even when the media have lost it by other means; one that appears without a report is unknown until then (Linux:
``nvdimm_bus`` badrange, ``acpi_nfit_scrub``).
"""

from __future__ import annotations

from xlpy.addr import SECTOR, Spa, Span
from xlpy.rangemap import RangeMap
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.table import Table

LONGEST = 512  # sectors in one entry of a list (BB_MAX_LEN)
MOST = 512  # entries in a list (MAX_BADBLOCKS)
SHOWN = 4096  # bytes of a file in sysfs
_KEY = "bad"


class BadRanges:
    """The list of one bus.

    Args:
        table: Dom0's state. Writers hold a transaction.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        saved = table.get(_KEY, {"ranges": [], "scrubs": 0})
        self._known: RangeMap[None] = RangeMap((start, end, None) for start, end in saved["ranges"])
        self.scrubs: int = saved["scrubs"]

    def __iter__(self) -> Iterator[Span[Spa]]:
        return (Span.between(Spa(run.start), Spa(run.end)) for run in self._known)

    def __len__(self) -> int:
        return len(self._known)

    def overlapping(self, span: Span[Spa]) -> list[Span[Spa]]:
        """The bad parts of a span, as far as they are known, ascending."""
        runs = self._known.overlapping(span.start, span.end)
        return [Span.between(Spa(max(run.start, span.start)), Spa(min(run.end, span.end))) for run in runs]

    def scrubbed(self, found: Iterable[Span[Spa]]) -> None:
        """A scrub has ended: what it found is known from now on."""
        self.scrubs += 1
        self.add(found)

    def add(self, spans: Iterable[Span[Spa]]) -> None:
        """Errors were found."""
        for span in spans:
            self._known.join(span.start, span.end, None)
        self._save()

    def forget(self, span: Span[Spa]) -> None:
        """A range was cleared."""
        if self._known.remove(span.start, span.end):
            self._save()

    def _save(self) -> None:
        ranges = [[run.start, run.end] for run in self._known]
        self._table.put(_KEY, {"ranges": ranges, "scrubs": self.scrubs})


def sectors(bad: Iterable[Span[Spa]], start: int) -> list[tuple[int, int]]:
    """Bad sectors of 512 bytes as the kernel lists them.

    Args:
        bad: ascending.
        start: where sector 0 is.

    Returns:
        first sector and count; neighbours are one entry, up to ``LONGEST``; what is beyond ``MOST`` entries is lost.
    """
    joined: list[tuple[int, int]] = []
    for span in bad:
        first, end = (span.start - start) // SECTOR, -(-(span.end - start) // SECTOR)
        if joined and first <= joined[-1][1]:
            before = joined.pop()
            first, end = before[0], max(before[1], end)
        joined.append((first, end))
    pieces = ((at, min(LONGEST, end - at)) for first, end in joined for at in range(first, end, LONGEST))
    return [piece for piece, _ in zip(pieces, range(MOST), strict=False)]


def text(bad: Iterable[Span[Spa]], start: int) -> str:
    """The ``badblocks`` file in sysfs: one line for each entry, as many as fit."""
    lines, room = [], SHOWN
    for first, count in sectors(bad, start):
        line = f"{first} {count}\n"
        room -= len(line)
        if room < 0:
            break
        lines.append(line)
    return "".join(lines)
