"""One actor's records in the state of a host, and the queries that find them by key."""

from __future__ import annotations

from xlpy.jsontext import encode_compact
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from xlpy.typing import Protocol

    class Records(Protocol):
        """What a table needs of its store: see ``xlpy.store.Store``."""

        def read(self, room: str, key: str) -> str | None: ...
        def write(self, room: str, key: str, text: str | Callable[[], str] | None) -> None: ...
        def flush(self, room: str | None = None) -> None: ...
        def query(self, sql: str, args: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]: ...
        def checked(self, room: str, key: str, text: str, crc: int) -> str: ...
        def value(self, text: str) -> Any: ...  # noqa: ANN401 - any JSON value
        def transaction(self, holder: str) -> AbstractContextManager[None]: ...


_LAST = "\U0010ffff"  # behind every character of a key
BOOTS = "boot"  # the table of the domains that an emulator runs: booting keeps it, other commands look into it
# names of domains: what is searched by value, in the words of the index and of every query that is to use it
INDEXED = "room = 'xenstore' AND key GLOB '/local/domain/*/name'"
# The primary key, by name: else SQLite asks of each new argument whether the other index fits it, and plans the search
# anew, which takes twice as long as the search itself.
_RECORDS = "records INDEXED BY sqlite_autoindex_records_1"
_RANGE = f"FROM {_RECORDS} WHERE room = ? AND key >= ? AND key < ?"


class Table:
    """One actor's records: string keys, JSON values. Reads are lazy; writes belong in ``Store.transaction``."""

    __slots__ = ("_name", "_store")

    def __init__(self, store: Records, name: str) -> None:
        self._store = store
        self._name = name

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - any JSON value
        """The value under ``key``, or ``default``."""
        text = self._store.read(self._name, key)
        return default if text is None else self._store.value(text)

    def text(self, key: str) -> str:
        """The value under ``key`` as the text of JSON; empty for none."""
        return self._store.read(self._name, key) or ""

    def put(self, key: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
        """Set ``key`` to ``value`` (anything ``json`` can write)."""
        self._store.write(self._name, key, encode_compact(value))

    def follow(self, key: str, make: Callable[[], Any]) -> None:
        """Set ``key`` to what ``make()`` gives when it is written: once, however often it changes in a transaction."""
        self._store.write(self._name, key, lambda: encode_compact(make()))

    def delete(self, key: str) -> None:
        """Remove ``key``; no error when it is absent."""
        self._store.write(self._name, key, None)

    def transaction(self, holder: str) -> AbstractContextManager[None]:
        """As ``Store.transaction``: what is read inside is still so when something is written."""
        return self._store.transaction(holder)

    def keys(self, prefix: str = "") -> list[str]:
        """All keys that start with ``prefix``, sorted."""
        self._store.flush(self._name)
        sql = f"SELECT key {_RANGE} ORDER BY key"
        return [row[0] for row in self._store.query(sql, (self._name, prefix, prefix + _LAST))]

    def branches(self, prefix: str) -> list[str]:
        """What follows ``prefix`` in keys, up to the next ``/``, each once and sorted; costs one search for each."""
        found, start = set(), prefix
        while (key := self._next(prefix, start)) is not None:
            name, inside, _ = key[len(prefix) :].partition("/")
            found.add(name)
            start = f"{prefix}{name}/{_LAST}" if inside else f"{key}\0"  # behind all that is below it
        return sorted(found - {""})

    def valued(self, head: list[Any]) -> list[str]:
        """The keys of indexed records (see ``INDEXED``) that are lists and begin as ``head``, sorted; costs by their
        number."""
        self._store.flush(self._name)
        sql = f"SELECT key FROM records INDEXED BY named WHERE {INDEXED} AND value >= ? AND value < ?"
        start = encode_compact(head)[:-1] + ","
        return sorted(row[0] for row in self._store.query(sql, (start, start + _LAST)))

    def indexed(self) -> list[tuple[str, Any]]:
        """(key, value) of all indexed records (see ``INDEXED``)."""
        self._store.flush(self._name)
        return self._values(f"SELECT key, value, crc FROM records INDEXED BY named WHERE {INDEXED}", ())

    def first(self, prefix: str) -> str | None:
        """The first key that starts with ``prefix``, or None; costs the same however many there are."""
        self._store.flush(self._name)
        return self._next(prefix, prefix)

    def _next(self, prefix: str, start: str) -> str | None:
        """The first key from ``start`` on that starts with ``prefix``."""
        found: str | None
        [[found]] = self._store.query(f"SELECT min(key) {_RANGE}", (self._name, start, prefix + _LAST))
        return found

    def ends(self) -> tuple[str, str] | None:
        """The first and the last key, or None when there are no records; costs the same however many there are."""
        self._store.flush(self._name)
        room = f"FROM {_RECORDS} WHERE room = ?1"
        first, last = self._store.query(f"SELECT (SELECT min(key) {room}), (SELECT max(key) {room})", (self._name,))[0]
        return (first, last) if isinstance(first, str) and isinstance(last, str) else None  # damage shows as NULL

    def items(self, prefix: str = "") -> list[tuple[str, Any]]:
        """(key, value) of all keys that start with ``prefix``, sorted by key."""
        self._store.flush(self._name)
        sql = f"SELECT key, value, crc {_RANGE} ORDER BY key"
        return self._values(sql, (self._name, prefix, prefix + _LAST))

    def _values(self, sql: str, args: tuple[Any, ...]) -> list[tuple[str, Any]]:
        store, name = self._store, self._name
        return [(key, store.value(store.checked(name, key, text, crc))) for key, text, crc in store.query(sql, args)]
