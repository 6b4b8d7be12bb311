"""A host in a temporary directory: real hardware, a store in memory, Xen booted."""

import pytest
from hypervisor_helpers import Device

from xlpy.addr import Span
from xlpy.hw.describe import parse_machine
from xlpy.hw.hardware import Hardware
from xlpy.hypervisor.hypercalls import Hypercalls
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
  - {name: set0, dimms: [a], base: 0x140000000}
  - {name: set1, dimms: [b], base: 0x200000000}
  - {name: set2, dimms: [c], base: 0x10000000000}
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
