"""The host and its boots: what ends a domain ends its emulator, and what a killed boot left is taken back."""

from __future__ import annotations

import pytest

from xlpy.boot import session
from xlpy.host import Host
from xlpy.table import BOOTS
from xlpy.toolstack.config.domain_config import load_config


@pytest.fixture
def domid(host):
    return host.create(load_config('name="b"; type="hvm"; memory=256; vnvdimm=["/dev/pmem1"]', "b.cfg"))


def test_destroy_ends_the_boot_first(host, domid, monkeypatch):
    ended = []
    monkeypatch.setattr(session, "end", lambda _store, which: ended.append((which, host.xen.find(which) is not None)))
    host.store.table(BOOTS).put(str(domid), {})
    host.destroy("b")
    assert ended == [(domid, True)]


def test_opening_recovers(host, domid, monkeypatch):
    seen = []
    monkeypatch.setattr(session, "recover", lambda store, note: seen.append(store.path))
    Host.open(host.root).store.close()
    assert seen == []
    host.store.table(BOOTS).put(str(domid), {})
    Host.open(host.root).store.close()
    assert len(seen) == 1


def test_removing_ends_all_boots(host, domid, monkeypatch):
    ended = []
    monkeypatch.setattr(session, "end", lambda _store, which: ended.append(which))
    host.store.table(BOOTS).put(str(domid), {})
    Host.remove(host.root)
    assert ended == [domid]
