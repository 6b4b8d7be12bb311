"""Guest memory: where its bytes lie, and what reads and writes do."""

import os
import random
from contextlib import suppress

import pytest
import work
from hypervisor_helpers import extent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xlpy.addr import GIB, MIB, PAGE, Gpa, Spa, Span
from xlpy.errors import Constraint, HostTrouble
from xlpy.hypervisor.memory import GuestCrashed
from xlpy.hypervisor.mmio import IoRequest
from xlpy.hypervisor.xen import Xen

G4 = 4 * GIB


def big_guest(calls, low=0x8000, high=0x4000):
    domid = calls.domctl_createdomain(bytes(16))
    calls.domctl_max_mem(domid, 1 << 20)
    extents = [Span(0, 0xA0), Span(0xC0, low - 0xC0), Span(0x100000, high), Span(0xFEFF8, 8)]
    assert calls.memory_populate_physmap(domid, extents) == 4
    return domid


def test_ram_file_is_what_an_emulator_wants(xen, calls):
    """Low RAM at offset = address, RAM from 4 GiB up right behind it; what lies in the hole is in another file."""
    memory = (domain := xen.domain(big_guest(calls))).memory
    for gpa, mark in [
        (0x500, b"low"),
        (0x7FFF000, b"end"),
        (G4, b"high"),
        (G4 + 0x3FFF000, b"top"),
        (0xFEFF8000, b"hole"),
    ]:
        memory.write(Gpa(gpa), mark)
    with domain.home.joinpath("ram").open("rb") as file:
        assert os.fstat(file.fileno()).st_size == (0x8000 + 0x4000) * PAGE
        for offset, mark in [
            (0x500, b"low"),
            (0x7FFF000, b"end"),
            (0x8000000, b"high"),
            (0x8000000 + 0x3FFF000, b"top"),
        ]:
            assert os.pread(file.fileno(), len(mark), offset) == mark
        assert os.fstat(file.fileno()).st_blocks * 512 < MIB  # sparse
    with domain.home.joinpath("hole").open("rb") as file:
        assert os.pread(file.fileno(), 4, 0xFEFF8000) == b"hole"


def test_another_process_sees_the_same_bytes(xen, hw, store, calls, device):
    domid = big_guest(calls)
    calls.memory_pmem_map(domid, [extent(0x200000, device.first, 4)])
    xen.domain(domid).memory.write(Gpa(0x1234), b"ram bytes")
    xen.domain(domid).memory.write(Gpa(0x200000 * PAGE), b"pmem bytes")
    again = Xen(hw, store).domain(domid).memory
    assert again.read(Gpa(0x1234), 9) == b"ram bytes"
    assert again.read(Gpa(0x200000 * PAGE), 10) == b"pmem bytes"
    again.write(Gpa(0x1234), b"RAM")
    assert xen.domain(domid).memory.read(Gpa(0x1234), 9) == b"RAM bytes"


def test_unmapped_addresses(xen, calls):
    memory = xen.domain(big_guest(calls)).memory
    for gpa in (0xA0000, 0x9FFFF000, G4 + GIB, (1 << 46) + 5, (1 << 64) - 8):
        memory.write(Gpa(gpa), b"dropped!")
        assert memory.read(Gpa(gpa), 8) == b"\xff" * 8
    memory.write(Gpa(0x9FFFC), b"12345678")  # the last four bytes fall into the VGA window
    assert memory.read(Gpa(0x9FFFC), 8) == b"1234\xff\xff\xff\xff"
    assert memory.read(Gpa(0xBFFFC), 8) == b"\xff" * 4 + bytes(4)
    assert memory.read(Gpa(0x1000), 0) == b""
    assert memory.read(Gpa(0xA0000), 0) == b""
    memory.write(Gpa(0x1000), b"")
    assert memory.read(Gpa(0x90000), 0x40000)[0xE000:0x31000] == (
        bytes(0x1FFC) + b"1234" + b"\xff" * 0x20000 + bytes(0x1000)
    )


@pytest.mark.parametrize(("gpa", "length"), [(-1, 4), (0, -1), ((1 << 64) - 4, 8), (1 << 64, 1)])
def test_addresses_that_do_not_exist(xen, calls, gpa, length):
    with pytest.raises(Constraint, match="leave the 64-bit address space"):
        xen.domain(big_guest(calls)).memory.read(Gpa(gpa), length)


