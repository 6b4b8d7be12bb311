"""Power cut at every store of our own actors: what they find afterwards is the old state or the new one.

Usually a sample of the cuts; XLPY_POWERCUT=long tries all of them.
"""

from __future__ import annotations

import copy
import os
import shutil
from itertools import islice
from pathlib import Path

import pytest
from copying import copy_tree
from dom0.nvdimm.nd_bank import Platform, create, destroy, init_labels, powered, single

from xlpy.addr import MIB
from xlpy.cli.main import run
from xlpy.devicemodel.labels import LabelStore
from xlpy.dom0.nvdimm.infoblock import BLOCK
from xlpy.dom0.nvdimm.nd.arenas import LANE, discover, entries, recover
from xlpy.host import Host
from xlpy.hw import media
from xlpy.powercut.writes import Write, cuts

ROOT = Path(__file__).parents[2]
LONG = os.environ.get("XLPY_POWERCUT") == "long"
ONE, TWO = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def sample(found, step):
    """Each ``step``-th of them, or all."""
    return islice(found, 0, None, 1 if LONG else step)


class TestCuts:
    """What a write in flight may leave."""

    def test_of_memory_each_line_leaves_a_prefix(self):
        found = {tuple(cut.left) for cut in cuts([Write("m", 56, bytes(range(16)))]) if cut.done == 0}
        one, two = (56, bytes(range(8))), (64, bytes(range(8, 16)))
        assert found == {(), (one,), (two,), (one, two)}

    def test_of_labels_each_unit_leaves_some_of_the_first_bytes(self):
        found = {tuple(cut.left) for cut in cuts([Write("l", 6, b"abcd", labels=True)], samples=200) if cut.done == 0}
        first = [(), ((6, b"a"),), ((6, b"a"), (7, b"b"))]
        second = [(), ((8, b"c"),), ((8, b"c"), (9, b"d"))]
        assert found == {a + b for a in first for b in second}

    def test_the_last_is_whole(self):
        assert list(cuts([Write("m", 0, b"1"), Write("m", 8, b"2")]))[-1] == (2, [])


# -- Dom0's driver: labels and info blocks --------------------------------------------------------------------------


class Bank:
    """A bank of NVDIMMs, and the writes that are made to it."""

    def __init__(self):
        self.platform = Platform()
        self.nd = powered(single(), self.platform)
        init_labels(self.nd)
        create(self.region, ONE, 64 * MIB, name="one")

    @property
    def region(self):
        return next(iter(self.nd.regions))

    def writes_of(self, act):
        """The bank as it is, and what ``act(region)`` then writes, in order."""
        before, log = copy.deepcopy(self.platform), []
        for target, area, labels in (
            (self.platform.memory, "memory", False),
            *((one, f"{handle}", True) for handle, one in self.platform.labels.items()),
        ):

            def told(offset, data, area=area, labels=labels, real=target.write):
                log.append(Write(area, int(offset), bytes(data), labels))
                real(offset, data)

            target.write = told
        act(self.region)
        return before, log


def crashed(before, log, cut):
    """The bank after a failure."""
    made = copy.deepcopy(before)
    for one in [*log[: cut.done], *(log[cut.done]._replace(offset=at, data=data) for at, data in cut.left)]:
        (made.labels[int(one.area)] if one.labels else made.memory).write(one.offset, one.data)
    return made


def namespaces(platform):
    """(uuid, size, name) of what the driver finds, and which of them have a valid info block."""
    region = next(iter(powered(single(), platform).regions))
    found = [one for one in region.namespaces if one.size]
    return (
        frozenset((one.uuid, one.size, one.alt_name) for one in found),
        frozenset(one.uuid for one in found if one.claim),
    )


def rename(region):
    (namespace,) = [one for one in region.namespaces if one.size]
    from dom0.nvdimm.nd_bank import disable

    disable(namespace)
    namespace.store_alt_name("new name")


