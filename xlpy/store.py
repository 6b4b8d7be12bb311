"""The state of one emulated host: named tables of JSON records in one SQLite file.

A command that changes something does so inside one ``transaction``: an exclusive lock file that names its holder, and
one immediate SQLite transaction. A process killed at any instant leaves the last committed state. Inside it,
``savepoint`` takes back what a failed step has written, but for what is written under ``surviving``, or was there when
``keep`` was called.
"""

from __future__ import annotations

import os
from binascii import crc32

from xlpy import functions
from xlpy.compiled import load
from xlpy.contexts import contextmanager, suppress
from xlpy.errors import Conflict, Constraint, StateError, XlpyError
from xlpy.jsontext import decode
from xlpy.private import private
from xlpy.table import INDEXED, Table
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    _Text = str | Callable[[], str] | None  # of a record: as it is, made when it is written, or absent
else:
    # the package around it imports datetime, for conversions that are not used here
    sqlite3 = load("_sqlite3", functools=functions)

SCHEMA = 5
READABLE = 4  # the oldest that is read; the first change makes it the newest, its records follow as they are written
BUSY_SECONDS = 10.0  # of waiting for SQLite's own lock
LOGGED = 3  # the change of a process from which on there is a log: turning to one and back takes as long as two changes


class Store:
    """The state file.

    Args:
        path: the SQLite file, made on first use; None keeps everything in memory (tests).
        changed: called when a transaction begins and another process has written since the last one.
        undone: called when a savepoint was rolled back, with the store as it was before; the transaction goes on.

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
        self._changes = 0  # transactions so far
        self._logged = False  # this connection uses a log, see ``journal``
        self._surviving = False
        self._survivors: dict[tuple[str, str], str | None] = {}  # what stays when a savepoint is rolled back
        self._known: dict[tuple[str, str], _Text] = {}  # what this transaction read or wrote
        self._unwritten: set[tuple[str, str]] = set()  # what of it SQLite does not have yet
        try:
            if path and not os.path.exists(path):
                with suppress(OSError):  # SQLite meets the same, and gives its journal the rights of this file
                    os.close(private(path, os.O_RDWR | os.O_CREAT))
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=BUSY_SECONDS)
        except sqlite3.Error as error:
            raise self._damaged(error) from error
        version = self._version()
        if version == 0:
            self.query(
                "CREATE TABLE IF NOT EXISTS records"
                " (room TEXT, key TEXT, value TEXT, crc INTEGER, PRIMARY KEY (room, key)) WITHOUT ROWID"
            )
            self.query(f"CREATE INDEX IF NOT EXISTS named ON records (value) WHERE {INDEXED}")
            self.query(f"PRAGMA user_version = {SCHEMA}")
        elif not READABLE <= version <= SCHEMA:
            raise StateError(
                f"{path}: state of version {version}, this xlpy reads version {SCHEMA}",
                hint="use the xlpy that made it, or start anew on its media: xlpy host reset --keep-media",
            )
        self._schema = version or SCHEMA
        self._seen = self.commits_of_others()
        self._inode = os.stat(path).st_ino if path else 0

    def _version(self) -> int:
        """Of the records, 0 in a new file; the first look into it."""
        try:
            version: int = self.query("PRAGMA user_version")[0][0]
        except (Constraint, StateError):
            from xlpy import journal

            self._db.close()
            if not self.path or not journal.finished(self.path):
                raise
            self._db = sqlite3.connect(journal.unchanging(self.path), uri=True, isolation_level=None)
            version = self.query("PRAGMA user_version")[0][0]
        return version

    def commits_of_others(self) -> int:
        """A number that grows with each commit of another process."""
        number: int = self.query("PRAGMA data_version")[0][0]
        return number

    def _look_round(self) -> None:
        """Say so when another process has written since the last look."""
        seen, self._seen = self._seen, self.commits_of_others()
        if seen != self._seen and self._changed:
            self._changed()

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
            from xlpy.damage import no_space

            raise no_space(self.path)

    def _damaged(self, error: Exception) -> StateError:
        from xlpy.damage import damaged

        return damaged(self.path, error)

    def _explained(self, error: Exception) -> XlpyError:
        from xlpy.damage import explained

        return explained(self.path, error)

    def table(self, name: str) -> Table:
        """The records of one actor."""
        return Table(self, name)

    @contextmanager
    def transaction(self, holder: str, done: Callable[[], object] | None = None) -> Iterator[None]:
        """Everything inside commits together, or not at all. Nested calls join the outer one.

        Args:
            holder: what this process is doing, shown to commands that wait.
            done: called after the commit, before another process may begin.

        Raises:
            Conflict: another command held the state for longer than ``locking.LOCK_SECONDS``, or has replaced it.
        """
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        from xlpy.locking import exclusive, inode

        with exclusive(self.path, holder):
            if self.path and inode(self.path) != self._inode:
                raise Conflict(f"{self.path}: the host was reset meanwhile", hint="run the command again")
            self._choose_journal()
            self.query("BEGIN IMMEDIATE")
            self._look_round()
            self._depth = 1
            try:
                if self._schema != SCHEMA:
                    self.query(f"PRAGMA user_version = {SCHEMA}")
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
                self._schema = SCHEMA
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

    def _choose_journal(self) -> None:
        """Before a change: keep a log from now on, or a journal."""
        self._changes += 1
        if self.path is None:
            return
        if self._changes < LOGGED and not self._logged and not os.path.exists(f"{self.path}-wal"):
            if self._changes == 1:  # emptied at the end, and not removed: only the former can be waited for
                self.query("PRAGMA journal_mode = TRUNCATE")
            return
        from xlpy import journal

        log = self._changes >= LOGGED and journal.room(self.path)
        if log != self._logged or self._changes == 1:
            self._logged = journal.turn(self.query, log, BUSY_SECONDS)
            if self._logged and log:
                journal.at_exit(self)

    def rest(self) -> None:
        """This process changes nothing more for now: the state is one file again, unless others use the log."""
        if not self._logged or not self.path:
            return
        from xlpy import journal
        from xlpy.locking import exclusive, inode

        if inode(self.path) != self._inode:  # a log of that name belongs to another host
            return
        with suppress(XlpyError), exclusive(self.path, "leaving the host", 0):
            if inode(self.path) == self._inode:
                self._logged = journal.turn(self.query, False, BUSY_SECONDS)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is read inside is of one instant, and locks the file once; nothing may be written.

        ``changed`` is called as for a transaction.
        """
        if self._db.in_transaction:
            yield
            return
        self.query("BEGIN")
        try:
            self._look_round()
            yield
        finally:
            self.query("COMMIT")

    @contextmanager
    def trial(self) -> Iterator[None]:
        """What is written inside is seen by ``read`` until the end, and then forgotten; other processes go on."""
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
        """All or nothing inside a transaction: when an exception leaves it, what was written inside is rolled back.

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
        """Do what cannot be undone once the transaction is committed; at once when there is none."""
        if self._depth:
            self._after.append(act)
        else:
            act()

    def clear(self, *but: str) -> None:
        """Remove all records, but for those of some tables."""
        self.flush()
        self._known.clear()
        self.query(f"DELETE FROM records WHERE room NOT IN ({', '.join('?' * len(but))})", but)

    def keep(self) -> None:
        """What was written in this transaction so far stays, whatever error follows."""
        self.flush()
        if self._savepoints:
            self.query("RELEASE s1")
            for number in range(self._savepoints):
                self.query(f"SAVEPOINT s{number + 1}")

    @contextmanager
    def surviving(self) -> Iterator[None]:
        """What is written inside stays even if the savepoint around it is rolled back: log lines, requests."""
        before, self._surviving = self._surviving, True
        try:
            yield
        finally:
            self._surviving = before

    def drop_survivors(self) -> None:
        """What was written under ``surviving`` in this transaction does not stay either: it was a trial."""
        self._survivors.clear()

    def close(self) -> None:
        """Release the file; nothing when that was done."""
        self.rest()
        self._logged = False
        self._db.close()


def _crc(room: str, key: str, text: str) -> int:
    return crc32(f"{room}\0{key}\0{text}".encode(errors="surrogatepass"))


def _now(text: _Text) -> str | None:
    return text() if callable(text) else text
