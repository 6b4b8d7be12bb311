"""Options as ndctl reads them: its parser's abbreviations, negations, messages and usage texts.

A usage error ends the command with 129, as with git and perf, from which ndctl has the parser.
"""

from __future__ import annotations

from xlpy.cli.ndctl.sizes import in_decimal
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from xlpy.cli.ndctl.session import NdctlSession

USAGE, LISTED = 129, 130
COLUMN, GAP = 24, 2  # of the help texts


class NdctlOption(NamedTuple):
    """One option.

    short, long: its letter (or empty) and its name.
    help: its text.
    value: what stands in brackets for its value; empty when it has none.
    kind: ``text``, ``flag``, ``count`` (a flag that counts), or ``number``.
    default: of a flag.
    """

    short: str
    long: str
    help: str
    value: str = ""
    kind: str = "flag"
    default: bool = False

    @property
    def key(self) -> str:
        """Its name among the values."""
        return self.long.replace("-", "_")

    @property
    def takes(self) -> bool:
        """Whether it has a value."""
        return self.kind in ("text", "number")


def flag(short: str, long: str, text: str, default: bool = False) -> NdctlOption:
    """An option that is on or off."""
    return NdctlOption(short, long, text, default=default)


def text(short: str, long: str, value: str, text: str) -> NdctlOption:
    """An option with a text as its value."""
    return NdctlOption(short, long, text, value, "text")


def _unset(one: NdctlOption) -> bool | int | None:
    """The value of an option that is not given."""
    return one.default if one.kind == "flag" else None if one.kind == "text" else 0


class Ended(Exception):
    """The command ends here, with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Values(dict[str, Any]):
    """The values of a command's options by name; an attribute each."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any value
        return self[name]


class _Misused(Exception):
    """An option was recognised, and is used wrongly; the message has been given."""


