"""The token machine: the grammar of libxlutil, one token at a time, for what is not plain, and for what is wrong.

It is a state machine instead of a recursive descent, so nesting costs no stack; it stops at the depth at which
libxlutil's own parser runs out. Errors are collected: after one, reading goes on behind the next newline, and nothing
is reported until three tokens were understood.
"""

from __future__ import annotations

from functools import cache

from xlpy.toolstack.config.xlcfg import lexer
from xlpy.toolstack.config.xlcfg.lexer import (
    ADD,
    ASSIGN,
    CLOSE,
    COMMA,
    CRLF,
    END,
    ESCAPED,
    IDENT,
    ILLEGAL,
    NEWLINE,
    NUMBER,
    OPEN,
    PLAIN,
    SEMICOLON,
)
from xlpy.toolstack.config.xlcfg.source import printable
from xlpy.toolstack.config.xlcfg.values import Items, Text, Value
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.toolstack.config.xlcfg.reading import Reading

# What the parser waits for.
STATEMENT, OPERATOR, VALUE, TERMINATOR, FIRST_ITEM, ITEM_END, NEXT_ITEM, RECOVERY = range(8)

_WANTED = {
    STATEMENT: "a setting (KEY = VALUE)",
    OPERATOR: "= or += after the key",
    VALUE: "a value: a quoted string, a number or a list",
    TERMINATOR: "the end of the line, or ;",
    FIRST_ITEM: "a list item or ]",
    ITEM_END: ", or ] after the list item",
    NEXT_ITEM: "a list item or ]",
}

# The stack of libxlutil's parser holds 9,999 entries, of which the start of an assignment takes four. A list adds two
# below its first item and five below a later one; what else it may need while it is read is in this table.
_STACK_LIMIT = 9999
_STACK_BASE = 4
_STACK_NEED = {
    (FIRST_ITEM, NEWLINE): 3,
    (ITEM_END, NEWLINE): 5,
    (ITEM_END, COMMA): 5,
    (NEXT_ITEM, NEWLINE): 6,
    (NEXT_ITEM, OPEN): 6,
}
_STACK_ITEM = {FIRST_ITEM: 4, NEXT_ITEM: 7}
_STACK_ROOM = 9

_tokens = cache(lexer.expression)


