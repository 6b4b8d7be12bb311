"""The state of reading a text: its settings so far, and its errors."""

from __future__ import annotations

from xlpy.limits import FINDINGS
from xlpy.toolstack.config.xlcfg.settings import Settings
from xlpy.toolstack.config.xlcfg.source import Problem, Refused, Source
from xlpy.toolstack.config.xlcfg.values import Items, Setting, Text, Value


class Reading:
    """One reading of a text.

    Args:
        source: the text.
        strict: whether it is read exactly as libxlutil 4.17 does.
    """

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

    def settled(self) -> Settings:
        """All settings, once the text is at its end. Refused: something is wrong with it."""
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
