"""Tokens of the xl configuration language.

One regular expression recognises every token; ``Match.lastindex`` is its kind. Two flavours exist: the strict one
accepts what libxlutil 4.17 accepts, the friendly one takes CR LF for a line end and a last comment without one.
"""

from __future__ import annotations

import re

# Kinds of token: group numbers of the expression.
IDENT, NUMBER, PLAIN, ESCAPED, COMMA, NEWLINE = range(1, 7)
ASSIGN, OPEN, CLOSE, ADD, SEMICOLON, CRLF, LAST_COMMENT, ILLEGAL = range(7, 15)
END = 0

# A comment is a newline token; blank lines and comments in a row are one token here, which no rule can tell apart.
_TOKEN = r"""[ \t]*+(?:
 ([a-z][a-z0-9._]*+)
|([0-9][0-9a-fx]*+)
|("[^"\\\n]*+"|'[^'\\\n]*+')
|("(?:[^"\\\n]++|\\[^\n])*+"|'(?:[^'\\\n]++|\\[^\n])*+')
|(,)
|((?:\#[^\n]*+)?\n(?:[ \t]*+(?:\#[^\n]*+)?\n)*+)
|(=)|(\[)|(\])|(\+=)|(;)
|({crlf})|({last})
|([^ \t\n][^ \t\n]*+)
)"""

_NEVER = "(?!)"


def expression(strict: bool) -> re.Pattern[str]:
    """The token expression; in the strict one ``CRLF`` and ``LAST_COMMENT`` never match."""
    crlf, last = (_NEVER, _NEVER) if strict else (r"\r\n", r"\#[^\n]++\Z")
    return re.compile(_TOKEN.replace("{crlf}", crlf).replace("{last}", last), re.X)


_SIMPLE = (
    ("\\n", "\n"),
    ("\\t", "\t"),
    ('\\"', '"'),
    ("\\'", "'"),
    ("\\a", "\a"),
    ("\\b", "\b"),
    ("\\f", "\f"),
    ("\\r", "\r"),
    ("\\v", "\v"),
)
# What C's strtoul reads of the three bytes after the first octal digit, in base ten.
_OCTAL = r"[ \t\v\f\r]*+[+-]?[0-9]+"


class BadEscape(Exception):
    """An escape that cannot be decoded: ``message`` and the ``index`` of its backslash in the token."""

    def __init__(self, message: str, index: int, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.index = index
        self.hint = hint


def unquote(token: str, strict: bool, departures: list[tuple[int, str]]) -> str:
    """The text that a quoted token stands for, numeric escapes included.

    Args:
        token: with its quotes.
        strict: refuse ``\\xNN``, as libxlutil does.
        departures: filled with (index in the token, what to warn of).

    Raises:
        BadEscape: the first escape that has no meaning.
    """
    simple = dict(_SIMPLE)
    simple["\\\\"] = "\\"
    out, at, end = [], 1, len(token) - 1
    while at < end:
        stop = token.find("\\", at, end)
        if stop < 0:
            stop = end
        if stop > at:
            out.append(token[at:stop])
        at = stop
        if at == end:
            break
        escape = token[at : at + 2]
        if escape in simple:
            out.append(simple[escape])
            at += 2
        elif escape == "\\x":
            digits = re.match("[0-9a-fA-F]{2}", token[at + 2 : at + 4])
            if strict or not digits or digits[0] == "00":
                raise BadEscape(
                    "invalid hexadecimal escape in a quoted string", at, "libxlutil refuses every \\x escape"
                )
            departures.append((at, "the real xl refuses every \\x escape; write the character itself"))
            out.append(_byte(int(digits[0], 16)))
            at += 4
        elif escape[1] in "01234567":
            # The first digit is dropped, the number after it is skipped, and no character comes of it.
            taken = re.match(_OCTAL, token[at + 2 : at + 5])
            if not taken or taken.end() < 2:
                raise BadEscape("invalid octal escape in a quoted string", at, "write the character itself")
            departures.append((at, "xl reads an octal escape as nothing at all; write the character itself"))
            at += 2 + taken.end()
        else:
            raise BadEscape(
                f"invalid character after backslash in a quoted string: {escape[1]!r}",
                at,
                "write \\\\ for a backslash",
            )
    text = "".join(out)
    if any("\udc80" <= c <= "\udcff" for c in text):
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return text


def _byte(value: int) -> str:
    """The character that stands for one byte in a text decoded with surrogateescape."""
    return chr(value) if value < 0x80 else chr(0xDC00 + value)
