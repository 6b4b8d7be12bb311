"""A domain's memory as an emulator's RAM and memory modules."""

from __future__ import annotations

import pytest

from xlpy.addr import GIB, MIB
from xlpy.boot.plan import BELL_SIZE, MEMORY_SLOTS, ROOM, SPARE, GuestNvdimm, Means, Stretch, map_device, plan_memory
from xlpy.errors import Constraint

LOW, PMEM = 504 * MIB, 20 * GIB
MOST = MEMORY_SLOTS - SPARE - 1  # modules of a domain that starts


@pytest.fixture
def media(tmp_path):
    path = tmp_path / "set0.media"
    with path.open("wb") as file:
        file.truncate(256 * MIB)
    return path


def kinds(plan):
    return [(one.kind, one.gpa, one.offset, one.size) for one in plan.modules]


def plan(tmp_path, *devices, low=LOW, high=0, **options):
    return plan_memory(tmp_path / "ram", low, high, devices, Means(tmp_path, **{"has_offset": False, **options}))


def test_ram_alone_needs_no_module(tmp_path):
    made = plan(tmp_path)
    assert (made.ram.size, made.bell, made.modules, made.slots, made.room) == (LOW, None, (), 0, 0)


@pytest.mark.parametrize(("low", "size"), [(LOW, LOW), (LOW + 4096, LOW + 8192), (LOW + 8192, LOW + 8192)])
def test_ram_is_as_large_as_qemu_rounds_it(tmp_path, low, size):
    assert plan(tmp_path, low=low).ram.size == size


@pytest.mark.parametrize(("high", "bell"), [(0, 4 * GIB), (1, 5 * GIB), (GIB, 5 * GIB), (GIB + 1, 6 * GIB)])
def test_the_bell_is_where_qemu_has_room_for_modules(tmp_path, media, high, bell):
    device = GuestNvdimm("v", 32 * GIB, 64 * MIB, (Stretch(media, 0, 64 * MIB),))
    made = plan(tmp_path, device, high=high)
    assert made.bell == bell
    assert made.room == 32 * GIB + 256 * MIB + ROOM - bell


def test_a_whole_file_is_mapped_such_that_the_stretch_is_at_its_address(tmp_path, media):
    device = GuestNvdimm("vnvdimm0", PMEM, 64 * MIB, (Stretch(media, 16 * MIB, 64 * MIB),))
    made = plan(tmp_path, device, high=1 * GIB)
    assert kinds(made) == [("media", PMEM - 16 * MIB, 0, 256 * MIB)]
    assert "192M beside it" in made.notes[0]
    assert "--stage" in made.notes[0]


def test_with_offset_only_the_vnvdimm_is_mapped(tmp_path, media):
    device = GuestNvdimm("vnvdimm0", PMEM, 64 * MIB, (Stretch(media, 16 * MIB, 64 * MIB),))
    made = plan(tmp_path, device, has_offset=True)
    assert kinds(made) == [("media", PMEM, 16 * MIB, 64 * MIB)]
    assert not made.notes


def test_scattered_extents_are_mapped_one_by_one_with_offset(tmp_path, media):
    device = GuestNvdimm("v", PMEM, 8 * MIB, (Stretch(media, 64 * MIB, 4 * MIB), Stretch(media, 0, 4 * MIB)))
    made = plan(tmp_path, device, has_offset=True)
    assert kinds(made) == [("media", PMEM, 64 * MIB, 4 * MIB), ("media", PMEM + 4 * MIB, 0, 4 * MIB)]
    assert {one.owner for one in made.modules} == {"v"}


def test_scattered_extents_are_staged_without_offset(tmp_path, media):
    device = GuestNvdimm("v", PMEM, 8 * MIB, (Stretch(media, 64 * MIB, 4 * MIB), Stretch(media, 0, 4 * MIB)))
    made = plan(tmp_path, device)
    assert kinds(made) == [("stage", PMEM, 0, 8 * MIB)]
    assert made.staged == (device,)


def scattered(media, count, name="v", gpa=PMEM, **more):
    pieces = tuple(Stretch(media, 2 * at * MIB, MIB) for at in range(count))
    return GuestNvdimm(name, gpa, count * MIB, pieces, **more)


