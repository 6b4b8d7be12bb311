"""The picture as one SVG: the page before zooming, for documents and for printing."""

from __future__ import annotations

from itertools import pairwise

from xlpy.addr import MIB, PAGE_SHIFT, format_size
from xlpy.typing import TYPE_CHECKING
from xlpy.views.picture.assets import asset
from xlpy.views.picture.layout import (
    COLUMNS,
    FILES,
    HOST,
    INDENT,
    TITLE,
    TITLES,
    WIDTH,
    Note,
    PictureLayout,
    Placed,
    apart,
    layout,
    place_of,
    shortened,
)
from xlpy.views.picture.markup import text as _text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.views.picture.model import DrawnBacking, Picture

BAR = 44.0  # height of a namespace in the capacity ledger
LEGIBLE = 11.0  # height from which a name fits


def svg(shown: Picture) -> str:
    """Draw a picture. Extents of which several fall on one pixel are drawn as one."""
    placed = layout(shown)
    body = "\n".join([*_elements(shown, placed), *_capacity(shown, placed.height)])
    height = placed.height + len(shown.ledger) * BAR + (TITLE if shown.ledger else 0)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" role="img"'
        f' aria-label="memory of the host {_text(shown.host)}">\n'
        f"<style>{asset('drawing.css')}</style>\n{body}\n</svg>\n"
    )


def _elements(shown: Picture, drawn: PictureLayout) -> Iterator[str]:
    for title, (x, _) in zip(TITLES, COLUMNS, strict=True):
        yield f'<text class="column" x="{x:g}" y="20">{title}</text>'
    for heading in drawn.headings:
        x = COLUMNS[heading.column][0]
        yield f'<text class="space" x="{x:g}" y="{heading.y + 14:g}">{_text(heading.text)}</text>'
    yield from _interleaving(shown, drawn)
    for part in (
        *(_ribbons(drawn, backing) for backing in shown.backings),
        *map(_segment, drawn.placed),
        *(_pieces(drawn, backing) for backing in shown.backings),
        *map(_names, drawn.placed),
        _notes(shown, drawn),
    ):
        yield from part
    for start, end in shown.poison:
        if (host := _holding(drawn, 1, "host", start)) is not None:
            x, width = COLUMNS[1]
            yield _box("poison", x, width, place_of(host, start), place_of(host, end), f"poison {start:#x}-{end:#x}")


def _capacity(shown: Picture, y: float) -> Iterator[str]:
    """The capacity ledger: a bar for each namespace whose parts add up to the raw bytes of its DIMMs."""
    if shown.ledger:
        yield f'<text class="column" x="{COLUMNS[0][0]:g}" y="{y:g}">capacity, from raw bytes to usable ones</text>'
    for one in shown.ledger:
        x, wide = COLUMNS[0][0], WIDTH - 2 * COLUMNS[0][0]
        y += TITLE
        yield (
            f'<text x="{x:g}" y="{y:g}">{_text(one.name)}: {one.shares[-1].size / MIB:.1f} MiB of '
            f"{one.raw / MIB:.1f} MiB raw</text>"
        )
        for number, share in enumerate(one.shares):
            width = wide * share.size / one.raw if one.raw else 0
            kind = "pmem" if number == len(one.shares) - 1 else ("reserve", "info", "mmio", "acpi")[number % 4]
            about = f"{share.what}: {share.size} bytes"
            yield (
                f'<rect class="{kind}" x="{x:.2f}" y="{y + 4:g}" width="{width:.2f}" height="12">'
                f"<title>{_text(about)}</title></rect>"
            )
            x += width
        y += BAR - TITLE


def _segment(one: Placed) -> Iterator[str]:
    x, width = COLUMNS[one.column]
    segment = one.segment
    size = format_size(segment.end - segment.start)
    about = f"{segment.label}: {segment.start:#x}-{segment.end:#x}, {size}"
    yield _box(segment.kind, x, width, one.y, one.y + one.height, about)
    for band in segment.bands:
        left = band.depth * INDENT
        about = f"{band.label}: {band.start:#x}-{band.end:#x}, {format_size(band.end - band.start)}"
        yield _box(band.kind, x + left, width - 2 * left, place_of(one, band.start), place_of(one, band.end), about)


def _names(one: Placed) -> Iterator[str]:
    """What is written into a segment, where there is room for it."""
    x, _ = COLUMNS[one.column]
    segment = one.segment
    if one.height >= LEGIBLE and not segment.bands:
        size = format_size(segment.end - segment.start)
        yield f'<text x="{x + 6:g}" y="{one.y + min(one.height / 2, 10) + 4:.1f}">{_text(segment.label)} {size}</text>'