def test_view(xen, hw, calls, device):
    domid = big_guest(calls)
    calls.memory_pmem_map(domid, [extent(0x200000, device.first, 4), extent(0x200004, device.first + 8, 4)])
    memory = xen.domain(domid).memory
    view = memory.view(Span(Gpa(0x200000 * PAGE), 4 * PAGE))
    view[:5] = b"media"
    assert hw.read(Spa(device.first << 12), 5) == b"media"
    memory.view(Span(Gpa(0x100000), 16))[:] = b"sixteen bytes..."
    assert memory.read(Gpa(0x100000), 16) == b"sixteen bytes..."
    for bad in (Span(Gpa(0x200003 * PAGE), 2 * PAGE), Span(Gpa(0x9F000), 0x2000), Span(Gpa(0xA0000), 1)):
        with pytest.raises(Constraint, match="not in one piece"):
            memory.view(bad)


def test_map(xen, calls, device):
    domid = big_guest(calls)
    calls.memory_pmem_map(domid, [extent(0x200000, device.first, 4)])
    server = calls.dm_create_ioreq_server(domid)
    calls.dm_map_io_range(domid, server, 1, 0xFE000000, 0xFE000FFF)
    rows = [(row.span.start, row.span.size, row.kind, row.what) for row in xen.map(domid)]
    assert rows == [
        (0, 0xA0000, "ram", ""),
        (0xC0000, 0x8000000 - 0xC0000, "ram", ""),
        (0xFE000000, 0x1000, "mmio", "ioreq server 0 (disabled)"),
        (0xFEFF8000, 0x8000, "ram", ""),
        (G4, 0x4000000, "ram", ""),
        (0x200000000, 0x4000, "pmem", ""),
    ]
    assert xen.map(domid)[-1].spa == device.first << 12
    spans = [row.spa for row in xen.map(domid) if row.kind == "ram"]
    assert len(set(spans)) == 4


accesses = st.lists(
    st.tuples(
        st.sampled_from(["write", "read"]), st.integers(0, 0x6100), st.integers(0, 0x2100), st.binary(max_size=3)
    ),
    max_size=25,
)


