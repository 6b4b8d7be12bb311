"""The terminals that xenconsoled opens: the kernel gives a new one the lowest number that is free.

Free numbers are kept as rows, so that neither opening nor closing one costs by how many there are.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.store import Store

TTY = "/dev/pts/"
_NEXT, _FREE = "next", "free/"  # the lowest number that was never used; those below it that were given back


class Terminals:
    """The terminals of all domains, in the table ``dom0.pts``."""

    def __init__(self, store: Store) -> None:
        self._table = store.table("dom0.pts")

    def open(self, domid: int) -> str:
        """The path of a domain's terminal."""
        free = self._table.first(_FREE)
        if free is None:
            number = int(self._table.get(_NEXT, 0))
            self._table.put(_NEXT, number + 1)
        else:
            self._table.delete(free)
            number = int(free.removeprefix(_FREE))
        self._table.put(str(domid), number)
        return f"{TTY}{number}"

    def close(self, domid: int) -> None:
        """A domain is gone; nothing happens when it had no terminal."""
        number = self._table.get(str(domid))
        if number is None:
            return
        self._table.delete(str(domid))
        self._table.put(_free(number), 1)
        for _ in range(2):  # one more than was added, so that in the end nothing is left
            last = int(self._table.get(_NEXT, 0)) - 1
            if self._table.get(_free(last)) is None:
                return
            self._table.delete(_free(last))
            if last:
                self._table.put(_NEXT, last)
            else:
                self._table.delete(_NEXT)


def _free(number: int) -> str:
    return f"{_FREE}{number:010}"
