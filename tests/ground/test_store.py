"""The state file: transactions, killed processes, two writers, damage."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from work import calls

from xlpy import locking as module
from xlpy.errors import Conflict, Constraint, StateError
from xlpy.store import Store

REPO = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


def child(code: str, path: Path) -> "subprocess.Popen[str]":
    """A Python process with ``path`` and an open ``store``; the test talks to it over pipes."""
    head = "from pathlib import Path; from xlpy.store import Store\n"
    head += f"store = Store(Path({str(path)!r})); t = store.table('t')\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPO
    )


HOLD = "with store.transaction('xlpy create vm'):\n t.put('a', 2); t.put('b', 3); print('in', flush=True); input()\n"


@pytest.mark.parametrize("value", [None, True, 0, -1, 1 << 70, "text", "\0é", [1, [2]], {"a": {"b": []}}, ""])
def test_values(value):
    table = Store(None).table("t")
    table.put("key", value)
    assert table.get("key") == value


def test_tables_are_apart_and_keys_sorted():
    store = Store(None)
    one, two = store.table("one"), store.table("two")
    for key in ("b", "a/2", "a/1", "A", "a_1"):
        one.put(key, key)
    assert one.keys() == ["A", "a/1", "a/2", "a_1", "b"]
    assert one.keys("a/") == ["a/1", "a/2"]
    assert one.items("a/") == [("a/1", "a/1"), ("a/2", "a/2")]
    assert one.ends() == ("A", "b")
    assert two.keys() == []
    assert two.ends() is None
    assert two.get("a/1", "none") == "none"
    one.put("b", 7)
    one.delete("A")
    one.delete("absent")
    assert one.items() == [("a/1", "a/1"), ("a/2", "a/2"), ("a_1", "a_1"), ("b", 7)]


@pytest.mark.parametrize("prefix", ["%", "_", "a%", "\\"])
def test_a_prefix_is_no_pattern(prefix):
    table = Store(None).table("t")
    table.put("abc", 1)
    table.put(prefix + "x", 2)
    assert table.keys(prefix) == [prefix + "x"]


def test_a_transaction_commits(path):
    store = Store(path)
    with store.transaction("test"):
        store.table("t").put("a", 1)
    store.close()
    assert Store(path).table("t").get("a") == 1


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_transaction_rolls_back(path, error):
    store = Store(path)
    table = store.table("t")
    table.put("a", 1)

    def fails():
        with store.transaction("test"):
            table.put("a", 2)
            raise error

    with pytest.raises(error):
        fails()
    assert table.get("a") == 1
    with store.transaction("again"):
        table.put("a", 3)
    assert table.get("a") == 3


def test_a_nested_transaction_is_part_of_the_outer_one(path):
    store = Store(path)
    table = store.table("t")

    def fails():
        with store.transaction("outer"):
            with store.transaction("inner"):
                table.put("a", 1)
            assert table.get("a") == 1
            raise ValueError

    with pytest.raises(ValueError):
        fails()
    assert table.keys() == []


def test_a_transaction_sees_what_it_wrote(path):
    store = Store(path)
    table = store.table("t")
    table.put("a", 1)
    table.put("b", 1)
    with store.transaction("test"):
        table.put("a", [2])
        table.get("a").append(3)  # a copy, as everywhere
        table.put("c", 3)
        table.delete("b")
        assert [table.get(key, "none") for key in "abcd"] == [[2], "none", 3, "none"]
        assert table.items() == [("a", [2]), ("c", 3)]
        table.put("b", 4)
        table.delete("c")
        assert table.keys() == ["a", "b"]
    assert Store(path).table("t").items() == [("a", [2]), ("b", 4)]


def test_a_full_disk_undoes_the_transaction_as_a_whole(path):
    store = Store(path)
    table = store.table("t")
    table.put("a", 1)
    pages = store.query("PRAGMA page_count")[0][0]
    store.query(f"PRAGMA max_page_count = {pages + 2}")

    def fills():
        with store.transaction("test"):
            table.put("big", "x" * 100_000)
            with pytest.raises(Constraint, match="no space left"):
                table.keys()
            table.put("a", 2)  # an actor that undoes its part

    with pytest.raises(Constraint, match="no space left"):
        fills()
    assert table.items() == [("a", 1)]
    table.put("a", 3)
    assert Store(path).table("t").get("a") == 3


def test_kill_inside_a_transaction_leaves_the_old_state(path):
    Store(path).table("t").put("a", 1)
    process = child(HOLD, path)
    assert process.stdout.readline() == "in\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    store = Store(path)
    assert store.table("t").items() == [("a", 1)]
    with store.transaction("next"):  # neither lock is left behind
        store.table("t").put("a", 5)
    assert Store(path).table("t").get("a") == 5


def test_a_reader_sees_the_old_state_and_a_writer_waits(path, monkeypatch):
    Store(path).table("t").put("a", 1)
    process = child(HOLD, path)
    assert process.stdout.readline() == "in\n"
    store = Store(path)
    assert store.table("t").items() == [("a", 1)]
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.05)
    with pytest.raises(Conflict, match=r"held by xlpy create vm \(pid \d+\)"), store.transaction("late"):
        pass
    monkeypatch.setattr(module, "LOCK_SECONDS", 10.0)
    process.stdin.write("go\n")
    process.stdin.flush()
    with store.transaction("late"):
        assert store.table("t").get("a") == 2
        store.table("t").put("a", 9)
    process.communicate()
    assert process.returncode == 0
    assert store.table("t").items() == [("a", 9), ("b", 3)]


def test_two_writers_lose_nothing(path):
    code = "for _ in range(40):\n with store.transaction('count'):\n  t.put('n', t.get('n', 0) + 1)\n"
    writers = [child(code, path) for _ in range(2)]
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert Store(path).table("t").get("n") == 80


def test_first_use_by_two_processes_at_once(path):
    children = [child("t.put(str(id(t)), 1)", path) for _ in range(3)]
    assert [process.wait() for process in children] == [0, 0, 0]
    for process in children:
        process.communicate()
    assert Store(path).table("t").keys()


def test_an_older_version_is_read_and_becomes_the_newest_with_the_first_change(path):
    Store(path).close()

    def version():
        with sqlite3.connect(path) as db:
            return db.execute("PRAGMA user_version").fetchone()[0]

    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 4")
    store = Store(path)
    with store.reading():
        assert store.table("t").keys() == []
    with pytest.raises(ValueError), store.transaction("test"):  # noqa: PT012
        store.table("t").put("key", 1)
        raise ValueError
    assert version() == 4
    with store.transaction("test"):
        store.table("t").put("key", 1)
    assert version() == 5
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 3")
    with pytest.raises(StateError, match="state of version 3"):
        Store(path)


def test_a_newer_version_is_refused_and_not_touched(path):
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StateError, match="state of version 99, this xlpy reads version 5") as caught:
        Store(path)
    assert "host reset" in str(caught.value.hint)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"this is not a database, it only looks for trouble" * 100,
        lambda data: b"\0" * len(data),
        lambda data: data[:100] + b"\xff" * (len(data) - 100),
        lambda data: data[: len(data) // 2 + 7],
    ],
    ids=["text", "zeros", "pages", "cut"],
)
def test_a_damaged_file(path, damage):
    store = Store(path)
    with store.transaction("fill"):
        for i in range(500):
            store.table("t").put(f"key{i}", "x" * 100)
    store.close()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StateError, match=r"cannot be read|version"):
        Store(path).table("t").items()


@pytest.mark.parametrize("text", ["'{cut off'", "''", "'[2]'", "CAST(x'ffa50a0aa5' AS TEXT)"])
@pytest.mark.parametrize("read", [lambda table: table.get("key"), lambda table: table.items()], ids=["get", "items"])
def test_a_damaged_record(path, text, read):
    """The file is whole, what it says is not: one line tells, whatever is in it."""
    store = Store(path)
    store.table("t").put("key", [1])
    store.query(f"UPDATE records SET value = {text}")
    with pytest.raises(StateError, match=r"cannot be read: [^\n]+$") as caught:
        read(Store(path).table("t"))
    assert "host reset --keep-media" in caught.value.hint


def test_a_directory_that_cannot_be_written(tmp_path):
    with pytest.raises((StateError, Constraint)):
        Store(tmp_path / "absent" / "state.db")


def test_no_space_left(path):
    store = Store(path)
    pages = store.query("PRAGMA page_count")[0][0]
    store.query(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Constraint, match="no space left"), store.transaction("fill"):
        store.table("t").put("big", "x" * 100000)
    assert store.table("t").keys() == []
    with store.transaction("less"):
        store.table("t").put("small", 1)


def test_a_read_only_directory(path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    Store(path).close()
    path.parent.chmod(0o500)
    try:
        with pytest.raises(Constraint, match="XLPY_ROOT"), Store(path).transaction("test"):
            pass
    finally:
        path.parent.chmod(0o700)


def test_memory_stores_share_nothing_and_lock_nothing():
    one, two = Store(None), Store(None)
    with one.transaction("a"), two.transaction("b"):
        one.table("t").put("k", 1)
    assert two.table("t").keys() == []


def test_opening_reads_no_records(path):
    """It costs the same however many there are."""

    def look():
        store = Store(path)
        assert store.table("t").get("x") is None
        store.close()

    look()
    empty = calls(look)
    store = Store(path)
    with store.transaction("fill"):
        for number in range(5000):
            store.table("t").put(str(number), number)
    store.close()
    assert calls(look) == empty < 100


def test_what_another_process_wrote_is_reported_and_nothing_else(path):
    told = []
    store, other = Store(path, changed=lambda: told.append(1)), Store(path)
    for _ in range(2):
        with store.transaction("mine"):
            store.table("t").put("a", 1)
    assert told == []
    with other.transaction("theirs"):
        other.table("t").put("a", 2)
    with store.transaction("mine"):
        assert told == [1]
        assert store.table("t").get("a") == 2
    with store.transaction("mine again"):
        pass
    assert told == [1]


@pytest.mark.parametrize("change", ["room = 'other'", "key = 'other'", "value = '2'", "crc = crc + 1"])
def test_a_record_that_is_not_where_it_was_written(path, change):
    """Its checksum is that of its text under this key in this table."""
    store = Store(path)
    store.table("t").put("key", 1)
    store.query(f"UPDATE records SET {change}")
    places = {"room = 'other'": ("other", "key"), "key = 'other'": ("t", "other")}
    room, key = places.get(change, ("t", "key"))
    for read in (lambda: store.table(room).get(key), lambda: store.table(room).items()):
        with pytest.raises(StateError):
            read()


@pytest.mark.parametrize("after", [[], ["b"]])
def test_nothing_is_written_after_sqlite_has_rolled_back(path, after):
    """As it does by itself when the disk is full."""
    store = Store(path)

    def change():
        with store.transaction("test"):
            store.table("t").put("a", 1)
            store.flush()
            store.query("ROLLBACK")
            for key in after:
                store.table("t").put(key, 2)

    with pytest.raises(Constraint, match="no space left"):
        change()
    assert store.table("t").items() == []
    with store.transaction("next"):
        store.table("t").put("c", 3)
    assert store.table("t").items() == [("c", 3)]
