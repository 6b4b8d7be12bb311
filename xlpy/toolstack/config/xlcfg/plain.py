"""Settings in the simple form of nearly all configurations, read line by line.

It takes only what is valid in the strict language and stops in front of any other statement, which the token machine
then reads, with errors and departures. Both ways must agree on every text; the tests compare them. Without a regular
expression: to import and compile one takes longer than to read a hundred lines so.
"""

from __future__ import annotations

from xlpy.toolstack.config.xlcfg.values import Items, Text
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.toolstack.config.xlcfg.values import Value

_BLANKS = " \t"
_LETTERS, _DIGITS = frozenset("abcdefghijklmnopqrstuvwxyz"), frozenset("0123456789")
_KEY = _LETTERS | _DIGITS | {".", "_"}
_NUMBER = "0123456789abcdefx"
_DEEP = 50  # lists in lists; libxlutil, whose limit is the machine's business, takes a hundred times as many


def read(text: str, at: int, store: Callable[[str, int, Value, bool], None]) -> int:
    """Read setting after setting.

    Args:
        text: all of the configuration.
        at: where to start, in front of a statement.
        store: is called with each key, where it stands, its value, and whether it is added.

    Returns:
        where the first statement begins that is not plain, or the text's length.
    """
    size = len(text)
    while at < size:
        end = text.find("\n", at)
        last = end < 0  # then a comment is none: its newline is missing
        if last:
            end = size
        statement = text[at:end].lstrip(_BLANKS)
        if not statement or (statement[0] == "#" and not last):
            at = end + 1
            continue
        key_at = end - len(statement)
        left, _, right = statement.partition("=")
        added = left.endswith("+")
        key = left.removesuffix("+").rstrip(_BLANKS)
        right = right.lstrip(_BLANKS)
        if not right or not key or key[0] not in _LETTERS or not _KEY.issuperset(key):
            return at
        first, start = right[0], end - len(right)
        value: Value
        if first in "\"'":
            inside, quote, rest = right[1:].partition(first)
            if not quote or "\\" in inside or "\0" in inside:
                return at
            value = Text(inside)
            value.offset = start
        elif first in _DIGITS:
            rest = right.lstrip(_NUMBER)
            value = Text(right[: len(right) - len(rest)])
            value.offset = start
        elif first == "[" and (found := _list(text, start)):
            value, behind = found
            end = text.find("\n", behind)
            last = end < 0
            rest = text[behind : size if last else end]
        else:
            return at
        rest = rest.lstrip(_BLANKS)
        if rest and (rest[0] != "#" or last):
            return at
        store(key, key_at, value, added)
        at = size if last else end + 1
    return size


def _list(text: str, at: int) -> tuple[Items, int] | None:
    """The list whose ``[`` stands at ``at``, and where it ends; None when something in it is not plain."""
    items = Items()
    items.offset = at
    outer: list[Items] = []
    wanted = True  # whether an item may come: after [ and after a comma
    at += 1
    end = text.find("\n", at)
    while first := text[at : at + 1]:
        if first in " \t\n":
            at += 1
            continue
        if 0 <= end < at:
            end = text.find("\n", at)
        if first == "#":
            if end < 0:
                return None
            at = end + 1
        elif first == "]":
            at += 1
            if not outer:
                return items, at
            inner, items = items, outer.pop()
            items.append(inner)
            wanted = False
        elif first == "," and not wanted:
            wanted = True
            at += 1
        elif not wanted:
            return None
        elif first == "[" and len(outer) < _DEEP:
            outer.append(items)
            items = Items()
            items.offset = at
            at += 1
        else:
            if first in "\"'":
                close = text.find(first, at + 1, len(text) if end < 0 else end)
                value, behind = Text(text[at + 1 : close]), close + 1
                if close < 0 or "\\" in value or "\0" in value:
                    return None
            elif first in _DIGITS:
                behind = at
                while text[behind : behind + 1] and text[behind] in _NUMBER:
                    behind += 1
                value = Text(text[at:behind])
            else:
                return None
            value.offset = at
            items.append(value)
            wanted, at = False, behind
    return None
