"""A log whose numbers are damaged does not keep a host from being started anew."""

from __future__ import annotations

import pytest

from xlpy.errors import StateError
from xlpy.hypervisor.console import Console
from xlpy.store import Store, Table


@pytest.mark.parametrize("ends", [None, ("000000000x", "0000000001"), ("0000000001", "\x00")])
def test_a_damaged_log_begins_anew(tmp_path, monkeypatch, ends):
    store = Store(tmp_path / "state.db")
    with store.transaction("test"):
        monkeypatch.setattr(Table, "ends", lambda _table: ends)
        Console(store).write("(XEN) first")
        assert store.table("xen.console").keys() == ["0000000000"]


@pytest.mark.parametrize("row", [(None, None), ("0000000001", None), (None, "0000000001")])
def test_ends_that_are_missing_are_no_ends(tmp_path, monkeypatch, row):
    store = Store(tmp_path / "state.db")
    monkeypatch.setattr(Store, "query", lambda *_: [row])
    assert store.table("xen.console").ends() is None


def test_a_file_that_opens_may_be_damaged(tmp_path):
    path = tmp_path / "state.db"
    store = Store(path)
    with store.transaction("test"):
        for number in range(400):
            store.table("room").put(f"{number:04}", "x" * 200)
    store.require_sound()
    store.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 8192 * 4096)
        file.write(bytes(4096))
    with pytest.raises(StateError):
        Store(path).require_sound()
