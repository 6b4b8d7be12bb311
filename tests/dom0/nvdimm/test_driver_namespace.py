"""Namespaces: where everything lies, what is written, what is recognised, and how the reserve is found again."""

import json

import pytest
from dom0.nvdimm.dom0_memory import SparseMemory
from dom0.nvdimm.info_blocks import create_fsdax, create_sector
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.addr import GIB, KIB, MIB, PAGE, TIB, Spa, Span
from xlpy.dom0.nvdimm import DAX_SIGNATURE
from xlpy.dom0.nvdimm.btt import btt_block, parse_btt
from xlpy.dom0.nvdimm.detect import detect
from xlpy.dom0.nvdimm.fsdax import XEN_TABLES, plan_fsdax, reserve_span, table_pages
from xlpy.dom0.nvdimm.infoblock import parse_pfn, validate_pfn
from xlpy.dom0.nvdimm.namespace import Namespace, revalidate
from xlpy.errors import Constraint

UUID = bytes.fromhex("0d50f988467448eeb4a95ee17be61703")
TEXT = "0d50f988-4674-48ee-b4a9-5ee17be61703"
BASE = 0x1_0000_0000


def span(size, start=BASE):
    return Span(Spa(start), size)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, 0), (1, 2), (100, 2), (128, 2), (129, 3), (512, 5), (513, 7), (GIB // PAGE, 2560)],
)
def test_size_of_the_frame_table(count, expected):
    assert table_pages(count) == expected


@pytest.mark.parametrize(
    ("size", "on_media", "align", "dataoff", "npfns", "data_size"),
    [
        (128 * MIB, True, 2 * MIB, 0x400000, 0x7C00, 130023424),
        (64 * MIB, True, 2 * MIB, 0x200000, 0x3E00, 65011712),
        (64 * MIB, False, 4 * KIB, 0x200000, 0x3E00, 65011712),
        (48 * MIB, True, 2 * MIB, 0x200000, 0x2E00, 48234496),
    ],
)
def test_layout_without_reserve_is_that_of_ndctl(size, on_media, align, dataoff, npfns, data_size):
    block = plan_fsdax(span(size), UUID, on_media=on_media, align=align)
    assert (block.dataoff, block.npfns, block.end_trunc, block.start_pad) == (dataoff, npfns, 0, 0)
    assert (block.page_struct_size, block.align) == (64, align)
    assert size - block.dataoff - block.end_trunc == data_size
    assert reserve_span(span(size), block) is None


@pytest.mark.parametrize(
    ("size", "on_media", "reserve", "dataoff"),
    [
        # size, Linux here?, (offset, size) of the reserve, data offset
        (GIB, True, (0x1002000, 2560 * PAGE), 0x1C00000),  # 16 MiB + 8 KiB of page structs, 10 MiB of frame table
        (GIB, False, (0x2000, 2560 * PAGE), 0xC00000),
        (16 * MIB, False, (0x2000, (32 + 8) * PAGE), 0x200000),
        (2 * GIB, True, (0x2002000, 5120 * PAGE), 0x3600000),
        (6 * TIB, True, (0x1800002000, 15360 * 1024 * PAGE), 0x2700200000),
    ],
)
def test_layout_with_reserve(size, on_media, reserve, dataoff):
    block = plan_fsdax(span(size), UUID, on_media=on_media, costs=XEN_TABLES)
    assert block.dataoff == dataoff
    assert block.page_struct_size == 64 + 40
    found = reserve_span(span(size), block)
    assert (found.start - BASE, found.size) == reserve


SIZES = st.integers(8, 4096).map(lambda n: n * 2 * MIB) | st.integers(16 * MIB // PAGE, 2 * GIB // PAGE).map(
    lambda n: n * PAGE
)


