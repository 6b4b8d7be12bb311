"""Typed look-ups in a machine description that record every problem and continue."""

from __future__ import annotations

import os
import re

from xlpy.addr import format_size, parse_size
from xlpy.errors import UsageError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.hw.strict_yaml import YamlNode

U16, U32 = 0xFFFF, 0xFFFFFFFF
SHOWN = 200  # problems in a report
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,47}\Z")


class Problems:
    """What is wrong with the description, in the order of its lines."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._found: list[tuple[int, int, str]] = []

    def add(self, line: int, text: str) -> None:
        """Note ``text`` for ``line`` (from 1)."""
        self._found.append((line, len(self._found), text))

    def known(self, line: int, words: str) -> bool:
        """Whether something with these words is wrong in a line: what follows from it need not be told."""
        return any(at == line and words in text for at, _, text in self._found)

    def __len__(self) -> int:
        return len(self._found)

    def report(self) -> list[str]:
        """``source:line: text``, one for each problem; what is beyond ``SHOWN`` is only counted."""
        lines = [f"{self.source}:{line}: {text}" for line, _, text in sorted(self._found)[:SHOWN]]
        return [*lines, f"and {len(self) - SHOWN} more"] if len(self) > SHOWN else lines

    def nearest(self, word: str, known: Sequence[str]) -> str:
        """A tail for a message about ``word``: the nearest known word, or all that are known."""
        if len(self) >= SHOWN:
            return ""
        from difflib import get_close_matches

        close = get_close_matches(word[:60], known, n=1, cutoff=0.5)
        return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known)) or 'none'}"


class Section:
    """One mapping of the description.

    Every look-up names a key that may be there. A wrong value is noted and replaced by the default, so that reading
    goes on; a key that no look-up asked for is noted by ``done``. Without a default, the key is required.
    """

    def __init__(self, node: YamlNode, path: str, problems: Problems) -> None:
        self.path = path
        self.line = node.line
        self._problems = problems
        self.wrong: set[str] = set()  # keys whose value was not taken
        self._asked: list[str] = []
        self._entries: dict[str, YamlNode] = {}
        self._is_mapping = isinstance(node.value, dict)
        if isinstance(node.value, dict):
            self._entries = node.value
        else:
            problems.add(node.line, f"{path or 'the machine'}: a mapping (key: value) is required, not {node.kind()}")

    @property
    def folder(self) -> str:
        """Where relative paths begin: the folder of the description."""
        return os.path.dirname(self._problems.source)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def problem(self, key: str, text: str) -> None:
        """Note a problem with the value of ``key`` (or with the section itself, when it is empty or absent)."""
        line = self._entries[key].line if key in self._entries else self.line
        self.wrong.add(key)
        where = ".".join(part for part in (self.path, key) if part)
        self._problems.add(line, f"{where}: {text}" if where else text)

    def done(self) -> None:
        """Note every key that was not looked up."""
        for key in self._entries:
            if key not in self._asked:
                self.problem(key, "unknown key" + self._problems.nearest(key, self._asked))

    def _take(self, key: str, *, required: bool) -> YamlNode | None:
        self._asked.append(key)
        node = self._entries.get(key)
        if node is None and required and self._is_mapping:
            self.problem(key, "required, and not given")
        return node

    def number(self, key: str, default: int | None = None, *, least: int = 0, most: int = U32) -> int:
        """An integer between ``least`` and ``most``."""
        node = self._take(key, required=default is None)
        fallback = least if default is None else default
        if node is None:
            return fallback
        if type(node.value) is not int:
            self.problem(key, f"an integer is required, not {node.kind()}")
        elif not least <= node.value <= most:
            self.problem(key, f"{node.value} is out of range, it lies between {least} and {most} ({most:#x})")
        else:
            return node.value
        return fallback

    def size(self, key: str, default: int | None = None, *, least: int = 0, most: int = 1 << 52, unit: int = 1) -> int:
        """Bytes, as ``64M``, ``0x1000`` or ``4096``; a multiple of ``unit``. 0 stands for a wrong or missing one."""
        node = self._take(key, required=default is None)
        fallback = default or 0
        if node is None:
            return fallback
        if type(node.value) not in (int, str):
            self.problem(key, f"a size such as 64M is required, not {node.kind()}")
            return fallback
        try:
            value = parse_size(str(node.value))
        except UsageError as error:
            self.problem(key, f"{error.message}; {error.hint}")
            return fallback
        if not least <= value <= most:
            self.problem(key, f"{node.value} is out of range, from {format_size(least)} to {format_size(most)}")
        elif value % unit:
            self.problem(key, f"{node.value} is not a multiple of {format_size(unit)}")
        else:
            return value
        return fallback

    def word(self, key: str, default: str | None = None, *, choices: Sequence[str] | None = None) -> str:
        """Text; one of ``choices`` if there are any. Empty stands for a wrong or missing one."""
        node = self._take(key, required=default is None)
        fallback = default or ""
        if node is None:
            return fallback
        if not isinstance(node.value, str):
            self.problem(key, f"text is required, not {node.kind()}")
        elif choices is not None and node.value not in choices:
            self.problem(key, f"{node.kind()} is not known{self._problems.nearest(node.value, choices)}")
        else:
            return node.value
        return fallback

    def name(self, key: str, default: str | None = None) -> str:
        """A word that can be a file name and an argument: letters, digits, ``_ . -``, at most 48."""
        word = self.word(key, default)
        if word and not NAME.match(word):
            self.problem(
                key, f"{word[:60]!r} is not a name: letters, digits, _ . and -, at most 48, a letter or digit first"
            )
            return ""
        return word

    def flag(self, key: str, default: bool) -> bool:
        """``true`` or ``false``."""
        node = self._take(key, required=False)
        if node is None:
            return default
        if isinstance(node.value, bool):
            return node.value
        self.problem(key, f"true or false is required, not {node.kind()}")
        return default

    def words(
        self, key: str, default: tuple[str, ...] | None = None, *, choices: Sequence[str] | None = None
    ) -> tuple[str, ...]:
        """A list of words, each at most once, each one of ``choices`` if there are any."""
        node = self._take(key, required=default is None)
        fallback = default or ()
        if node is None:
            return fallback
        if not isinstance(node.value, list) or not all(isinstance(item.value, str) for item in node.value):
            self.problem(key, f"a list of words, [a, b], is required, not {node.kind()}")
            return fallback
        found: dict[str, None] = {}
        for item in node.value:
            word = str(item.value)
            if word in found:
                self.wrong.add(key)
                self._problems.add(item.line, f"{self.path}.{key}: {item.kind()} is given twice")
            elif choices is not None and word not in choices:
                tail = self._problems.nearest(word, choices)
                self.wrong.add(key)
                self._problems.add(item.line, f"{self.path}.{key}: unknown word {item.kind()}{tail}")
            else:
                found[word] = None
        return tuple(found)

    def section(self, key: str) -> Section | None:
        """The mapping under ``key``, or None."""
        node = self._take(key, required=False)
        return None if node is None else Section(node, f"{self.path}.{key}".lstrip("."), self._problems)

    def sections(self, key: str, most: int = 256) -> list[Section]:
        """The list of mappings under ``key``, at most ``most``; empty when absent."""
        node = self._take(key, required=False)
        if node is None:
            return []
        if not isinstance(node.value, list):
            self.problem(key, f"a list of mappings is required, not {node.kind()}")
            return []
        if len(node.value) > most:
            self.problem(key, f"{len(node.value)} entries are too many, the limit is {most}")
        path = f"{self.path}.{key}".lstrip(".")
        return [Section(item, f"{path}[{i}]", self._problems) for i, item in enumerate(node.value[:most])]
