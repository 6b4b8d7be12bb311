"""A change of one namespace is about that one: what else there is stays unread in the state and on media."""

from __future__ import annotations

from errno import EINVAL

import pytest
from dom0.nvdimm.nd_bank import create, destroy

from xlpy.addr import MIB
from xlpy.dom0.files.buses import DriverMemory
from xlpy.dom0.nvdimm.fsdax import XEN_TABLES
from xlpy.dom0.nvdimm.nd.error import NdError
from xlpy.host import Host

MACHINE = """
name: two
ram: 4G
dimms:
  - {id: a, capacity: 256M, label_size: 128K}
  - {id: b, capacity: 256M, label_size: 128K}
sets:
  - {name: one, dimms: [a], labels: 1.2}
  - {name: two, dimms: [b], labels: 1.2}
"""
ONE = "11111111-2222-3333-4444-555555555555"
TWO = "22222222-2222-3333-4444-555555555555"
NEW = "33333333-2222-3333-4444-555555555555"


@pytest.fixture
def host(tmp_path):
    """A namespace in each of two regions, as the next command finds them."""
    machine = tmp_path / "machine.yaml"
    machine.write_text(MACHINE)
    made = Host.make(tmp_path / "host", machine)
    with made.manage("creating") as nd:
        create(nd.region("region0"), ONE, 64 * MIB, reserve=XEN_TABLES)
        create(nd.region("region1"), TWO, 64 * MIB, reserve=XEN_TABLES)
    made.store.close()
    opened = Host.open(made.root)
    yield opened
    opened.store.close()


def loaded(nd):
    """The regions of which something was read."""
    return [region.dev for region in nd.regions if "namespaces" in vars(region)]


def test_other_regions_are_not_taken_from_the_state(host):
    with host.manage("creating") as nd:
        create(nd.region("region1"), NEW, 32 * MIB, mode="raw")
        assert loaded(nd) == ["region1"]
    assert loaded(host.dom0.nd) == ["region1"]
    assert [one.dev for one in host.dom0.namespaces] == ["namespace0.0", "namespace1.0", "namespace1.1"]
    assert [one.dev for one in host.dom0.nd.namespaces if one.size] == ["namespace0.0", "namespace1.0", "namespace1.1"]


def test_a_uuid_of_another_region_is_taken(host):
    with pytest.raises(NdError) as refused, host.manage("creating") as nd:
        create(nd.region("region1"), ONE, 32 * MIB)
    assert refused.value.errno == EINVAL
    assert "is taken" in refused.value.why


def test_info_blocks_of_other_namespaces_are_not_read(host, monkeypatch):
    read, places = DriverMemory.read, []
    monkeypatch.setattr(DriverMemory, "read", lambda self, spa, length: places.append(spa) or read(self, spa, length))
    with host.manage("creating") as nd:
        made = create(nd.region("region0"), NEW, 32 * MIB)
    assert [spa for spa in places if spa not in made.span] == []
    assert places, "its own is"
    places.clear()
    with host.manage("destroying") as nd:
        destroy(nd.namespace("namespace0.1"))
    assert [spa for spa in places if spa not in made.span] == []


def test_xen_is_told_of_what_has_changed_only(host):
    before = len(host.xen.pmem.regions)
    told = list(host.xen.console.lines())
    with host.manage("creating") as nd:
        create(nd.region("region0"), NEW, 32 * MIB, reserve=XEN_TABLES)
    assert len(host.xen.pmem.regions) == before + 1
    new = list(host.xen.console.lines())[len(told) :]
    assert len([line for line in new if "XENPF_pmem" in line]) == 1


def test_a_name_that_changes_is_published(host):
    with host.manage("renaming") as nd:
        one = nd.namespace("namespace0.0")
        claim = one.claim
        claim.unbind()
        claim.store_namespace("")
        one.store_alt_name("new")
        one.attach()
    assert [(one.name, one.mode) for one in host.dom0.namespaces] == [("new", "fsdax"), ("", "fsdax")]
    assert [one.registered for one in host.dom0.reports] == [True, True]
