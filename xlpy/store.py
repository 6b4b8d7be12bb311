"""The state of one emulated host: named tables of JSON records in one SQLite file.

A command that changes something does so inside one ``transaction``: an exclusive lock file that names its holder, and
one immediate SQLite transaction. A process killed at any instant leaves the last committed state. Inside it,
``savepoint`` takes back what a failed step has written, but for what is written under ``surviving``, or was there when
``keep`` was called.
"""

from __future__ import annotations

import fcntl
import os
import time
from binascii import crc32

from xlpy import functions
from xlpy.compiled import load
from xlpy.contexts import contextmanager, suppress
from xlpy.errors import Conflict, Constraint, StateError, XlpyError
from xlpy.jsontext import decode, encode_compact
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    _Text = str | Callable[[], str] | None  # of a record: as it is, made when it is written, or absent
else:
    # the package around it imports datetime, for conversions that are not used here
    sqlite3 = load("_sqlite3", functools=functions)

SCHEMA = 4
LOCK_SECONDS = 10.0

_LAST = "\U0010ffff"  # behind every character of a key
# names of domains: what is searched by value, in the words of the index and of every query that is to use it
_INDEXED = "room = 'xenstore' AND key GLOB '/local/domain/*/name'"
# The primary key, by name: else SQLite asks of each new argument whether the other index fits it, and plans the search
# anew, which takes twice as long as the search itself.
_RECORDS = "records INDEXED BY sqlite_autoindex_records_1"
_RANGE = f"FROM {_RECORDS} WHERE room = ? AND key >= ? AND key < ?"
# from one key to the next behind it or, where that is below something seen already, behind all of that
_BRANCHES = f"""
WITH RECURSIVE found(key) AS (
  SELECT min(key) FROM {_RECORDS} WHERE room = ?1 AND key > ?2 AND key < ?2 || char(0x10ffff)
  UNION ALL
  SELECT (
    SELECT min(records.key) FROM {_RECORDS}
    WHERE room = ?1 AND key < ?2 || char(0x10ffff)
      AND key > CASE instr(substr(found.key, ?3 + 1), '/') WHEN 0 THEN found.key
        ELSE substr(found.key, 1, ?3 + instr(substr(found.key, ?3 + 1), '/')) || char(0x10ffff) END
  ) FROM found WHERE found.key IS NOT NULL
)
SELECT substr(key, ?3 + 1) FROM found WHERE key IS NOT NULL
"""


class Table:
    """One actor's records: string keys, JSON values. Reads are lazy; writes belong in ``Store.transaction``."""

    __slots__ = ("_name", "_store")

    def __init__(self, store: Store, name: str) -> None:
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

    def keys(self, prefix: str = "") -> list[str]:
        """All keys that start with ``prefix``, sorted."""
        self._store.flush(self._name)
        sql = f"SELECT key {_RANGE} ORDER BY key"
        return [row[0] for row in self._store.query(sql, (self._name, prefix, prefix + _LAST))]

    def branches(self, prefix: str) -> list[str]:
        """What follows ``prefix`` in keys, up to the next ``/``, each once and sorted; costs one search for each."""
        self._store.flush(self._name)
        found = {row[0].partition("/")[0] for row in self._store.query(_BRANCHES, (self._name, prefix, len(prefix)))}
        return sorted(found - {""})

    def valued(self, head: list[Any]) -> list[str]:
        """The keys of indexed records (see ``_INDEXED``) that are lists and begin as ``head``, sorted; costs by their
        number."""
        self._store.flush(self._name)
        sql = f"SELECT key FROM records INDEXED BY named WHERE {_INDEXED} AND value >= ? AND value < ?"
        start = encode_compact(head)[:-1] + ","
        return sorted(row[0] for row in self._store.query(sql, (start, start + _LAST)))

    def indexed(self) -> list[tuple[str, Any]]:
        """(key, value) of all indexed records (see ``_INDEXED``)."""
        self._store.flush(self._name)
        return self._values(f"SELECT key, value, crc FROM records INDEXED BY named WHERE {_INDEXED}", ())

    def first(self, prefix: str) -> str | None:
        """The first key that starts with ``prefix``, or None; costs the same however many there are."""
        self._store.flush(self._name)
        sql = f"SELECT min(key) {_RANGE}"
        found: str | None = self._store.query(sql, (self._name, prefix, prefix + _LAST))[0][0]
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


