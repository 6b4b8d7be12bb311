"""Xen's metadata, read back from the bytes on the media."""

import struct
from contextlib import suppress

import pytest
from hypervisor_helpers import Device, extent
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from xlpy import abi
from xlpy.addr import PAGE, Spa, Span
from xlpy.errors import FormatError, HypercallError
from xlpy.hypervisor import p2m
from xlpy.hypervisor.frametable import INVALID_M2P, NULL, PAGE_INFO_SIZE, decode
from xlpy.hypervisor.tables import OWNERS
from xlpy.hypervisor.xen import Xen


def table_of(xen):
    return xen.pmem.frame_table(xen.pmem.regions[0])


def shape(xen, base=0):
    """(first frame, pages, owner, gfn) of each run on the media; ``free`` for free pages."""
    return [
        (run.start - base, run.end - run.start, "free" if run.info.free else run.info.owner, run.gfn)
        for run in table_of(xen).walk()
    ]


def test_record_layout():
    record = struct.pack("<IIQQII", 0x1234, 0x1000, 1 << 63 | 1 << 60 | 1, 0, 8, 0)
    info = decode(record)
    assert (info.next, info.prev, info.owner, info.broken, info.free, info.references) == (
        0x1234, 0x1000, 7, True, False, 1,
    )  # fmt: skip
    assert decode(bytes(32)).owner is None
    assert decode(struct.pack("<IIQQII", 0, 0, 3 << 58, 0, 0, 0)).free


def test_bytes_after_registration(xen, hw, device):
    """The records lie at the start of the reserve, the M2P behind them on the next page boundary."""
    records = device.reserved.start << 12
    gfns = records + device.region.size * 32
    word = struct.Struct("<IIQQII")
    first, reserve, data = device.region.start, device.reserved.start, device.data.start

    def record(mfn):
        return word.unpack(hw.read(Spa(records + (mfn - first) * 32), 32))

    assert record(first) == (reserve, NULL, 1, 0, abi.DOMID_IO + 1, 0)
    assert record(reserve) == (data, first, 1 << 62 | 1, 0, abi.DOMID_XEN + 1, 0)
    assert record(data) == (NULL, reserve, 3 << 58, 0, 0, 0)
    assert record(first + 1) == record(data + 1) == (0,) * 6
    assert hw.read(Spa(gfns + (data - first) * 8), 8) == b"\xff" * 8
    assert PAGE_INFO_SIZE == 32


def test_bytes_of_an_owned_run(xen, hw, device, calls, guest):
    calls.memory_pmem_map(guest, [extent(0x100000, device.first + 100, 50)])
    table = table_of(xen)
    head = table.record(device.first + 100)
    assert (head.owner, head.references, head.count_info >> 63, head.type_info) == (guest, 1, 1, 0)
    assert (head.prev, head.next) == (device.first, device.first + 150)
    assert table.gfn(device.first + 100) == 0x100000
    assert table.gfn(device.first) == INVALID_M2P
    assert shape(xen, device.first)[2:] == [
        (0, 100, "free", None),
        (100, 50, guest, 0x100000),
        (150, device.data.size - 150, "free", None),
    ]


def test_unmapping_restores_the_bytes(xen, hw, device, calls, guest):
    span = Span(Spa(device.reserved.start << 12), device.reserved.size << 12)
    before = hw.read(span.start, span.size)
    calls.memory_pmem_map(guest, [extent(0x100000 + i, device.first + 7 * i, 1) for i in range(50)])
    assert hw.read(span.start, span.size) != before
    calls.memory_pmem_unmap(guest, [Span(0x100000, 50)])
    assert hw.read(span.start, span.size) == before


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("map"),
            st.integers(1, 3),
            st.lists(
                st.tuples(st.integers(0, 4000), st.integers(0, 4000), st.integers(1, 900)), min_size=1, max_size=4
            ),
        ),
        st.tuples(st.just("unmap"), st.integers(1, 3), st.tuples(st.integers(0, 4000), st.integers(1, 900))),
        st.tuples(st.just("break"), st.just(0), st.integers(0, 4900)),
        st.tuples(st.just("destroy"), st.integers(1, 3), st.none()),
    ),
    max_size=12,
)


