"""Shared by the lines of a script: the options in front of them, and the open host."""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.host import Host


class Kept:
    """What is kept from line to line.

    Args:
        options: of the script's own command line, by name: root, verbose, quiet, dry_run, color, xen.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self._host: Host | None = None
        self._xen: str | None = None

    def host(self, root: str | None, note: Callable[[str], None], xen: str | None) -> Host:
        """The host of a line: the one that is open, unless it is another or has to be looked at again."""
        from xlpy.host import Host
        from xlpy.statedir import UNCLEAN

        where = Host.directory(root)
        if self._host is not None and (self._host.root != where or xen != self._xen or (where / UNCLEAN).exists()):
            self.close()
        if self._host is None:
            self._host = Host.open(root, note, xen)
        self._host.note, self._xen = note, xen
        return self._host

    def close(self) -> None:
        """Let go of the host: the next line opens it anew."""
        if self._host is not None:
            self._host.store.close()
        self._host = None
