"""Damaged label areas, byte by byte: what Linux 6.1 made of each on a set of two DIMMs (mapping 0 is nmem1).

Two namespaces lie there, and what is damaged concerns the second. All rows were seen on a real kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from dom0.nvdimm.nd_bank import AREA, Labels, Platform, create, init_labels, pair, powered

from xlpy.addr import MIB
from xlpy.dom0.nvdimm.fletcher import seal
from xlpy.dom0.nvdimm.labels import LABEL_CHECKSUM, read_area
from xlpy.dom0.nvdimm.nd.error import NdError

FIRST = "11111111-2222-3333-4444-555555555555"
SECOND = "22222222-2222-3333-4444-555555555555"
NMEM1, NMEM0 = 0x101, 0x001  # mapping 0, mapping 1
BOTH = (NMEM1, NMEM0)


@dataclass
class Bank:
    """Label areas by handle."""

    areas: dict[int, bytearray]

    def read(self, handle):
        data = self.areas[handle]
        return read_area(AREA, lambda offset, length: bytes(data[offset : offset + length]))

    def label(self, handle, uuid=SECOND):
        """The label of a namespace that counts."""
        return next(one for one in self.read(handle).labels if one.uuid.hex() == uuid.replace("-", ""))

    def rewrite(self, handle, slot=None, **fields):
        """Put a label with other fields and a right checksum into its slot."""
        label = self.label(handle)
        at = 512 + 256 * (label.slot if slot is None else slot)
        self.areas[handle][at : at + 256] = label._replace(**fields).build()

    def break_label(self, handle):
        self.areas[handle][512 + 256 * self.label(handle).slot + 20] ^= 1

    def blocks(self, handle, *which, **fields):
        """Change index blocks, checksums right."""
        area = self.read(handle)
        for at in which:
            block = area.blocks[at]
            assert block is not None
            raw = block._replace(**fields).build()
            self.areas[handle][256 * at : 256 * at + 256] = raw

    def current(self, handle):
        return self.read(handle).current

    def break_block(self, handle, at):
        self.areas[handle][256 * at + 80] ^= 1


@pytest.fixture(scope="module")
def healthy():
    platform = Platform()
    nd = powered(pair(), platform)
    init_labels(nd)
    create(nd.region("region0"), FIRST, 32 * MIB, mode="raw")
    create(nd.region("region0"), SECOND, 32 * MIB, mode="raw")
    return {handle: bytes(one.data) for handle, one in platform.labels.items()}


def booted(bank):
    platform = Platform()
    for handle, data in bank.areas.items():
        platform.labels[handle] = Labels()
        platform.labels[handle].data[:] = data
    return powered(pair(), platform)


def bad_current(*handles):
    def damage(bank):
        for handle in handles:
            bank.break_block(handle, bank.current(handle))

    return damage


def bad_blocks(*handles):
    def damage(bank):
        for handle in handles:
            bank.break_block(handle, 0)
            bank.break_block(handle, 1)

    return damage


def fields(*handles, **values):
    def damage(bank):
        for handle in handles:
            bank.rewrite(handle, **values)

    return damage


def duplicate(uuid):
    """The second namespace's label once more, in a slot that is marked as used."""

    def damage(bank):
        label, area = bank.label(NMEM0), bank.read(NMEM0)
        slot = 7
        made = label._replace(slot=slot, uuid=bytes.fromhex(uuid.replace("-", "")))
        at = 512 + 256 * slot
        bank.areas[NMEM0][at : at + 256] = made.build()
        bank.blocks(NMEM0, area.current, free=area.head.free & ~(1 << slot))

    return damage


def copied(bank):
    bank.areas[NMEM1][:] = bank.areas[NMEM0]


def swapped(bank):
    bank.areas[NMEM0], bank.areas[NMEM1] = bank.areas[NMEM1], bank.areas[NMEM0]


def zeroed(bank):
    bank.areas[NMEM1][:] = bytes(AREA)


def equal_numbers(bank):
    for handle in BOTH:
        bank.blocks(handle, 0, 1, sequence=2)


def wrong_place(bank):
    """The label offset of block 0 is wrong: the other block is used."""
    for handle in BOTH:
        bank.blocks(handle, 0, labels=1024)


OTHER = "33333333-2222-3333-4444-555555555555"
ALL = [FIRST, SECOND]

