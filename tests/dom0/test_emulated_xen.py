"""Dom0 and Xen together: what Dom0 reports, Xen's own checks accept."""

import pytest

from xlpy.addr import PAGE, Mfn, Span
from xlpy.dom0.emulated import EmulatedDom0
from xlpy.firmware.bios import power_on
from xlpy.hw.describe import default_machine_text, parse_machine
from xlpy.hw.hardware import Hardware
from xlpy.hypervisor.xen import Xen
from xlpy.store import Store


@pytest.fixture
def booted(tmp_path):
    spec = parse_machine(default_machine_text())
    hw = Hardware.create(tmp_path, spec)
    power_on(hw)
    store = Store(None)
    xen = Xen(hw, store)
    xen.boot()
    return hw, store, xen, spec


def test_every_reserve_is_large_enough_for_xen(booted):
    hw, store, xen, spec = booted
    dom0 = EmulatedDom0.boot(hw, xen.hypercalls(0), store, spec)
    assert [item["registered"] for item in dom0.list_namespaces()] == [True, True]
    for item, region in zip(dom0.list_namespaces(), xen.pmem.regions, strict=True):
        assert region.data == Span(Mfn(item["resource"] // PAGE), item["size"] // PAGE)
        assert region.reserved.size * PAGE == item["reserved"]
        assert xen.pmem.dom0_may_map(Span(item["resource"], item["size"]))


def test_a_second_report_is_ignored_and_changes_nothing(booted):
    hw, store, xen, spec = booted
    EmulatedDom0.boot(hw, xen.hypercalls(0), store, spec)
    before = list(xen.pmem.regions)
    again = EmulatedDom0.boot(hw, xen.hypercalls(0), store, spec)
    assert [item["registered"] for item in again.list_namespaces()] == [False, False]
    assert "EEXIST" in again.list_namespaces()[0]["reason"]
    assert xen.pmem.regions == before
    assert again.stat("/mnt/pmem0/vm1.img").kind == "file"


def test_the_frame_table_stays_out_of_file_system_and_info_block(booted):
    hw, store, xen, spec = booted
    dom0 = EmulatedDom0.boot(hw, xen.hypercalls(0), store, spec)
    again = EmulatedDom0.open(hw, store)
    assert all("problem" not in item for item in again.list_namespaces())
    assert dom0.cat("/mnt/pmem0/vm1.img", 0, 16) == bytes(16)
