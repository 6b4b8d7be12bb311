"""Mapping pmem into guests: who may, what is refused with which errno, and that a refusal leaves nothing behind."""

import random

import pytest
import work
from hypervisor_helpers import Device, Refused, extent, play

from xlpy import abi
from xlpy.addr import PAGE, Gpa, Spa, Span
from xlpy.errors import Constraint, HypercallError
from xlpy.hypervisor.xen import Xen
from xlpy.store import Store

G = 0x100000  # guest frame of 4 GiB


def snapshot(xen, device):
    """Everything that mapping may change, the bytes of the frame table included."""
    area = device.reserved
    return (
        list(xen.pmem.m2p),
        [(domain.domid, list(domain.p2m.pmem), domain.tot_pages) for domain in xen.domains()],
        xen.hw.read(Spa(area.start << 12), area.size << 12),
        xen.store.table("xen.pmem").items(),
        xen.heap.pages,
    )


def test_a_file_of_three_extents(xen, hw, device, calls, guest):
    d = device.first
    batch = [extent(G, d + 10, 3), extent(G + 3, d + 100, 1), extent(G + 4, d + 50, 2)]
    assert calls.memory_pmem_map(guest, batch) == 3
    domain = xen.domain(guest)
    assert [tuple(piece) for piece in domain.p2m.pmem] == [
        (G, G + 3, d + 10, abi.P2M_RAM_RW),
        (G + 3, G + 4, d + 100, abi.P2M_RAM_RW),
        (G + 4, G + 6, d + 50, abi.P2M_RAM_RW),
    ]
    assert [xen.pmem.m2p.lookup(d + at) for at in (10, 12, 100, 51, 52)] == [
        (G, guest), (G + 2, guest), (G + 3, guest), (G + 5, guest), None,
    ]  # fmt: skip
    domain.memory.write(Gpa((G + 3) * PAGE - 2), b"ABCD")  # across two extents
    assert hw.read(Spa((d + 12) * PAGE + PAGE - 2), 2) == b"AB"
    assert hw.read(Spa((d + 100) * PAGE), 2) == b"CD"
    assert domain.tot_pages == 0x4000 - 0x20  # persistent memory is not counted


