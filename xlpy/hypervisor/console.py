"""Xen's console ring: what ``xl dmesg`` prints.

Lines are numbered, ``RECORD`` of them in a record, and the last ``LINES`` are kept. They tell of failures, so they
survive them. Lines of queries (which change nothing) live only as long as the process, so that listing domains writes
nothing.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.store import Store

TABLE = "xen.console"
LINES = 4096
RECORD = 16  # a command writes some 70


class Console:
    """The ring of lines.

    Args:
        store: where the lines are kept, in ``TABLE`` under the number of a record's first line, in ten digits. A line
            that has gone from a record is null.
        on_console_line: called with each line as it is written, as a serial cable would.
    """

    def __init__(self, store: Store, on_console_line: Callable[[str], None] | None = None) -> None:
        self._store = store
        self._table = store.table(TABLE)
        self._on_line = on_console_line
        self._first = self._next = -1
        self._last: list[str | None] = []  # the record that is being filled
        self._text = ""  # what the store has of it, unless that was rolled back
        self._single = False  # each line is a record by itself, as older versions kept them
        self._passing: list[tuple[int, str]] = []

    def write(self, line: str, *, keep: bool = True) -> None:
        """Add a line.

        Args:
            line: text without a newline.
            keep: False for a line that only this process shall see.
        """
        if self._on_line:
            self._on_line(line)
        self._count()
        if not keep:
            self._passing.append((self._next, line))
            del self._passing[:-LINES]
            return
        with self._store.surviving():
            if self._single:
                self._gather()
            self._add(line)
            while self._next - self._first >= LINES + RECORD:
                self._table.delete(_key(self._first))
                self._first += RECORD

    def _add(self, line: str) -> None:
        at = self._next % RECORD
        key = _key(self._next)
        if not at or self._table.text(key) != self._text:
            self._last = self._table.get(key, []) if at else []
        self._last += [None] * (at - len(self._last))
        self._last.append(line)
        self._table.put(key, self._last)
        self._text = self._table.text(key)
        self._next += 1

    def _count(self) -> None:
        if self._next >= 0:
            return
        ends = self._table.ends()
        if ends is None or not (ends[0].isdecimal() and ends[1].isdecimal()):  # a damaged log begins anew
            self._first = self._next = 0
            return
        first, last = map(int, ends)
        found = self._table.get(ends[1])
        self._single = isinstance(found, str)
        self._first, self._next = first - first % RECORD, last + (1 if self._single else len(found))

    def _gather(self) -> None:
        """Put lines that are records by themselves together."""
        rows = self._kept()
        for key in self._table.keys():  # noqa: SIM118 - a Table is not a dict
            self._table.delete(key)
        for self._next, line in rows:
            self._add(line)
        self._single = False

    def lines(self) -> list[str]:
        """The lines, oldest first."""
        return [line for _, line in self.numbered()]

    def numbered(self) -> list[tuple[int, str]]:
        """(number, line) of the lines, oldest first; numbers never come again."""
        return sorted(self._passing + self._kept(), key=lambda row: row[0])[-LINES:]

    def _kept(self) -> list[tuple[int, str]]:
        return [
            (int(key) + at, line)
            for key, lines in self._table.items()
            for at, line in enumerate([lines] if isinstance(lines, str) else lines)
            if line is not None
        ]

    def clear(self) -> None:
        """Forget everything (``xl dmesg -c``); the numbers go on."""
        self._count()
        for key in self._table.keys():  # noqa: SIM118 - a Table is not a dict
            self._table.delete(key)
        self._passing.clear()
        self._single = False
        self._first = self._next - self._next % RECORD


def _key(number: int) -> str:
    """The key of the record that has a line."""
    return f"{number - number % RECORD:010d}"
