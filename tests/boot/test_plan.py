"""A domain's memory as an emulator's NUMA nodes."""

from __future__ import annotations

import pytest

from xlpy.addr import GIB, MIB
from xlpy.boot.plan import MAX_NODES, GuestNvdimm, Stretch, plan_memory
from xlpy.errors import Constraint

LOW, PMEM = 504 * MIB, 20 * GIB


@pytest.fixture
def media(tmp_path):
    path = tmp_path / "set0.media"
    with path.open("wb") as file:
        file.truncate(256 * MIB)
    return path


def kinds(plan):
    return [(backend.kind, backend.gpa, backend.offset, backend.size) for backend in plan.backends]


def plan(tmp_path, *devices, low=LOW, high=0, **options):
    return plan_memory(tmp_path / "ram", low, high, devices, tmp_path, **{"has_offset": False, **options})


def test_ram_alone_is_one_node(tmp_path):
    assert kinds(plan(tmp_path)) == [("ram", 0, 0, LOW)]


def test_every_byte_up_to_the_last_vnvdimm_belongs_to_a_node(tmp_path, media):
    device = GuestNvdimm("vnvdimm0", PMEM, 64 * MIB, (Stretch(media, 16 * MIB, 64 * MIB),))
    made = plan(tmp_path, device, high=1 * GIB)
    assert kinds(made) == [
        ("ram", 0, 0, LOW + GIB),
        ("filler", 5 * GIB, 0, PMEM - 16 * MIB - 5 * GIB),
        ("media", PMEM - 16 * MIB, 0, 256 * MIB),
    ]
    assert made.memory == LOW + PMEM - 16 * MIB - 4 * GIB + 256 * MIB
    assert "192M beside it" in made.notes[0]
    assert "--stage" in made.notes[0]


def test_with_offset_only_the_vnvdimm_is_mapped(tmp_path, media):
    device = GuestNvdimm("vnvdimm0", PMEM, 64 * MIB, (Stretch(media, 16 * MIB, 64 * MIB),))
    made = plan(tmp_path, device, has_offset=True)
    assert kinds(made)[1:] == [("filler", 4 * GIB, 0, 16 * GIB), ("media", PMEM, 16 * MIB, 64 * MIB)]
    assert not made.notes


def test_scattered_extents_are_mapped_one_by_one_with_offset(tmp_path, media):
    device = GuestNvdimm("v", PMEM, 8 * MIB, (Stretch(media, 64 * MIB, 4 * MIB), Stretch(media, 0, 4 * MIB)))
    assert kinds(plan(tmp_path, device, has_offset=True))[2:] == [
        ("media", PMEM, 64 * MIB, 4 * MIB),
        ("media", PMEM + 4 * MIB, 0, 4 * MIB),
    ]


def test_scattered_extents_are_staged_without_offset(tmp_path, media):
    device = GuestNvdimm("v", PMEM, 8 * MIB, (Stretch(media, 64 * MIB, 4 * MIB), Stretch(media, 0, 4 * MIB)))
    made = plan(tmp_path, device)
    assert kinds(made)[2:] == [("stage", PMEM, 0, 8 * MIB)]
    assert made.staged == (device,)


def scattered(media, count, name="v", gpa=PMEM, **more):
    pieces = tuple(Stretch(media, 2 * at * MIB, MIB) for at in range(count))
    return GuestNvdimm(name, gpa, count * MIB, pieces, **more)


@pytest.mark.parametrize(("count", "kind"), [(124, "media"), (125, "media"), (126, "stage")])
def test_pieces_as_long_as_there_are_nodes(tmp_path, media, count, kind):
    made = plan(tmp_path, scattered(media, count), has_offset=True)
    assert made.backends[-1].kind == kind
    assert len(made.backends) <= MAX_NODES
    if kind == "stage":
        assert made.notes == (
            "v lies in 126 stretches: staged in one file, written back when the guest ends (from 126 on, since QEMU "
            "has 128 NUMA nodes)",
        )


def test_nodes_are_shared_out_in_guest_order(tmp_path, media):
    devices = [scattered(media, 60, name, PMEM + at * GIB) for at, name in enumerate("abc")]
    made = plan(tmp_path, *devices, has_offset=True)
    assert [device.name for device in made.staged] == ["c"]
    assert "from 4 on" in made.notes[0]
    assert len(made.backends) <= MAX_NODES


def test_without_offset_the_reason_is_another(tmp_path, media):
    (note,) = plan(tmp_path, scattered(media, 2)).notes
    assert note.endswith("(QEMU before 8.1 maps whole files only)")


@pytest.mark.parametrize("options", [{"has_offset": True}, {"has_offset": False}, {"stage_all": True}])
def test_read_only_in_every_form(tmp_path, media, options):
    made = plan(tmp_path, scattered(media, 1, read_only=True), **options)
    assert [(b.kind in ("media", "stage"), b.read_only) for b in made.backends] == [
        (False, False),
        (False, False),
        (True, True),
    ]


def test_stage_hides_the_rest_of_the_media(tmp_path, media):
    device = GuestNvdimm("v", PMEM, 64 * MIB, (Stretch(media, 0, 64 * MIB),))
    assert kinds(plan(tmp_path, device, stage_all=True))[2:] == [("stage", PMEM, 0, 64 * MIB)]


def test_whole_files_that_would_overlap_are_staged(tmp_path, media):
    first = GuestNvdimm("a", PMEM, 64 * MIB, (Stretch(media, 0, 64 * MIB),))
    second = GuestNvdimm("b", PMEM + 128 * MIB, 64 * MIB, (Stretch(media, 64 * MIB, 64 * MIB),))
    made = plan(tmp_path, first, second)
    assert [backend.kind for backend in made.backends] == ["ram", "filler", "stage", "media"]
    assert made.backends[-1].gpa == PMEM + 64 * MIB


def test_more_pieces_than_nodes(tmp_path, media):
    devices = [GuestNvdimm(str(at), PMEM + at * GIB, 4 * MIB, (Stretch(media, 0, 4 * MIB),)) for at in range(70)]
    with pytest.raises(Constraint, match="128 NUMA nodes"):
        plan(tmp_path, *devices, has_offset=True)
