"""The token machine: the grammar of libxlutil, one token at a time, for texts that are not simple, and for errors.

It is a state machine instead of a recursive descent, so nesting costs no stack; it stops at the depth at which
libxlutil's own parser runs out. Errors are collected: after one, reading goes on behind the next newline, and nothing
is reported until three tokens were understood.
"""

from __future__ import annotations

from xlpy.functions import cache
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
    from collections.abc import Callable

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
_STACK_ENOUGH = _STACK_LIMIT - 9  # below this no token can need more than there is

_tokens = cache(lexer.expression)


class TokenMachine:
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
        self.items = Items()  # the innermost list
        self.outer: list[tuple[Items, int]] = []  # the lists around ``items``, with the parser stack below each

    def statements(self, text: str, start: int) -> int:
        """Read from ``start``, where a statement begins, until all goes well; return where the next one begins."""
        self.quiet = 0  # tokens to understand before syntax errors are reported again
        self.full = False  # whether libxlutil's parser stack has run out
        self._restart(STATEMENT)
        last = start  # where the last token ended
        for token in _tokens(self.strict).finditer(text, start):
            kind = token.lastindex or END
            at = token.start(kind)
            if kind == ILLEGAL:
                self.illegal(at, token[kind])
                continue
            if kind >= CRLF:
                self.depart(kind, at)
                kind = NEWLINE
            if self.tight and self.exhausted(kind, at):
                return len(text)
            if self.quiet and self.state != RECOVERY:
                self.quiet -= 1
            if kind == NEWLINE:
                if self.state == TERMINATOR:
                    return token.end()
                self._newline(at, token[0].count("\n"))
                last = token.end()
                continue
            last = at + 1
            if self.state == RECOVERY:
                continue
            step = _STEPS[self.state].get(kind)
            if step is None:
                self.unexpected(kind, at, token[kind])
                self._restart(RECOVERY)
                continue
            step(self, kind, token[kind], at)
            if self.full:
                return len(text)
        if self.state not in (STATEMENT, TERMINATOR, RECOVERY):
            self.unexpected(END, len(text), "", xl_at=max(last - 1, 0))
        return len(text)

    def _restart(self, state: int) -> None:
        self.state = state
        self.outer.clear()
        self.stack = _STACK_BASE
        self.tight = False  # whether the parser stack may run out within the innermost list

    def _newline(self, at: int, lines: int) -> None:
        """``lines`` newlines in a row, where no setting ends."""
        if self.state == RECOVERY:
            self.quiet, self.state = max(0, 3 - lines), STATEMENT
        elif self.state in (OPERATOR, VALUE):
            self.unexpected(NEWLINE, at, "")
            self.state = STATEMENT

    # What a token does where it fits; ``_STEPS`` says where.

    def take_key(self, _kind: int, raw: str, at: int) -> None:
        """The key of a setting."""
        self.key, self.key_at, self.state = raw, at, OPERATOR

    def take_operator(self, kind: int, _raw: str, _at: int) -> None:
        """``=`` or ``+=``."""
        self.added, self.state = kind == ADD, VALUE

    def take_semicolon(self, _kind: int, _raw: str, _at: int) -> None:
        """The end of a setting, or an empty one."""
        self.state = STATEMENT

    def take_comma(self, _kind: int, _raw: str, _at: int) -> None:
        """The end of an item."""
        self.state = NEXT_ITEM

    def open_list(self, _kind: int, _raw: str, at: int) -> None:
        """A list begins, as a value or in another list."""
        if self.state != VALUE:
            self.outer.append((self.items, self.stack))
            self.stack += 2 if self.state == FIRST_ITEM else 5
            self.tight = self.stack > _STACK_ENOUGH
            if self.tight and self.stack + 4 > _STACK_LIMIT:
                self.too_deep(at)
                return
        self.items = Items()
        self.items.offset = at
        self.state = FIRST_ITEM

    def close_list(self, _kind: int, _raw: str, _at: int) -> None:
        """A list ends: an item of the one around it, or the value of a key."""
        if not self.outer:
            self._store(self.items)
            return
        inner = self.items
        self.items, self.stack = self.outer.pop()
        self.items.append(inner)
        self.state = ITEM_END
        self.tight = self.stack > _STACK_ENOUGH

    def take_value(self, kind: int, raw: str, at: int) -> None:
        """A string or a number as the value of a key."""
        self._store(self._text(kind, raw, at))

    def take_item(self, kind: int, raw: str, at: int) -> None:
        """A string or a number in a list."""
        self.items.append(self._text(kind, raw, at))
        self.state = ITEM_END

    def _text(self, kind: int, raw: str, at: int) -> Text:
        value = Text(raw[1:-1] if kind == PLAIN else raw if kind == NUMBER else self.unquote(raw, at))
        if "\0" in raw:
            self.report(at, "a NUL byte in a quoted string")
        value.offset = at
        return value

    def _store(self, value: Value) -> None:
        self.reading.store(self.key, self.key_at, value, self.added)
        self.state = TERMINATOR

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

    def unexpected(self, kind: int, at: int, text: str, xl_at: int | None = None) -> None:
        """Report a syntax error unless the last one is too fresh."""
        state = self.state
        if not self.quiet:
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
        self.quiet = 3

    def exhausted(self, kind: int, at: int) -> bool:
        """Whether libxlutil's parser stack runs out at this token; report it."""
        need = _STACK_NEED.get((self.state, kind), 0)
        if kind in (PLAIN, ESCAPED, NUMBER):
            need = _STACK_ITEM.get(self.state, 0)
        if len(self.items) > 1 and need and self.state == ITEM_END and kind == NEWLINE:
            need += 3
        if self.stack + need <= _STACK_LIMIT:
            return False
        self.too_deep(at)
        return True

    def too_deep(self, at: int) -> None:
        """Report lists nested beyond what libxlutil's parser can take."""
        self.full = True
        self.report(at, "lists are nested too deep", "libxlutil stops at about 4,996 levels")


if TYPE_CHECKING:
    Step = Callable[[TokenMachine, int, str, int], None]

_ITEMS: dict[int, Step] = {
    OPEN: TokenMachine.open_list,
    CLOSE: TokenMachine.close_list,
    **dict.fromkeys((PLAIN, ESCAPED, NUMBER), TokenMachine.take_item),
}
_STEPS: dict[int, dict[int, Step]] = {
    STATEMENT: {IDENT: TokenMachine.take_key, SEMICOLON: TokenMachine.take_semicolon},
    OPERATOR: dict.fromkeys((ASSIGN, ADD), TokenMachine.take_operator),
    VALUE: {OPEN: TokenMachine.open_list, **dict.fromkeys((PLAIN, ESCAPED, NUMBER), TokenMachine.take_value)},
    TERMINATOR: {SEMICOLON: TokenMachine.take_semicolon},
    FIRST_ITEM: _ITEMS,
    ITEM_END: {COMMA: TokenMachine.take_comma, CLOSE: TokenMachine.close_list},
    NEXT_ITEM: _ITEMS,
}


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