class Parser:
    """Reads the words of one command.

    Args:
        session: for messages.
        options: what there is, in the order of the usage text.
        usage: what follows ``usage: ``.
    """

    def __init__(self, session: NdctlSession, options: Sequence[NdctlOption], usage: str) -> None:
        self._session = session
        self._options = options
        self._usage = usage
        self._values = Values({one.key: _unset(one) for one in options})
        self._words: list[str] = []

    def parse(self, words: Sequence[str]) -> tuple[Values, list[str]]:
        """(values, words that are no options). Ended: a usage error, or only the usage was asked for."""
        self._words = list(words)
        rest: list[str] = []
        while self._words:
            word = self._words.pop(0)
            if len(word) < 2 or word[0] != "-":
                rest.append(self._id(word))
            elif word == "--":
                return self._values, rest + self._words
            elif word.startswith("--"):
                self._long(word[2:])
            else:
                self._letters(word[1:])
        return self._values, rest

    def usage(self) -> NoReturn:
        """Print the usage text, and end."""
        self._session.err(f"\n usage: {self._usage}\n", *map(_line, self._options), "")
        raise Ended(USAGE)

    # --- one word --------------------------------------------------------------------------------------------------

    def _letters(self, letters: str) -> None:
        at = 0
        while at < len(letters):
            letter = letters[at]
            if letter == "h":
                self.usage()
            one = next((one for one in self._options if one.short == letter), None)
            if one is None:
                self._session.error(f"unknown switch `{letter}'")
                self.usage()
            attached = letters[at + 1 :]
            try:
                taken = self._take(one, f"switch `{letter}'", attached or None)
            except _Misused:
                self._about(one)
            if taken:
                return
            if at == 0 and attached:
                self._suspect(letters)
            at += 1

    def _suspect(self, letters: str) -> None:
        """One dash where two were meant?"""
        if len(letters) >= 3 and (letters.startswith("no-") or any(o.long.startswith(letters) for o in self._options)):
            self._session.error(f"did you mean `--{letters}` (with two dashes ?)")
            raise Ended(USAGE)

    def _long(self, word: str) -> None:
        if word in ("help", "help-all"):
            self.usage()
        if word == "list-opts":
            self._session.out("".join(f"--{one.long} " for one in self._options))
            raise Ended(LISTED)
        if word == "list-cmds":
            raise Ended(LISTED)
        name, equals, value = word.partition("=")
        attached = value if equals else None
        try:
            found = self._find(word, name)
            if found is None:
                self._session.error(f"unknown option `{word}'")
                self.usage()
            one, negated = found
            if negated:
                if attached is not None:
                    self._misuse(f"option `no-{one.long}'", "takes no value")
                self._values[one.key] = None if one.kind == "text" else 0 if one.takes or one.kind == "count" else False
                return
            self._take(one, f"option `{one.long}'", attached)
        except _Misused:
            told = next((o for o in self._options if word.removeprefix("no-").startswith(o.long)), None)
            self._about(told)

    def _find(self, word: str, name: str) -> tuple[NdctlOption, bool] | None:
        """(the option that a name stands for, whether it is negated); None: there is none."""
        fitting: list[tuple[NdctlOption, bool]] = []
        for one in self._options:
            if name == one.long:
                return one, False
            if one.long.startswith("no-"):
                positive = one.long[3:]
                if name == positive:
                    return one, True
                if positive.startswith(word):
                    fitting.append((one, True))
                    continue
            if one.long.startswith(name):
                fitting.append((one, False))
            elif "no-".startswith(word):
                fitting.append((one, True))
            elif name.startswith("no-"):
                if name[3:] == one.long:
                    return one, True
                if one.long.startswith(word[3:]):
                    fitting.append((one, True))
        if len(fitting) > 1:
            (one, first), (two, second) = fitting[-2:]
            self._session.error(
                f"Ambiguous option: {word} (could be --{'no-' * first}{one.long} or --{'no-' * second}{two.long})"
            )
            raise _Misused
        return fitting[0] if fitting else None

    def _take(self, one: NdctlOption, called: str, attached: str | None) -> bool:
        """Store the value of an option; whether what is attached to it was its value."""
        if not one.takes:
            if attached is not None and called.startswith("option"):
                self._misuse(called, "takes no value")
            self._values[one.key] = self._values[one.key] + 1 if one.kind == "count" else True
            return False
        if attached is None:
            if not self._words:
                self._misuse(called, "requires a value")
            value = self._words.pop(0)
        else:
            value = attached
        if one.kind == "number":
            number = decimal(value)
            if number is None:
                self._misuse(called, "expects a numerical value")
            self._values[one.key] = number
        else:
            self._values[one.key] = self._id(value) if one.value.endswith("-id") else value
        return True

    def _id(self, word: str) -> str:
        """A name or a number of a device."""
        binary = self._session.release.binary and self._session.program == "ndctl"  # daxctl reads decimals only
        return in_decimal(word) if binary else word

    def _misuse(self, called: str, reason: str) -> NoReturn:
        self._session.error(f"{called} {reason}")
        raise _Misused

    def _about(self, one: NdctlOption | None) -> NoReturn:
        """Print the usage, and what there is to say of one option."""
        self._session.err(f"\n usage: {self._usage}\n", *([_line(one)] if one else []))
        raise Ended(USAGE)


def _line(one: NdctlOption) -> str:
    """An option in the usage text."""
    head = f"    {f'-{one.short}' if one.short else '    '}{', ' if one.short else ''}--{one.long}"
    if one.kind == "number":
        head += " <n>"
    elif one.takes:
        head += f" <{one.value}>"
    if len(head) <= COLUMN:
        return f"{head:<{COLUMN + GAP}}{one.help}"
    return f"{head}\n{'':<{COLUMN + GAP}}{one.help}"


def decimal(word: str) -> int | None:
    """A number as strtol with base 10 reads it, for an unsigned int; None when anything follows it."""
    digits = word.strip(" \t\n\v\f\r") if word[-1:].isdigit() else word
    try:
        value = int(digits) if digits else 0
    except ValueError:
        return None
    return None if "_" in word else value & 0xFFFFFFFF
