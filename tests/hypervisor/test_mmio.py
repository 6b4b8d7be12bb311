"""ioreq servers: registration, dispatch, and how accesses are cut (xen.md 3.7)."""

import pytest
from hypervisor_helpers import Refused, play

from xlpy import abi
from xlpy.addr import PAGE, Gpa
from xlpy.errors import HypercallError, NotFound
from xlpy.firmware.layout import HPET
from xlpy.hypervisor.mmio import IoRequest
from xlpy.hypervisor.xen import Xen

PORT, MEMORY, PCI = 0, 1, 2
BOX = 0xFE000000  # one page of MMIO
ONES = b"\xff"


def connect(xen, domid, server, log, answer=0):
    def handler(access):
        log.append(access)
        return answer

    xen.connect_emulator(domid, server, handler)


@pytest.fixture
def box(xen, calls, guest):
    """A server with one page, enabled and connected; what it sees is logged."""
    server = calls.dm_create_ioreq_server(guest)
    calls.dm_map_io_range(guest, server, MEMORY, BOX, BOX + PAGE - 1)
    calls.dm_set_state(guest, server, True)
    log = []
    connect(xen, guest, server, log, 0x1122334455667788)
    return log


def test_registration(xen, calls, guest):
    model = calls.domctl_createdomain(bytes(16))
    calls.domctl_set_target(model, guest)
    pv = calls.domctl_createdomain(bytes(16), hvm=False)
    refused = {name: Refused(getattr(abi, name)) for name in ("EPERM", "ESRCH", "EINVAL", "ENOENT", "EEXIST")}
    eperm, esrch, einval, enoent, eexist = refused.values()
    play(
        xen,
        [
            (guest, "dm_create_ioreq_server", (guest,), eperm),  # its own domain
            (guest, "dm_create_ioreq_server", (abi.DOMID_SELF,), eperm),
            (0, "dm_create_ioreq_server", (99,), esrch),
            (0, "dm_create_ioreq_server", (pv,), einval),
            (pv, "dm_create_ioreq_server", (guest,), eperm),
            (model, "dm_create_ioreq_server", (guest,), 0),
            (0, "dm_create_ioreq_server", (guest,), 1),
            (model, "dm_map_io_range", (guest, 2, MEMORY, 0, 1), enoent),
            (0, "dm_map_io_range", (guest, 0, MEMORY, 0, 1), eperm),  # another emulator's server
            (model, "dm_map_io_range", (guest, 0, MEMORY, 0x2000, 0x1FFF), einval),
            (model, "dm_map_io_range", (guest, 0, 3, 0, 1), einval),
            (model, "dm_map_io_range", (guest, 0, MEMORY, -1, 1), einval),
            (model, "dm_map_io_range", (guest, 0, MEMORY, 0, 1 << 64), einval),
            (model, "dm_map_io_range", (guest, 0, MEMORY, 0x1000, 0x1FFF), None),
            (model, "dm_map_io_range", (guest, 0, MEMORY, 0x1FFF, 0x2000), eexist),  # inclusive ends
            (model, "dm_map_io_range", (guest, 0, MEMORY, 0, 0x9999), eexist),
            (model, "dm_map_io_range", (guest, 0, MEMORY, 0x1100, 0x1100), eexist),
            (model, "dm_map_io_range", (guest, 0, PORT, 0x1000, 0x1FFF), None),  # another type
            (model, "dm_map_io_range", (guest, 0, MEMORY, 0x2000, 0x2000), None),
            (0, "dm_map_io_range", (guest, 1, MEMORY, 0x1000, 0x1FFF), None),  # another server: not checked
            (model, "dm_unmap_io_range", (guest, 0, MEMORY, 0x1000, 0x1FFE), enoent),
            (model, "dm_unmap_io_range", (guest, 0, MEMORY, 0x1000, 0x1FFF), None),
            (model, "dm_unmap_io_range", (guest, 0, MEMORY, 0x1000, 0x1FFF), enoent),
            (model, "dm_set_state", (guest, 1, True), eperm),
            (model, "dm_set_state", (guest, 7, True), enoent),
            (model, "dm_destroy", (guest, 1), eperm),
            (model, "dm_destroy", (guest, 0), None),
            (model, "dm_destroy", (guest, 0), enoent),
            (model, "dm_create_ioreq_server", (guest,), 0),  # the lowest free id
        ],
    )