@given(accesses)
@settings(max_examples=35, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reads_give_what_was_written(xen, calls, device, program):
    """RAM, pmem in scattered extents, and holes, against a bytearray."""
    domid = calls.domctl_createdomain(bytes(16))
    calls.domctl_max_mem(domid, 1 << 20)
    base = 0x200000
    calls.memory_populate_physmap(domid, [Span(base, 1), Span(base + 3, 1)])
    pmem = [
        extent(base + 1, device.first + 9, 1),
        extent(base + 4, device.first + 3, 1),
        extent(base + 5, device.first, 1),
    ]
    calls.memory_pmem_map(domid, pmem)
    memory = xen.domain(domid).memory
    model = bytearray(b"\xff" * 0x9000)
    mapped = [0, 1, 3, 4, 5]
    for page in mapped:
        model[page * PAGE : (page + 1) * PAGE] = memory.read(Gpa((base + page) * PAGE), PAGE)
    for kind, at, length, seed in program:
        if kind == "write":
            data = random.Random(seed).randbytes(length)
            memory.write(Gpa(base * PAGE + at), data)
            for i, byte in enumerate(data):
                if (at + i) // PAGE in mapped:
                    model[at + i] = byte
        else:
            assert memory.read(Gpa(base * PAGE + at), length) == model[at : at + length]
    assert memory.read(Gpa(base * PAGE), 0x9000) == model
    calls.domctl_destroydomain(domid)


def test_reading_poison_is_a_machine_check(xen, hw, calls, device):
    domid = big_guest(calls)
    calls.memory_pmem_map(domid, [extent(0x200000, device.first, 4)])
    start = 0x200000 * PAGE
    domain = xen.domain(domid)
    domain.memory.write(Gpa(start), b"before")
    hw.poison.add(Span(Spa((device.first << 12) + PAGE + 64), 64))
    domain.memory.forget()
    assert domain.memory.read(Gpa(start), PAGE + 64)[:6] == b"before"
    assert domain.memory.read(Gpa(start + PAGE + 128), 16) == bytes(16)
    domain.memory.write(Gpa(start + PAGE + 60), b"over poison")  # a write does not look
    with pytest.raises(GuestCrashed, match="the guest read poison at 0x200001040"):
        domain.memory.read(Gpa(start + PAGE + 60), 8)
    assert domain.vmce[-1].addr == start + PAGE + 64  # guest physical
    assert domain.shutdown_code is None  # it was told, and may recover
    with pytest.raises(GuestCrashed, match="a page that a machine check poisoned"):
        domain.memory.read(Gpa(start + PAGE + 128), 16)
    assert domain.state == "--p-c-"
    assert domain.memory.read(Gpa(start), 6) == b"before"


def test_moved_pages_are_found(xen, calls):
    domid = big_guest(calls)
    memory = xen.domain(domid).memory
    memory.write(Gpa(0x5000), b"moved")
    calls.memory_add_to_physmap(domid, 2, 5, 0x300000)
    assert memory.read(Gpa(0x300000 * PAGE), 5) == b"moved"
    assert memory.read(Gpa(0x5000), 5) == b"\xff" * 5


def test_file_system_full(xen, calls, monkeypatch):
    domid = calls.domctl_createdomain(bytes(16))
    calls.domctl_max_mem(domid, 1 << 20)
    free = xen.heap.pages

    def full(*_):
        raise OSError(28, "No space left on device")

    calls.memory_populate_physmap(domid, [Span(0x100, 1)])
    free -= 1
    monkeypatch.setattr(os, "truncate", full)
    with pytest.raises(HostTrouble, match="No space left on device"):  # the emulated host does not lack RAM
        calls.memory_populate_physmap(domid, [Span(0x101, 16)])
    monkeypatch.undo()
    assert (xen.heap.pages, xen.domain(domid).tot_pages) == (free, 1)
    assert calls.memory_populate_physmap(domid, [Span(0x101, 16)]) == 1


@pytest.mark.parametrize("where", ["ram", "pmem"])
def test_bulk_copies_are_few_calls(xen, calls, device, where):
    """Some for each MiB, none for each page; the benchmark holds their speed against a plain copy."""
    domid = big_guest(calls)
    calls.memory_pmem_map(domid, [extent(0x200000, device.first, 0x4000)])
    memory = xen.domain(domid).memory
    gpa = Gpa(0x100000 if where == "ram" else 0x200000 * PAGE)
    data = bytes(16 * MIB)
    memory.write(gpa, data)
    assert work.calls(lambda: memory.read(gpa, 16 * MIB)) < 16 * 40
    assert work.calls(lambda: memory.write(gpa, data)) < 16 * 40


def test_writing_to_a_full_disk_is_an_error(xen, calls, monkeypatch):
    """Not a signal: what is new in a file goes there by system call."""
    memory = xen.domain(big_guest(calls)).memory

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    for size in (5, 1 << 20):
        with pytest.raises(Constraint, match="No space left on device"):
            memory.write(Gpa(0x100000), bytes(size))


def test_mmio_lies_over_holes_only(xen, calls):
    """A range over populated RAM never traps (xen.md 3.7)."""
    domid = big_guest(calls)
    server = calls.dm_create_ioreq_server(domid)
    calls.dm_map_io_range(domid, server, 1, 0x9F000, 0xA0FFF)
    calls.dm_set_state(domid, server, True)
    seen = []

    def handler(access: IoRequest) -> int:
        seen.append(access)
        return 0x11

    xen.connect_emulator(domid, server, handler)
    memory = xen.domain(domid).memory
    assert memory.read(Gpa(0x9FFFF), 2) == b"\x00\x11"
    memory.write(Gpa(0x9FFFE), b"abcd")
    assert seen == [IoRequest(0xA0000, 1, False), IoRequest(0xA0000, 2, True, 0x6463)]
    assert memory.read(Gpa(0x9FFFE), 2) == b"ab"


def test_pages_that_were_given_back_are_scrubbed_when_it_is_committed(xen, calls, store):
    """Until then they can be had back; what is populated meanwhile lies elsewhere, and is zero."""

    class Refused(Exception):
        pass

    domid = big_guest(calls)
    memory, at = xen.domain(domid).memory, Gpa(0x200 * PAGE)
    memory.write(at, b"kept")

    def give_back_and_populate(refuse):
        with suppress(Refused), store.transaction("test"), store.savepoint():
            assert calls.memory_decrease_reservation(domid, [Span(0x200, 2)]) == 1
            assert calls.memory_populate_physmap(domid, [Span(0x200, 2)]) == 1
            assert xen.domain(domid).memory.read(at, 4) == bytes(4)
            xen.domain(domid).memory.write(at, b"new.")
            if refuse:
                raise Refused
        xen.reread()

    give_back_and_populate(refuse=True)
    assert xen.domain(domid).memory.read(at, 4) == b"kept"
    give_back_and_populate(refuse=False)
    assert xen.domain(domid).memory.read(at, 4) == b"new."
    home = xen.domain(domid).files.path(0).parent
    assert not any(b"kept" in stored(path) for path in home.iterdir())
    calls.memory_decrease_reservation(domid, [Span(0x200, 2)])
    assert not any(b"new." in stored(path) for path in home.iterdir())


def stored(path):
    """What a sparse file holds, without its holes."""
    found, at = b"", 0
    with path.open("rb") as file, suppress(OSError):
        while True:
            start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found += os.pread(file.fileno(), at - start, start)
    return found
