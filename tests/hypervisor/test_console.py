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
    for i in range(25):
        ring.write(f"kept {i}")
        ring.write(f"passing {i}", keep=False)
    assert len(store.table(console.TABLE).keys()) == 10
    assert ring.lines()[-2:] == ["kept 24", "passing 24"]
    assert len(ring.lines()) == 10
    again = Console(store)
    again.write("kept 25")
    assert again.lines() == [f"kept {i}" for i in range(16, 26)]


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