def test_limits(xen, calls, guest):
    assert [calls.dm_create_ioreq_server(guest) for _ in range(8)] == list(range(8))
    for i in range(256):
        calls.dm_map_io_range(guest, 3, MEMORY, i * 16, i * 16 + 7)
    play(
        xen,
        [
            (0, "dm_create_ioreq_server", (guest,), Refused(abi.ENOSPC)),
            (0, "dm_map_io_range", (guest, 3, MEMORY, 1 << 32, 1 << 32), Refused(abi.ENOSPC)),
            (0, "dm_map_io_range", (guest, 3, PORT, 0, 1), None),
            (0, "dm_map_io_range", (guest, 4, MEMORY, 0, 1), None),
        ],
    )


@pytest.mark.parametrize(
    ("gpa", "length", "cut"),
    [
        (BOX, 1, [(0, 1)]),
        (BOX + 3, 4, [(3, 4)]),  # unaligned, and still one access
        (BOX, 8, [(0, 8)]),
        (BOX, 16, [(0, 8), (8, 8)]),
        (BOX + 1, 7, [(1, 1), (2, 2), (4, 4)]),
        (BOX, 3, [(0, 2), (2, 1)]),
        (BOX + 6, 13, [(6, 2), (8, 8), (16, 2), (18, 1)]),
        (BOX - 16, 24, [(0, 8)]),  # the first 16 bytes are nobody's
        (BOX + PAGE - 4, 12, [(PAGE - 4, 4)]),
        (BOX + PAGE - 2, 4, [(PAGE - 2, 2)]),  # cut at the end of the page
        (BOX + PAGE, 4, []),
        (BOX - 4, 4, []),
        (BOX - 2, 4, [(0, 2)]),
    ],
)
def test_how_accesses_are_cut(xen, guest, box, gpa, length, cut):
    memory = xen.domain(guest).memory
    value = (0x1122334455667788).to_bytes(8, "little")
    expected = bytearray(ONES * length)
    for at, size in cut:
        start = BOX + at - gpa
        expected[start : start + size] = value[:size]
    assert memory.read(Gpa(gpa), length) == expected
    assert box == [IoRequest(BOX + at, size, write=False) for at, size in cut]
    box.clear()
    data = bytes(range(1, length + 1))
    memory.write(Gpa(gpa), data)
    assert box == [
        IoRequest(BOX + at, size, True, int.from_bytes(data[BOX + at - gpa : BOX + at - gpa + size], "little"))
        for at, size in cut
    ]


@pytest.mark.parametrize(
    ("gpa", "width", "count", "requests"),
    [  # of a string instruction: offset, size and units of each; the first shows what is there
        (BOX, 4, 1, [(0, 4, 1)]),
        (BOX, 4, 5, [(0, 4, 1), (4, 4, 4)]),
        (BOX + 8, 8, 3, [(8, 8, 1), (16, 8, 2)]),
        (BOX - 4, 4, 3, [(0, 4, 1), (4, 4, 1)]),  # begins where nobody is
        (BOX + PAGE - 8, 4, 3, [(PAGE - 8, 4, 1), (PAGE - 4, 4, 1)]),  # leaves the range
    ],
)
def test_a_string_instruction_is_one_request(xen, guest, box, gpa, width, count, requests):
    memory = xen.domain(guest).memory
    expected = b"".join([memory.read(Gpa(gpa + at * width), width) for at in range(count)])
    box.clear()
    run = memory.read_run(Gpa(gpa), width, count)
    assert box == [IoRequest(BOX + at, size, write=False, reps=reps) for at, size, reps in requests]
    if not any(reps > 1 for _, _, reps in requests):  # the box answers so much and no more
        assert run == expected
    assert len(run) == width * count


def test_a_string_instruction_reads_ram_and_the_hpet(xen, guest):
    memory = xen.domain(guest).memory
    memory.write(Gpa(0x1000), bytes(range(64)))
    for start in (0x1000, HPET, HPET + 0x400):  # the last: nobody
        units = b"".join([memory.read(Gpa(start + at), 4) for at in range(0, 64, 4)])
        assert memory.read_run(Gpa(start), 4, 16) == units


