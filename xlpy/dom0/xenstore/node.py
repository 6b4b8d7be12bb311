"""Shared by xenstored's connections and transactions: errors, paths, permissions, nodes (Xen ``io/xs_wire.h``)."""

from __future__ import annotations

import errno

from xlpy.errors import Exit, XlpyError
from xlpy.records import NamedTuple

ABSOLUTE_MAX, RELATIVE_MAX, PAYLOAD_MAX = 3072, 2048, 4096
QUOTA_NODES, QUOTA_NODE_SIZE, QUOTA_WATCHES, QUOTA_TRANSACTIONS = 1000, 2048, 128, 10  # of an unprivileged domain
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/_@")
RIGHTS = {"n": 0, "r": 1, "w": 2, "b": 3}
READ, WRITE, OWNER = 1, 2, 4
ALL_RIGHTS = READ | WRITE | OWNER


class XenstoreError(XlpyError):
    """xenstored's error reply.

    Args:
        message: what was asked, and why it was refused.
        errno: positive errno; the wire carries its name, such as ``ENOENT``.
    """

    code, exit = "XLPY-XENSTORE", Exit.HYPERCALL

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(message)
        self.errno = errno

    @property
    def name(self) -> str:
        """The error as the wire protocol sends it."""
        return errno.errorcode[self.errno]

    def __str__(self) -> str:
        return f"{self.message} ({self.name})"


class Perm(NamedTuple):
    """One permission entry: ``domid`` has ``rights``: ``n`` none, ``r`` read, ``w`` write, ``b`` both.

    In a list, the first entry names the owner, and its rights are those of every domain that the list does not name.
    """

    domid: int
    rights: str

    @classmethod
    def parse(cls, text: str) -> Perm:
        """Read ``r5``: the wire form."""
        digits = text[1:]
        well_formed = text[:1] in RIGHTS and digits.isascii() and digits.isdecimal() and len(digits) <= 5
        if not well_formed or int(digits) > 0xFFFF:
            raise XenstoreError(f"not a permission: {text!r}; n, r, w or b and a domid are required", errno.EINVAL)
        return cls(int(digits), text[0])

    def check(self) -> None:
        """XenstoreError (EINVAL) unless the wire has a form for it."""
        if self.rights not in RIGHTS or not 0 <= self.domid <= 0xFFFF:
            raise XenstoreError(f"not a permission: {str(self)!r}; n, r, w or b and a domid are required", errno.EINVAL)

    def __str__(self) -> str:
        return f"{self.rights}{self.domid}"


class Node(NamedTuple):
    """A node: ``value`` as raw bytes in latin-1 text, ``perms``, and the ``generation`` of its last change."""

    value: str
    perms: tuple[Perm, ...]
    generation: int

    @property
    def text(self) -> str:
        """The value as callers have it; bytes that are not UTF-8 survive as lone surrogates."""
        return self.value.encode("latin-1").decode(errors="surrogateescape")


def absolute_path(path: str, domid: int) -> str:
    """The path from the root, its form checked.

    Raises:
        XenstoreError: EINVAL: empty, too long, a wrong character, an empty component or a trailing slash.
    """
    limit = ABSOLUTE_MAX if path.startswith("/") else RELATIVE_MAX
    if not path or len(path) > limit or not _LETTERS.issuperset(path) or "//" in path or path[1:].endswith("/"):
        raise XenstoreError(
            f"{path[:80]!r} is not a path: up to {limit} letters, digits, -/_@, without empty components", errno.EINVAL
        )
    return path if path.startswith("/") else f"/local/domain/{domid}/{path}"


def parent_path(path: str) -> str:
    """The path of the node above; the root's is the root."""
    return path.rpartition("/")[0] or "/"
