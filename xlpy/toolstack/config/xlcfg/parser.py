"""From text to settings: the grammar of libxlutil, one token at a time.

The parser is a state machine instead of a recursive descent, so nesting costs no stack; it stops at the depth at which
libxlutil's own parser runs out. Errors are collected: after one, reading goes on behind the next newline, and nothing
is reported until three tokens were understood.
"""

from __future__ import annotations

import re
import sys
from functools import cache

from xlpy.limits import FINDINGS
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
from xlpy.toolstack.config.xlcfg.settings import Settings
from xlpy.toolstack.config.xlcfg.source import Problem, Refused, Source, printable
from xlpy.toolstack.config.xlcfg.values import Items, Setting, Text, Value
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

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

LONG = 16 << 10  # characters from which on ``fast`` is worth its expression
SOUND = sys.version_info >= (3, 11, 5)  # before, a last turn of (...)*+ that fails half-way stays consumed

_tokens = cache(lexer.expression)


def parse(data: bytes | str, source: str, extra: Sequence[str] = (), *, strict: bool = False) -> Settings:
    """Read a configuration.

    Args:
        data: the file; bytes that are not UTF-8 survive as lone surrogates.
        source: its name in messages.
        extra: ``KEY=VALUE`` settings to append, as on xl's command line.
        strict: read exactly as libxlutil 4.17 does, its quirks included.

    Raises:
        Refused: with every syntax error found.
    """
    text = data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")
    whole = Source(text, source, tuple(extra))
    if isinstance(data, str) or extra:
        _refuse_surrogates(whole)
    return _Parser(whole, strict).run()


def _refuse_surrogates(source: Source) -> None:
    """Refuse a text that no file can hold: half of a character, other than those that stand for single bytes."""
    try:
        source.text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        where = source.position(error.start)
        message = f"U+{ord(source.text[error.start]):04X} is half of a character"
        problem = Problem(where._replace(text=printable(where.text)), message, "error")
        raise Refused(f"{source.name} is not a valid configuration (1 error)", [problem]) from None


class _Parser:
    """One reading: the text, what was found so far, and what is wrong with it."""

    def __init__(self, source: Source, strict: bool) -> None:
        self.source = source
        self.strict = strict
        self.long = len(source.text) >= LONG and SOUND
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.settings: dict[str, Setting | re.Match[str]] = {}
        self.pieces: dict[str, list[Text]] = {}  # of strings that += added to
        self.departed: set[str] = set()
        self.repeated: set[str] = set()  # keys that were warned of
        self.lexical_line = 0
        self.pythonic = False

    def run(self) -> Settings:
        """Read all of it."""
        text, start = self.source.text, 0
        if not self.strict and text.startswith("\ufeff"):
            self.warn(0, "the real xl refuses a file that starts with a byte order mark")
            start = 1
        while start < len(text):
            if self.long:
                from xlpy.toolstack.config.xlcfg import fast

                start = fast.read(text, start, self.settings, self.store, self.again)
            if start < len(text):
                start = self.statements(text, start)
        if self.problems:
            raise self.refused()
        self.join()
        return Settings(self.source, self.settings, self.warnings, self.strict)

    def refused(self) -> Refused:
        """The refusal, with all errors found so far."""
        count = len(self.problems)
        return Refused(
            f"{self.source.name} is not a valid configuration ({count} error{'s' if count > 1 else ''})",
            self.problems,
            hint="xl configurations are not Python: no tuples, signs, dots, calls or expressions"
            if self.pythonic
            else None,
            warnings=self.warnings,
        )

    def statements(self, text: str, start: int) -> int:
        """The state machine over the tokens of ``text``; return where a statement begins after all went well again."""
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
                    if self.long:
                        return token.end()
                    state = STATEMENT
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
                self.store(key, key_at, value, added)
                state = TERMINATOR
                continue
            quiet = self.unexpected(state, kind, at, token[kind], quiet)
            state = RECOVERY
            outer.clear()
            stack, tight = _STACK_BASE, False

        if state not in (STATEMENT, TERMINATOR, RECOVERY):
            self.unexpected(state, END, len(text), "", quiet, xl_at=max(last - 1, 0))
        return len(text)

    def store(self, key: str, key_at: int, value: Value, added: bool) -> None:
        """Make ``value`` the newest setting of ``key``; ``+=`` joins it to the one before."""
        before = self.settings.get(key)
        if before is not None and not added:
            self.again(key, key_at)
        elif before is not None:
            if isinstance(before, re.Match):
                from xlpy.toolstack.config.xlcfg.fast import expand

                before = expand(before)
            old = before.value
            if isinstance(old, Text) and isinstance(value, Text):
                pieces = self.pieces.get(key)
                if not pieces or pieces[-1] is not old:
                    pieces = self.pieces[key] = [old]
                pieces.append(value)
            elif isinstance(old, Items) and isinstance(value, Items):
                old.extend(value)
                old.offset = value.offset
                value = old
            else:
                kinds = ("a string", "a list")
                old_is_list = isinstance(old, Items)
                self.report(
                    value.offset,
                    f"can't add {kinds[not old_is_list]} to {key}, which is {kinds[old_is_list]}",
                    f"{key} was set at {self.source.position(before.key_offset)}",
                )
                return
        self.settings[key] = Setting(key, value, key_at, added)

    def again(self, key: str, at: int) -> None:
        """Warn of the first assignment that takes the place of another in the same source."""
        before = self.settings[key]
        old = self.source.position(before.start(1) if isinstance(before, re.Match) else before.key_offset)
        if key not in self.repeated and old.source == self.source.position(at).source:
            self.repeated.add(key)
            self.warn(at, f"{key} is set in line {old.line} already; the last assignment counts")

    def join(self) -> None:
        """Put together the strings that were written in pieces, each once however many there were."""
        for key, pieces in self.pieces.items():
            joined = Text("".join(pieces))
            joined.offset = pieces[-1].offset
            setting = self.settings[key]
            if isinstance(setting, Setting) and setting.value is pieces[-1]:
                setting.value = joined

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
        self.pythonic = self.pythonic or text[0] in "+-.():"
        line = self.source.line_of(at)
        self.report(at, f"unexpected {text[:20]!r}", _advice(text))
        self.lexical_line = line

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

    def report(self, at: int, message: str, hint: str | None = None, xl_line: int | None = None) -> None:
        """Note an error, unless its line had a lexical one already. Refused: there are too many to go on."""
        line = self.source.line_of(at)
        if line > self.lexical_line:
            where = self.source.position(at)
            self.problems.append(Problem(where, message, "error", hint, line if xl_line is None else xl_line))
            if len(self.problems) == FINDINGS:
                raise self.refused()

    def warn(self, at: int, message: str) -> None:
        """Note something that reads, but perhaps not as its writer meant."""
        self.warnings.append(Problem(self.source.position(at), message, "warning"))


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
