"""Removing settings from a configuration's text without changing the rest."""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.toolstack.config.xlcfg import lexer
from xlpy.toolstack.config.xlcfg.lexer import CLOSE, CRLF, END, IDENT, ILLEGAL, LAST_COMMENT, NEWLINE, OPEN, SEMICOLON
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


class Statement(NamedTuple):
    """One ``KEY = VALUE`` or ``KEY += VALUE`` of a text: ``text[start:end]``, without what follows the value."""

    key: str
    start: int
    end: int


def statements(text: str) -> Iterator[Statement]:
    """Every statement of a text that ``parse`` accepts, in order."""
    key, start, end, depth = "", 0, 0, 0
    for token in lexer.expression(strict=False).finditer(text):
        kind = token.lastindex or END
        if kind == ILLEGAL:  # what a friendly reader passes over
            continue
        ended = kind in (NEWLINE, SEMICOLON, CRLF, LAST_COMMENT) and not depth
        if ended:
            if key and end > start:
                yield Statement(key, start, end)
            key = ""
            continue
        if kind in (NEWLINE, CRLF, LAST_COMMENT):
            continue
        if not key:
            if kind == IDENT:
                key, start = token[kind], token.start(kind)
            continue
        depth += (kind == OPEN) - (kind == CLOSE)
        end = token.end(kind)
    if key and end > start:
        yield Statement(key, start, end)


def comment_out(text: str, keys: Collection[str]) -> str:
    """The text with every statement of some keys turned into comments, and ending with a newline.

    What shares a line with such a statement keeps its meaning: it moves to a line of its own.
    """
    out, at = [], 0
    for one in statements(text):
        if one.key not in keys:
            continue
        before = text[at : one.start]
        out.append(before)
        if before and not before.endswith("\n") and before.rpartition("\n")[2].strip():
            out.append("\n")
        out.append("".join(f"# {line}\n" for line in text[one.start : one.end].splitlines()))
        at = one.end
        while text[at : at + 1] in (" ", "\t", ";"):
            at += 1
        if text[at : at + 1] == "\n":
            at += 1
    out.append(text[at:])
    whole = "".join(out)
    return whole if whole.endswith("\n") or not whole else whole + "\n"