ROWS = [
    ("label checksum bad on mapping 1", lambda bank: bank.break_label(NMEM0), "nmem0 missing label"),
    ("label checksum bad on mapping 0", lambda bank: bank.break_label(NMEM1), [FIRST]),
    ("current index bad on mapping 0", bad_current(NMEM1), ALL),
    ("current index bad on mapping 1", bad_current(NMEM0), ALL),
    ("current index bad on both", bad_current(*BOTH), ALL),
    ("both indexes bad on mapping 1", bad_blocks(NMEM0), "nmem0 missing label"),
    ("both indexes bad on mapping 0", bad_blocks(NMEM1), []),
    ("both indexes bad on all", bad_blocks(*BOTH), None),
    ("label offset wrong in block 0", wrong_place, ALL),
    ("sequence numbers equal", equal_numbers, ALL),
    ("overlapping ranges on mapping 1", duplicate(OTHER), "nmem0 missing label"),
    ("duplicate uuid on mapping 1", duplicate(SECOND), "nmem0 missing label"),
    ("cookie wrong on both", fields(*BOTH, isetcookie=1), [FIRST]),
    ("cookie wrong on mapping 0", fields(NMEM1, isetcookie=1), [FIRST]),
    ("cookie wrong on mapping 1", fields(NMEM0, isetcookie=1), "nmem0 missing label"),
    ("type guid wrong on mapping 1", fields(NMEM0, type=bytes(16)), "nmem0 missing label"),
    ("type guid wrong on both", fields(*BOTH, type=bytes(16)), "nmem1 missing label"),
    ("nlabel wrong on both", fields(*BOTH, nlabel=3), "nmem1 missing label"),
    ("one area copied onto the other device", copied, "nmem1 missing label"),
    ("the area of mapping 0 zeroed", zeroed, []),
    ("areas swapped", swapped, ALL),
    ("dpa beyond the mapping", fields(NMEM1, dpa=64 * MIB), [FIRST]),
    ("tail beyond the mapping", fields(NMEM0, rawsize=49 * MIB), "nmem0: namespace"),
    ("dpa and size not aligned", fields(*BOTH, dpa=17 * MIB + 4096, rawsize=MIB), ALL),
    ("sizes differ", fields(NMEM0, rawsize=8 * MIB), ALL),
    ("flags read-only and updating", fields(*BOTH, flags=9), ALL),
    ("unknown abstraction guid", fields(*BOTH, abstraction=b"\7" * 16), ALL),
]


@pytest.mark.parametrize(("damage", "result"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_damage(healthy, damage, result):
    bank = Bank({handle: bytearray(data) for handle, data in healthy.items()})
    damage(bank)
    nd = booted(bank)
    region = nd.region("region0")
    found = sorted(one.uuid for one in region.namespaces if one.size) if region.nstype == 5 else None
    if isinstance(result, str):
        assert not region.bound
        assert any(line.startswith(f"nd_region region0: {result}") for line in nd.messages), nd.messages
        assert region.namespaces == []
    else:
        assert (region.bound, found) == (True, result)


@pytest.mark.parametrize("uuid", [OTHER, SECOND])
def test_a_dimm_whose_labels_overlap_cannot_be_enabled_again(healthy, uuid):
    """As it had labels before, its region is not even searched for what other DIMMs say."""
    bank = Bank({handle: bytearray(data) for handle, data in healthy.items()})
    nd = booted(bank)
    nd.region("region0").unbind()
    nd.dimm("nmem0").unbind()
    duplicate(uuid)(bank)
    nd.dimm("nmem0").set_config_data(0, bytes(bank.areas[NMEM0]))
    with pytest.raises(NdError) as caught:
        nd.dimm("nmem0").bind()
    assert caught.value.errno == 16
    with pytest.raises(NdError) as caught:
        nd.region("region0").bind()
    assert caught.value.errno == 6
    assert nd.messages[-1] == "nd_region region0: nmem0: is disabled, failing probe"


def test_a_label_that_calls_itself_another_slot_is_ignored(healthy):
    bank = Bank({handle: bytearray(data) for handle, data in healthy.items()})
    at = 512 + 256 * bank.label(NMEM1).slot
    raw = bytearray(bank.areas[NMEM1][at : at + 256])
    raw[120] ^= 0x40
    bank.areas[NMEM1][at : at + 256] = seal(raw, LABEL_CHECKSUM)
    assert [one.uuid for one in booted(bank).region("region0").namespaces if one.size] == [FIRST]


def test_the_older_index_shows_the_label_that_was_being_updated(healthy):
    bank = Bank({handle: bytearray(data) for handle, data in healthy.items()})
    bad_current(*BOTH)(bank)
    area = bank.read(NMEM1)
    assert [one.flags for one in area.labels] == [8, 0]