@given(steps)
@example([("map", 1, [(0, 0, 2)]), ("break", 0, 0), ("break", 0, 2)])
@example([("map", 1, [(0, 0, 3)]), ("break", 0, 1), ("break", 0, 0)])
@example([("map", 1, [(0, 0, 514)]), ("break", 0, 2), ("break", 0, 0)])
@example(
    [("map", 1, [(0, 0, 900), (2000, 3000, 1)]), ("break", 0, 400), ("unmap", 1, (2000, 1)), ("unmap", 1, (600, 1))]
)
@settings(max_examples=35, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_media_equal_a_page_by_page_model(hw, store, monkeypatch, program):
    """Whatever is mapped, unmapped, broken and destroyed: the runs on the media say for each page what a model says."""
    monkeypatch.setattr(p2m, "PART_BITS", 8)  # the owners are stored in some twenty parts
    xen = Xen(hw, store)
    xen.boot()
    hw.poison.clear(hw.regions[0].span)
    calls = xen.hypercalls(0)
    device = Device(hw, 0).report(calls)
    domids = {i: calls.domctl_createdomain(bytes(16)) for i in (1, 2, 3)}
    owner: dict[int, tuple[int, int]] = {}
    broken: set[int] = set()
    for step, who, what in program:
        domid = domids[who] if who else 0
        if step == "map":
            batch = [extent(0x100000 + gfn, device.first + mfn, count) for gfn, mfn, count in what]
            new: dict[int, tuple[int, int]] = {}
            for gfn, mfn, count in batch:
                new.update({mfn + i: (domid, gfn + i) for i in range(count)})
            gfns = {pair[1] for pair in new.values()}
            taken = {pair[1] for pair in owner.values() if pair[0] == domid}
            size = sum(count for _, _, count in batch)
            if new.keys() & (owner.keys() | broken) or gfns & taken or len(new) < size or len(gfns) < size:
                with pytest.raises(HypercallError):
                    calls.memory_pmem_map(domid, batch)
            else:
                calls.memory_pmem_map(domid, batch)
                owner |= new
        elif step == "unmap":
            gfn, count = 0x100000 + what[0], what[1]
            mine = {pair[1]: mfn for mfn, pair in owner.items() if pair[0] == domid}
            if all(gfn + i in mine for i in range(count)):
                calls.memory_pmem_unmap(domid, [Span(gfn, count)])
                for i in range(count):
                    del owner[mine[gfn + i]]
            else:
                with pytest.raises(HypercallError):
                    calls.memory_pmem_unmap(domid, [Span(gfn, count)])
        elif step == "break":
            mfn = device.first + what
            xen.mca.report(Spa(mfn << 12))
            broken.add(mfn)
        else:
            calls.domctl_destroydomain(domid)
            domids[who] = calls.domctl_createdomain(bytes(16))
            owner = {mfn: pair for mfn, pair in owner.items() if pair[0] != domid}
    assert_media(xen, device, owner, broken)
    again = Xen(hw, store)
    assert list(again.pmem.m2p) == list(xen.pmem.m2p)
    again.repair()
    again.pmem.repair()
    assert_media(again, device, owner, broken)
    for domain in again.domains():  # the inverse
        for piece in domain.p2m.pmem:
            assert again.pmem.m2p.lookup(piece.base) == (piece.start, domain.domid)
            assert again.pmem.m2p.lookup(piece.base + piece.size - 1) == (piece.end - 1, domain.domid)
    assert sum(piece.size for piece in again.pmem.m2p) == len(owner)


def assert_media(xen, device, owner, broken):
    expected_start = device.region.start
    previous = NULL
    for run in table_of(xen).walk():
        assert run.start == expected_start
        assert run.info.prev == previous
        expected_start, previous = run.end, run.start
        interesting = {run.start, run.end - 1} | {m for m in (*owner, *broken) if run.start <= m < run.end}
        for mfn in interesting:
            if mfn in device.data:
                domid, gfn = owner.get(mfn, (None, None))
                assert run.info.owner == domid
                assert run.gfn == (None if gfn is None else gfn - (mfn - run.start))
                assert run.info.free == (domid is None)
                assert run.info.broken == (mfn in broken)
    assert expected_start == device.region.end


def test_owners_as_an_older_version_kept_them(xen, calls, device, guest, hw, store, monkeypatch):
    """In one record: it is read, and divided with the first change."""
    monkeypatch.setattr(p2m, "PART_BITS", 8)
    state, parts = store.table("xen"), store.table(OWNERS)
    calls.memory_pmem_map(guest, [extent(0x100000, device.first, 10), extent(0x200000, device.first + 1000, 10)])
    whole = list(xen.pmem.m2p)
    assert len(parts.keys()) == 2
    assert state.get("m2p") is None
    state.put("m2p", xen.pmem.m2p.dump())
    for key in parts.keys():  # noqa: SIM118 - a Table is not a dict
        parts.delete(key)
    old = Xen(hw, store)
    assert list(old.pmem.m2p) == whole
    old.hypercalls(0).memory_pmem_map(guest, [extent(0x300000, device.first + 2000, 10)])
    assert state.get("m2p") is None
    assert len(parts.keys()) == 3
    assert len(Xen(hw, store).pmem.m2p) == 3
    old.hypercalls(0).domctl_destroydomain(guest)
    assert parts.keys() == []
    assert list(Xen(hw, store).pmem.m2p) == []


def test_a_device_of_six_tebibytes_is_mapped_by_extent(hw, calls, xen, guest):
    device = Device(hw, 2).report(calls)
    calls.memory_pmem_map(guest, [extent(1 << 28, device.first, device.data.size)])
    assert [run.end - run.start for run in table_of(xen).walk()] == [16, device.reserved.size, device.data.size]
    calls.domctl_destroydomain(guest)
    assert shape(xen)[-1][1:] == (device.data.size, "free", None)
    assert hw.regions[2].path.stat().st_blocks * 512 < 1 << 20


def test_wide_and_near_runs_in_one_window(xen, hw, calls, device, guest):
    """Heads far apart are written one by one, near ones together; the pages between read as zeros either way."""
    offsets = [0, 1, 2, 511, 512, 600, 5000, 5001, 200000, 470000]
    calls.memory_pmem_map(guest, [extent(0x100000 + i, device.first + at, 1) for i, at in enumerate(offsets)])
    owned = [(start, gfn) for start, _, who, gfn in shape(xen, device.first) if who == guest]
    assert owned == [(at, 0x100000 + i) for i, at in enumerate(offsets)]
    other = calls.domctl_createdomain(bytes(16))
    calls.memory_pmem_map(other, [extent(0x100000, device.first + 300000, 100000)])
    assert [row[:3] for row in shape(xen, device.first)][-5:] == [
        (200001, 99999, "free"),
        (300000, 100000, other),
        (400000, 70000, "free"),
        (470000, 1, guest),
        (470001, device.data.size - 470001, "free"),
    ]
    calls.domctl_destroydomain(guest)
    assert [row[2] for row in shape(xen, device.first)][2:] == ["free", other, "free"]


def map_and_die(store, calls, guest, device):
    """Map pages, and end before the transaction commits."""

    class Killed(Exception):
        pass

    with suppress(Killed), store.transaction("create"):
        calls.memory_pmem_map(guest, [extent(0x100000, device.first, 10)])
        raise Killed


def test_unclean_end_is_noticed_and_repaired(hw, device, calls, guest, xen, store):
    """A process dies between writing the frame table and committing: the media are ahead, and derived anew."""
    area = Span(Spa(device.reserved.start << 12), device.reserved.size << 12)
    before = hw.read(area.start, area.size)
    map_and_die(store, calls, guest, device)
    assert hw.read(area.start, area.size) != before
    again = Xen(hw, store)
    assert again.pmem.unclean
    (line,) = again.repair()
    assert line.startswith("rewrote the frame table for [")
    assert hw.read(area.start, area.size) == before
    assert not Xen(hw, store).pmem.unclean
    assert Xen(hw, store).repair() == []


def test_the_next_change_repairs_too(hw, device, calls, guest, xen, store):
    map_and_die(store, calls, guest, device)
    again = Xen(hw, store)
    again.hypercalls(0).memory_pmem_map(guest, [extent(0x200000, device.first + 100, 1)])
    assert [row[0] for row in shape(again, device.first) if row[2] == guest] == [100]
    assert not Xen(hw, store).pmem.unclean


def test_nothing_on_the_media_is_trusted(hw, device, calls, guest, xen, store):
    calls.memory_pmem_map(guest, [extent(0x100000, device.first, 10)])
    good = shape(xen)
    hw.write(Spa(device.reserved.start << 12), b"\xa5" * (device.reserved.size << 12))
    with pytest.raises(FormatError, match="the list of heads is broken"):
        list(table_of(xen).walk())
    xen.pmem.repair()
    assert shape(xen) == good


def test_boot_forgets_devices(hw, device, calls, xen, guest):
    calls.memory_pmem_map(guest, [extent(0x100000, device.first, 10)])
    hw.write(Spa(device.first << 12), b"persistent")
    xen.boot()
    assert xen.pmem.regions == []
    assert xen.domains() == []
    device.report(xen.hypercalls(0))
    assert [row[2] for row in shape(xen)] == [abi.DOMID_IO, abi.DOMID_XEN, "free"]
    assert hw.read(Spa(device.first << 12), 10) == b"persistent"
    assert PAGE == 4096
