"""What a guest may do to its own address space, and that pmem is out of bounds for all of it (xen.md 3.3, 6)."""

import os

import pytest
from hypervisor_helpers import Refused, extent, play

from xlpy import abi
from xlpy.addr import PAGE, Gpa, Span

G = 0x100000
SELF = abi.DOMID_SELF
GMFN, RANGE = abi.XENMAPSPACE_GMFN, abi.XENMAPSPACE_GMFN_RANGE
EPERM, EINVAL = Refused(abi.EPERM), Refused(abi.EINVAL)


@pytest.fixture
def with_pmem(calls, device, guest):
    calls.memory_pmem_map(guest, [extent(G, device.first, 16)])
    return guest


def test_pmem_is_out_of_bounds(xen, hw, device, with_pmem):
    guest = with_pmem
    xen.domain(guest).memory.write(Gpa(G * PAGE), b"persistent data")
    heap, m2p = xen.heap.pages, list(xen.pmem.m2p)
    for caller in (guest, 0):
        play(
            xen,
            [
                (caller, "memory_decrease_reservation", (guest, [Span(G, 1)]), EPERM),
                (caller, "memory_decrease_reservation", (guest, [Span(0x200, 1), Span(G + 15, 2)]), EPERM),
                (caller, "memory_decrease_reservation", (guest, [Span(G - 1, 100)]), EPERM),
                (caller, "memory_remove_from_physmap", (guest, G + 3), EPERM),
                (caller, "memory_add_to_physmap", (guest, GMFN, G, 0x5000), EPERM),  # from pmem
                (caller, "memory_add_to_physmap", (guest, GMFN, 0x200, G + 15), EPERM),  # onto pmem
                (caller, "memory_add_to_physmap", (guest, RANGE, 0x200, G - 8, 16), EPERM),
                (caller, "memory_add_to_physmap", (guest, RANGE, G - 8, 0x5000, 16), EPERM),
                (caller, "memory_populate_physmap", (guest, [Span(G + 2, 1)]), 0),  # memory is there already
            ],
        )
    assert xen.heap.pages == heap
    assert list(xen.pmem.m2p) == m2p
    assert xen.domain(guest).p2m.ram.lookup(0x200) is not None  # the whole call was refused
    assert xen.domain(guest).memory.read(Gpa(G * PAGE), 15) == b"persistent data"


def test_moving_pages(xen, with_pmem):
    guest = with_pmem
    memory = xen.domain(guest).memory
    memory.write(Gpa(0x300 * PAGE), b"three" * 1000)
    memory.write(Gpa(0x400 * PAGE), b"four")
    pages = xen.domain(guest).tot_pages
    play(
        xen,
        [
            (guest, "memory_add_to_physmap", (SELF, GMFN, 0x300, 0x9000), None),
            (guest, "memory_add_to_physmap", (SELF, GMFN, 0x300, 0x9001), EINVAL),  # a hole now
            (guest, "memory_add_to_physmap", (SELF, GMFN, 0x301, 0x9000, 2), EINVAL),  # one page only in this space
            (guest, "memory_add_to_physmap", (SELF, RANGE, 0x301, 0xA000, 0), EINVAL),
            (guest, "memory_add_to_physmap", (SELF, RANGE, 0x301, 0xA000, 65536), EINVAL),
            (guest, "memory_add_to_physmap", (SELF, RANGE, 0x301, 0xA000, 0xFF), None),
            (guest, "memory_add_to_physmap", (SELF, RANGE, 0x500, 0x508, 16), EINVAL),  # overlap
            (guest, "memory_add_to_physmap", (SELF, RANGE, 0x500, 0x800, 16), None),  # onto RAM, which is freed
            (guest, "memory_add_to_physmap", (SELF, abi.XENMAPSPACE_GMFN_FOREIGN, 0, 1), Refused(abi.EOPNOTSUPP)),
            (guest, "memory_add_to_physmap", (SELF, GMFN, 0x600, 1 << 34), EINVAL),
            (guest, "memory_add_to_physmap", (SELF, GMFN, -1, 0x9001), EINVAL),
            (guest, "memory_add_to_physmap", (0, GMFN, 0x600, 0x9001), EPERM),
        ],
    )
    assert memory.read(Gpa(0x9000 * PAGE), 4096) == (b"three" * 1000)[:4096]
    assert memory.read(Gpa(0xA000 * PAGE), 904) == (b"three" * 1000)[4096:]
    assert memory.read(Gpa(0x400 * PAGE), 4) == b"four"
    assert memory.read(Gpa(0x300 * PAGE), 4) == b"\xff" * 4
    assert xen.domain(guest).tot_pages == pages - 16


def test_a_page_keeps_its_bytes_when_its_old_place_is_populated_again(xen, with_pmem):
    """The RAM file is indexed by where a page was populated; two pages never share a place."""
    guest = with_pmem
    memory = xen.domain(guest).memory
    memory.write(Gpa(0x300 * PAGE), b"old")
    play(
        xen,
        [
            (guest, "memory_add_to_physmap", (SELF, GMFN, 0x300, 0x9000), None),
            (guest, "memory_populate_physmap", (SELF, [Span(0x300, 1)]), 1),
        ],
    )
    memory.write(Gpa(0x300 * PAGE), b"new")
    assert memory.read(Gpa(0x9000 * PAGE), 3) == b"old"
    assert memory.read(Gpa(0x300 * PAGE), 3) == b"new"


def test_ballooning(xen, with_pmem):
    guest = with_pmem
    domain = xen.domain(guest)
    domain.memory.write(Gpa(0x200 * PAGE), b"private")
    free, pages = xen.heap.pages, domain.tot_pages
    play(
        xen,
        [
            (guest, "memory_decrease_reservation", (SELF, [Span(0x200, 4), Span(0x300, 1), Span(0x200, 1)]), 2),
            (guest, "memory_remove_from_physmap", (SELF, 0x200), Refused(abi.ENOENT)),
            (guest, "memory_remove_from_physmap", (SELF, 0x204), None),
        ],
    )
    assert (xen.heap.pages, domain.tot_pages) == (free + 6, pages - 6)
    assert domain.memory.read(Gpa(0x200 * PAGE), 7) == b"\xff" * 7
    with domain.home.joinpath("ram").open("rb") as file:  # scrubbed on the way to the heap
        assert os.pread(file.fileno(), 4 * PAGE, 0x200 * PAGE) == bytes(4 * PAGE)
    play(xen, [(guest, "memory_populate_physmap", (SELF, [Span(0x200, 1)]), 1)])
    assert domain.memory.read(Gpa(0x200 * PAGE), 7) == bytes(7)


def test_a_guest_has_no_rights_over_another(xen, calls, with_pmem):
    other = calls.domctl_createdomain(bytes(16))
    play(
        xen,
        [
            (other, "memory_populate_physmap", (with_pmem, [Span(0x5000, 1)]), EPERM),
            (other, "memory_decrease_reservation", (with_pmem, [Span(0x200, 1)]), EPERM),
            (other, "memory_remove_from_physmap", (with_pmem, 0x200), EPERM),
            (other, "memory_memory_map", (with_pmem,), EPERM),
            (other, "hvm_set_param", (with_pmem, 0, 1), EPERM),
        ],
    )
