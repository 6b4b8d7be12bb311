"""The state after a power cut or a kill at any instant: as before a change or as after it; as after it once it ended.

What processes write is recorded; then what the disk may have at each instant is made, and read by SQLite.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from disk import Disk, record
from programs import needs

REPO = Path(__file__).parents[2]
CHANGES = 6
HEAD = f"""
import os, random, sys
sys.path.insert(0, {str(REPO)!r})
from xlpy.store import Store
def records(number):
    rng = random.Random(number)
    return {{f"{{rng.randrange(60):04}}": None if rng.random() < 0.3 else "x" * rng.randrange(600) for _ in range(20)}}
def change(store, number):
    os.access(f"/mark/begin {{number}}", 0)
    with store.transaction("test"):
        table = store.table("t")
        for key, value in records(number).items():
            table.put(key, value) if value is not None else table.delete(key)
        table.put("number", number)
    os.access(f"/mark/end {{number}}", 0)
"""
ONE = HEAD + "change(Store(sys.argv[1]), int(sys.argv[2])); os._exit(0)"
ALL = (
    HEAD + "store = Store(sys.argv[1])\nfor number in range(1, int(sys.argv[2])): change(store, number)\nstore.close()"
)
AS_TOLD = (
    HEAD + "store = Store(sys.argv[1]); store._choose_journal = lambda: None\n"
    "for setting in sys.argv[2].split('; '): store.query(f'PRAGMA {setting}')\n"
    "for number in range(1, 5): change(store, number)"
)


@pytest.fixture
def fast(tmp_path):
    """A folder whose files need no disk, where there is one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


def states():
    """The records after each of the changes, told by their numbers."""
    made = {}
    exec(HEAD, made)
    found, state = [{}], {}
    for number in range(1, CHANGES + 1):
        state = state | made["records"](number) | {"number": number}
        found.append({key: value for key, value in state.items() if value is not None})
    return found


def read(folder, files):
    """The records of a state directory that has these files."""
    for old in folder.iterdir():
        old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with closing(sqlite3.connect(folder / "state.db")) as db:
        db.execute("PRAGMA synchronous = OFF")  # nobody waits for this disk
        assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        rows = db.execute("SELECT key, value FROM records").fetchall()
    return {key: int(value) if key == "number" else value.strip('"') for key, value in rows}


def judged(steps, disk, folder, many):
    """Go through what was done. (states that were read, what is wrong with them)."""
    known, rng = states(), random.Random(1)
    begun = done = looked = 0
    wrong = []

    def judge(files, what):
        nonlocal looked
        looked += 1
        index = {name: b"\xff" * 32768 for name in files if name.endswith("-shm")}  # mapped: anything may be there
        try:
            found = read(folder, files | index)
        except (sqlite3.DatabaseError, AssertionError) as error:
            wrong.append((what, begun, str(error)))
        else:
            if found not in (known[done], known[begun]):
                wrong.append((what, begun, found.get("number")))

    for at, step in enumerate(steps):
        if step.kind == "mark":
            word, number = step.name.split()
            begun, done = int(number), int(number) if word == "end" else done
        if step.kind in ("mark", "sync"):
            for files in disk.cuts(rng, many):
                judge(files, f"power cut before step {at}, {step.kind} {step.name}")
        if step.kind != "mark":
            disk.do(step)
            judge(disk.now(), f"killed after step {at}, {step.kind} {step.name}")
    return looked, wrong


def recorded(tmp_path, code, *lines):
    """A new state, and what processes do to it."""
    root = tmp_path / "root"
    root.mkdir()
    (sqlite3.connect(root / "state.db")).close()
    exec(HEAD + f"Store({str(root / 'state.db')!r}).close()", {})
    disk = Disk({path.name: path.read_bytes() for path in root.iterdir()})
    steps = []
    for line in lines:
        argv = [sys.executable, "-c", code, str(root / "state.db"), str(line)]
        steps += record(argv, root, tmp_path / "calls")
    return steps, disk


@needs("strace")
@pytest.mark.parametrize("how", ["one process for each change", "one process"])
def test_before_or_after_and_after_when_it_ended(how, tmp_path, fast):
    lines = (ONE, *range(1, CHANGES + 1)) if how != "one process" else (ALL, CHANGES)
    steps, disk = recorded(tmp_path, *lines)
    looked, wrong = judged(steps, disk, fast, 6)
    assert wrong == []
    assert looked > 300
    logged = any(step.name == "state.db-wal" for step in steps)
    assert logged == (how == "one process")


@needs("strace")
@pytest.mark.parametrize(
    "settings",
    [
        "synchronous = OFF",
        "journal_mode = TRUNCATE; synchronous = NORMAL",
        "journal_mode = DELETE; synchronous = FULL",  # that the journal was removed is not waited for
        "journal_mode = WAL; synchronous = NORMAL",
    ],
)
def test_the_judge_notices_who_waits_too_little(settings, tmp_path, fast):
    _, wrong = judged(*recorded(tmp_path, AS_TOLD, settings), fast, 6)
    assert wrong