class Machine:
    """What reads the tokens of one reading.

    Args:
        reading: what was found so far; settings, warnings and problems go there.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.source = reading.source
        self.strict = reading.strict
        self.report = reading.report
        self.warn = reading.warn
        self.departed: set[str] = set()

    def statements(self, text: str, start: int) -> int:
        """Read from ``start``, where a statement begins, until all goes well; return where the next one begins."""
        state = STATEMENT
        quiet = 0  # tokens to understand before syntax errors are reported again
        key, key_at, added = "", 0, False
        items = Items()
        outer: list[tuple[Items, int]] = []  # the lists around ``items``, with the parser stack below each
        stack = _STACK_BASE
        tight = False  # whether the parser stack may run out within the innermost list
        last = start  # where the last token ended

        for token in _tokens(self.strict).finditer(text, start):
            kind = token.lastindex or END
            at = token.start(kind)
            value: Value | None = None

            if kind >= CRLF:
                if kind == ILLEGAL:
                    self.illegal(at, token[kind])
                    continue
                self.depart(kind, at)
                kind = NEWLINE
            if tight and self.exhausted(state, kind, stack, at, len(items) > 1):
                return len(text)
            if quiet and state != RECOVERY:
                quiet -= 1

            if kind == NEWLINE:
                if state == RECOVERY:
                    quiet = max(0, 3 - token[0].count("\n"))
                    state = STATEMENT
                elif state == TERMINATOR:
                    return token.end()
                elif state in (OPERATOR, VALUE):
                    quiet = self.unexpected(state, kind, at, "", quiet)
                    state = STATEMENT
                last = token.end()
                continue
            last = at + 1
            if state == RECOVERY:
                continue

            if kind == IDENT:
                if state == STATEMENT:
                    key, key_at, state = token[kind], at, OPERATOR
                    continue
            elif kind == COMMA:
                if state == ITEM_END:
                    state = NEXT_ITEM
                    continue
            elif kind in (ASSIGN, ADD):
                if state == OPERATOR:
                    added, state = kind == ADD, VALUE
                    continue
            elif kind == SEMICOLON:
                if state in (TERMINATOR, STATEMENT):
                    state = STATEMENT
                    continue
            elif kind == OPEN:
                if state in (VALUE, FIRST_ITEM, NEXT_ITEM):
                    if state != VALUE:
                        outer.append((items, stack))
                        stack += 2 if state == FIRST_ITEM else 5
                        tight = stack > _STACK_LIMIT - _STACK_ROOM
                        if tight and stack + 4 > _STACK_LIMIT:
                            self.too_deep(at)
                            return len(text)
                    items = Items()
                    items.offset = at
                    state = FIRST_ITEM
                    continue
            elif kind == CLOSE:
                if state in (ITEM_END, NEXT_ITEM, FIRST_ITEM):
                    if outer:
                        inner = items
                        items, stack = outer.pop()
                        items.append(inner)
                        state = ITEM_END
                        tight = stack > _STACK_LIMIT - _STACK_ROOM
                        continue
                    value = items
            elif state in (FIRST_ITEM, NEXT_ITEM, VALUE):
                raw = token[kind]
                if kind == PLAIN:
                    text_value = Text(raw[1:-1])
                elif kind == NUMBER:
                    text_value = Text(raw)
                else:
                    text_value = Text(self.unquote(raw, at))
                if "\0" in raw:
                    self.report(at, "a NUL byte in a quoted string")
                text_value.offset = at
                if state != VALUE:
                    items.append(text_value)
                    state = ITEM_END
                    continue
                value = text_value

            if value is not None:
                self.reading.store(key, key_at, value, added)
                state = TERMINATOR
                continue
            quiet = self.unexpected(state, kind, at, token[kind], quiet)
            state = RECOVERY
            outer.clear()
            stack, tight = _STACK_BASE, False

        if state not in (STATEMENT, TERMINATOR, RECOVERY):
            self.unexpected(state, END, len(text), "", quiet, xl_at=max(last - 1, 0))
        return len(text)

    def unquote(self, raw: str, at: int) -> str:
        """Decode a string with escapes; report what cannot be decoded."""
        departures: list[tuple[int, str]] = []
        try:
            text = lexer.unquote(raw, self.strict, departures)
        except lexer.BadEscape as bad:
            self.report(at + bad.index, bad.message, bad.hint)
            text = ""
        for index, message in departures:
            self.warn(at + index, message)
        return text

    def illegal(self, at: int, text: str) -> None:
        """Bytes that belong to no token. A single one at the very end is dropped without a word."""
        if at + 1 == len(self.source.text) and (text < "\x80" or "\udc80" <= text <= "\udcff"):
            return
        self.reading.pythonic |= text[0] in "+-.():"
        line = self.source.line_of(at)
        self.report(at, f"unexpected {text[:20]!r}", _advice(text))
        self.reading.lexical_line = line

    def depart(self, kind: int, at: int) -> None:
        """Warn, once, where the friendly reading goes on and the real one would not."""
        if kind == CRLF:
            message = "the real xl refuses lines that end in CR LF"
        else:
            message = "the real xl refuses a comment at the end of the file that has no newline"
        if message not in self.departed:
            self.departed.add(message)
            self.warn(at, message)

    def unexpected(self, state: int, kind: int, at: int, text: str, quiet: int, xl_at: int | None = None) -> int:
        """Report a syntax error unless the last one is too fresh; return the new count of quiet tokens."""
        if not quiet:
            what = {END: "end of the text", NEWLINE: "end of the line", IDENT: f"word {text[:40]}"}.get(
                kind, printable(text[:40])
            )
            hint = None
            if kind == IDENT and state in (VALUE, FIRST_ITEM, NEXT_ITEM):
                hint = f'text needs quotes ("{text}"), booleans are 0 and 1'
            elif kind == OPEN or (kind in (PLAIN, ESCAPED, NUMBER) and state == ITEM_END):
                hint = "is a comma missing?" if state == ITEM_END else None
            elif state == TERMINATOR:
                hint = "one setting a line, or ; between two"
            xl_line = self.source.line_of(at if xl_at is None else xl_at) - (kind == NEWLINE)
            self.report(at, f"unexpected {what}; expected {_WANTED[state]}", hint, xl_line)
        return 3

    def exhausted(self, state: int, kind: int, stack: int, at: int, later: bool) -> bool:
        """Whether libxlutil's parser stack runs out at this token; report it."""
        need = _STACK_NEED.get((state, kind), 0)
        if kind in (PLAIN, ESCAPED, NUMBER):
            need = _STACK_ITEM.get(state, 0)
        if later and need and state == ITEM_END and kind == NEWLINE:
            need += 3
        if stack + need <= _STACK_LIMIT:
            return False
        self.too_deep(at)
        return True

    def too_deep(self, at: int) -> None:
        """Report lists nested beyond what libxlutil's parser can take."""
        self.report(at, "lists are nested too deep", "libxlutil stops at about 4,996 levels")


def _advice(text: str) -> str | None:
    """How to correct the commonest illegal bytes."""
    first = text[0]
    if first in "\"'":
        return "the string has no end on this line"
    if first == "#":
        return "a comment on the last line needs a newline after it"
    if first == "\r":
        return "lines end with a newline alone, not with CR LF"
    if first in "+-." and len(text) > 1:
        return "numbers have no sign and no decimals outside quotes; keys have no -"
    if first in "({":
        return "only [lists] are known"
    if first == "\ufeff":
        return "remove the byte order mark"
    if first.isalpha() and first.isascii():
        return "keys are lower case, text needs quotes, booleans are 0 and 1"
    return None
