"""The positions of everything at zoom 1: each column has its own scale, holes are omitted, host RAM is shortened.

Lengths are pixels. A stretch is at least ``THIN`` high, so that small ones can be seen and pointed at.
"""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.views.picture.model import AddressSpace, Picture, Segment

TITLES = ("guest-physical memory", "host-physical memory", "DIMMs")
FILES = 40.0  # how far in the extents of files are drawn
INDENT = 8.0  # a band of the next depth begins so much further right
WIDTH, MARGIN, TOP = 1200.0, 20.0, 40.0
COLUMNS = ((20.0, 260.0), (430.0, 280.0), (920.0, 260.0))  # left edge and width
TITLE, BREAK, GAP, THIN = 22.0, 10.0, 14.0, 4.0
CUT = 30.0  # height of a stretch of host RAM, which would leave no room for what is shown here
HOST = 1  # the column
ROW, FAR, MOST = 14.0, 84.0, 32  # notes beside a column: height of one, how far from its thing, and its letters
HEIGHT = 900.0  # of a column, where its titles and breaks leave room


class Placed(NamedTuple):
    """A segment in the picture: column, top and height."""

    column: int
    space: AddressSpace
    segment: Segment
    y: float
    height: float


class Heading(NamedTuple):
    """The title of a space."""

    column: int
    text: str
    y: float


class PictureLayout(NamedTuple):
    """The whole picture. height: its lowest edge."""

    placed: list[Placed]
    headings: list[Heading]
    height: float


def layout(shown: Picture) -> PictureLayout:
    """Place all spaces of a picture."""
    placed: list[Placed] = []
    headings: list[Heading] = []
    for column, spaces in enumerate(shown.columns):
        scaled = [one for space in spaces for one in space.segments if not _cut(column, one)]
        total = sum(segment.end - segment.start for segment in scaled) or 1
        breaks = sum(len(space.segments) for space in spaces) * BREAK
        room = max(HEIGHT - len(spaces) * (TITLE + GAP) - breaks, HEIGHT / 3)
        y = TOP
        for space in spaces:
            headings.append(Heading(column, space.title, y))
            y += TITLE
            for before, segment in zip([None, *space.segments], space.segments, strict=False):
                if before is not None and before.end != segment.start:
                    y += BREAK
                height = CUT if _cut(column, segment) else max(room * (segment.end - segment.start) / total, THIN)
                placed.append(Placed(column, space, segment, round(y, 2), round(height, 2)))
                y += height
            y += GAP
    lowest = max([one.y + one.height for one in placed], default=TOP)
    return PictureLayout(placed, headings, round(lowest + MARGIN, 2))


class Note(NamedTuple):
    """A name that stands beside a column, so that it covers nothing. at: height of its thing. edge: where that ends."""

    at: float
    edge: float
    text: str


def apart(notes: Iterable[Note]) -> Iterator[tuple[Note, float]]:
    """Notes with the heights of their lines, none on another; what would stand too far from its thing is left out."""
    last = float("-inf")
    for note in sorted(notes, key=lambda note: note.at):
        y = max(note.at + 4, last + ROW)
        if y - note.at <= FAR:
            yield note, round(y, 1)
            last = y


def shortened(text: str) -> str:
    """A name that has room beside a column: long ones without their middle."""
    return text if len(text) <= MOST else f"{text[: MOST // 3]}…{text[-(MOST - MOST // 3 - 1) :]}"


def place_of(placed: Placed, address: int) -> float:
    """Where an address of a segment is drawn."""
    segment = placed.segment
    return placed.y + placed.height * (address - segment.start) / (segment.end - segment.start)


def _cut(column: int, segment: Segment) -> bool:
    """Whether a stretch is not drawn to scale."""
    return column == HOST and segment.kind == "ram"
