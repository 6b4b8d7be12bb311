"""The nodes related to a domain: those below its home, and those elsewhere whose permissions name it.

Kept as an index, so that the end of a domain, or a count of its nodes, costs by what it has and not by what there is.
A node elsewhere is in the index when it names a domain that the node above does not name; what is below it is found
by looking there.
"""

from __future__ import annotations

from xlpy.functions import lru_cache
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.dom0.xenstore.node import Perm
    from xlpy.store import Store

_HOMES = "/local/domain/"


def home(domid: int) -> str:
    """Where a domain's own nodes are."""
    return f"{_HOMES}{domid}"


def strangers(path: str, perms: Iterable[Perm]) -> frozenset[int]:
    """The domains that a node names, except Dom0 and the one in whose home it is."""
    return _strangers(path[len(_HOMES) :].partition("/")[0] if path.startswith(_HOMES) else "", tuple(perms))


@lru_cache(maxsize=64)  # the nodes of a domain have few different permissions
def _strangers(inside: str, perms: tuple[Perm, ...]) -> frozenset[int]:
    return frozenset(perm.domid for perm in perms if perm.domid and str(perm.domid) != inside)


class Mentions:
    """The index.

    Args:
        store: the host's state. Both tables have a row for each mention: by domain and path, and by path.
    """

    def __init__(self, store: Store) -> None:
        self._by_domain = store.table("xenstore.named")
        self._by_path = store.table("xenstore.names")

    def of(self, domid: int) -> list[str]:
        """The paths where a domain is named outside of its home, and the node above does not name it."""
        return [key[len(str(domid)) :] for key in self._by_domain.keys(f"{domid}/")]

    def put(self, path: str, domids: frozenset[int]) -> None:
        """A node names these domains, which the node above does not name."""
        before = set(self._by_path.get(path, ()))
        if domids == before:
            return
        for domid in before - domids:
            self._by_domain.delete(f"{domid}{path}")
        for domid in domids - before:
            self._by_domain.put(f"{domid}{path}", 1)
        if domids:
            self._by_path.put(path, sorted(domids))
        else:
            self._by_path.delete(path)

    def remove(self, path: str) -> None:
        """A node is gone, with everything below it."""
        for key in (path, *self._by_path.keys(f"{path}/")):
            self.put(key, frozenset())
