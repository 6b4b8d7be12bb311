"""The picture as one self-contained page: data, drawing and tables, to view, search and print."""

from __future__ import annotations

from xlpy.jsontext import encode_compact
from xlpy.typing import TYPE_CHECKING
from xlpy.views.picture.assets import asset
from xlpy.views.picture.layout import COLUMNS, FAR, FILES, INDENT, MOST, ROW, TITLES, WIDTH, layout
from xlpy.views.picture.markup import text

if TYPE_CHECKING:
    from xlpy.views.picture.model import Picture


def page(shown: Picture) -> str:
    """The page. Names are data and never markup: they reach the document as text only."""
    drawn = layout(shown)
    numbers = {id(one.segment): (one.y, one.height) for one in drawn.placed}
    data = {
        "host": shown.host,
        "width": WIDTH,
        "height": drawn.height,
        "columns": [
            {
                "title": title,
                "x": x,
                "width": width,
                "spaces": [
                    {
                        "id": space.id,
                        "title": space.title,
                        "segments": [
                            {
                                "start": segment.start,
                                "end": segment.end,
                                "kind": segment.kind,
                                "label": segment.label,
                                "y": numbers[id(segment)][0],
                                "h": numbers[id(segment)][1],
                                "bands": [list(band) for band in segment.bands],
                                "spa": segment.spa,
                            }
                            for segment in space.segments
                        ],
                    }
                    for space in spaces
                ],
            }
            for title, (x, width), spaces in zip(TITLES, COLUMNS, shown.columns, strict=True)
        ],
        "headings": [list(heading) for heading in drawn.headings],
        "backings": [one._asdict() for one in shown.backings],
        "regions": [one._asdict() for one in shown.regions],
        "poison": shown.poison,
        "ledger": [[one.name, one.raw, [list(share) for share in one.shares]] for one in shown.ledger],
        "indent": INDENT,
        "files": FILES,
        "notes": [ROW, FAR, MOST],
    }
    values = encode_compact(data).replace("<", "\\u003c")
    return (
        asset("page.html")
        .replace("{{title}}", text(shown.host))
        .replace("{{drawing.css}}", asset("drawing.css"))
        .replace("{{page.js}}", asset("page.js"))
        .replace("{{data}}", values)
    )
