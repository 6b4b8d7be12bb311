"""Xen's console ring: what ``xl dmesg`` prints.

One record per line, numbered, the last ``LINES`` kept. They tell of failures, so they survive them. Lines of queries
(which change nothing) live only as long as the process, so that listing domains writes nothing.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.store import Store

TABLE = "xen.console"
LINES = 4096


class Console:
    """The ring of lines.

    Args:
        store: where the lines are kept, in ``TABLE`` under ten-digit keys.
        on_console_line: called with each line as it is written, as a serial cable would.
    """

    def __init__(self, store: Store, on_console_line: Callable[[str], None] | None = None) -> None:
        self._store = store
        self._table = store.table(TABLE)
        self._on_line = on_console_line
        self._first = self._next = -1
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
            self._table.put(f"{self._next:010d}", line)
            self._next += 1
            while self._next - self._first > LINES:
                self._table.delete(f"{self._first:010d}")
                self._first += 1

    def _count(self) -> None:
        if self._next < 0:
            kept = self._table.ends()
            sound = kept is not None and kept[0].isdecimal() and kept[1].isdecimal()  # a damaged log begins anew
            self._first, self._next = (int(kept[0]), int(kept[1]) + 1) if kept and sound else (0, 0)

    def lines(self) -> list[str]:
        """The lines, oldest first."""
        return [line for _, line in self.numbered()]

    def numbered(self) -> list[tuple[int, str]]:
        """(number, line) of the lines, oldest first; numbers never come again."""
        kept = [(int(key), line) for key, line in self._table.items()]
        return sorted(self._passing + kept, key=lambda row: row[0])[-LINES:]

    def clear(self) -> None:
        """Forget everything (``xl dmesg -c``); the numbers go on."""
        self._count()
        for key in self._table.keys():  # noqa: SIM118 - a Table is not a dict
            self._table.delete(key)
        self._passing.clear()
        self._first = self._next
