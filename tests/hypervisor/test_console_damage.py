"""A log whose numbers are damaged does not keep a host from being started anew."""

from __future__ import annotations

import pytest

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
