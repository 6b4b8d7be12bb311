"""What all device specifications share: pieces between commas, each KEY=VALUE."""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.toolstack.reading.reader import Reader
    from xlpy.toolstack.xlcfg import Position, Text


class Piece(NamedTuple):
    """A piece of a specification.

    Args:
        text: the piece without leading spaces.
        key: what stands before the first ``=``; all of it when there is none.
        value: what stands behind, or None.
        at: where the piece starts in the specification.
    """

    text: str
    key: str
    value: str | None
    at: int


def pieces(text: str, separator: str = ",") -> Iterator[Piece]:
    """The pieces between commas; empty ones do not count, spaces in front of one neither (C's ``strtok``)."""
    index = 0
    for part in text.split(separator):
        if part:
            piece = part.lstrip(" ")
            key, equals, value = piece.partition("=")
            yield Piece(piece, key, value if equals else None, index + len(part) - len(piece))
        index += len(part) + 1


def unknown(reader: Reader, text: Text, piece: Piece, kind: str, known: Iterable[str], *, fatal: bool) -> None:
    """Report a setting that does not belong in a specification."""
    where: Position = reader.at(text, piece.at)
    message = f"{kind}: unknown setting {piece.key!r}"
    if fatal:
        reader.error(where, message, reader.nearest(piece.key, known))
    else:
        reader.warn(where, f"{message}; xl ignores it", reader.nearest(piece.key, known))
