"""Where everything is drawn, at zoom 1: each column to a scale of its own, holes cut out, host RAM cut short.

Lengths are pixels. A stretch is at least ``THIN`` high, so that small ones can be seen and pointed at.
"""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.views.picture.model import AddressSpace, Picture, Segment

TITLES = ("guest-physical memory", "host-physical memory", "DIMMs")
FILES = 40.0  # how far in the extents of files are drawn
INDENT = 8.0  # a band of the next depth begins so much further right
WIDTH, MARGIN, TOP = 1200.0, 20.0, 40.0
COLUMNS = ((20.0, 260.0), (430.0, 320.0), (920.0, 260.0))  # left edge and width
TITLE, BREAK, GAP, THIN = 22.0, 10.0, 14.0, 4.0
CUT = 30.0  # height of a stretch of host RAM, which would leave no room for what is shown here
HOST = 1  # the column
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


def place_of(placed: Placed, address: int) -> float:
    """Where an address of a segment is drawn."""
    segment = placed.segment
    return placed.y + placed.height * (address - segment.start) / (segment.end - segment.start)


def _cut(column: int, segment: Segment) -> bool:
    """Whether a stretch is not drawn to scale."""
    return column == HOST and segment.kind == "ram"
