"""When the state is kept with a log and when with a journal, and what is left of a log."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from xlpy import journal
from xlpy.errors import Conflict, StateError
from xlpy.store import LOGGED, Store

REPO = Path(__file__).parents[2]
HEAD = "import os, sys; from xlpy.store import Store\nstore = Store(sys.argv[1])\n"
CHANGES = "for number in range(int(sys.argv[2])):\n with store.transaction('test'): store.table('t').put('n', number)\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "host" / "state.db"


@pytest.fixture
def store(path):
    path.parent.mkdir()
    with closing(Store(path)) as store:
        yield store


def change(store, number=1):
    with store.transaction("test"):
        store.table("t").put("n", number)


def process(path, count, end=""):
    """What a process leaves that makes some changes, and ends in some way."""
    done = subprocess.run([sys.executable, "-c", HEAD + CHANGES + end, str(path), str(count)], cwd=REPO, check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    return files(path)


def files(path):
    """The files with content, beside the lock file."""
    return sorted(file.name for file in path.parent.iterdir() if file.stat().st_size and file.name != "lock")


def mode(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA journal_mode").fetchone()[0]


LOG = ["state.db", "state.db-shm", "state.db-wal"]


def test_a_process_that_goes_on_keeps_a_log(store, path):
    for number in range(1, LOGGED):
        change(store, number)
        assert files(path) == ["state.db"]
    change(store, LOGGED)
    assert files(path) == LOG
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    with closing(Store(path)) as other:
        assert other.table("t").get("n") == LOGGED
    assert files(path) == LOG
    store.rest()
    assert files(path) == ["state.db"]
    assert store.table("t").get("n") == LOGGED
    change(store)
    assert files(path) == LOG
    store.close()
    store.close()
    assert (files(path), mode(path)) == (["state.db"], "delete")


def test_the_log_stays_small(store, path):
    for number in range(150):
        with store.transaction("test"):
            for key in range(10):
                store.table("t").put(f"{number}/{key}", "x" * 3000)
    assert (path.parent / "state.db-wal").stat().st_size < 2 * journal.PAGES * 4096
    assert path.stat().st_size > 4 << 20


@pytest.mark.parametrize("end", ["", "os._exit(0)", "os.kill(os.getpid(), 9)", "del store", "store.close()"])
def test_what_a_process_leaves(store, path, end):
    """Whichever it is, all was committed, and the next command that changes something leaves one file."""
    left = process(path, LOGGED, end)
    assert left == (LOG if "os." in end else ["state.db"])
    assert store.table("t").get("n") == LOGGED - 1
    store.close()
    assert process(path, 1, "os._exit(0)") == ["state.db"]
    assert mode(path) == "delete"


def test_a_command_beside_a_process_that_goes_on(store, path):
    for number in range(LOGGED):
        change(store, number)
    assert process(path, 1, "os._exit(0)") == LOG
    assert store.table("t").get("n") == 0
    assert process(path, LOGGED) == LOG  # a log is ended by the last one
    change(store, 9)
    store.close()
    assert files(path) == ["state.db"]


def test_nothing_turns_under_a_reader(store, path):
    with closing(Store(path)) as reader:
        for number in range(1, LOGGED):
            change(store, number)
        with reader.reading():
            assert reader.table("t").get("n") == LOGGED - 1
            store.query("PRAGMA busy_timeout = 0")
            with pytest.raises(Conflict, match="held by another process"):  # the journal lets nobody read meanwhile
                change(store, 7)
        assert files(path) == ["state.db"]
        change(store, 8)
        assert files(path) == LOG
        with reader.reading():
            assert reader.table("t").get("n") == 8
            change(store, 9)  # the log does
            store.rest()
            assert files(path) == LOG
            assert reader.table("t").get("n") == 8
        assert reader.table("t").get("n") == 9


def test_a_full_disk_has_no_log(store, path, monkeypatch):
    for _ in range(LOGGED):
        change(store)
    assert files(path) == LOG
    monkeypatch.setattr(journal, "ROOM", 1 << 62)
    change(store)
    assert files(path) == ["state.db"]
    change(store)
    assert files(path) == ["state.db"]


def test_the_log_of_another_host(store, path):
    """A host has taken the place of the one that a process still has open: closing that touches nothing of it."""
    for _ in range(LOGGED):
        change(store)
    path.parent.rename(path.parent.with_name("old"))
    path.parent.mkdir()
    with closing(Store(path)) as new:
        for _ in range(LOGGED):
            change(new, "new")
        with pytest.raises(Conflict, match="reset meanwhile"):
            change(store)
        store.close()
        assert files(path) == LOG
        assert new.table("t").get("n") == "new"
        change(new, "newer")
    assert Store(path).table("t").get("n") == "newer"


@pytest.mark.parametrize("odd", ["plain", "100%?#é"])
def test_reading_where_no_log_can_be_made(tmp_path, odd):
    """A process that was not closed has left a state with a log, and somebody has copied it without."""
    path = tmp_path / odd / "state.db"
    path.parent.mkdir()
    with closing(Store(path)) as store:
        for _ in range(LOGGED):
            change(store, "kept")
        store.query("PRAGMA wal_checkpoint(TRUNCATE)")
        data = path.read_bytes()
    path.write_bytes(data)
    assert mode(path) == "wal"
    index = path.with_name("state.db-shm")
    index.symlink_to("nowhere")  # SQLite follows none: it cannot be made, as where all is mounted read-only
    with closing(Store(path)) as store:
        assert store.table("t").get("n") == "kept"
    path.with_name("state.db-wal").write_bytes(b"something is in it")
    with pytest.raises(StateError, match="cannot be read"):
        Store(path)
    index.unlink()
    with closing(Store(path)) as store:
        change(store, "again")
    assert (files(path), mode(path)) == (["state.db"], "delete")


def test_a_child_leaves_the_log_of_its_parent(store, path):
    assert process(path, LOGGED, "if os.fork(): os.wait(); os._exit(0)") == LOG
