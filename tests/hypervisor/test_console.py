"""The console: what is kept, for how long, and what a hypercall looks like in it."""

import pytest
from hypervisor_helpers import extent

from xlpy.addr import Span
from xlpy.errors import HypercallError
from xlpy.hypervisor import console
from xlpy.hypervisor.console import Console
from xlpy.hypervisor.xen import Xen
from xlpy.store import Store


def test_lines_outlive_the_process():
    store = Store(None)
    one = Console(store)
    one.write("first")
    one.write("a query", keep=False)
    two = Console(store)
    two.write("second")
    assert two.lines() == ["first", "second"]
    assert one.lines()[:2] == ["first", "a query"]
    two.clear()
    assert two.lines() == []
    two.write("third")
    assert Console(store).lines() == ["third"]


def test_the_ring_is_bounded(monkeypatch):
    monkeypatch.setattr(console, "LINES", 10)
    store = Store(None)
    ring = Console(store)
    for i in range(75):
        ring.write(f"kept {i}")
        ring.write(f"passing {i}", keep=False)
    assert store.table(console.TABLE).keys() == ["0000000064"]
    assert ring.lines()[-2:] == ["kept 74", "passing 74"]
    assert len(ring.lines()) == 10
    again = Console(store)
    again.write("kept 75")
    assert again.lines() == [f"kept {i}" for i in range(66, 76)]


def test_numbers_go_on_over_records_processes_and_what_is_forgotten():
    store = Store(None)
    ring, count = Console(store), 3 * console.RECORD + 5
    for i in range(count):
        if i % 7 == 0:
            ring = Console(store)
        ring.write(f"line {i}")
    assert Console(store).numbered() == [(i, f"line {i}") for i in range(count)]
    assert len(store.table(console.TABLE).keys()) == 4
    ring.clear()
    ring.write("after")
    assert ring.numbered() == Console(store).numbered() == [(count, "after")]


def test_lines_of_something_that_failed(tmp_path):
    """They stay, and what follows them is put behind them, whatever was rolled back."""
    store = Store(tmp_path / "state.db")
    ring = Console(store)

    def failing():
        with store.savepoint():
            ring.write("of the failure")
            raise ValueError

    with store.transaction("test"):
        ring.write("before")
        with pytest.raises(ValueError):
            failing()
        ring.write("after")
    ring.write("later")
    with store.trial():
        ring.write("of a trial")
    assert Console(store).lines() == ["before", "of the failure", "after", "later"]
    ring.write("at last")
    assert Console(store).lines() == ["before", "of the failure", "after", "later", "at last"]


def test_a_log_of_an_older_version(monkeypatch):
    """Each line was a record by itself: it is read, and changed with the first line that is added."""
    monkeypatch.setattr(console, "LINES", 50)
    store = Store(None)
    for i in range(33, 83):
        store.table(console.TABLE).put(f"{i:010}", f"line {i}")
    old = Console(store)
    old.write("a query", keep=False)
    assert old.numbered() == [(i, f"line {i}") for i in range(34, 83)] + [(83, "a query")]
    assert len(store.table(console.TABLE).keys()) == 50
    Console(store).write("new")
    assert Console(store).numbered() == [(i, f"line {i}") for i in range(34, 83)] + [(83, "new")]
    assert len(store.table(console.TABLE).keys()) == 4


def test_what_hypercalls_look_like(xen, hw, store, calls, device, guest):
    calls.memory_pmem_map(guest, [extent(0x100000, device.first, 2)])
    calls.memory_pmem_unmap(guest, [Span(0x100000, 2)])
    with pytest.raises(HypercallError, match="-EPERM"):
        xen.hypercalls(guest).memory_pmem_map(guest, [extent(0x100000 + i, device.first, 1) for i in range(3)])
    calls.domctl_getdomaininfo(guest)
    lines = Xen(hw, store).console.lines()
    assert lines[-3:] == [
        f"(XEN) d0 XENMEM_pmem_map(1, [(0x100000, {device.first:#x}, 2)]) = 1",
        "(XEN) d0 XENMEM_pmem_unmap(1, [[0x100000, 0x100002)]) = 0",
        "(XEN) d1 XENMEM_pmem_map(1, [3 entries]) = -EPERM: XENMEM_pmem_map: d1 is neither the control domain nor the "
        "device model of d1",
    ]
    assert xen.console.lines()[-1] == "(XEN) d0 XEN_DOMCTL_getdomaininfo(1) = 0"  # a query: this process only
    assert calls.sysctl_readconsole(clear=True)
    assert Xen(hw, store).console.lines() == []
