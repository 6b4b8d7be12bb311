"""Namespaces that are made and destroyed on a host: devices, Xen, media; and all of it taken back after an error."""

from __future__ import annotations

import pytest
from dom0.nvdimm.nd_bank import create, destroy, disable, init_labels

from xlpy.addr import MIB, PAGE, Span
from xlpy.dom0.nvdimm.fsdax import XEN_TABLES
from xlpy.dom0.nvdimm.labels import empty_index
from xlpy.dom0.nvdimm.nd.error import NdError
from xlpy.errors import Unsafe
from xlpy.host import Host

MACHINE = """
name: two
ram: 4G
dimms:
  - {id: a, capacity: 256M}
  - {id: b, capacity: 256M}
sets:
  - {name: pair, dimms: [a, b]}
"""
ONE = "11111111-2222-3333-4444-555555555555"
TWO = "22222222-2222-3333-4444-555555555555"


@pytest.fixture
def host(tmp_path):
    machine = tmp_path / "machine.yaml"
    machine.write_text(MACHINE)
    made = Host.make(tmp_path / "host", machine)
    with made.manage("labels") as nd:
        init_labels(nd)
    yield made
    made.store.close()


def again(host):
    """The host as the next command opens it."""
    host.store.close()
    return Host.open(host.root)


def media(host):
    """All bytes that the driver writes."""
    labels = [host.hw.labels_read(dimm.id, 0, dimm.label_size) for dimm in host.spec.dimms]
    return labels, host.hw.read(host.hw.regions[0].span.start, 8 * PAGE)


def registered(host):
    return [(one.region.size * PAGE, one.data.size * PAGE) for one in host.xen.pmem.regions]


def test_namespaces_come_and_go(host):
    with host.manage("creating") as nd:
        create(nd.region("region0"), ONE, 128 * MIB, reserve=XEN_TABLES, name="first")
        create(nd.region("region0"), TWO, 64 * MIB, mode="sector")
    host = again(host)
    assert [(one.dev, one.disk, one.mode, one.name) for one in host.dom0.namespaces] == [
        ("namespace0.0", "pmem0", "fsdax", "first"),
        ("namespace0.1", "pmem0.1s", "sector", ""),
    ]
    assert [device.name for device in host.dom0.devices] == ["pmem0", "pmem0.1s"]
    assert host.dom0.sysfs("/sys/block/pmem0/device/size") == str(124 * MIB)
    assert registered(host) == [(128 * MIB, 124 * MIB)]
    minor = host.dom0.device("/dev/pmem0.1s").number
    with host.manage("destroying") as nd:
        destroy(nd.namespace("namespace0.0"))
    host = again(host)
    assert [one.dev for one in host.dom0.namespaces] == ["namespace0.1"]
    assert host.dom0.device("/dev/pmem0.1s").number == minor
    assert registered(host) == []
    with host.manage("creating again") as nd:
        made = create(nd.region("region0"), ONE, 64 * MIB)
        assert made.dev == "namespace0.2"
        assert made.resource == nd.region("region0").resource  # it takes the first room that is free
    assert [one.dev for one in host.dom0.namespaces] == ["namespace0.1", "namespace0.2"]
    assert host.dom0.reports[1].reason == "the namespace was made without a reserve for Xen's frame table"
    with host.manage("enabling again") as nd:
        nd.region("region0").unbind()
        nd.region("region0").bind()
    assert [(one.dev, one.label) for one in host.dom0.namespaces] == [("namespace0.0", ONE), ("namespace0.1", TWO)]


def create_and_fail(host):
    with host.manage("creating") as nd:
        create(nd.region("region0"), ONE, 128 * MIB, reserve=XEN_TABLES)
        nd.region("region0").store_align(3)


def test_an_error_leaves_nothing(host):
    before = media(host), host.dom0.nd.region("region0").dump(), host.dom0.nd.dimm("nmem0").dump()
    with pytest.raises(NdError):
        create_and_fail(host)
    assert (media(host), host.dom0.nd.region("region0").dump(), host.dom0.nd.dimm("nmem0").dump()) == before
    assert registered(host) == []
    assert host.dom0.namespaces == ()
    assert again(host).dom0.nd.region("region0").max_available_extent == 512 * MIB


def test_a_dry_run_leaves_nothing(host):
    before = media(host)
    with host.manage("creating", dry_run=True) as nd:
        assert create(nd.region("region0"), ONE, 128 * MIB).block_device == "pmem0"
    assert media(host) == before
    assert (host.dom0.namespaces, [one.size for one in host.dom0.nd.namespaces]) == ((), [0])


def test_what_a_domain_holds_is_busy(host):
    with host.manage("creating") as nd:
        create(nd.region("region0"), ONE, 128 * MIB, reserve=XEN_TABLES)
    with host.change("a domain"):
        host.dom0.pin("/dev/pmem0", "vm")
    for act in (
        lambda nd: disable(nd.namespace("namespace0.0")),
        lambda nd: nd.region("region0").unbind(),
        lambda nd: nd.dimm("nmem0").unbind(),
        lambda nd: nd.dimm("nmem0").set_config_data(0, empty_index(128 << 10, 0).build()),
    ):
        with pytest.raises(NdError) as caught, host.manage("disabling") as nd:
            act(nd)
        assert caught.value.errno == 16
    assert "domain vm" in host.dom0.nd.buses[0].users(host.dom0.nd.namespace("namespace0.0"))
    assert host.dom0.device("/dev/pmem0").window == Span(host.hw.regions[0].span.start + 4 * MIB, 124 * MIB)


def test_a_region_that_is_disabled_has_no_devices(host):
    with host.manage("creating") as nd:
        create(nd.region("region0"), ONE, 128 * MIB, reserve=XEN_TABLES)
    with host.manage("disabling") as nd:
        nd.region("region0").unbind()
        nd.dimm("nmem1").unbind()
    assert (host.dom0.namespaces, registered(host)) == ((), [])
    with pytest.raises(NdError) as caught, host.manage("enabling") as nd:
        nd.region("region0").bind()
    assert (caught.value.errno, caught.value.why) == (6, "nmem1: is disabled, failing probe")
    with host.manage("enabling") as nd:
        nd.dimm("nmem1").bind()
        nd.region("region0").bind()
    assert host.dom0.device("/dev/pmem0").size == 124 * MIB
    assert registered(host) == [(128 * MIB, 124 * MIB)]


def test_a_damaged_info_block_is_noticed_by_the_next_command(host):
    with host.manage("creating") as nd:
        made = create(nd.region("region0"), ONE, 128 * MIB)
    host.hw.write(made.resource + 4096 + 100, b"\xff")
    with pytest.raises(Unsafe, match=r"namespace0\.0 is disabled: PFN info block: checksum"):
        again(host).dom0.device("/dev/pmem0")
