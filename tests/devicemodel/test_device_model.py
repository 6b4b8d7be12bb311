"""The device model among real actors: attaching, answering, hotplug, and undoing all of it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from xlpy.addr import GIB, KIB, MIB, PAGE, TIB, Gpa, Spa, Span
from xlpy.devicemodel.dmacpi import area_for
from xlpy.devicemodel.labels import LabelStore
from xlpy.devicemodel.mailbox import Request
from xlpy.errors import Conflict, Constraint, HypercallError, NotFound, XlpyError
from xlpy.firmware.acpi.nfit import ControlRegion, SpaRange
from xlpy.firmware.acpi.nfit_format import parse_nfit, parse_structures
from xlpy.firmware.dm_acpi import parse_stream
from xlpy.firmware.e820 import E820_RAM, E820Entry
from xlpy.firmware.layout import XEN_HVM, in_ram
from xlpy.hypervisor.mmio import IoRequest

if TYPE_CHECKING:
    from devicemodel.conftest import World

    from xlpy.devicemodel.model import DeviceModel

ROOT = bytes.fromhex("a4e7102f919ee41189d3123b93f75cba")
DEVICE = bytes.fromhex("30ac094311 0de411919108 00200c9a66".replace(" ", ""))
PRIVATE = bytes.fromhex("f29c8b64a1cd12438ad949c4af32bd62")


def stream(world: World) -> bytes:
    """What xenstore announces to hvmloader."""
    home = f"/local/domain/{world.domid}/hvmloader/dm-acpi"
    address, length = (int(world.xenstore.read(f"{home}/{name}"), 16) for name in ("address", "length"))
    assert address % PAGE == 0
    assert address + length <= 64 * MIB < address + length + PAGE
    return world.domain.memory.read(Gpa(address), length)


def test_attach(world: World) -> None:
    pieces = [(4 * MIB, 8 * KIB), (1 * MIB, 64 * KIB)]
    placed = world.model().attach([world.backing("a", *pieces), world.backing("b", (0, 2 * TIB), region=1)])
    assert [(device.handle, device.gpa) for device in placed] == [(1, 20 * GIB), (2, 21 * GIB)]
    assert [(span.span.start, span.span.size) for span in world.domain.memory.spans() if span.kind == "pmem"] == [
        (20 * GIB, 8 * KIB),
        (20 * GIB + 8 * KIB, 64 * KIB),
        (21 * GIB, 2 * TIB),
    ]
    table, device, srat = parse_stream(stream(world))
    assert [(e.base, e.length) for e in parse_nfit(table.blob) if isinstance(e, SpaRange)] == [
        (20 * GIB, 72 * KIB),
        (21 * GIB, 2 * TIB),
    ]
    assert srat.label == "SRAT"
    assert device.label == "NVDR"
    assert device.body.count(b"_ADR") == 8  # room for six more


def test_guest_bytes_are_media_bytes(world: World) -> None:
    world.model().attach([world.backing("a", (4 * MIB, 8 * KIB), (1 * MIB, 64 * KIB))])
    world.domain.memory.write(Gpa(20 * GIB + 8 * KIB - 2), b"over the seam")
    assert world.hw.read(Spa(world.data[0].start + 4 * MIB + 8 * KIB - 2), 2) == b"ov"
    assert world.hw.read(Spa(world.data[0].start + 1 * MIB), 11) == b"er the seam"


def test_nothing_to_attach_is_nothing_done(world: World) -> None:
    before = world.state()
    assert world.model().attach([]) == []
    world.model().destroy()
    assert world.state() == before


def test_destroy_takes_all_back_but_labels_and_data(world: World) -> None:
    before = world.state()
    backing = world.backing("a", (0, MIB))
    model = world.model()
    (first,) = model.attach([backing])
    ask(model, DEVICE, 1, 6, struct.pack("<II", 0, 4) + b"kept")
    world.domain.memory.write(Gpa(20 * GIB), b"data")
    world.model().destroy()
    after = world.state()
    assert after.pop("ram") != before.pop("ram")  # what lay in RAM is the guest's
    assert after == before
    assert LabelStore(backing.label_path or "", 128 * KIB).read(0, 4) == b"kept"
    assert world.hw.read(world.data[0].start, 4) == b"data"
    again = world.model()
    assert again.attach([backing])[0].serial == first.serial
    assert ask(again, DEVICE, 1, 5, struct.pack("<II", 0, 4)) == bytes(4) + b"kept"


@pytest.mark.parametrize(
    ("call", "after"),
    [
        ("memory_pmem_map", 0),
        ("memory_pmem_map", 1),
        ("dm_create_ioreq_server", 0),
        ("dm_map_io_range", 0),
        ("dm_set_state", 0),
    ],
)
def test_any_hypercall_that_fails_leaves_no_trace(
    world: World, call: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.state()
    kind = type(world.calls)
    whole = getattr(kind, call)
    calls: list[object] = []

    def failing(self: object, *args: Any, **named: Any) -> Any:
        calls.append(args)
        if len(calls) > after:
            raise HypercallError(f"{call} refused", 12)
        return whole(self, *args, **named)

    monkeypatch.setattr(kind, call, failing)
    model = world.model()
    with pytest.raises(HypercallError, match="refused"):
        model.attach([world.backing("a", (0, MIB)), world.backing("b", (MIB, MIB))])
    monkeypatch.undo()
    assert world.state() == before
    assert world.model().attach([world.backing("a", (0, MIB))])


def test_a_failing_xenstore_leaves_no_trace(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = world.state()
    write = type(world.xenstore).write

    def failing(self: object, path: str, value: str) -> None:
        if path.endswith("length"):
            raise XlpyError("EACCES")
        write(self, path, value)  # type: ignore[arg-type]

    monkeypatch.setattr(type(world.xenstore), "write", failing)
    with pytest.raises(XlpyError, match="EACCES"):
        world.model().attach([world.backing("a", (0, MIB))])
    assert world.state() == before


@pytest.mark.parametrize(
    ("pieces", "fields", "error"),
    [
        pytest.param([(0, MIB), (MIB // 2, MIB)], {}, HypercallError, id="the same host page twice"),
        pytest.param([(-PAGE, MIB)], {}, HypercallError, id="Xen's reserved area"),
        pytest.param([(0, MIB)], {"label_size": 4096}, Constraint, id="a label area too small"),
        pytest.param([(0, MIB)], {"label_path": "/nowhere/x"}, Constraint, id="nowhere to keep labels"),
        pytest.param([(0, MIB), (0, 70 * TIB)], {}, Constraint, id="beyond the guest's physical width"),
    ],
)
def test_backings_that_cannot_be(
    world: World, pieces: list[tuple[int, int]], fields: dict[str, Any], error: type[Exception]
) -> None:
    before = world.state()
    with pytest.raises(error):
        world.model().attach([world.backing("good", (8 * MIB, MIB)), world.backing("bad", *pieces, **fields)])
    assert world.state() == before


def test_tables_that_do_not_fit_below_the_end_of_ram(world: World) -> None:
    small = E820Entry(Gpa(MIB), MIB + 2 * PAGE, E820_RAM)
    world.calls.memory_set_memory_map(world.domid, [small])
    before = world.state()
    world.model().attach([world.backing("a", (0, MIB))], slots=8)
    world.model().destroy()
    with pytest.raises(Constraint, match="do not fit into the domain's RAM"):
        world.model().attach([world.backing("a", (0, MIB))], slots=256)
    assert world.state()["pmem"] == before["pmem"]


@pytest.mark.parametrize(
    ("length", "low_end", "area"),
    [
        (1, 64 * MIB, (64 * MIB - PAGE, PAGE)),
        (PAGE, 64 * MIB, (64 * MIB - PAGE, PAGE)),
        (PAGE + 1, 64 * MIB + 5, (64 * MIB - 2 * PAGE, 2 * PAGE)),
        (PAGE, 2 * MIB + PAGE, (2 * MIB, PAGE)),
        (PAGE + 1, 2 * MIB + PAGE, None),
        (1, 0, None),
        (1, 4 * GIB, (4 * GIB - PAGE, PAGE)),
        (1, 5 * GIB, (4 * GIB - PAGE, PAGE)),
    ],
)
def test_the_area_is_the_last_pages_below_4_gib(length: int, low_end: int, area: tuple[int, int] | None) -> None:
    if area is None:
        with pytest.raises(Constraint) as caught:
            area_for(length, Gpa(low_end))
        assert caught.value.code == "XLPY-DMACPI-SPACE"
    else:
        assert area_for(length, Gpa(low_end)) == Span(Gpa(area[0]), area[1])


def test_the_area_keeps_clear_of_firmware_in_ram(world: World) -> None:
    with pytest.raises(Constraint, match="overlaps the firmware's own"):
        world.model(layout=in_ram(Gpa(62 * MIB))).attach([world.backing("a", (0, MIB))])


def test_more_slots_than_names(world: World) -> None:
    with pytest.raises(Constraint, match="257 vNVDIMMs, a domain can have 256"):
        world.model().attach([world.backing("a", (0, MIB))], slots=257)


def test_a_second_attach_is_refused(world: World) -> None:
    world.model().attach([world.backing("a", (0, MIB))])
    with pytest.raises(Conflict, match="has a device model already"):
        world.model().attach([world.backing("b", (MIB, MIB))])


def test_a_large_device_is_one_extent_of_work(world: World) -> None:
    world.xen.preempt_after = 1
    pieces = [(at * 2 * MIB, MIB) for at in range(20)]
    placed = world.model().attach([world.backing("a", *pieces)])
    assert placed[0].backing.size == 20 * MIB
    assert len(world.domain.p2m.pmem) == 20


# -- the mailbox ---------------------------------------------------------------------------------------------------


def ask(model: DeviceModel, uuid: bytes, handle: int, function: int, data: bytes = b"") -> bytes:
    return model.answer(Request(handle, 1, function, uuid, len(data), data))


def ask_through_memory(world: World, uuid: bytes, handle: int, function: int, data: bytes = b"") -> bytes:
    """What the AML does, access by access."""
    memory, page = world.domain.memory, XEN_HVM.mailbox
    head = struct.pack("<4I", handle, 1, function, len(data)) + uuid + bytes(4) + data
    for at in range(0, len(head), 4):
        memory.write(Gpa(page + 4 + at), head[at : at + 4].ljust(4, b"\0"))
    memory.write(page, struct.pack("<I", 1))
    assert memory.read(page, 4) == bytes(4)
    (length,) = struct.unpack("<I", memory.read(Gpa(page + 16), 4))
    return memory.read(Gpa(page + 40), length)


def test_the_mailbox_is_answered_through_mmio(world: World) -> None:
    world.model().attach([world.backing("a", (0, MIB))])
    world.model().connect()
    assert ask_through_memory(world, DEVICE, 1, 0) == b"\x77"
    assert ask_through_memory(world, DEVICE, 1, 4) == struct.pack("<III", 0, 128 * KIB, 4048)
    data = bytes(range(1, 253)) * 16
    assert ask_through_memory(world, DEVICE, 1, 6, struct.pack("<II", 8, len(data)) + data) == bytes(4)
    assert ask_through_memory(world, DEVICE, 1, 5, struct.pack("<II", 8, len(data))) == bytes(4) + data
    assert ask_through_memory(world, DEVICE, 2, 4) == struct.pack("<I", 2)


def test_the_page_outlives_the_process(world: World) -> None:
    world.model().attach([world.backing("a", (0, MIB))])
    first, second = world.model(), world.model()
    at = XEN_HVM.mailbox
    first.handle(IoRequest(at + 40, 8, write=True, value=0x1122334455667788))
    assert second.handle(IoRequest(at + 40, 4, write=False)) == 0x55667788
    assert second.handle(IoRequest(at + 4095, 1, write=False)) == 0


def test_without_a_device_model_it_reads_as_ones(world: World) -> None:
    world.model().attach([world.backing("a", (0, MIB))])
    assert world.domain.memory.read(XEN_HVM.mailbox, 4) == b"\xff" * 4


def test_in_shared_ram_the_page_is_served_from_outside(world: World) -> None:
    layout = in_ram(Gpa(32 * MIB))
    model = world.model(layout=layout)
    model.attach([world.backing("a", (0, MIB))])
    assert world.domain.ioreq.servers == {}
    page = world.domain.memory.view(Span(layout.mailbox, PAGE))
    page[:36] = struct.pack("<5I", 0, 1, 1, 4, 0) + DEVICE
    assert not model.serve(page)
    page[:4] = struct.pack("<I", 1)
    assert model.serve(page)
    assert bytes(page[:4]) == bytes(4)
    assert struct.unpack_from("<I3I", page, 16)[0] == 12
    assert struct.unpack_from("<III", page, 40) == (0, 128 * KIB, 4048)


def test_tables_for_another_mailbox(world: World) -> None:
    model = world.model()
    model.attach([world.backing("a", (0, MIB))])
    here, there = model.entries(), model.entries(Gpa(0x1FF000))
    assert here[0] == there[0]
    assert here[2] == there[2]
    assert here[1] != there[1]
    assert bytes.fromhex("4d424f58 00 0c00f01f00") in there[1].body


# -- poison ---------------------------------------------------------------------------------------------------------


def test_scrub_and_clear_over_the_media(world: World) -> None:
    model = world.model()
    model.attach([world.backing("a", (MIB, 64 * KIB), (0, 64 * KIB))])
    bad = Span(Spa(world.data[0].start + 0x1000), 64)
    world.domain.memory.write(Gpa(20 * GIB + 64 * KIB), b"\xaa" * 0x2000)
    world.xen.mca.report(bad.start)
    at = 20 * GIB + 64 * KIB + 0x1000
    ask(model, ROOT, 0, 2, struct.pack("<QQHB5x", 20 * GIB, 128 * KIB, 2, 0))
    output = ask(world.model(), ROOT, 0, 3)  # in another process
    assert list(struct.iter_unpack("<IIQQ", output[48:])) == [(1, 0, at, 64)]
    assert ask(model, ROOT, 0, 4, struct.pack("<QQ", at, 64)) == struct.pack("<IIQ", 0, 0, 64)
    assert len(world.hw.poison) == 0
    assert world.domain.memory.read(Gpa(at - 64), 192) == b"\xaa" * 64 + bytes(64) + b"\xaa" * 64
    assert struct.unpack_from("<I", ask(model, ROOT, 0, 3), 44) == (0,)


# -- hotplug -------------------------------------------------------------------------------------------------------


def read_fit(model: DeviceModel) -> bytes:
    return ask(model, PRIVATE, 0x10000, 1, struct.pack("<I", 0))[4:]


def test_a_vnvdimm_is_plugged_into_a_running_domain(world: World) -> None:
    world.model().attach([world.backing("a", (0, MIB))])
    assert world.model().events == []
    device = world.model().plug(world.backing("b", (MIB, MIB)))
    assert (device.handle, device.gpa) == (2, 21 * GIB)
    model = world.model()
    assert ask(model, PRIVATE, 0x10000, 1, struct.pack("<I", 100)) == struct.pack("<I", 0x100)
    assert len([e for e in parse_structures(read_fit(model)) if isinstance(e, ControlRegion)]) == 2
    assert ask(model, PRIVATE, 0x10000, 1, struct.pack("<I", 100))[:4] == bytes(4)
    assert ask(model, DEVICE, 2, 0) == b"\x77"
    assert model.events == []  # the guest has read the FIT


def test_a_vnvdimm_is_unplugged_when_the_guest_has_let_go(world: World) -> None:
    world.model().attach([world.backing("a", (0, MIB)), world.backing("b", (MIB, MIB))])
    with pytest.raises(Conflict, match="has not let go of vNVDIMM 0") as caught:
        world.model().unplug(0)
    assert caught.value.code == "XLPY-PMEM-IN-GUEST"
    assert world.model().events == []
    world.model().request_eject(0)
    assert world.model().events == [("\\_SB.NVDR.NV00", 3)]
    assert ask(world.model(), PRIVATE, 0x10000, 2, struct.pack("<I", 1)) == bytes(4)  # what _EJ0 does
    world.model().unplug(0)
    model = world.model()
    assert [device.slot for device in model.devices] == [1]
    assert [range_.spa_index for range_ in parse_structures(read_fit(model)) if isinstance(range_, SpaRange)] == [4]
    assert [span.span.start for span in world.domain.memory.spans() if span.kind == "pmem"] == [21 * GIB]
    assert ask(model, DEVICE, 1, 4) == struct.pack("<I", 2)
    again = world.model().plug(world.backing("c", (4 * MIB, MIB)))
    assert (again.slot, again.gpa) == (0, 20 * GIB)


def test_what_cannot_be_plugged(world: World) -> None:
    with pytest.raises(Conflict, match="started without vNVDIMMs"):
        world.model().plug(world.backing("a", (0, MIB)))
    world.model().attach([world.backing("a", (0, MIB))], slots=2)
    before = world.state()
    with pytest.raises(HypercallError):
        world.model().plug(world.backing("same", (0, MIB)))
    assert world.state() == before
    world.model().plug(world.backing("b", (MIB, MIB)))
    with pytest.raises(Constraint, match="has 2 vNVDIMM slots, all in use"):
        world.model().plug(world.backing("c", (2 * MIB, MIB)))
    with pytest.raises(NotFound, match="no vNVDIMM in slot 7"):
        world.model().unplug(7)


def test_media_errors_are_announced_once(world: World) -> None:
    world.model().attach([world.backing("a", (0, MIB))])
    world.model().media_error()
    world.model().media_error()
    assert world.model().events == [("\\_SB.NVDR", 0x81)]


# -- notifications ---------------------------------------------------------------------------------------------------


def fetched(model: DeviceModel) -> list[tuple[int, int]]:
    return list(iter(model.next_event, None))


def test_a_guest_fetches_each_notification_once(world: World) -> None:
    world.model().attach([world.backing("a", (0, MIB))])
    assert (world.model().raised, world.model().untold) == (0, False)
    world.model().plug(world.backing("b", (MIB, MIB)))
    world.model().request_eject(1)
    assert (world.model().raised, world.model().untold) == (2, True)
    assert world.model().next_event() == (0, 0x80)
    assert fetched(world.model()) == [(2, 3)]
    assert not world.model().untold
    assert len(world.model().events) == 2  # fetched, not answered


def test_a_notification_that_is_raised_again_is_fetched_again(world: World) -> None:
    """Whether the guest has answered it or not."""
    world.model().attach([world.backing("a", (0, MIB))])
    for count in (1, 2):
        world.model().media_error()
        assert world.model().raised == count
        assert fetched(world.model()) == [(0, 0x81)]
    assert world.model().events == [("\\_SB.NVDR", 0x81)]


def test_a_guest_that_starts_does_not_fetch_what_was_before(world: World) -> None:
    world.model().attach([world.backing("a", (0, MIB))])
    world.model().media_error()
    world.model().power_on()
    assert fetched(world.model()) == []
    world.model().media_error()
    assert fetched(world.model()) == [(0, 0x81)]


def test_a_notification_to_what_was_detached_is_dropped(world: World) -> None:
    world.model().attach([world.backing("a", (0, MIB)), world.backing("b", (MIB, MIB))])
    world.model().request_eject(1)
    ask(world.model(), PRIVATE, 0x10000, 2, struct.pack("<I", 2))
    world.model().unplug(1)
    assert fetched(world.model()) == [(0, 0x80)]


def test_two_processes_change_the_state_of_one_device_model(world: World) -> None:
    """The one that boots the guest has read the state before the other changes it; neither loses the other's change."""
    world.model().attach([world.backing("a", (0, MIB))])
    boots = world.model()
    assert boots.raised == 0
    world.model().plug(world.backing("b", (MIB, MIB)))
    boots.media_error()
    assert fetched(world.model()) == [(0, 0x80), (0, 0x81)]
    assert len(boots.devices) == 2