def test_an_access_must_lie_in_one_range_whole(xen, calls, guest, box):
    """Two ranges side by side do not make one."""
    server = calls.dm_create_ioreq_server(guest)
    calls.dm_map_io_range(guest, server, MEMORY, 0x90000000, 0x90000003)
    calls.dm_map_io_range(guest, server, MEMORY, 0x90000004, 0x90000007)
    calls.dm_set_state(guest, server, True)
    log = []
    connect(xen, guest, server, log, 0xAB)
    memory = xen.domain(guest).memory
    assert memory.read(Gpa(0x90000002), 4) == ONES * 4
    assert memory.read(Gpa(0x90000000), 8) == ONES * 8
    assert log == []
    assert memory.read(Gpa(0x90000004), 4) == b"\xab\0\0\0"


def test_the_highest_enabled_server_wins(xen, calls, guest, box):
    second = calls.dm_create_ioreq_server(guest)
    calls.dm_map_io_range(guest, second, MEMORY, BOX + 0x100, BOX + 0x1FF)
    log = []
    connect(xen, guest, second, log, 0x22)
    memory = xen.domain(guest).memory
    assert memory.read(Gpa(BOX + 0x100), 1) == b"\x88"  # disabled: the other one answers
    calls.dm_set_state(guest, second, True)
    assert memory.read(Gpa(BOX + 0x100), 1) == b"\x22"
    assert memory.read(Gpa(BOX + 0x1FF), 2) == b"\x88\x77"  # leaves the range of the second, not of the first
    calls.dm_destroy(guest, second)
    assert memory.read(Gpa(BOX + 0x100), 1) == b"\x88"
    calls.dm_set_state(guest, 0, False)
    assert memory.read(Gpa(BOX + 0x100), 1) == ONES


def test_no_emulator_is_connected(xen, hw, store, calls, guest, box):
    again = Xen(hw, store)
    assert again.domain(guest).memory.read(Gpa(BOX), 4) == ONES * 4
    assert (
        again.console.lines()[-1]
        == f"(XEN) d{guest} blocked: waits for ioreq server 0 at {BOX:#x}, no emulator is connected"
    )
    log = []
    connect(again, guest, 0, log, 7)  # servers are remembered, a new process connects again
    assert again.domain(guest).memory.read(Gpa(BOX), 1) == b"\x07"


def test_connecting(xen, guest):
    with pytest.raises(NotFound, match="no domain 99"):
        xen.connect_emulator(99, 0, lambda _: 0)
    with pytest.raises(HypercallError, match="has no ioreq server 0"):
        xen.connect_emulator(guest, 0, lambda _: 0)


def test_reading_a_large_hole_is_quick(xen, guest, box):
    assert xen.domain(guest).memory.read(Gpa(0x10000000), 1 << 26) == ONES * (1 << 26)
    assert box == []


def test_a_handler_that_answers_too_much_is_cut(xen, calls, guest):
    server = calls.dm_create_ioreq_server(guest)
    calls.dm_map_io_range(guest, server, MEMORY, BOX, BOX + 7)
    calls.dm_set_state(guest, server, True)
    connect(xen, guest, server, [], -1)
    assert xen.domain(guest).memory.read(Gpa(BOX), 2) == ONES * 2


def test_hpet_inside_xen(xen, calls, guest):
    memory = xen.domain(guest).memory
    assert memory.read(Gpa(0xFED00000), 4) == ONES * 4
    calls.hvm_set_param(guest, abi.HVM_PARAM_HPET_ENABLED, 1)
    assert memory.read(Gpa(0xFED00000), 4) == bytes.fromhex("01a28680")
    memory.write(Gpa(0xFED00000), b"\0\0\0\0")  # read-only
    memory.write(Gpa(0xFED00010), b"\1\0\0\0")
    assert memory.read(Gpa(0xFED00000), 24) == bytes.fromhex("01a286800024f400") + bytes(8) + b"\1" + bytes(7)
    assert PCI == 2