@settings(max_examples=80, deadline=None)
@given(SIZES, st.booleans(), st.sampled_from([4 * KIB, 2 * MIB, GIB]), st.sampled_from([(), XEN_TABLES, (16,), (3, 5)]))
def test_nothing_in_a_namespace_overlaps(size, on_media, align, costs):
    whole = span(size)
    try:
        block = plan_fsdax(whole, UUID, on_media=on_media, align=align, costs=costs)
    except Constraint:
        assert align == GIB or size < 64 * MIB
        return
    memory = SparseMemory()
    create_fsdax(memory, whole, block)
    found = detect(memory, 3, whole)
    assert (found.mode, found.problem, found.dev, found.disk) == ("fsdax", None, "namespace3.0", "pmem3")
    assert found.data.start % align == 0
    assert found.data.size == block.npfns * PAGE == found.size
    linux_end = BASE + 8192 + (64 * ((size - 8192) // PAGE) if on_media else 0)
    if costs:
        room = reserve_span(whole, block, costs)
        assert room.aligned()
        assert linux_end <= room.start < linux_end + PAGE
        assert room.size == table_pages(size // PAGE, costs) * PAGE
        assert room.end <= found.data.start
        assert found.reserve is not None
        assert found.reserve.size <= table_pages(size // PAGE) * PAGE
    else:
        assert found.reserve is None
        assert linux_end <= found.data.start
    assert found.data.end <= whole.end


def test_a_reserve_for_cheaper_tables_is_found_with_its_own_size():
    block = plan_fsdax(span(GIB), UUID, on_media=True, costs=(16,))
    assert reserve_span(span(GIB), block).size == table_pages(GIB // PAGE, (16,)) * PAGE


@pytest.mark.parametrize(
    ("whole", "align", "text"),
    [
        (span(64 * MIB, BASE + MIB), 2 * MIB, "2M boundary"),
        (span(14 * MIB), 2 * MIB, "at least 16M"),
        (span(GIB, GIB // 2), GIB, "no room for data"),
    ],
)
def test_fsdax_that_cannot_be(whole, align, text):
    with pytest.raises(Constraint, match=text):
        plan_fsdax(whole, UUID, on_media=True, align=align)


def test_a_region_end_off_the_alignment_is_cut():
    whole = span(64 * MIB + 0x123000)
    block = plan_fsdax(whole, UUID, on_media=True)
    assert block.end_trunc == 0x123000
    assert (whole.size - block.dataoff - block.end_trunc) // PAGE == block.npfns


def test_a_fresh_region_is_raw():
    found = detect(SparseMemory(), 0, span(64 * MIB))
    assert found == Namespace(0, span(64 * MIB), "raw", span(64 * MIB), size=64 * MIB)
    assert (found.disk, found.dax) == ("pmem0", False)


def test_fsdax_on_media():
    memory = SparseMemory()
    whole = span(128 * MIB)
    create_fsdax(memory, whole, plan_fsdax(whole, UUID, on_media=True))
    assert set(memory.pages) == {(BASE + 4096) // PAGE}  # the info block and nothing else
    found = detect(memory, 0, whole)
    assert found == Namespace(
        0,
        whole,
        "fsdax",
        Span(Spa(0x100400000), 130023424),
        map="dev",
        uuid=TEXT,
        align=2 * MIB,
        size=130023424,
        seal=(BASE + 4096, found.seal[1]),
    )
    assert Namespace.load(json.loads(json.dumps(found.dump()))) == found


def test_sector_on_media():
    memory = SparseMemory()
    whole = span(64 * MIB)
    memory.write(BASE + 0x3FF0000, b"stale map")
    create_sector(memory, whole, UUID, 4096)
    found = detect(memory, 1, whole)
    block = parse_btt(memory.read(BASE + 4096, 4096))
    assert (block.major, block.minor) == (1, 1)
    assert parse_btt(memory.read(BASE + 4096 + block.info2off, 4096)) == block
    assert memory.read(BASE + 4096 + block.logoff, 12288) == block.log()[:12288]
    assert not any(memory.read(BASE + 4096 + block.mapoff, block.logoff - block.mapoff))
    assert (found.mode, found.disk, found.uuid, found.sector_size) == ("sector", "pmem1s", TEXT, 4096)
    assert found.size == block.external_nlba * 4096 == found.data.size
    assert found.data.start == BASE + 4096 + 4096
    assert (found.map, found.reserve, found.dax) == (None, None, False)


def test_sector_with_two_arenas():
    memory = SparseMemory()
    whole = span(513 * GIB)
    create_sector(memory, whole, UUID, 512)
    found = detect(memory, 0, whole)
    first = parse_btt(memory.read(BASE + 4096, 4096))
    second = parse_btt(memory.read(BASE + 4096 + 512 * GIB, 4096))
    assert (first.nextoff, second.nextoff) == (512 * GIB, 0)
    assert found.size == (first.external_nlba + second.external_nlba) * 512


def test_btt_claims_before_pfn():
    memory = SparseMemory()
    whole = span(64 * MIB)
    create_fsdax(memory, whole, plan_fsdax(whole, UUID, on_media=True))
    memory.write(BASE, btt_block(64 * MIB, 4096, UUID, version=(2, 0)).build())
    assert detect(memory, 0, whole).mode == "fsdax"  # BTT 2.0 is for labels that say so
    assert detect(memory, 0, whole, kind="btt2").mode == "sector"
    assert detect(memory, 0, whole, kind="btt").mode == "raw"
    assert detect(memory, 0, whole, kind="unknown").mode == "raw"
    memory.write(BASE, btt_block(64 * MIB, 4096, UUID, version=(1, 1)).build())  # wrong version for this place
    assert detect(memory, 0, whole, kind="btt2").mode == "raw"


def test_devdax_is_recognised():
    memory = SparseMemory()
    whole = span(64 * MIB)
    create_fsdax(memory, whole, plan_fsdax(whole, UUID, on_media=True)._replace(signature=DAX_SIGNATURE))
    found = detect(memory, 0, whole)
    assert (found.mode, found.disk) == ("devdax", None)


@pytest.mark.parametrize(
    ("change", "mode", "problem"),
    [
        ({"parent": UUID}, "raw", None),  # another namespace's: not ours
        ({"mode": 7}, "raw", "mode 7"),
        ({"dataoff": 64 * MIB}, "raw", "leaves no data"),
        ({"align": 3}, "raw", "alignment 0x3"),
    ],
)
def test_unusable_pfn_blocks(change, mode, problem):
    memory = SparseMemory()
    whole = span(64 * MIB)
    create_fsdax(memory, whole, plan_fsdax(whole, UUID, on_media=True)._replace(**change))
    found = detect(memory, 0, whole)
    assert found.mode == mode
    assert problem is None if found.problem is None else problem in found.problem
    assert (found.disk is None) == (problem is not None)


@pytest.mark.parametrize("next_at", [4096, 64 * MIB, 2**63])
def test_a_broken_chain_of_arenas_disables(next_at):
    memory = SparseMemory()
    block = btt_block(32 * MIB, 4096, UUID, nextoff=next_at)
    memory.write(BASE + 4096, block.build())
    assert "outside the namespace" in detect(memory, 0, span(64 * MIB)).problem


def test_a_missing_second_arena_disables():
    memory = SparseMemory()
    memory.write(BASE + 4096, btt_block(32 * MIB, 4096, UUID, nextoff=32 * MIB).build())
    assert "signature" in detect(memory, 0, span(65 * MIB)).problem


@pytest.mark.parametrize("make", ["fsdax", "sector"])
def test_revalidation(make):
    memory = SparseMemory()
    whole = span(64 * MIB)
    if make == "fsdax":
        create_fsdax(memory, whole, plan_fsdax(whole, UUID, on_media=True))
    else:
        create_sector(memory, whole, UUID, 512)
    known = detect(memory, 0, whole)
    assert revalidate(memory, known) == known

    memory.write(BASE + 4096 + 20, b"x")
    broken = revalidate(memory, known)
    assert (broken.mode, broken.disk, broken.data) == ("raw", None, whole)
    assert "checksum" in broken.problem
    memory.write(BASE + 4096, bytes(4096))
    assert "signature" in revalidate(memory, known).problem


def test_another_valid_block_is_not_the_one_that_was_enabled():
    memory = SparseMemory()
    whole = span(64 * MIB)
    create_fsdax(memory, whole, plan_fsdax(whole, UUID, on_media=True))
    known = detect(memory, 0, whole)
    create_fsdax(memory, whole, plan_fsdax(whole, UUID, on_media=False, costs=XEN_TABLES))
    assert "not the one" in revalidate(memory, known).problem


def test_raw_needs_no_block():
    memory = SparseMemory()
    known = detect(memory, 0, span(64 * MIB))
    memory.write(BASE + 4096, b"anything")
    assert revalidate(memory, known) == known


def test_the_block_of_a_reserve_is_one_that_linux_takes():
    block = parse_pfn(plan_fsdax(span(GIB), UUID, on_media=True, costs=XEN_TABLES).build())
    assert block.page_struct_size == 104
    validate_pfn(block, BASE, GIB)
