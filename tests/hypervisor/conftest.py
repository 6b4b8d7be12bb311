"""A host in a temporary directory: real hardware, a store in memory, Xen booted."""

import pytest

from xlpy.addr import GIB, Mfn, Span
from xlpy.hw.hardware import Hardware
from xlpy.hw.machine import parse_machine
from xlpy.hypervisor.hypercalls import Hypercalls
from xlpy.hypervisor.pmem import metadata_pages
from xlpy.hypervisor.xen import Xen
from xlpy.store import Store

MACHINE = """
name: test
ram: 4G
cpu: {count: 2, physical_bits: 46, line: 64, features: [clflushopt, clwb]}
dimms:
  - {id: a, capacity: 2G, label_size: 128K, handle: 0x01}
  - {id: b, capacity: 1G, label_size: 128K, handle: 0x11}
  - {id: c, capacity: 6T, label_size: 128K, handle: 0x21}
sets:
  - {name: set0, dimms: [a]}
  - {name: set1, dimms: [b]}
  - {name: set2, dimms: [c]}
"""


@pytest.fixture(scope="session")
def spec():
    return parse_machine(MACHINE, "test machine")


@pytest.fixture
def hw(tmp_path, spec):
    made = Hardware.create(tmp_path, spec)
    yield made
    made.close()


@pytest.fixture
def store():
    return Store(None)


@pytest.fixture
def xen(hw, store) -> Xen:
    made = Xen(hw, store)
    made.boot()
    return made


@pytest.fixture
def calls(xen) -> Hypercalls:
    return xen.hypercalls(0)


class Device:
    """A device as Dom0 reports it: the reserve behind ``lead`` pages that Dom0 keeps, then the data."""

    def __init__(self, hw: Hardware, index: int, lead: int = 16) -> None:
        span = hw.regions[index].span
        self.span = span
        self.region = Span(Mfn(span.start >> 12), span.size >> 12)
        self.reserved = Span(Mfn(self.region.start + lead), metadata_pages(self.region.size))
        self.data = Span.between(self.reserved.end, self.region.end)

    @property
    def first(self) -> int:
        return self.data.start

    def report(self, calls: Hypercalls) -> "Device":
        calls.platform_pmem_add(self.region, self.reserved, self.data)
        return self


@pytest.fixture
def device(hw, calls) -> Device:
    """The 2 GiB device, registered."""
    return Device(hw, 0).report(calls)


@pytest.fixture
def guest(calls) -> int:
    """A guest with 64 MiB of RAM, paused."""
    domid = calls.domctl_createdomain(bytes(range(16)), max_vcpus=2)
    calls.domctl_max_mem(domid, 80 << 10)
    assert calls.memory_populate_physmap(domid, [Span(0, 0xA0), Span(0xC0, 0x4000 - 0xC0)]) == 2
    return domid


GIB_PAGES = GIB >> 12
