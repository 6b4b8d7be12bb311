"""The quick way through a configuration: one match for a whole setting, taken apart only when somebody asks for it.

It reads only what is valid in the strict language and stops in front of anything else, which the token machine of
``parser`` then reads, with errors and departures. Both ways must agree on every text; the tests compare them.

The expression takes longer to compile than the token machine takes for a short text, so only long ones come here.
"""

from __future__ import annotations

import re
from functools import cache

from xlpy.toolstack.config.xlcfg.lexer import unquote_simple
from xlpy.toolstack.config.xlcfg.values import Items, Setting, Text
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.toolstack.config.xlcfg.values import Value

_SKIP = r"[ \t\n]*+(?:\#[^\n]*+\n[ \t\n]*+)*+"
# Strings whose escapes are all of the simple kind; a backslash before anything else is left to the machine.
_ESCAPED = r""""(?:[^"\\\n\0]++|\\[abfnrtv"'\\])*+"|'(?:[^'\\\n\0]++|\\[abfnrtv"'\\])*+'"""
_ATOM = rf"""[0-9][0-9a-fx]*+|"[^"\\\n\0]*+"|'[^'\\\n\0]*+'|{_ESCAPED}"""


def _list_of(item: str) -> str:
    return rf"\[{_SKIP}(?:(?:{item}){_SKIP}(?:,{_SKIP}(?:{item}){_SKIP})*+(?:,{_SKIP})?)?+\]"


# Groups: key, operator, then the value's kind. Lists up to two levels are matched whole, deeper ones from their "[" on.
NUMBER, DOUBLE, SINGLE, ESCAPED, LIST, DEEP = range(3, 9)
_SETTING = rf"""(?:[ \t\n;]++|\#[^\n]*+\n)*+
    (?:([a-z][a-z0-9._]*+)[ \t]*+(\+?=)[ \t]*+
     (?:(?:([0-9][0-9a-fx]*+)|"([^"\\\n\0]*+)"|'([^'\\\n\0]*+)'|({_ESCAPED})
          |({_list_of(f"{_ATOM}|{_list_of(_ATOM)}")}))
        [ \t]*+(?=[;\n\#]|\Z)
     |(\[)))?"""
_TERMINATOR = r"[ \t]*+(?=[;\n#]|\Z)"

# Deeper lists are left to the machine, which knows where libxlutil gives up: no list costs more than 5 stack entries.
_LEVELS = 1900


_compiled = cache(re.compile)


def read(
    text: str,
    at: int,
    settings: dict[str, Setting | re.Match[str]],
    store: Callable[[str, int, Value, bool], None],
    again: Callable[[str, int], None],
) -> int:
    """Note setting after setting from ``at`` on; return where the first other thing starts, or the text's length.

    Args:
        text: all of the configuration.
        at: where to start, in front of a statement.
        settings: gets the match of each plain assignment, for ``expand``.
        store: is called for additions.
        again: is called for a key that is in ``settings`` already, with its place.
    """
    while True:
        for match in _compiled(_SETTING, re.X).finditer(text, at):
            kind = match.lastindex
            if kind is None:
                return match.end()
            if kind == DEEP:
                close = list_end(text, match.start(DEEP))
                end = close and _compiled(_TERMINATOR).match(text, close)
                if not end:
                    return match.start(1)
                at = end.end()
            if match[2] == "=":
                if match[1] in settings:
                    again(match[1], match.start(1))
                settings[match[1]] = match
            else:
                setting = expand(match)
                store(setting.key, setting.key_offset, setting.value, True)
            if kind == DEEP:
                break


def expand(match: re.Match[str]) -> Setting:
    """The setting that a match stands for."""
    kind = match.lastindex or 0
    start = match.start(kind)
    value: Value
    if kind in (LIST, DEEP):
        value = read_list(match.string, start)
    elif kind == ESCAPED:
        value = Text(unquote_simple(match[kind]))
        value.offset = start
    else:
        value = Text(match[kind])
        value.offset = start - (kind != NUMBER)
    return Setting(match[1], value, match.start(1), match[2] == "+=")


# One item with its comma, or brackets in a row; groups are number, the two plain strings, escaped, [ and ].
_ITEM = (
    rf"""{_SKIP}(?:(?:([0-9][0-9a-fx]*+)|"([^"\\\n\0]*+)"|'([^'\\\n\0]*+)'|({_ESCAPED})){_SKIP},?"""
    rf"|(\[++)|(\]++){_SKIP},?)"
)


def list_end(text: str, start: int) -> int | None:
    """The offset behind the list whose ``[`` stands at ``start``; None when something in it is out of order."""
    depth, at = 1, start + 1
    match = _compiled(_ITEM, re.X).match
    wanted = True  # whether an item may come: after [ and after a comma
    while token := match(text, at):
        at = token.end()
        kind = token.lastindex
        if kind == 6:
            closed = token.end(6) - token.start(6)
            if closed >= depth:
                return token.end(6) if closed == depth else None
            depth -= closed
        elif not wanted:
            return None
        elif kind == 5:
            depth += at - token.start(5)
            if depth > _LEVELS:
                return None
            continue
        wanted = text[at - 1] == ","
    return None


def read_list(text: str, start: int) -> Items:
    """The list whose ``[`` stands at ``start``, and which is in order."""
    items = Items()
    items.offset = start
    outer: list[Items] = []
    at = start + 1
    match = _compiled(_ITEM, re.X).match
    while token := match(text, at):
        at = token.end()
        kind = token.lastindex or 0
        if kind == 6:
            for _ in range(token.end(6) - token.start(6)):
                if not outer:
                    return items
                inner, items = items, outer.pop()
                items.append(inner)
        elif kind == 5:
            for opened in range(token.start(5), at):
                outer.append(items)
                items = Items()
                items.offset = opened
        else:
            value = Text(unquote_simple(token[4]) if kind == 4 else token[kind])
            value.offset = token.start(kind) - (1 < kind < 4)
            items.append(value)
    return items
