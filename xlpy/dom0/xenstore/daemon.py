"""XenStore: the tree of small values through which toolstack, device model and firmware communicate.

Nodes have a value, children and a permission list, and are kept in the host's ``Store``. A ``Connection`` speaks for
one domain: permissions are judged by its domid, relative paths start at its home, and its watches and transactions end
with it. Rules and limits: Xen's ``docs/misc/xenstore.txt`` and public header ``io/xs_wire.h``.
"""

from __future__ import annotations

import errno

from xlpy.dom0.xenstore.mentions import Mentions, home, strangers
from xlpy.dom0.xenstore.node import (
    ALL_RIGHTS,
    QUOTA_TRANSACTIONS,
    QUOTA_WATCHES,
    READ,
    RIGHTS,
    Node,
    Perm,
    XenstoreError,
    absolute_path,
    parent_path,
)
from xlpy.dom0.xenstore.transaction import Transaction
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from xlpy.store import Store

__all__ = ["Connection", "Node", "Perm", "Transaction", "WatchEvent", "XenStore", "XenstoreError"]

_GENERATION = "generation"  # not a path: the counter from which changed nodes take their number


class WatchEvent(NamedTuple):
    """A fired watch: what changed, and the token that the watcher chose."""

    path: str
    token: str


class XenStore:
    """The daemon.

    Args:
        store: the host's state; nodes live in its table ``xenstore``. Writers hold a ``Store.transaction``.
        target_of: the domain that a stub domain serves (its domid -> the target's, or None), whose rights it inherits.
    """

    def __init__(self, store: Store, target_of: Callable[[int], int | None] = lambda _domid: None) -> None:
        self._table = store.table("xenstore")
        self._mentions = Mentions(store)
        self._watching: list[Connection] = []
        self.target_of = target_of

    def connection(self, domid: int) -> Connection:
        """Connect on behalf of a domain; 0, Dom0, is privileged."""
        return Connection(self, domid)

    def release(self, domid: int) -> None:
        """A domain is gone: its connections end, its nodes and permission entries go, ``@releaseDomain`` fires."""
        for connection in [c for c in self._watching if c.domid == domid]:
            connection.close()
        for path in sorted(self._concerning(domid)):
            node = self.load(path)
            if node is None:  # went with its parent
                continue
            if node.perms[0].domid == domid and path != "/":
                self.apply([path], {})
                self.fire([path])
            elif any(perm.domid == domid for perm in node.perms[1:]):
                self.apply([], {path: node._replace(perms=tuple(p for p in node.perms if p.domid != domid))})
        self.fire(["@releaseDomain"])

    def introduce(self, _domid: int) -> None:
        """A domain has come: ``@introduceDomain`` fires."""
        self.fire(["@introduceDomain"])

    # what connections use

    def load(self, path: str) -> Node | None:
        """The node at an absolute path. The root always exists; Dom0 owns it and no other domain may read it."""
        row = self._table.get(path)
        if row is None:
            return Node("", (Perm(0, "n"),), 0) if path == "/" else None
        value, perms, generation = row
        return Node(value, tuple(Perm(domid, rights) for domid, rights in perms), generation)

    def apply(self, removed: Iterable[str], changed: Mapping[str, Node | None]) -> None:
        """Remove nodes with everything below them, then store the changed ones, all under the next generation."""
        number = self.generation() + 1
        for path in removed:
            for key in [path, *self._table.keys(f"{path}/")]:
                self._table.delete(key)
            self._mentions.remove(path)
        for path, node in changed.items():
            if node is not None:
                old = self.load(path) if node.generation else None  # a new one has none yet
                self._table.put(path, [node.value, node.perms, number])
                if old is None or old.perms != node.perms:
                    self._note(path, node, old, changed)
        self._table.put(_GENERATION, number)

    def _note(self, path: str, node: Node, old: Node | None, changed: Mapping[str, Node | None]) -> None:
        """Keep the index of who is named where; ``old``: the node before, None when there was none."""
        named = strangers(path, node.perms)
        if named or old is not None:
            above = parent_path(path)
            parent = changed.get(above) or self.load(above)
            first = named - strangers(above, parent.perms if parent else ())
            if first or old is not None:  # a new node is in the index when it has to be
                self._mentions.put(path, first)
        if old is not None and strangers(path, old.perms) != named:
            for name in self.children(path):
                key = f"{path.rstrip('/')}/{name}"
                below = self.load(key)
                if below is not None:
                    self._mentions.put(key, strangers(key, below.perms) - named)

    def _concerning(self, domid: int) -> dict[str, Node]:
        """The nodes below a domain's home, and those at and below the others that name it."""
        found = self.tree(home(domid))
        for path in self._mentions.of(domid):
            found.update(self.tree(path))
        return found

    def generation(self) -> int:
        """How many changes the tree has seen."""
        return int(self._table.get(_GENERATION, 0))

    def children(self, path: str) -> list[str]:
        """Names directly below a path, sorted."""
        return self._table.branches(path.rstrip("/") + "/")

    def has_children(self, path: str) -> bool:
        """Whether anything is below a path."""
        return self._table.first(path.rstrip("/") + "/") is not None

    def tree(self, path: str) -> dict[str, Node]:
        """The nodes at and below a path, by path, in the order of their names."""
        rows = self._table.items("/" if path == "/" else f"{path}/")
        found = {key: Node(value, tuple(Perm(*perm) for perm in perms), number) for key, (value, perms, number) in rows}
        top = self.load(path)
        return {path: top, **found} if top else found

    def values(self, path: str) -> Iterator[tuple[str, str]]:
        """Path and value of each node below a path, in the order of their names."""
        return ((key, value) for key, (value, _, _) in self._table.items(f"{path}/"))

    def names(self) -> dict[int, str]:
        """The ``name`` node of every domain that has one."""
        nodes = ((key.split("/"), Node(*row)) for key, row in self._table.indexed())
        return {int(parts[3]): node.text for parts, node in nodes if len(parts) == 5 and parts[3].isdecimal()}

    def owned(self, domid: int) -> int:
        """How many nodes a domain owns."""
        return sum(node.perms[0].domid == domid for node in self._concerning(domid).values())

    def named(self, name: str) -> list[int]:
        """The domains whose ``name`` node has this value, sorted; costs the same however many domains there are."""
        value = name.encode(errors="surrogateescape").decode("latin-1")
        paths = (path.split("/") for path in self._table.valued([value]))
        return sorted(int(parts[3]) for parts in paths if len(parts) == 5 and parts[3].isdecimal())

    def fire(self, paths: Iterable[str], removed: bool = True) -> None:
        """Tell every watcher on a path, above it, or (when it was removed) below it."""
        for path in paths:
            for connection in self._watching:
                connection.notice(path, removed)

    def attend(self, connection: Connection, watches: bool) -> None:
        """A connection has its first watch, or none any more."""
        (self._watching.append if watches else self._watching.remove)(connection)


