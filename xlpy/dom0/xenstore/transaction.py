"""Transactions on the XenStore tree: a private view until commit, and EAGAIN on a conflict with another one."""

from __future__ import annotations

import errno

from xlpy.dom0.xenstore.node import (
    OWNER,
    PAYLOAD_MAX,
    QUOTA_NODE_SIZE,
    QUOTA_NODES,
    READ,
    WRITE,
    Node,
    Perm,
    XenstoreError,
    absolute_path,
    parent_path,
)
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Protocol

    class Daemon(Protocol):
        """Who keeps the nodes. For the type checker alone: every command imports this file."""

        def load(self, path: str, /) -> Node | None: ...
        def apply(self, removed: Iterable[str], changed: Mapping[str, Node | None], /) -> None: ...
        def generation(self) -> int: ...
        def children(self, path: str, /) -> list[str]: ...
        def owned(self, domid: int, /) -> int: ...
        def fire(self, paths: Iterable[str], /, removed: bool = True) -> None: ...

    class XenstoreClient(Protocol):
        """Who asks: a domain, its rights, and how many transactions it has open."""

        domid: int
        transactions: int

        def rights(self, perms: Sequence[Perm], /) -> int: ...


class Transaction:
    """A private view of the tree: reads see the view's own writes, ``commit`` shows them to all at once.

    A single operation outside a transaction is one with a single step. Paths are absolute or relative as on the
    connection.
    """

    def __init__(self, daemon: Daemon, connection: XenstoreClient, counted: bool = False) -> None:
        self._daemon = daemon
        self._connection = connection
        self._counted = counted
        self._born = daemon.generation()
        self._seen: dict[str, Node | None] = {}  # each node as it was when first looked at
        self._changed: dict[str, Node | None] = {}
        self._listed: dict[str, list[str]] = {}  # children as they were when listed
        self._removed: list[str] = []
        self._written: dict[str, None] = {}  # what watches report, in order
        self._sound: set[tuple[Perm, ...]] = set()  # permissions that were checked
        self._open = True

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, kind: object, _value: object, _trace: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()

    def read(self, path: str) -> str:
        """As ``Connection.read``."""
        return self._get(self._absolute(path), READ).text

    def write(self, path: str, value: str, perms: tuple[Perm, ...] = ()) -> None:
        """As ``Connection.write``; with permissions, as ``set_perms`` behind it."""
        raw = value.encode(errors="surrogateescape")
        if len(raw) > PAYLOAD_MAX:
            raise XenstoreError(f"{path}: {len(raw)} bytes; a value has at most {PAYLOAD_MAX}", errno.E2BIG)
        path = self._absolute(path)
        self._put(path, raw.decode("latin-1"))
        if perms:
            self._permit(path, perms)

    def mkdir(self, path: str) -> None:
        """As ``Connection.mkdir``."""
        path = self._absolute(path)
        if self._load(path) is None:
            self._put(path, "")
        else:
            self._get(path, WRITE)

    def rm(self, path: str) -> None:
        """As ``Connection.rm``."""
        path = self._absolute(path)
        if path == "/":
            raise XenstoreError("the root cannot be removed", errno.EINVAL)
        if self._load(path) is None and self._load(parent_path(path)) is not None:
            self._get(parent_path(path), WRITE)
            return
        self._get(path, WRITE)
        for key in [key for key in self._changed if key == path or key.startswith(f"{path}/")]:
            del self._changed[key]
            self._written.pop(key, None)
        self._changed[path] = None
        self._removed.append(path)

    def directory(self, path: str) -> list[str]:
        """As ``Connection.directory``."""
        path = self._absolute(path)
        self._get(path, READ)
        prefix = path.rstrip("/") + "/"
        names: set[str] = set()
        if not self._gone(path):
            names.update(self._listed.setdefault(path, self._daemon.children(path)))
        names = {name for name in names if self._changed.get(prefix + name, self) is not None}
        for key, node in self._changed.items():
            if node is not None and key != prefix and key.startswith(prefix) and "/" not in key[len(prefix) :]:
                names.add(key[len(prefix) :])
        return sorted(names)

    def get_perms(self, path: str) -> tuple[Perm, ...]:
        """As ``Connection.get_perms``."""
        return self._get(self._absolute(path), READ).perms

    def set_perms(self, path: str, perms: Sequence[Perm]) -> None:
        """As ``Connection.set_perms``."""
        path = self._absolute(path)
        if not perms:
            raise XenstoreError(f"{path}: an empty permission list", errno.EINVAL)
        self._permit(path, tuple(perms))

    def _permit(self, path: str, perms: tuple[Perm, ...]) -> None:
        if perms not in self._sound:
            for perm in perms:
                perm.check()
            self._sound.add(perms)
        node = self._get(path, WRITE | OWNER)
        if self._connection.domid != 0 and perms[0].domid != node.perms[0].domid:
            raise XenstoreError(f"{path}: only Dom0 may change the owner of a node", errno.EPERM)
        self._changed[path] = Node(node.value, perms, node.generation)
        self._written[path] = None

    def commit(self) -> None:
        """Show the changes to all and fire watches. EAGAIN: a node looked at changed meanwhile; nothing is done."""
        self._end()
        if not self._changed:
            return
        if self._daemon.generation() != self._born:
            self._check_conflicts()
        self._check_quota()
        self._daemon.apply(self._removed, self._changed)
        self._daemon.fire(self._removed)
        self._daemon.fire(self._written, removed=False)

    def abort(self) -> None:
        """Forget the changes."""
        self._end()

    def _end(self) -> None:
        if not self._open:
            raise XenstoreError("the transaction has ended already", errno.ENOENT)
        self._open = False
        self._connection.transactions -= self._counted

    def _check_conflicts(self) -> None:
        stale = [path for path, node in self._seen.items() if self._daemon.load(path) != node]
        stale += [path for path, names in self._listed.items() if self._daemon.children(path) != names]
        if stale:
            raise XenstoreError(f"{stale[0]} changed during the transaction; start it again", errno.EAGAIN)

    def _check_quota(self) -> None:
        domid = self._connection.domid
        if domid == 0:
            return
        for path, node in self._changed.items():
            if node is not None and len(node.value) > QUOTA_NODE_SIZE:
                raise XenstoreError(
                    f"{path}: a node of domain {domid} has at most {QUOTA_NODE_SIZE} bytes", errno.ENOSPC
                )
        made = sum(node is not None and node.generation == 0 for node in self._changed.values())
        if made and self._daemon.owned(domid) + made > QUOTA_NODES:
            raise XenstoreError(f"domain {domid} has {QUOTA_NODES} nodes, the most allowed", errno.ENOSPC)

    def _absolute(self, path: str) -> str:
        if not self._open:
            raise XenstoreError("the transaction has ended already", errno.ENOENT)
        return absolute_path(path, self._connection.domid)

    def _gone(self, path: str) -> bool:
        return any(path == top or path.startswith(f"{top}/") for top in self._removed)

    def _load(self, path: str) -> Node | None:
        if path in self._changed:
            return self._changed[path]
        if self._removed and self._gone(path):
            return None
        if path not in self._seen:
            # below a node that is not there, there is none
            orphan = self._seen.get(parent_path(path), path) is None
            self._seen[path] = None if orphan else self._daemon.load(path)
        return self._seen[path]

    def _get(self, path: str, need: int) -> Node:
        """The node, provided that this domain has the right; errors tell only what the nearest parent lets it know."""
        node = self._load(path)
        if node is not None and self._connection.rights(node.perms) & need == need:
            return node
        number = errno.ENOENT if node is None else errno.EACCES
        above = path
        while above != "/":
            above = parent_path(above)
            parent = self._load(above)
            if parent is not None:
                if not self._connection.rights(parent.perms) & need:
                    number = errno.EACCES
                break
        text = "there is no such node" if number == errno.ENOENT else "permission denied"
        raise XenstoreError(f"{path}: {text} for domain {self._connection.domid}", number)

    def _put(self, path: str, value: str) -> None:
        node = self._load(path)
        if node is not None:
            self._changed[path] = self._get(path, WRITE)._replace(value=value)
            self._written[path] = None
            return
        missing = [path]
        while (parent := self._load(parent_path(missing[-1]))) is None:
            missing.append(parent_path(missing[-1]))
        if not self._connection.rights(parent.perms) & WRITE:
            raise XenstoreError(f"{path}: permission denied for domain {self._connection.domid}", errno.EACCES)
        perms = parent.perms
        if self._connection.domid != 0:
            perms = (perms[0]._replace(domid=self._connection.domid), *perms[1:])
        for new in reversed(missing):
            self._changed[new] = Node(value if new == path else "", perms, 0)
        self._written[path] = None
