"""The file behind a label area."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xlpy.addr import KIB
from xlpy.devicemodel.labels import LabelStore
from xlpy.errors import Conflict, Constraint

SIZE = 128 * KIB


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(str(tmp_path / "labels"), SIZE)


def test_it_reads_zeros_until_the_first_write_makes_it(store: LabelStore) -> None:
    store.check()
    assert store.read(SIZE - 4, 4) == bytes(4)
    assert not Path(store.path).exists()
    store.write(SIZE - 4, b"last")
    assert Path(store.path).stat().st_size == SIZE
    assert store.read(SIZE - 8, 8) == bytes(4) + b"last"


def test_the_next_domain_sees_it(store: LabelStore) -> None:
    store.write(100, b"kept")
    again = LabelStore(store.path, SIZE)
    again.check()
    assert again.read(100, 4) == b"kept"


def test_a_file_left_empty_by_a_crash_is_new(store: LabelStore) -> None:
    Path(store.path).touch()
    store.check()
    assert store.read(0, 4) == bytes(4)
    store.write(0, b"x")
    assert Path(store.path).stat().st_size == SIZE


def test_a_write_is_durable_when_it_returns(store: LabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr("os.pwrite", lambda _fd, data, _at: done.append("write") or len(data))
    monkeypatch.setattr("os.fsync", lambda _fd: done.append("sync"))
    store.write(0, b"data")
    assert done == ["sync", "write", "sync"]  # the folder, then data, then the file


def test_a_short_write_goes_on(store: LabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr("os.pwrite", lambda fd, data, at: whole(fd, data[:3], at))
    store.write(5, b"abcdefgh")
    assert store.read(5, 8) == b"abcdefgh"


def test_another_size_is_refused(store: LabelStore) -> None:
    store.write(0, b"x")
    other = LabelStore(store.path, 2 * SIZE)
    with pytest.raises(Conflict, match="has 131072 bytes, 262144 are asked for") as caught:
        other.check()
    assert caught.value.hint == "write label_size=131072, or remove the file to lose its labels"
    with pytest.raises(OSError, match="262144 are required"):
        other.write(0, b"y")


def test_a_truncated_file_is_an_error_not_zeros(store: LabelStore) -> None:
    store.write(0, b"x")
    os.truncate(store.path, 1000)
    with pytest.raises(OSError, match="too short"):
        store.read(996, 8)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Constraint, match="missing or read-only"):
        LabelStore(str(tmp_path / "no" / "labels"), SIZE).check()