class Store:
    """The state file.

    Args:
        path: the SQLite file, made on first use; None keeps everything in memory (tests).
        changed: called when a transaction begins and another process has written since the last one.
        undone: called when a savepoint was taken back, with the store as it was before; the transaction goes on.

    Raises:
        StateError: the file is not a state file of this version, or is damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        changed: Callable[[], None] | None = None,
        undone: Callable[[], None] | None = None,
    ) -> None:
        self.path = path
        self._changed = changed
        self._undone = undone
        self._depth = 0
        self._savepoints = 0
        self._trial = False
        self._after: list[Callable[[], object]] = []  # what is to be done once this transaction is committed
        self._surviving = False
        self._survivors: dict[tuple[str, str], str | None] = {}  # what a savepoint that is taken back leaves
        self._known: dict[tuple[str, str], _Text] = {}  # what this transaction read or wrote
        self._unwritten: set[tuple[str, str]] = set()  # what of it SQLite does not have yet
        try:
            if path and not os.path.exists(path):
                with suppress(OSError):  # SQLite meets the same, and gives its journal the rights of this file
                    os.close(private(path, os.O_RDWR | os.O_CREAT))
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=LOCK_SECONDS)
        except sqlite3.Error as error:
            raise self._damaged(error) from error
        version = self.query("PRAGMA user_version")[0][0]
        if version == 0:
            self.query(
                "CREATE TABLE IF NOT EXISTS records"
                " (room TEXT, key TEXT, value TEXT, crc INTEGER, PRIMARY KEY (room, key)) WITHOUT ROWID"
            )
            self.query(f"CREATE INDEX IF NOT EXISTS named ON records (value) WHERE {_INDEXED}")
            self.query(f"PRAGMA user_version = {SCHEMA}")
        elif version != SCHEMA:
            raise StateError(
                f"{path}: state of version {version}, this xlpy reads version {SCHEMA}",
                hint="use the xlpy that made it, or start anew on its media: xlpy host reset --keep-media",
            )
        self._seen = self._others()
        self._inode = os.stat(path).st_ino if path else 0

    def _others(self) -> int:
        """A number that grows with each commit of another process."""
        number: int = self.query("PRAGMA data_version")[0][0]
        return number

    def query(self, sql: str, args: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; sqlite's own errors become ours."""
        try:
            return self._db.execute(sql, args).fetchall()
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def read(self, room: str, key: str) -> str | None:
        """The text of one record, or None."""
        place = (room, key)
        if place in self._known:
            return _now(self._known[place])
        rows = self.query("SELECT value, crc FROM records WHERE room = ? AND key = ?", place)
        text = self.checked(room, key, *rows[0]) if rows else None
        if self._depth:
            self._known[place] = text
        return text

    def checked(self, room: str, key: str, text: str, crc: int) -> str:
        """The text of a record, when it is as it was written: SQLite does not notice a bit that has turned."""
        if _crc(room, key, text) != crc:
            raise self._damaged(ValueError(f"the record {key!r} of {room} is not as it was written"))
        return text

    def value(self, text: str) -> Any:  # noqa: ANN401 - any JSON value
        """What the text of a record says."""
        try:
            return decode(text)
        except (ValueError, TypeError) as error:
            raise self._damaged(error) from error

    def write(self, room: str, key: str, text: _Text) -> None:
        """Set one record, None to remove it: at once, or in a transaction together with all others at its end."""
        self._known[room, key] = text
        self._unwritten.add((room, key))
        if self._surviving:
            self._survivors[room, key] = _now(text)
        if not self._depth:
            self.flush()
            self._known.clear()

    def flush(self, room: str | None = None) -> None:
        """Give SQLite what was written in this transaction, or of that the records of one table: queries find it."""
        if not self._unwritten or self._trial:
            return
        places = sorted(self._unwritten if room is None else [place for place in self._unwritten if place[0] == room])
        if not places:
            return
        self._check_alive()
        self._unwritten.difference_update(places)
        texts = {place: _now(self._known[place]) for place in places}
        self._known.update(texts)
        kept = [(*place, text, _crc(*place, text)) for place, text in texts.items() if text is not None]
        try:
            self._db.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", kept)
            if len(kept) < len(places):
                gone = [place for place in places if texts[place] is None]
                self._db.executemany("DELETE FROM records WHERE room = ? AND key = ?", gone)
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _check_alive(self) -> None:
        """Nothing may be written once SQLite has rolled the transaction back, as it does when the disk is full."""
        if self._depth and not self._db.in_transaction:
            raise self._no_space()

    def _no_space(self) -> Constraint:
        return Constraint(
            f"{self.path}: no space left on the device",
            code="XLPY-NO-SPACE",
            hint="free some space and run the command again",
        )

    def _explained(self, error: sqlite3.Error) -> XlpyError:
        text = str(error) if isinstance(error, sqlite3.OperationalError) else ""
        if "locked" in text or "busy" in text:
            return Conflict(f"{self.path}: held by another process", hint="wait for the other command to end")
        if "full" in text:
            return self._no_space()
        if "readonly" in text or "read-only" in text:
            return Constraint(
                f"{self.path}: the state directory cannot be written", hint="choose another with --root or XLPY_ROOT"
            )
        return self._damaged(error)

    def _damaged(self, error: Exception) -> StateError:
        why = str(error).partition("\n")[0]  # sqlite quotes what it cannot decode, line ends included
        return StateError(
            f"{self.path}: the state file cannot be read: {why}",
            hint="the media files beside it are untouched; start the host anew with: xlpy host reset --keep-media",
        )

    def table(self, name: str) -> Table:
        """The records of one actor."""
        return Table(self, name)

    @contextmanager
    def transaction(self, holder: str, done: Callable[[], object] | None = None) -> Iterator[None]:
        """Everything inside commits together, or not at all. Nested calls join the outer one.

        Args:
            holder: what this process is doing, told to whoever waits.
            done: called after the commit, before another process may begin.

        Raises:
            Conflict: another command held the state for longer than ``LOCK_SECONDS``, or has replaced it.
        """
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        with exclusive(self.path, holder):
            if self.path and _inode(self.path) != self._inode:
                raise Conflict(f"{self.path}: the host was reset meanwhile", hint="run the command again")
            self.query("BEGIN IMMEDIATE")
            seen, self._seen = self._seen, self._others()
            if seen != self._seen and self._changed:
                self._changed()
            self._depth = 1
            try:
                yield
                self.flush()
                self._check_alive()
            except BaseException:
                self._after.clear()
                if self._db.in_transaction:  # a full disk has rolled back already
                    self.query("ROLLBACK")
                raise
            else:
                try:
                    self.query("COMMIT")
                except XlpyError:
                    self._after.clear()
                    if self._db.in_transaction:
                        self.query("ROLLBACK")
                    raise
            finally:
                self._depth = 0
                self._known.clear()
                self._unwritten.clear()
                self._survivors.clear()
                after, self._after = self._after, []
            for act in after:
                act()
            if done:
                done()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is read inside is of one instant, and locks the file once; nothing may be written."""
        if self._db.in_transaction:
            yield
            return
        self.query("BEGIN")
        try:
            yield
        finally:
            self.query("COMMIT")

    @contextmanager
    def trial(self) -> Iterator[None]:
        """What is written inside is seen by ``read`` until the end, and then forgotten; nobody is kept out."""
        self._depth, self._trial = self._depth + 1, True
        try:
            yield
        finally:
            self._depth, self._trial = self._depth - 1, False
            self._known.clear()
            self._unwritten.clear()

    def require_sound(self) -> None:
        """StateError when the file is damaged anywhere, be it where nothing has been read yet."""
        found = self.query("PRAGMA quick_check(1)", ())
        if found != [("ok",)]:
            raise StateError(f"{self.path}: {found[0][0] if found else 'it cannot be checked'}", hint="xlpy host reset")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """All or nothing inside a transaction: when an exception leaves it, what was written inside is taken back.

        It may be nested. ``undone`` is called then, so that what lies outside the store can follow.
        """
        self.flush()
        after = len(self._after)
        self._savepoints += 1
        name = f"s{self._savepoints}"
        self.query(f"SAVEPOINT {name}")
        try:
            yield
            self.flush()
        except BaseException:
            self._known.clear()
            self._unwritten.clear()
            del self._after[after:]
            if self._db.in_transaction:  # else a full disk has taken all of it back already
                self.query(f"ROLLBACK TO {name}")
                self.query(f"RELEASE {name}")
                for (room, key), text in self._survivors.items():
                    self.write(room, key, text)
                if self._undone:
                    self._undone()
            raise
        else:
            self.query(f"RELEASE {name}")
        finally:
            self._savepoints -= 1

    def afterwards(self, act: Callable[[], object]) -> None:
        """Do what cannot be taken back once the transaction is committed; at once when there is none."""
        if self._depth:
            self._after.append(act)
        else:
            act()

    def clear(self, but: str) -> None:
        """Remove all records, but for those of one table."""
        self.flush()
        self._known.clear()
        self.query("DELETE FROM records WHERE room <> ?", (but,))

    def keep(self) -> None:
        """What was written in this transaction so far stays, whatever error follows."""
        self.flush()
        if self._savepoints:
            self.query("RELEASE s1")
            for number in range(self._savepoints):
                self.query(f"SAVEPOINT s{number + 1}")

    @contextmanager
    def surviving(self) -> Iterator[None]:
        """What is written inside stays, although the savepoint around it may be taken back: log lines, requests."""
        before, self._surviving = self._surviving, True
        try:
            yield
        finally:
            self._surviving = before

    def drop_survivors(self) -> None:
        """What was written under ``surviving`` in this transaction does not stay either: it was a trial."""
        self._survivors.clear()

    def close(self) -> None:
        """Release the file."""
        self._db.close()


def _crc(room: str, key: str, text: str) -> int:
    return crc32(f"{room}\0{key}\0{text}".encode(errors="surrogatepass"))


def _now(text: _Text) -> str | None:
    return text() if callable(text) else text


def _inode(path: str | os.PathLike[str]) -> int | None:
    """Which file has the name now; None when there is none."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None


