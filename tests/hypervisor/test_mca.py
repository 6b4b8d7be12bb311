"""Machine checks: whose page, who is told, and what stays (xen.md 3.9, 5.6)."""

import pytest
from hypervisor_helpers import Refused, extent, play

from xlpy import abi
from xlpy.addr import PAGE, Gpa, Spa, Span
from xlpy.hypervisor.mca import CONTINUE, RECOVERED, RESET, MachineCheck
from xlpy.hypervisor.xen import Xen

G = 0x100000


@pytest.fixture
def mapped(calls, device, guest):
    calls.memory_pmem_map(guest, [extent(G, device.first, 8), extent(G + 8, device.first + 100, 8)])
    return guest


def test_a_guest_loses_its_page(xen, hw, device, mapped):
    spa = Spa(((device.first + 103) << 12) + 0x7C5)
    outcome = xen.mca.report(spa, action_required=True)
    gpa = (G + 11) * PAGE + 0x7C5
    assert outcome[:3] == (RECOVERED, mapped, gpa)  # a host in the old handling would have panicked
    domain = xen.domain(mapped)
    assert [(p.start - G, p.tag) for p in domain.p2m.pmem] == [(0, 0), (8, 0), (11, abi.P2M_RAM_BROKEN), (12, 0)]
    assert list(hw.poison) == [Span(Spa(((device.first + 103) << 12) + 0x7C0), 64)]
    assert xen.pmem.frame_table(xen.pmem.regions[0]).record(device.first + 103).broken
    (record,) = domain.vmce
    assert record.addr == gpa
    assert record.status >> 55 & 0b11 == 0b11  # S and AR
    assert record.status & 0xFFFF0000 == 0  # model-specific code is not shown
    assert record.status & 0xFFFF == 0x134
    assert record.mcg_status == 0b101  # RIPV, MCIP
    assert record.misc & 0x1FF == 2 << 6 | 6  # physical address, 64-byte line
    assert domain.shutdown_code is None
    assert xen.panic is None


def test_the_record_outlives_the_domain(xen, hw, store, calls, device, mapped):
    """Host view: bad until cleared. It blocks the next mapping of the page, and only of that page."""
    spa = Spa((device.first + 3) << 12)
    xen.mca.report(spa)
    calls.domctl_destroydomain(mapped)
    again = Xen(hw, store)
    second = again.hypercalls(0).domctl_createdomain(bytes(16))
    play(
        again,
        [
            (0, "memory_pmem_map", (second, [extent(G, device.first, 8)]), Refused(abi.EIO)),
            (0, "memory_pmem_map", (second, [extent(G, device.first, 3)]), 1),
        ],
    )
    assert again.pmem.broken == [device.first + 3]
    assert again.mca.clear(Span(spa, 64)) == 64
    assert again.pmem.broken == []
    play(again, [(0, "memory_pmem_map", (second, [extent(G + 3, device.first + 3, 5)]), 1)])


def test_the_page_is_repaired_when_its_last_line_is(xen, device, mapped):
    base = (device.first + 3) << 12
    xen.mca.report(Spa(base))
    xen.domain(mapped).finish_machine_check()
    xen.hw.poison.add(Span(Spa(base + 256), 64))
    table = xen.domain(mapped).p2m.pmem
    assert xen.mca.clear(Span(Spa(base), 64)) == 64
    assert table.lookup(G + 3)[1] == abi.P2M_RAM_BROKEN
    assert xen.mca.clear(Span(Spa(base), PAGE)) == 64
    assert table.lookup(G + 3) == (device.first + 3, abi.P2M_RAM_RW)
    assert xen.domain(mapped).memory.read(Gpa((G + 3) * PAGE), 4) == bytes(4)


def test_a_page_without_an_owner(xen, hw, device):
    outcome = xen.mca.report(Spa(device.first << 12), action_required=True)
    assert outcome[:3] == (RECOVERED, None, None)
    assert len(hw.poison) == 1
    info = xen.pmem.frame_table(xen.pmem.regions[0]).record(device.first)
    assert (info.broken, info.free) == (True, True)


def test_xens_own_metadata(xen, hw, store, device):
    outcome = xen.mca.report(Spa(device.reserved.start << 12))
    assert outcome.verdict == RESET
    assert "holds Xen's own metadata" in outcome.why
    assert "holds Xen's own metadata" in Xen(hw, store).panic
    assert any("Panic on CPU 0" in line for line in xen.console.lines())