def _notes(shown: Picture, drawn: PictureLayout) -> Iterator[str]:
    """The names of what lies in segments, beside their column: regions, namespaces and their parts, files."""
    right, notes = sum(COLUMNS[HOST]), []
    for one in drawn.placed:
        if one.segment.bands:
            notes.append(Note(one.y, right, one.segment.label))
        for band in one.segment.bands:
            top, bottom = place_of(one, band.start), place_of(one, band.end)
            if bottom - top >= 1:
                notes.append(Note(top, right - band.depth * INDENT, band.label))
    for backing in shown.backings:
        host = _holding(drawn, HOST, "host", backing.extents[0] << PAGE_SHIFT) if backing.extents else None
        if host is not None:
            notes.append(Note(place_of(host, backing.extents[0] << PAGE_SHIFT), right - FILES, backing.path))
    for note, y in apart(notes):
        yield f'<path class="lead" d="M{note.edge:g} {note.at + 0.5:.1f}L{right + 6:g} {y - 4:g}"/>'
        yield f'<text x="{right + 8:g}" y="{y:g}">{_text(shortened(note.text))}</text>'


def _pieces(drawn: PictureLayout, one: DrawnBacking) -> Iterator[str]:
    """The extents of a vNVDIMM in the host's column; those of one pixel as one."""
    x, width = COLUMNS[HOST]
    before = None
    for first, count in _pairs(one.extents):
        spa, size = first << PAGE_SHIFT, count << PAGE_SHIFT
        host = _holding(drawn, HOST, "host", spa)
        if host is not None:
            top, bottom = place_of(host, spa), place_of(host, spa + size)
            if (key := (round(top), round(bottom))) != before:
                about = f"{one.path}: {spa:#x}-{spa + size:#x}, {format_size(size)}"
                yield _box("pmem", x + FILES, width - 2 * FILES, top, bottom, about)
            before = key


def _ribbons(drawn: PictureLayout, one: DrawnBacking) -> Iterator[str]:
    """The extents of a vNVDIMM, from the guest's column to the host's; those of one pixel as one."""
    guest = _holding(drawn, 0, one.space, one.gpa)
    if guest is None:
        return
    gpa, before = one.gpa, None
    for first, count in _pairs(one.extents):
        spa, size = first << PAGE_SHIFT, count << PAGE_SHIFT
        host = _holding(drawn, 1, "host", spa)
        if host is not None:
            edges = (place_of(guest, gpa), place_of(guest, gpa + size), place_of(host, spa), place_of(host, spa + size))
            key = tuple(map(round, edges))
            if key != before:
                yield _band("extent", 0, edges, f"{one.path}: {gpa:#x} -> {spa:#x}, {format_size(size)}")
            before = key
        gpa += size


def _interleaving(shown: Picture, drawn: PictureLayout) -> Iterator[str]:
    for region in shown.regions:
        host = _holding(drawn, 1, "host", region.start)
        for name, start in zip(region.dimms, region.starts, strict=True):
            dimm = _holding(drawn, 2, f"dimm:{name}", 0)
            if host is not None and dimm is not None:
                share = region.size // len(region.dimms)
                edges = (host.y, host.y + host.height, place_of(dimm, start), place_of(dimm, start + share))
                lines = f", every {len(region.dimms)}th line of {region.line}" if len(region.dimms) > 1 else ""
                yield _band("ways", 1, edges, f"{region.name} on {name}{lines}")


def _holding(drawn: PictureLayout, column: int, space: str, address: int) -> Placed | None:
    for one in drawn.placed:
        if one.column == column and one.space.id == space and one.segment.start <= address < one.segment.end:
            return one
    return None


def _pairs(flat: list[int]) -> Iterable[tuple[int, int]]:
    return list(pairwise(flat))[::2]


def _box(kind: str, x: float, width: float, top: float, bottom: float, about: str) -> str:
    height = max(bottom - top, 0.5)
    return (
        f'<rect class="{kind}" x="{x:g}" y="{top:.2f}" width="{width:g}" height="{height:.2f}">'
        f"<title>{_text(about)}</title></rect>"
    )


def _band(kind: str, column: int, edges: tuple[float, float, float, float], about: str) -> str:
    left, right = sum(COLUMNS[column]), COLUMNS[column + 1][0]
    a, b, c, d = edges
    b, d = max(b, a + 0.5), max(d, c + 0.5)
    return (
        f'<path class="{kind}" d="M{left:g} {a:.2f}L{right:g} {c:.2f}V{d:.2f}L{left:g} {b:.2f}Z">'
        f"<title>{_text(about)}</title></path>"
    )
