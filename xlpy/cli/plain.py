"""The fast path for unambiguous command lines, read without click.

Only what click would read in just one way is read here: whole names, each option once, every argument there, every
value fitting its type. For any other line ``read`` answers None, and click reads it (``xlpy.cli.grammar``).
"""

from __future__ import annotations

import sys

from xlpy.cli.shared import shared
from xlpy.cli.tree import TREE
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.cli.declare import Command, Parameter

COMPLETING = "_XLPY_COMPLETE"  # set by the shell's completion script: it is no command line


class CommandLine(NamedTuple):
    """A command line, read: the values of the options that all share, the command, and its own values."""

    common: dict[str, Any]
    command: Command
    values: dict[str, Any]


class _Doubt(Exception):
    """The line is not unambiguous."""


def read(words: Sequence[str]) -> CommandLine | None:
    """Read the words after ``xlpy``; None where click shall."""
    try:
        common, rest = _values(shared.parameters, words, interspersed=False)
        branch, at = "", 0
        while at < len(rest) and rest[at] in TREE[branch]:
            where, deeper = TREE[branch][rest[at]][0], f"{branch} {rest[at]}".strip()
            if where and not (deeper in TREE and rest[at + 1 : at + 2] and rest[at + 1] in TREE[deeper]):
                command = find(where)
                if any(one.raw for one in command.parameters):
                    return CommandLine(common, command, _raw(command, rest[at + 1 :]))
                return CommandLine(common, command, _values(command.parameters, rest[at + 1 :])[0])
            branch, at = deeper, at + 1
    except (_Doubt, ValueError):
        pass
    return None


def _raw(command: Command, words: Sequence[str]) -> dict[str, Any]:
    """The words of a command that reads them by itself; only ``--help`` in front is for click."""
    if words[:1] in (["--help"], ("--help",)):
        raise _Doubt
    return {command.parameters[0].name: tuple(words)}


def find(where: str) -> Command:
    """The command at ``module:attribute`` of ``xlpy.cli``."""
    module, attribute = where.split(":")
    name = f"xlpy.cli.{module}"
    __import__(name)  # importlib's own function takes longer to import than to call
    command: Command = getattr(sys.modules[name], attribute)
    return command


def _values(
    parameters: Sequence[Parameter], words: Sequence[str], *, interspersed: bool = True
) -> tuple[dict[str, Any], Sequence[str]]:
    """The value of every parameter, and what stands behind them.

    Args:
        parameters: what may be there.
        words: the command line.
        interspersed: whether options may follow arguments; else the first argument ends it, as with a group.
    """
    options = {spelling: one for one in parameters for spelling in one.spellings}
    values: dict[str, Any] = {}
    found: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not word.startswith("-"):
            if not interspersed:
                return _complete(parameters, values), words[at - 1 :]
            found.append(word)
            continue
        name, equals, text = word.partition("=")
        one = options.get(name)
        if one is None or (equals and (one.flag or one.count or not name.startswith("--"))):
            raise _Doubt
        if one.count:
            values[one.name] = values.get(one.name, 0) + 1
            continue
        if one.name in values or one.repeated:
            raise _Doubt
        if one.flag:
            values[one.name] = True
            continue
        if not equals:
            text = words[at] if at < len(words) else ""
            at += 1
        values[one.name] = _value(one, text)
    _place([one for one in parameters if not one.spellings], found, values)
    return _complete(parameters, values), ()


def _place(arguments: Sequence[Parameter], words: list[str], values: dict[str, Any]) -> None:
    """Give the words to the arguments; one that takes many can only be the last."""
    for one in arguments:
        if one.many:
            if one is not arguments[-1]:
                raise _Doubt
            values[one.name] = tuple(_value(one, word) for word in words)
            words = []
        elif words:
            values[one.name] = _value(one, words.pop(0))
    if words:
        raise _Doubt


def _value(one: Parameter, text: str) -> Any:  # noqa: ANN401 - any value
    if not text or text.startswith("-"):
        raise _Doubt
    return one.type.plain(text) if one.type else text


def _complete(parameters: Sequence[Parameter], values: dict[str, Any]) -> dict[str, Any]:
    for one in parameters:
        if values.get(one.name) in (None, ()):
            if one.required:
                raise _Doubt
            values[one.name] = one.absent
    return values