ACTS = {
    "create": lambda region: create(region, TWO, 64 * MIB, name="two"),
    "create a sector namespace": lambda region: create(region, TWO, 64 * MIB, mode="sector"),
    "destroy": lambda region: destroy(next(one for one in region.namespaces if one.size)),
    "rename": rename,
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_labels_are_old_or_new(act, request):
    """Between two label writes that the driver makes in one go, one of which holds the namespace, the other the index.

    Each of ndctl's steps is such a change of its own, so what is between them is allowed as well.
    """
    bank = Bank()
    before, log = bank.writes_of(act)
    steps = [namespaces(crashed(before, log, cut))[0] for cut in cuts([one._replace(data=b"") for one in log])]
    allowed = set(steps)
    count, claimed = 0, set()
    for cut in sample(cuts(log, samples=2), 61):
        found, claims = namespaces(crashed(before, log, cut))
        assert found in (steps[cut.done], *steps[cut.done + 1 : cut.done + 2]), (cut, found)
        assert found in allowed
        assert not any(uuid == ONE for uuid, _, _ in found) or act is not ACTS["create"] or ONE in claims
        claimed |= claims
        count += 1
    request.node.user_properties.append(("compared: crash states of the labels", count))
    assert count > 20


def test_an_info_block_is_there_or_not(request):
    """A namespace without a valid one is raw: its neighbour and its own data are untouched."""
    bank = Bank()
    bank.platform.memory.write(0x106000000, b"data of the second one")
    before, log = bank.writes_of(ACTS["create"])
    (at,) = [number for number, one in enumerate(log) if not one.labels]
    outcomes = set()
    for cut in sample((cut for cut in cuts(log, samples=8) if cut.done >= at), 5):
        made = crashed(before, log, cut)
        outcomes.add(namespaces(made)[1])
        assert made.memory.read(0x106000000, 22) == b"data of the second one"
    assert outcomes == {frozenset((ONE,)), frozenset((ONE, TWO))}


def test_a_btt_is_there_or_not():
    """Its info blocks come last: when one of the first arena is valid, so are map, log and the copy of the block."""
    bank = Bank()
    before, log = bank.writes_of(ACTS["create a sector namespace"])
    found = set()
    at = [number for number, one in enumerate(log) if not one.labels]
    chosen = [one if number in at[-2:] else one._replace(data=b"") for number, one in enumerate(log)]  # its info blocks
    blocks = (cut for cut in cuts(chosen, samples=1) if cut.done >= at[0])
    for cut in sample(blocks, 79):
        made = crashed(before, log, cut)
        region = next(iter(powered(single(), made).regions))
        (namespace,) = [one for one in region.namespaces if one.uuid == TWO]
        arenas = discover(made.memory, namespace.span, namespace.raw_uuid)
        found.add(len(arenas))
        for block in arenas:
            assert (
                len(entries(made.memory.read(namespace.span.start + block.logoff, block.nfree * LANE))) == block.nfree
            )
            recover(made.memory, namespace.span.start, block)
            assert made.memory.read(namespace.span.start + block.info2off, BLOCK) == block.build()
    assert found == {0, 1}


# -- the hypervisor's frame table -----------------------------------------------------------------------------------


def frames(host):
    """What each frame table on the media says."""
    return [list(host.xen.pmem.frame_table(region).walk()) for region in host.xen.pmem.regions]


def test_the_frame_table(made_host, tmp_path, monkeypatch):
    """A failure while a domain is created: after power on no frame belongs to anybody, and no data have changed."""
    root = tmp_path / "host"
    copy_tree(made_host, root)
    host = Host.open(root)
    fresh = frames(host)
    host.store.close()
    before = tmp_path / "before"
    copy_tree(root, before)
    log = []
    told = [lambda path, offset, data: log.append(Write(str(Path(path).relative_to(root)), offset, data))]
    monkeypatch.setattr(media, "watchers", told)
    monkeypatch.setattr("xlpy.devicemodel.labels.watchers", told)
    monkeypatch.setenv("XLPY_ROOT", str(root))
    assert run(["create", "-q", str(ROOT / "configs" / "quickstart.cfg")]) == 0
    told.clear()
    log = [one for one in log if one.area.startswith("hw/media/")]
    assert len(log) >= 3
    every = list(cuts(log, samples=1))
    for cut in every[:: -(-len(every) // (200 if LONG else 4))]:  # each is a host of its own
        again = tmp_path / "again"
        shutil.rmtree(again, ignore_errors=True)
        copy_tree(before, again)
        left = [log[cut.done]._replace(offset=at, data=data) for at, data in cut.left]
        for one in [*log[: cut.done], *left]:
            with (again / one.area).open("r+b") as file:
                file.seek(one.offset)
                file.write(one.data)
        host = Host.restart(again)
        assert frames(host) == fresh
        assert [one.name for one in host.xen.domains()] == []
        host.store.close()


# -- the device model's label store ---------------------------------------------------------------------------------


def test_the_label_store(tmp_path, monkeypatch):
    """It promises no more than the interface does: what was answered lasts, a write in flight may be torn."""
    store = LabelStore(str(tmp_path / "labels"), 128 << 10)
    log = []
    monkeypatch.setattr(
        "xlpy.devicemodel.labels.watchers", [lambda _p, offset, data: log.append(Write("l", offset, data, labels=True))]
    )
    store.write(0x100, b"a" * 64)
    store.write(0x100, b"b" * 64)
    assert [(one.offset, one.data) for one in log] == [(0x100, b"a" * 64), (0x100, b"b" * 64)]
    for cut in cuts(log):
        area = bytearray(0x200)
        for one in [*log[: cut.done], *(log[0]._replace(offset=at, data=data) for at, data in cut.left)]:
            area[one.offset : one.offset + len(one.data)] = one.data
        left, newer = [(0, ord("a")), (ord("a"), ord("b")), (ord("b"), ord("b"))][cut.done]
        assert set(area[0x100:0x140]) <= {left, newer}
        assert not any(area[:0x100])
        assert not any(area[0x140:])
