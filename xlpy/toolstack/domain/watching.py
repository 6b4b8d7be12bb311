"""Watching xenstore from a process of its own: the daemon of other commands is gone, so the tree itself is compared."""

from __future__ import annotations

from xlpy.dom0.xenstore.node import READ, absolute_path
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.dom0.xenstore.daemon import Connection, XenStore


class Watcher:
    """Watches on paths and what is below them.

    Args:
        xenstore: the store.
        connection: whose rights count.
        paths: what to watch, as the watcher writes it.
    """

    def __init__(self, xenstore: XenStore, connection: Connection, paths: Sequence[str]) -> None:
        self._xenstore = xenstore
        self._connection = connection
        self._paths = [absolute_path(path, connection.domid) for path in paths]
        self._generation = xenstore.generation()
        self._nodes = self._look()

    def poll(self) -> list[str]:
        """The paths that have changed, come or gone since the last call, oldest change first."""
        generation = self._xenstore.generation()
        if generation == self._generation:
            return []
        self._generation = generation
        before, self._nodes = self._nodes, self._look()
        gone = [path for path in before if path not in self._nodes]
        new = [path for path, number in self._nodes.items() if before.get(path) != number]
        return [*gone, *sorted(new, key=lambda path: (self._nodes[path], path))]

    def _look(self) -> dict[str, int]:
        """When each node that the watcher may read changed last."""
        return {
            key: node.generation
            for path in self._paths
            for key, node in self._xenstore.tree(path).items()
            if self._connection.rights(node.perms) & READ
        }