@pytest.mark.parametrize(("required", "verdict"), [(False, CONTINUE), (True, RESET)])
def test_unregistered_pmem_is_not_conventional_ram(xen, hw, required, verdict):
    """What the exemption is for: without a report, an action-required error brings the host down."""
    outcome = xen.mca.report(hw.regions[1].span.start, action_required=required)
    assert outcome.verdict == verdict
    assert "not conventional RAM" in outcome.why
    assert len(hw.poison) == 1  # the media are bad all the same


def test_a_second_error_in_the_same_page(xen, device, mapped):
    xen.mca.report(Spa(device.first << 12))
    xen.domain(mapped).finish_machine_check()
    outcome = xen.mca.report(Spa((device.first << 12) + 128))
    assert outcome.verdict == CONTINUE
    assert xen.domain(mapped).shutdown_code == abi.SHUTDOWN_CRASH


@pytest.mark.parametrize(("required", "verdict"), [(False, CONTINUE), (True, RESET)])
def test_the_last_machine_check_is_not_finished(xen, device, mapped, required, verdict):
    xen.mca.report(Spa(device.first << 12))
    outcome = xen.mca.report(Spa((device.first + 1) << 12), action_required=required)
    assert outcome.verdict == verdict  # the starting verdict stands
    assert "had not finished the last machine check" in outcome.why
    assert xen.domain(mapped).shutdown_code == abi.SHUTDOWN_CRASH
    assert len(xen.domain(mapped).vmce) == 1


def test_guests_without_hardware_assisted_paging(xen, calls, device):
    domid = calls.domctl_createdomain(bytes(16), flags=abi.XEN_DOMCTL_CDF_HVM)
    calls.memory_pmem_map(domid, [extent(G, device.first, 1)])
    outcome = xen.mca.report(Spa(device.first << 12))
    assert (outcome.verdict, outcome.domid) == (CONTINUE, domid)
    assert xen.domain(domid).state == "--p-c-"
    assert xen.domain(domid).vmce == []


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda c: c._replace(status=c.status & ~(1 << 58)), CONTINUE),  # no ADDRV
        (lambda c: c._replace(status=c.status & ~(1 << 59)), CONTINUE),  # no MISCV
        (lambda c: c._replace(misc=c.misc & 0x3F | 1 << 6), CONTINUE),  # not a physical address
        (lambda c: c._replace(status=c.status & ~(1 << 58) | 1 << 55), RESET),  # action required, address unknown
        (lambda c: c._replace(status=c.status | 1 << 57), RESET),  # context corrupt
    ],
)
def test_checks_without_a_usable_address(xen, hw, device, mapped, change, verdict):
    outcome = xen.mca.handle(change(MachineCheck.memory_error(Spa(device.first << 12))))
    assert (outcome.verdict, outcome.domid) == (verdict, None)
    assert len(hw.poison) == 0
    assert xen.domain(mapped).vmce == []


def test_coarser_errors(xen, hw, device):
    """MCi_MISC says how much is lost: 2**12 here."""
    check = MachineCheck.memory_error(Spa((device.first << 12) + 0x123))
    xen.mca.handle(check._replace(misc=2 << 6 | 12))
    assert list(hw.poison) == [Span(Spa(device.first << 12), PAGE)]


def test_ram_of_a_guest(xen, calls, guest):
    domain = xen.domain(guest)
    spa = Spa((domain.p2m.lookup(0x200).mfn << 12) + 8)
    outcome = xen.mca.report(spa, action_required=True)
    assert outcome[:3] == (RECOVERED, guest, 0x200008)
    assert domain.p2m.lookup(0x200).broken
    free, pages = xen.heap.pages, domain.tot_pages
    calls.domctl_destroydomain(guest)
    assert xen.heap.pages == free + pages - 1  # the broken frame never comes back
    assert spa >> 12 not in xen.heap


def test_free_ram(xen):
    free = xen.heap.pages
    frame = next(mfn for mfn in range(0x50000, 0x60000) if mfn in xen.heap)
    assert xen.mca.report(Spa(frame << 12)).verdict == RECOVERED
    assert xen.heap.pages == free - 1
    assert xen.mca.report(Spa(frame << 12)).verdict == CONTINUE  # offlined before
    own = next(mfn for mfn in range(0x200, 0x60000) if mfn not in xen.heap)
    assert xen.mca.report(Spa(own << 12), action_required=True).verdict == RESET  # Xen's or Dom0's
