"""BTTs when they are enabled: logs of both layouts, writes that power cut short, and arenas that are damaged."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from dom0.nvdimm.dom0_memory import SparseMemory
from dom0.nvdimm.nd_bank import Platform, create, init_labels, powered, single

from xlpy.addr import GIB, MIB, Spa, Span
from xlpy.dom0.nvdimm.btt import NFREE, btt_block
from xlpy.dom0.nvdimm.infoblock import InfoBlockError
from xlpy.dom0.nvdimm.nd import arenas
from xlpy.dom0.nvdimm.nd.error import NdError

START = Spa(0x100000000)
UUID = bytes(range(16))
ZERO_UUID = "00000000-0000-0000-0000-000000000000"
FREE = 16105  # the first free block of an arena of 64 MiB
NORMAL = 3 << 30


def arena(size=64 * MIB, lbasize=4096):
    memory = SparseMemory()
    (block,) = arenas.create(memory, Span(START, size), lbasize, UUID, bytes(16), (2, 0))
    return memory, block


def log(memory, block, lane, slot, lba, old, new, sequence):
    """Write an entry of a lane."""
    at = START + block.logoff + 64 * lane + 16 * slot
    memory.write(Spa(at), struct.pack("<4I", lba, old, new, sequence))


def entry(memory, block, lba):
    """The map entry of a block."""
    return int.from_bytes(memory.read(Spa(START + block.mapoff + 4 * lba), 4), "little")


def test_a_new_arena_is_found_and_left_as_it_is():
    memory, block = arena()
    before = {page: bytes(data) for page, data in memory.pages.items()}
    assert arenas.discover(memory, Span(START, 64 * MIB), bytes(16)) == [block]
    assert {page: bytes(data) for page, data in memory.pages.items()} == before
    assert [one.new for one in arenas.entries(block.log())] == list(range(FREE, FREE + NFREE))


@pytest.mark.parametrize("second", [1, 2], ids=["layout of today", "layout before ndctl 60"])
def test_a_write_that_is_in_the_log_and_not_in_the_map_is_finished(second):
    memory, block = arena()
    log(memory, block, 3, second, 77, 77, (FREE + 3) | NORMAL, 2)  # block 77 was never written before
    assert entry(memory, block, 77) == 0
    arenas.discover(memory, Span(START, 64 * MIB), bytes(16))
    assert entry(memory, block, 77) == (FREE + 3) | NORMAL
    log(memory, block, 3, 0, 77, (FREE + 3) | NORMAL, 77 | NORMAL, 3)  # back again, and the map has it already
    memory.write(Spa(START + block.mapoff + 4 * 77), struct.pack("<I", 77 | NORMAL))
    arenas.discover(memory, Span(START, 64 * MIB), bytes(16))
    assert entry(memory, block, 77) == 77 | NORMAL


@pytest.mark.parametrize(
    ("sequences", "newest"),
    [((1, 0), 0), ((1, 2), 1), ((2, 1), 0), ((2, 3), 1), ((3, 2), 0), ((3, 1), 1), ((1, 3), 0)],
)
def test_the_entry_that_counts(sequences, newest):
    lane = struct.pack("<8I", 0, 1, 2, sequences[0], 0, 3, 4, sequences[1]) + bytes(32)
    assert arenas.newest(lane, (0, 1), 0).old == (1, 3)[newest]


@pytest.mark.parametrize("sequences", [(1, 1), (2, 2), (3, 3)])
def test_sequences_that_contradict_each_other(sequences):
    memory, block = arena()
    for slot, sequence in enumerate(sequences):
        log(memory, block, 9, slot, 1, 1, 2, sequence)
    with pytest.raises(InfoBlockError, match="log corruption: lane 9"):
        arenas.discover(memory, Span(START, 64 * MIB), bytes(16))


@pytest.mark.parametrize("slots", [[0, 3], [0, 1, 2], [1, 2]])
def test_an_impossible_layout(slots):
    memory, block = arena()
    memory.write(Spa(START + block.logoff), bytes(64))
    for slot in slots:
        log(memory, block, 0, slot, 1, 1, 2, slot + 1)
    with pytest.raises(InfoBlockError, match="log: "):
        arenas.discover(memory, Span(START, 64 * MIB), bytes(16))


def test_lanes_of_different_layouts():
    memory, block = arena()
    log(memory, block, 0, 1, 1, 1, 2, 2)
    log(memory, block, 1, 2, 1, 1, 2, 2)
    with pytest.raises(InfoBlockError, match="lane 1 has the entries"):
        arenas.discover(memory, Span(START, 64 * MIB), bytes(16))


def test_a_bank_of_two_arenas():
    memory, whole = SparseMemory(), Span(START, 513 * GIB)
    made = arenas.create(memory, whole, 4096, UUID, bytes(16), (2, 0))
    assert [(one.nextoff, one.mapoff > 0) for one in made] == [(512 * GIB, True), (0, True)]
    assert arenas.discover(memory, whole, bytes(16)) == made
    memory.write(Spa(START + 512 * GIB + 40), b"\xff")
    with pytest.raises(InfoBlockError):
        arenas.discover(memory, whole, bytes(16))


def test_damage_behind_the_first_arena_keeps_the_device_down():
    platform = Platform()
    nd = powered(single(256 * MIB), platform)
    init_labels(nd)
    made = create(nd.region("region0"), "11111111-2222-3333-4444-555555555555", 64 * MIB, mode="sector")
    assert made.claim.size == FREE * 4096
    made.claim.unbind()
    block = btt_block(64 * MIB, 4096, UUID, version=(2, 0))
    for slot in (0, 1):
        at = Spa(made.resource + block.logoff + 16 * slot)
        platform.memory.write(at, struct.pack("<4I", 1, 1, 2, 2))
    with pytest.raises(NdError) as caught:
        made.claim.bind()
    assert caught.value.errno == 12
    assert nd.messages[-1].startswith("nd_pmem btt0.0: init: error in arena_discover: log corruption: lane 0")


@pytest.mark.skipif("NDCTL_IMAGES" not in os.environ, reason="NDCTL_IMAGES does not name ndctl's test folder")
def test_the_image_of_the_old_layout():
    """``test/btt-pad-compat.xxd``, in a namespace of 64 MiB whose uuid is zero, as its script makes one."""
    platform = Platform()
    nd = powered(single(256 * MIB), platform)
    init_labels(nd)
    made = create(nd.region("region0"), ZERO_UUID, 64 * MIB, mode="sector", info=ZERO_UUID[:-1] + "1")
    made.claim.unbind()
    for line in (Path(os.environ["NDCTL_IMAGES"]) / "btt-pad-compat.xxd").read_text().splitlines():
        if line != "*":
            at, _, rest = line.partition(": ")
            platform.memory.write(Spa(made.resource + int(at, 16)), bytes.fromhex(rest[:39].replace(" ", "")))
    raw = platform.memory.read(Spa(made.resource + 0x3FFB000), NFREE * 64)
    assert arenas.log_slots(raw) == (0, 2)
    made.claim.store_namespace("")
    with pytest.raises(NdError):
        made.bind()  # its info block was found
    assert (made.mode, made.claim.bound, made.claim.size) == ("safe", True, FREE * 4096)