@contextmanager
def exclusive(path: str | os.PathLike[str] | None, holder: str) -> Iterator[None]:
    """Hold the lock file beside a state file, and write who holds it.

    Args:
        path: the state file; None (kept in memory) needs no lock.
        holder: what this process is doing, told to whoever waits.

    Raises:
        Conflict: another process held it for longer than ``LOCK_SECONDS``. Constraint: it cannot be made.
    """
    if path is None:
        yield
        return
    lock = os.path.join(os.path.dirname(path), "lock")
    deadline = time.monotonic() + LOCK_SECONDS
    fd = _locked(lock, deadline)
    while _inode(lock) != os.fstat(fd).st_ino:  # a host that is removed takes its lock file along
        os.close(fd)
        fd = _locked(lock, deadline)
    try:
        os.ftruncate(fd, 0)
        with suppress(OSError):  # a full disk must not hinder commands that free space
            os.pwrite(fd, f"{holder} (pid {os.getpid()})".encode(errors="surrogateescape"), 0)
        yield
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _locked(lock: str, deadline: float) -> int:
    """A descriptor of the lock file, held."""
    try:
        fd = private(lock, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise Constraint(
            f"{lock}: {error.strerror}", hint="choose another state directory with --root or XLPY_ROOT"
        ) from error
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    other = os.pread(fd, 200, 0).decode(errors="replace").strip() or "another process"
                    raise Conflict(
                        f"the host is held by {other}", hint="wait for it to end, then run the command again"
                    ) from None
                time.sleep(0.01)
            else:
                return fd
    except BaseException:
        os.close(fd)
        raise
