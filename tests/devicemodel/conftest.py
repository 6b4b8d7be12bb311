"""A host with one domain: real hardware files, Xen, xenstore; no toolstack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from xlpy.addr import MIB, PAGE, Gfn, Gpa, Mfn, Spa, Span
from xlpy.devicemodel.backing import Backing
from xlpy.devicemodel.hotplug import HotPlug
from xlpy.dom0.xenstore.daemon import XenStore
from xlpy.firmware.e820 import E820_RAM, E820Entry
from xlpy.hw.describe import parse_machine
from xlpy.hw.hardware import Hardware
from xlpy.hypervisor.pmem import metadata_pages
from xlpy.hypervisor.xen import Xen
from xlpy.store import Store

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = """
name: test
ram: 4G
cpu: {count: 2, physical_bits: 46, line: 64, features: [clflushopt, clwb]}
dimms:
  - {id: a, capacity: 1G, label_size: 128K, handle: 0x01}
  - {id: b, capacity: 6T, label_size: 128K, handle: 0x11}
sets:
  - {name: set0, dimms: [a]}
  - {name: set1, dimms: [b]}
"""
RAM = 64 * MIB


class World:
    """The host, and the domain's device model as each command loads it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hw = Hardware.create(root / "hw", parse_machine(MACHINE, "test machine"))
        self.store = Store(None)
        self.xen = Xen(self.hw, self.store)
        self.xen.boot()
        self.calls = self.xen.hypercalls(0)
        self.data: list[Span[Spa]] = []
        for region in self.hw.regions:
            whole = Span(Mfn(region.span.start // PAGE), region.span.size // PAGE)
            reserved = Span(whole.start, metadata_pages(whole.size))
            self.calls.platform_pmem_add(whole, reserved, Span.between(reserved.end, whole.end))
            self.data.append(Span.between(Spa(reserved.end * PAGE), region.span.end))
        self.xenstore = XenStore(self.store).connection(0)
        self.domid = self.calls.domctl_createdomain(bytes(16), hvm=True, max_vcpus=1)
        self.calls.domctl_max_mem(self.domid, RAM // 1024 + 4096)
        self.calls.memory_populate_physmap(self.domid, [Span(Gfn(0), RAM // PAGE)])
        self.calls.memory_set_memory_map(self.domid, [E820Entry(Gpa(MIB), RAM - MIB, E820_RAM)])
        self.domain = self.xen.domain(self.domid)

    def model(self, **options: Any) -> HotPlug:
        """The device model, as a new process has it."""
        return HotPlug(self.xen, self.domain, self.xenstore, self.store.table("dm"), **options)

    def backing(self, name: str, *pieces: tuple[int, int], region: int = 0, **fields: Any) -> Backing:
        """A backing with labels: (offset, size) pieces of a region's data."""
        spans = tuple(Span(Spa(self.data[region].start + at), size) for at, size in pieces)
        labels = str(self.root / f"{name}.labels")
        return Backing(f"/mnt/{name}", spans, labels, smart=True)._replace(**fields)

    def state(self) -> dict[str, Any]:
        """All that the device model could have left behind."""
        home = f"/local/domain/{self.domid}/hvmloader/dm-acpi"
        return {
            "table": self.store.table("dm").items(),
            "xenstore": [self.xenstore.read_or_none(f"{home}/{name}") for name in ("address", "length")],
            "pmem": self.domain.p2m.pmem.dump(),
            "owners": self.xen.pmem.m2p.tags[:],
            "servers": self.domain.ioreq.to_json(),
            "ram": self.domain.memory.read(Gpa(RAM - MIB), MIB),
        }


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