@pytest.mark.parametrize(("count", "kind"), [(MOST - 1, "media"), (MOST, "media"), (MOST + 1, "stage")])
def test_pieces_as_long_as_there_are_slots(tmp_path, media, count, kind):
    made = plan(tmp_path, scattered(media, count), has_offset=True)
    assert made.modules[-1].kind == kind
    assert made.slots == 1 + len(made.modules) + SPARE <= MEMORY_SLOTS
    if kind == "stage":
        assert made.notes == (
            "v lies in 240 stretches: staged in one file, written back when the guest ends (from 240 on, since QEMU "
            "has 256 memory slots)",
        )


def test_slots_are_shared_out_in_guest_order(tmp_path, media):
    devices = [scattered(media, 110, name, PMEM + at * GIB) for at, name in enumerate("abc")]
    made = plan(tmp_path, *devices, has_offset=True)
    assert [device.name for device in made.staged] == ["c"]
    assert "from 20 on" in made.notes[0]
    assert made.slots <= MEMORY_SLOTS


def test_without_offset_the_reason_is_another(tmp_path, media):
    (note,) = plan(tmp_path, scattered(media, 2)).notes
    assert note.endswith("(QEMU before 8.1 maps whole files only)")


@pytest.mark.parametrize("options", [{"has_offset": True}, {"has_offset": False}, {"stage_all": True}])
def test_read_only_in_every_form(tmp_path, media, options):
    made = plan(tmp_path, scattered(media, 1, read_only=True), **options)
    assert [one.read_only for one in made.modules] == [True]


def test_stage_hides_the_rest_of_the_media(tmp_path, media):
    device = GuestNvdimm("v", PMEM, 64 * MIB, (Stretch(media, 0, 64 * MIB),))
    assert kinds(plan(tmp_path, device, stage_all=True)) == [("stage", PMEM, 0, 64 * MIB)]


def test_whole_files_that_would_overlap_are_staged(tmp_path, media):
    first = GuestNvdimm("a", PMEM, 64 * MIB, (Stretch(media, 0, 64 * MIB),))
    second = GuestNvdimm("b", PMEM + 128 * MIB, 64 * MIB, (Stretch(media, 64 * MIB, 64 * MIB),))
    made = plan(tmp_path, first, second)
    assert [(one.kind, one.gpa) for one in made.modules] == [("stage", PMEM), ("media", PMEM + 64 * MIB)]


@pytest.mark.parametrize(("gap", "kind"), [(0, "media"), (4096, "stage")])
def test_a_whole_file_does_not_reach_down_to_the_bell(tmp_path, media, gap, kind):
    """It begins as much before the vNVDIMM as the stretch lies behind the start of the file."""
    lowest = 4 * GIB + BELL_SIZE
    device = GuestNvdimm("v", lowest + 64 * MIB, MIB, (Stretch(media, 64 * MIB + gap, MIB),))
    assert map_device(device, Means(tmp_path, has_offset=False), lowest, [], 1, [])[0].kind == kind


def test_more_vnvdimms_than_slots(tmp_path, media):
    devices = [GuestNvdimm(str(at), PMEM + at * GIB, 4 * MIB, (Stretch(media, 0, 4 * MIB),)) for at in range(256)]
    with pytest.raises(Constraint, match="256 memory slots"):
        plan(tmp_path, *devices, has_offset=True)
    made = plan(tmp_path, *devices[:255], has_offset=True)
    assert (made.slots, len(made.modules)) == (256, 255)


def test_room_ends_where_a_processor_s_addresses_do(tmp_path, media):
    """18 slots take 1 GiB each, and PCI 2 GiB: as QEMU 7.2, 10.0 and 11.1 count."""
    end = 1024 * GIB - 20 * GIB
    device = GuestNvdimm("v", end - GIB, GIB, (Stretch(media, 0, GIB),))
    assert plan(tmp_path, device, has_offset=True).room == end - 4 * GIB
    with pytest.raises(Constraint, match="v ends at guest address 0xfb00001000") as caught:
        plan(tmp_path, device._replace(gpa=device.gpa + 4096), has_offset=True)
    assert caught.value.code == "XLPY-BOOT-WIDTH"