class Connection:
    """One domain's session. All paths may be absolute, or relative to ``/local/domain/<domid>``.

    Every method raises XenstoreError: EINVAL for a bad path, EACCES without the right, ENOENT for a missing node
    (EACCES when the asker may not read its nearest existing parent, so that nothing is revealed).
    """

    def __init__(self, daemon: XenStore, domid: int) -> None:
        self._daemon = daemon
        self.domid = domid
        self._watches: list[tuple[str, str, str]] = []  # absolute path, path as given, token
        self._events: list[WatchEvent] = []
        self.transactions = 0

    def read(self, path: str) -> str:
        """The value of a node."""
        return self._tree().read(path)

    def read_or_none(self, path: str) -> str | None:
        """The value of a node, or None when there is none or the domain may not read it."""
        node = self._daemon.load(self._absolute(path))
        return node.text if node is not None and self.rights(node.perms) & READ else None

    def write(self, path: str, value: str) -> None:
        """Set a value; missing nodes on the way are made. E2BIG: more than 4096 bytes."""
        self._now(lambda tree: tree.write(path, value))

    def mkdir(self, path: str) -> None:
        """Make a node with an empty value; nothing happens when it is there."""
        self._now(lambda tree: tree.mkdir(path))

    def rm(self, path: str) -> None:
        """Remove a node with everything below it; nothing happens when it is absent but its parent is there."""
        self._now(lambda tree: tree.rm(path))

    def directory(self, path: str) -> list[str]:
        """The names below a node, sorted."""
        return self._tree().directory(path)

    def childless(self, path: str) -> bool:
        """Whether nothing is below a node that the domain may see or not; costs the same however much there is."""
        return not self._daemon.has_children(self._absolute(path))

    def get_perms(self, path: str) -> tuple[Perm, ...]:
        """The permission list, owner first."""
        return self._tree().get_perms(path)

    def set_perms(self, path: str, perms: Sequence[Perm]) -> None:
        """Replace the permission list. Only the owner may; only Dom0 may give a node away (EPERM)."""
        self._now(lambda tree: tree.set_perms(path, perms))

    def transaction(self) -> Transaction:
        """Start a private view, shown to all on ``commit``. As a context manager it commits, or aborts on an error."""
        if self.domid and self.transactions >= QUOTA_TRANSACTIONS:
            raise XenstoreError(f"domain {self.domid} has {self.transactions} open transactions", errno.ENOSPC)
        self.transactions += 1
        return Transaction(self._daemon, self, counted=True)

    def watch(self, path: str, token: str) -> None:
        """Ask for an event when the path or anything below changes; one comes at once. EEXIST: watched already."""
        absolute = path if path.startswith("@") else self._absolute(path)
        if (absolute, path, token) in self._watches:
            raise XenstoreError(f"{path} is watched with token {token!r} already", errno.EEXIST)
        if self.domid and len(self._watches) >= QUOTA_WATCHES:
            raise XenstoreError(f"domain {self.domid} has {QUOTA_WATCHES} watches, the most allowed", errno.E2BIG)
        if not self._watches:
            self._daemon.attend(self, watches=True)
        self._watches.append((absolute, path, token))
        self._events.append(WatchEvent(path, token))

    def unwatch(self, path: str, token: str) -> None:
        """End a watch. ENOENT: there is none."""
        absolute = path if path.startswith("@") else self._absolute(path)
        try:
            self._watches.remove((absolute, path, token))
        except ValueError:
            raise XenstoreError(f"{path} is not watched with token {token!r}", errno.ENOENT) from None
        if not self._watches:
            self._daemon.attend(self, watches=False)

    def events(self) -> list[WatchEvent]:
        """The events since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """End the session and its watches."""
        if self._watches:
            self._watches.clear()
            self._daemon.attend(self, watches=False)

    # what the daemon and transactions use

    def notice(self, changed: str, removed: bool) -> None:
        """Queue events for watches that ``changed`` concerns, if the domain may know of it."""
        for absolute, given, token in self._watches:
            inside = changed == absolute or changed.startswith(absolute.rstrip("/") + "/")
            if inside or (removed and absolute.startswith(changed + "/")):
                if self.domid and (changed.startswith("@") or not self._may_know(changed)):
                    continue
                at = changed if inside else absolute
                relative = given != absolute
                self._events.append(WatchEvent(given + at[len(absolute) :] if relative else at, token))

    def _may_know(self, path: str) -> bool:
        """Whether the domain may read the node, or where there is none, its nearest existing parent."""
        node = self._daemon.load(path)
        while node is None:
            path = parent_path(path)
            node = self._daemon.load(path)
        return bool(self.rights(node.perms) & READ)

    def rights(self, perms: Sequence[Perm]) -> int:
        """READ, WRITE and OWNER bits that a permission list gives to this domain."""
        if self.domid == 0:
            return ALL_RIGHTS
        ids = (self.domid, self._daemon.target_of(self.domid))
        if perms[0].domid in ids:
            return ALL_RIGHTS
        for perm in perms[1:]:
            if perm.domid in ids:
                return RIGHTS[perm.rights]
        return RIGHTS[perms[0].rights]

    def _tree(self) -> Transaction:
        return Transaction(self._daemon, self)

    def _now(self, act: Callable[[Transaction], None]) -> None:
        tree = self._tree()
        act(tree)
        tree.commit()

    def _absolute(self, path: str) -> str:
        return absolute_path(path, self.domid)
