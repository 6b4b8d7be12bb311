"""What all device specifications share: pieces between commas, each KEY=VALUE."""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.toolstack.config.reading.reader import Reader
    from xlpy.toolstack.config.xlcfg import Position, Text


class SpecPiece(NamedTuple):
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


def pieces(text: str, separator: str = ",") -> Iterator[SpecPiece]:
    """The pieces between commas; empty ones do not count, spaces in front of one neither (C's ``strtok``)."""
    index = 0
    for part in text.split(separator):
        if part:
            piece = part.lstrip(" ")
            key, equals, value = piece.partition("=")
            yield SpecPiece(piece, key, value if equals else None, index + len(part) - len(piece))
        index += len(part) + 1


def unknown(reader: Reader, text: Text, piece: SpecPiece, kind: str, known: Iterable[str], *, fatal: bool) -> None:
    """Report a setting that does not belong in a specification."""
    where: Position = reader.at(text, piece.at)
    known, hint = tuple(known), None
    message = f"{kind}: unknown setting {piece.key!r}"
    if piece.key in known:
        message = f"{kind}: {piece.key} takes {'a' if piece.value is None else 'no'} value"
        hint = f"write {piece.key}=VALUE" if piece.value is None else f"write {piece.key}"
    else:
        hint = reader.nearest(piece.key, known)
    if fatal:
        reader.error(where, message, hint)
    else:
        reader.warn(where, f"{message}; xl ignores it", hint)