# A batch against: 100 pages from the first data page mapped at G by d1; the caller maps into d2. What, errno, words.
REFUSED = {
    "empty extent": ([(G, 0, 0)], abi.EINVAL, "extent 0: 0 pages"),
    "negative count": ([(G, 0, -1)], abi.EINVAL, "not a range"),
    "negative gfn": ([(-1, 0, 1)], abi.EINVAL, "not a range"),
    "second extent is bad": ([(G, 200, 1), (G + 1, 201, 0)], abi.EINVAL, "extent 1: 0 pages"),
    "gfn wraps": ([((1 << 52) - 1, 200, 2)], abi.EOVERFLOW, "guest addresses wrap at 2**64"),
    "count wraps": ([(G, 200, 1 << 52)], abi.EOVERFLOW, "addresses wrap"),
    "guest physical width": ([((1 << 34) - 1, 200, 2)], abi.EINVAL, "beyond the guest's 46-bit physical addresses"),
    "Xen's reserve": ([(G, -1, 1)], abi.ENXIO, "is in no registered data area"),
    "across the start of the data": ([(G, -1, 2)], abi.ENXIO, "no registered data area"),
    "across the end of the data": ([(G, 0x80000 - 16 - 5120 - 1, 2)], abi.ENXIO, "no registered data area"),
    "RAM": ([(G, -0x140000, 1)], abi.ENXIO, "no registered data area"),
    "unregistered device": ([(G, 0x300000, 1)], abi.ENXIO, "there are: [0x141410, 0x1c0000)"),
    "one of many uncovered": ([(G, 200, 1), (G + 1, -1, 1)], abi.ENXIO, "extent 1"),
    "owned by another domain": ([(G, 99, 2)], abi.EBUSY, "frame 0x141473 belongs to d1, at its guest frame 0x100063"),
    "around an owned run": ([(G, 0, 200)], abi.EBUSY, "belongs to d1"),
    "owned, in a later extent": ([(G, 200, 1), (G + 1, 0, 1)], abi.EBUSY, "extent 1: frame"),
    "frames twice": ([(G, 200, 10), (G + 10, 209, 1)], abi.EBUSY, "extents 0 and 1 of the batch share machine frames"),
    "frames twice, inside": ([(G, 300, 10), (G + 10, 305, 1)], abi.EBUSY, "share machine frames at 0x141541"),
    "VGA window": ([(0xB0, 200, 1)], abi.EPERM, "covers VGA and BIOS"),
    "BIOS": ([(0xFF, 200, 2)], abi.EPERM, "covers VGA and BIOS"),
    "ACPI tables": ([(0xFC001, 200, 1)], abi.EPERM, "the PCI hole, ACPI tables, APICs and special pages"),
    "special pages": ([(0xFEFFC, 200, 1)], abi.EPERM, "special pages"),
    "into the hole": ([(0xEFFFF, 200, 2)], abi.EPERM, "the PCI hole"),
    "up to 4 GiB and over": ([(0xFFFFF, 200, 2)], abi.EPERM, "the PCI hole"),
    "over RAM": ([(0x3FFF, 200, 2)], abi.EEXIST, "guest frame 0x3fff of d2 holds RAM"),
    "over another vNVDIMM": ([(G + 1000, 200, 1)], abi.EEXIST, "holds another vNVDIMM"),
    "gfns twice": ([(G, 200, 10), (G + 9, 300, 1)], abi.EEXIST, "extents 0 and 1 of the batch share guest frames"),
    "coverage before busy": ([(G, 0, 1), (G + 1, -1, 1)], abi.ENXIO, "extent 1"),
    "busy before guest side": ([(0xFC001, 0, 1)], abi.EBUSY, "d1"),
    "wrap before coverage": ([(G, -0x140000, 1), (1 << 52, 200, 1)], abi.EOVERFLOW, "extent 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_leaves_nothing_behind(name, xen, device, calls, guest):
    calls.memory_pmem_map(guest, [extent(G, device.first, 100)])
    second = calls.domctl_createdomain(bytes(16))
    calls.domctl_max_mem(second, 64 << 10)
    calls.memory_populate_physmap(second, [Span(0, 0xA0), Span(0x100, 0x3F00)])
    calls.memory_pmem_map(second, [extent(G + 1000, device.first + 1000, 10)])
    rows, errno, words = REFUSED[name]
    before = snapshot(xen, device)
    with pytest.raises(HypercallError) as caught:
        calls.memory_pmem_map(second, [extent(gfn, device.first + mfn, count) for gfn, mfn, count in rows])
    assert caught.value.errno == errno, str(caught.value)
    assert words in caught.value.message
    after = snapshot(xen, device)
    assert after == before
    assert calls.memory_pmem_map(second, [extent(G, device.first + 200, 1)]) == 1  # no residue


def test_permission(xen, device, calls, guest):
    """DM_PRIV: Dom0 and the domain's device model, never the domain itself (xen.md 3.4, 5.5)."""
    batch = [extent(G, device.first, 1)]
    model = calls.domctl_createdomain(bytes(16))
    stranger = calls.domctl_createdomain(bytes(16))
    calls.domctl_set_target(model, guest)
    play(
        xen,
        [
            (0, "memory_pmem_map", (abi.DOMID_SELF, batch), Refused(abi.EINVAL)),
            (guest, "memory_pmem_map", (abi.DOMID_SELF, batch), Refused(abi.EINVAL)),
            (0, "memory_pmem_map", (99, batch), Refused(abi.ESRCH)),
            (guest, "memory_pmem_map", (99, batch), Refused(abi.ESRCH)),
            (guest, "memory_pmem_map", (guest, batch), Refused(abi.EPERM)),
            (stranger, "memory_pmem_map", (guest, batch), Refused(abi.EPERM)),
            (model, "memory_pmem_map", (stranger, batch), Refused(abi.EPERM)),
            (model, "memory_pmem_map", (model, batch), Refused(abi.EPERM)),
            (model, "memory_pmem_map", (guest, batch), 1),
            (guest, "memory_pmem_unmap", (guest, [Span(G, 1)]), Refused(abi.EPERM)),
            (0, "memory_pmem_unmap", (abi.DOMID_SELF, [Span(G, 1)]), Refused(abi.EINVAL)),
            (model, "memory_pmem_unmap", (guest, [Span(G, 1)]), None),
            (0, "memory_pmem_map", (guest, batch), 1),
            (0, "domctl_destroydomain", (guest,), None),
            (0, "domctl_getdomaininfo", (guest,), Refused(abi.ESRCH)),
        ],
    )
    again = calls.domctl_createdomain(bytes(16), domid=guest)
    assert again == guest
    play(xen, [(model, "memory_pmem_map", (guest, batch), Refused(abi.EPERM))])  # the target died, rights died with it


def test_only_hvm_guests_and_none_that_dies(xen, device, calls, guest):
    pv = calls.domctl_createdomain(bytes(16), hvm=False)
    xen.domain(guest).dying = True
    batch = [extent(G, device.first, 1)]
    play(
        xen,
        [
            (0, "memory_pmem_map", (pv, batch), Refused(abi.EINVAL)),
            (0, "memory_pmem_map", (guest, batch), Refused(abi.EINVAL)),
        ],
    )


def test_empty_batch(xen, device, calls, guest):
    before = snapshot(xen, device)
    assert calls.memory_pmem_map(guest, []) == 0
    assert snapshot(xen, device) == before


def test_continuation(xen, device, calls, guest):
    """A long batch returns early and goes on where it was; only there, only for this caller and this batch."""
    xen.preempt_after = 3
    other = calls.domctl_createdomain(bytes(16))
    batch = [extent(G + i, device.first + 2 * i, 1) for i in range(8)]
    reversed_batch = batch[::-1]
    play(
        xen,
        [
            (0, "memory_pmem_map", (guest, batch, 3), Refused(abi.EINVAL)),  # never reached
            (0, "memory_pmem_map", (guest, batch), 3),
            (0, "memory_pmem_map", (guest, batch, 2), Refused(abi.EINVAL)),
            (0, "memory_pmem_map", (guest, batch, 4), Refused(abi.EINVAL)),
            (0, "memory_pmem_map", (guest, batch, 9), Refused(abi.EINVAL)),  # beyond the list
            (0, "memory_pmem_map", (guest, batch, -1), Refused(abi.EINVAL)),
            (0, "memory_pmem_map", (guest, reversed_batch, 3), Refused(abi.EINVAL)),
            (0, "memory_pmem_map", (other, batch, 3), Refused(abi.EINVAL)),
            (0, "memory_pmem_map", (guest, batch, 3), 6),
            (0, "memory_pmem_map", (guest, batch, 6), 8),
            (0, "memory_pmem_map", (guest, batch, 8), Refused(abi.EINVAL)),  # it is finished
        ],
    )
    assert len(xen.domain(guest).p2m.pmem) == 8


def test_failed_continuation_undoes_all_of_the_call(xen, device, calls, guest):
    xen.preempt_after = 2
    calls.memory_pmem_map(guest, [extent(G + 100, device.first + 100, 5)])
    before = snapshot(xen, device)
    batch = [extent(G + i, device.first + i, 1) for i in range(5)] + [extent(G + 5, device.first + 100, 1)]
    play(
        xen,
        [
            (0, "memory_pmem_map", (guest, batch), 2),
            (0, "memory_pmem_map", (guest, batch, 2), 4),
            (0, "memory_pmem_map", (guest, batch, 4), Refused(abi.EBUSY)),
            (0, "memory_pmem_map", (guest, batch, 4), Refused(abi.EINVAL)),  # nothing to go on with
        ],
    )
    assert snapshot(xen, device) == before


def test_frame_table_that_cannot_be_written(xen, hw, device, calls, guest, monkeypatch):
    calls.memory_pmem_map(guest, [extent(G + 50, device.first + 50, 5)])
    before = snapshot(xen, device)
    real, count = hw.write, [0]

    def full(spa, data):
        count[0] += 1
        if count[0] == 2:
            raise Constraint("media: No space left on device")
        real(spa, data)

    monkeypatch.setattr(hw, "write", full)
    with pytest.raises(HypercallError, match="No space left") as caught:
        calls.memory_pmem_map(guest, [extent(G, device.first, 5)])
    assert caught.value.errno == abi.ENOMEM
    monkeypatch.undo()
    assert snapshot(xen, device)[:2] == before[:2]
    assert xen.pmem.unclean
    xen.repair()
    assert snapshot(xen, device) == before
    assert calls.memory_pmem_map(guest, [extent(G, device.first, 5)]) == 1


def test_unmap(xen, device, calls, guest):
    calls.memory_pmem_map(guest, [extent(G, device.first, 10), extent(G + 10, device.first + 20, 10)])
    before = snapshot(xen, device)
    play(
        xen,
        [
            (0, "memory_pmem_unmap", (guest, [Span(G + 19, 2)]), Refused(abi.ENOENT)),
            (0, "memory_pmem_unmap", (guest, [Span(G - 1, 2)]), Refused(abi.ENOENT)),
            (0, "memory_pmem_unmap", (guest, [Span(0x200, 1)]), Refused(abi.ENOENT)),  # RAM
            (0, "memory_pmem_unmap", (guest, [Span(G, 1), Span(G + 30, 1)]), Refused(abi.ENOENT)),
            (0, "memory_pmem_unmap", (guest, [Span(G, 5), Span(G + 4, 5)]), Refused(abi.EINVAL)),
        ],
    )
    assert snapshot(xen, device) == before
    calls.memory_pmem_unmap(guest, [Span(G + 8, 4)])  # across two extents
    assert [tuple(piece)[:3] for piece in xen.domain(guest).p2m.pmem] == [
        (G, G + 8, device.first),
        (G + 12, G + 20, device.first + 22),
    ]
    assert xen.pmem.owner_of(Span(Spa((device.first + 9) << 12), PAGE)) is None
    assert xen.pmem.owner_of(Span(Spa((device.first + 22) << 12), PAGE)) == guest


def test_content_survives_its_domains(xen, hw, device, calls, guest):
    """Destroying a domain neither scrubs pmem nor gives it to the heap; the next domain sees the bytes."""
    heap = xen.heap.pages
    calls.memory_pmem_map(guest, [extent(G, device.first, 256)])
    assert xen.heap.pages == heap
    payload = random.Random(1).randbytes(256 * PAGE)
    xen.domain(guest).memory.write(Gpa(G * PAGE), payload)
    ram = xen.domain(guest).tot_pages
    calls.domctl_destroydomain(guest)
    assert xen.heap.pages == heap + ram
    assert hw.read(Spa(device.first << 12), 256 * PAGE) == payload
    second = calls.domctl_createdomain(bytes(16))
    calls.memory_pmem_map(second, [extent(G + 999, device.first, 256)])
    assert xen.domain(second).memory.read(Gpa((G + 999) * PAGE), 256 * PAGE) == payload


def test_failed_creation_releases(xen, device, calls, guest):
    before = list(xen.pmem.m2p)
    calls.memory_pmem_map(guest, [extent(G, device.first, 5)])
    calls.domctl_destroydomain(guest)
    assert list(xen.pmem.m2p) == before


def test_poisoned_frames(xen, hw, device, calls, guest):
    """Refused; or, when asked for, mapped as broken pages (xen.md 5.6)."""
    bad = Span(Spa((device.first + 7) * PAGE + 128), 64)
    hw.poison.add(bad)
    calls.platform_pmem_bad([bad])
    batch = [extent(G, device.first, 5), extent(G + 5, device.first + 5, 5)]
    before = snapshot(xen, device)
    with pytest.raises(HypercallError, match="is poisoned") as caught:
        calls.memory_pmem_map(guest, batch)
    assert caught.value.errno == abi.EIO
    assert snapshot(xen, device) == before
    calls.memory_pmem_map(guest, [extent(G, device.first, 7)])  # beside it
    calls.memory_pmem_unmap(guest, [Span(G, 7)])
    assert calls.memory_pmem_map(guest, batch, map_broken=True) == 2
    table = xen.domain(guest).p2m.pmem
    assert [(piece.start - G, piece.tag) for piece in table] == [(0, 0), (5, 0), (7, abi.P2M_RAM_BROKEN), (8, 0)]
    assert xen.pmem.frame_table(xen.pmem.regions[0]).record(device.first + 7).broken
    assert calls.memory_pmem_clear_error(guest, Span(Gpa((G + 7) * PAGE), PAGE)) == 64
    assert {piece.tag for piece in table} == {0}
    assert not xen.pmem.frame_table(xen.pmem.regions[0]).record(device.first + 7).broken
    assert len(hw.poison) == 0


def test_clear_error_is_checked(xen, device, calls, guest):
    calls.memory_pmem_map(guest, [extent(G, device.first, 5)])
    play(
        xen,
        [
            (guest, "memory_pmem_clear_error", (guest, Span(Gpa(G * PAGE), 256)), Refused(abi.EPERM)),
            (0, "memory_pmem_clear_error", (guest, Span(Gpa(0x1000), 256)), Refused(abi.ENXIO)),
            (0, "memory_pmem_clear_error", (guest, Span(Gpa((G + 4) * PAGE), PAGE + 1)), Refused(abi.ENXIO)),
            (0, "memory_pmem_clear_error", (guest, Span(Gpa(G * PAGE), 256)), 0),
        ],
    )


def test_two_devices_in_one_batch(xen, hw, device, calls, guest):
    second = Device(hw, 1).report(calls)
    batch = [extent(G, second.first, 4), extent(G + 4, device.first, 4), extent(G + 8, second.data.end - 1, 1)]
    assert calls.memory_pmem_map(guest, batch) == 3
    owners = [
        [run.info.owner for run in xen.pmem.frame_table(one).walk() if not run.info.free][2:]
        for one in xen.pmem.regions
    ]
    assert owners == [[guest], [guest, guest]]
    calls.domctl_destroydomain(guest)
    assert not len(xen.pmem.m2p)


def test_state_is_read_only_when_needed(tmp_path, hw):
    """A process that only lists domains does not read their P2Ms."""
    store = Store(None)
    xen = Xen(hw, store)
    xen.boot()
    calls = xen.hypercalls(0)
    device = Device(hw, 0).report(calls)
    guest = calls.domctl_createdomain(bytes(16))
    calls.memory_pmem_map(guest, [extent(G + i, device.first + 2 * i, 1) for i in range(1000)])
    again, asked = Xen(hw, store), []
    real = store.query

    def spy(sql, args=()):
        asked.append(args[0] if args else sql)
        return real(sql, args)

    store.query = spy
    assert [info.domid for info in again.hypercalls(0).sysctl_getdomaininfolist()] == [0, guest]
    assert set(asked) == {"xen.domain", "xen.console"}
    assert len(again.domain(guest).p2m.pmem) == 1000
    assert again.pmem.owner_of(Span(Spa((device.first + 4) << 12), PAGE)) == guest


@pytest.mark.parametrize("order", ["ascending", "shuffled"])
def test_forty_thousand_extents(order, hw, xen, device, calls, guest):
    """The cost is that of a few passes over columns: hardly a call for each of them."""
    frames = [device.first + 3 * i for i in range(40_000)]
    if order == "shuffled":
        random.Random(2).shuffle(frames)
    batch = [extent(G + i, mfn, 1) for i, mfn in enumerate(frames)]
    done = []
    assert work.calls(lambda: done.append(calls.memory_pmem_map(guest, batch))) < 5 * 40_000
    assert done == [40_000]
    assert [xen.pmem.m2p.lookup(frames[i])[0] - G for i in (0, 17, 39_999)] == [0, 17, 39_999]
    calls.domctl_destroydomain(guest)
    assert [run.info.free for run in xen.pmem.frame_table(xen.pmem.regions[0]).walk()] == [False, False, True]


def test_six_tebibytes_cost_what_six_mebibytes_cost(hw, xen, calls, guest):
    device = Device(hw, 2).report(calls)
    counts = None

    def live():
        nonlocal counts
        calls.memory_pmem_map(guest, [extent(1 << 30, device.first, device.data.size)])
        counts = xen.domain(guest).p2m.entry_counts(pmem=True)
        calls.domctl_destroydomain(guest)

    assert work.calls(live) < 5000
    assert counts.small + 512 * counts.large + (counts.huge << 18) == device.data.size


# --- read-only ---------------------------------------------------------------------------------------------------


def test_read_only_memory_is_read_and_never_written(xen, hw, device, calls, guest):
    d = device.first
    hw.write(Spa(d * PAGE), b"as it was")
    calls.memory_pmem_map(guest, [extent(G, d, 2)], read_only=True)
    calls.memory_pmem_map(guest, [extent(G + 2, d + 2, 1)])
    domain = xen.domain(guest)
    memory = domain.memory
    assert [piece.tag for piece in domain.p2m.pmem] == [abi.P2M_RAM_RO, abi.P2M_RAM_RW]
    assert memory.read(Gpa(G * PAGE), 9) == b"as it was"
    assert memory.view(Span(Gpa(G * PAGE), PAGE)).readonly
    for start, data in ((G * PAGE, b"x"), ((G + 2) * PAGE - 1, b"xy"), (G * PAGE, bytes(2 * PAGE + 1))):
        with pytest.raises(HypercallError, match="may only read") as caught:
            memory.write(Gpa(start), data)
        assert (caught.value.code, caught.value.errno) == ("XLPY-GUEST-READ-ONLY", abi.EACCES)
    memory.write(Gpa((G + 2) * PAGE), b"z")
    assert hw.read(Spa(d * PAGE), 9) == b"as it was"
    assert hw.read(Spa((d + 2) * PAGE - 1), 2) == b"\0z"  # nothing of a store that begins in read-only memory
    assert not domain.dying
    assert domain.shutdown_code is None
    assert f"(XEN) d{guest} attempted write to read-only gfn {G:#x} (mfn={d:#x})" in "\n".join(xen.console.lines())


def test_a_store_that_ends_in_read_only_memory_stores_nothing(xen, hw, device, calls, guest):
    d = device.first
    calls.memory_pmem_map(guest, [extent(G, d, 1)])
    calls.memory_pmem_map(guest, [extent(G + 1, d + 1, 1)], read_only=True)
    with pytest.raises(HypercallError):
        xen.domain(guest).memory.write(Gpa((G + 1) * PAGE - 4), b"12345678")
    assert hw.read(Spa((d + 1) * PAGE - 4), 8) == bytes(8)


def test_a_read_only_page_is_read_only_again_after_its_poison_is_cleared(xen, hw, device, calls, guest):
    d = device.first
    calls.memory_pmem_map(guest, [extent(G, d, 3)], read_only=True)
    tags = lambda: [(p.start - G, p.tag & 0xFF) for p in xen.domain(guest).p2m.pmem]  # noqa: E731
    hw.poison.add(Span(Spa((d + 1) * PAGE), 64))
    xen.consumed(Spa((d + 1) * PAGE))
    assert tags() == [(0, abi.P2M_RAM_RO), (1, abi.P2M_RAM_BROKEN), (2, abi.P2M_RAM_RO)]
    xen.clear_poison(Span(Spa((d + 1) * PAGE), PAGE))
    assert {tag for _, tag in tags()} == {abi.P2M_RAM_RO}


def test_what_is_mapped_read_only_survives_the_state(xen, device, calls, guest):
    calls.memory_pmem_map(guest, [extent(G, device.first, 2)], read_only=True)
    again = Xen(xen.hw, xen.store)
    assert [piece.tag for piece in again.domain(guest).p2m.pmem] == [abi.P2M_RAM_RO]
