"""From text to settings: what is plain at once, all else one token at a time."""

from __future__ import annotations

from xlpy.limits import FINDINGS
from xlpy.toolstack.config.xlcfg import plain
from xlpy.toolstack.config.xlcfg.settings import Settings
from xlpy.toolstack.config.xlcfg.source import Problem, Refused, Source, printable
from xlpy.toolstack.config.xlcfg.values import Items, Setting, Text, Value
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.toolstack.config.xlcfg.machine import Machine


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
    return Reading(whole, strict).run()


def _refuse_surrogates(source: Source) -> None:
    """Refuse a text that no file can hold: half of a character, other than those that stand for single bytes."""
    try:
        source.text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        where = source.position(error.start)
        message = f"U+{ord(source.text[error.start]):04X} is half of a character"
        problem = Problem(where._replace(text=printable(where.text)), message, "error")
        raise Refused(f"{source.name} is not a valid configuration (1 error)", [problem]) from None


class Reading:
    """One reading: the text, what was found so far, and what is wrong with it."""

    def __init__(self, source: Source, strict: bool) -> None:
        self.source = source
        self.strict = strict
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.settings: dict[str, Setting] = {}
        self.pieces: dict[str, list[Text]] = {}  # of strings that += added to
        self.repeated: set[str] = set()  # keys that were warned of
        self.lexical_line = 0
        self.pythonic = False

    def run(self) -> Settings:
        """Read all of it."""
        text, start = self.source.text, 0
        if not self.strict and text.startswith("\ufeff"):
            self.warn(0, "the real xl refuses a file that starts with a byte order mark")
            start = 1
        machine: Machine | None = None
        while (start := plain.read(text, start, self.store)) < len(text):
            if machine is None:
                from xlpy.toolstack.config.xlcfg.machine import Machine

                machine = Machine(self)
            start = machine.statements(text, start)
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

    def store(self, key: str, key_at: int, value: Value, added: bool) -> None:
        """Make ``value`` the newest setting of ``key``; ``+=`` joins it to the one before."""
        before = self.settings.get(key)
        if before is not None and not added:
            self.again(key, key_at)
        elif before is not None:
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
        old = self.source.position(before.key_offset)
        if key not in self.repeated and old.source == self.source.position(at).source:
            self.repeated.add(key)
            self.warn(at, f"{key} is set in line {old.line} already; the last assignment counts")

    def join(self) -> None:
        """Put together the strings that were written in pieces, each once however many there were."""
        for key, pieces in self.pieces.items():
            joined = Text("".join(pieces))
            joined.offset = pieces[-1].offset
            setting = self.settings[key]
            if setting.value is pieces[-1]:
                setting.value = joined

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
