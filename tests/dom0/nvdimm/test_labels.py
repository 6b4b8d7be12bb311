"""The label storage area: formats, the choice of the current index block, what counts as a label."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.addr import KIB
from xlpy.dom0.nvdimm.fletcher import seal
from xlpy.dom0.nvdimm.labels import (
    ABSTRACTIONS,
    INDEX_CHECKSUM,
    TYPE_PMEM,
    IndexBlock,
    Label,
    LabelAreaContent,
    empty_index,
    geometry,
    read_area,
)

SIZE = 128 * KIB
GUID = {name: guid for guid, name in ABSTRACTIONS.items()}
COOKIE = 0x00BA90120012B4DC  # set of one device: serial 0x123456, vendor 0x8086


def with_tail(index: IndexBlock) -> IndexBlock:
    """ndctl leaves the bits after the last slot set, up to the next 64-bit boundary."""
    return index._replace(free=index.free | (1 << -(-index.slots // 64) * 64) - (1 << index.slots))


def used(index: IndexBlock, sequence: int, *slots: int) -> IndexBlock:
    free = with_tail(index).free
    for slot in slots:
        free &= ~(1 << slot)
    return index._replace(sequence=sequence, free=free)


def checksum(index: IndexBlock) -> int:
    return int.from_bytes(index.build()[64:72], "little")


def area(*records: tuple[int, bytes], size: int = SIZE) -> bytearray:
    data = bytearray(size)
    for at, record in records:
        data[at : at + len(record)] = record
    return data


def read(data: bytearray) -> LabelAreaContent:
    return read_area(len(data), lambda at, n: bytes(data[at : at + n]))


@pytest.mark.parametrize(
    ("size", "label", "index", "slots"),
    [
        (128 * KIB, 128, 256, 1020),
        (128 * KIB, 256, 256, 510),
        (256 * KIB, 128, 512, 2040),
        (256 * KIB, 256, 256, 1022),
        (1 * KIB, 256, 256, 2),
    ],
)
def test_geometry(size: int, label: int, index: int, slots: int) -> None:
    assert geometry(size, label) == (index, slots)


@pytest.mark.parametrize(
    ("block", "minor", "sequence", "slots", "expected"),
    [
        (0, 2, 3, (), 0x2793E3EDD8323C1C),
        (1, 2, 2, (), 0x2793E7B2D8323C1B),
        (0, 2, 2, (1,), 0x2793E356D8323C19),
        (1, 2, 1, (0,), 0x2793E749D8323C19),
        (0, 2, 1, (1, 2), 0x2793E263D8323C14),
        (1, 2, 3, (0, 1), 0x2793E763D8323C19),
        (0, 2, 3, (1, 2, 3), 0x2793E169D8323C0E),
        (1, 2, 2, (0, 1, 2), 0x2793E670D8323C14),
        (0, 2, 2, (1, 2, 3, 4, 5, 6), 0x2793CD0ED8323B9D),
        (1, 2, 3, (1, 3, 4, 5, 6), 0x2793D201D8323BA2),
        (0, 1, 3, (), 0xEB634621D7313E0A),
        (1, 1, 2, (), 0xEB6349E6D7313E09),
        (0, 1, 2, (1,), 0xEB63458AD7313E07),
        (1, 1, 1, (0,), 0xEB63497DD7313E07),
    ],
)
def test_index_checksums_seen_on_real_devices(
    block: int, minor: int, sequence: int, slots: tuple[int, ...], expected: int
) -> None:
    assert checksum(used(empty_index(SIZE, block, minor), sequence, *slots)) == expected


def test_real_index_block_bytes() -> None:
    block = used(empty_index(SIZE, 0), 2, 1).build()
    assert block[:72].hex() == (
        "4e414d4553504143455f494e44455800000000010200000000000000000000000001000000000000000100000000000000020000"
        "00000000fe01000001000200193c32d856e39327"
    )
    assert block[72:88] == b"\xfd" + b"\xff" * 15
    assert block[136:] == bytes(120)


@pytest.mark.parametrize(
    ("minor", "own", "sequence", "free", "expected"),
    [(1, 0, 0, (1 << 1016) - 1, 0xFA6344A8D8313E03), (1, 0x100, 3, (1 << 1016) - 2, 0xFA63492BD8313E05)],
)
def test_index_blocks_of_the_upstream_images(minor: int, own: int, sequence: int, free: int, expected: int) -> None:
    assert checksum(IndexBlock(sequence, own, 0x100, 0x100 - own, 0x200, 1016, free, 1, minor)) == expected


def label(uuid: str, lbasize: int, dpa: int, size: int, kind: str, slot: int, **fields: object) -> Label:
    base = Label(
        bytes.fromhex(uuid.replace("-", "")), "", 0, 1, 0, COOKIE, lbasize, dpa, size, slot, 0, TYPE_PMEM, GUID[kind]
    )
    return base._replace(**fields)


NS1 = label("11111111-2222-3333-4444-555555555555", 0x200, 0, 0x8000000, "pfn", 1, name="data0")
ILV = label(
    "01020304-0506-0708-090a-0b0c0d0e0f10",
    0x200,
    0,
    0x2000000,
    "pfn",
    1,
    name="ilv",
    nlabel=2,
    isetcookie=0xBC02EEB8F5432444,
)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (NS1._replace(flags=8, slot=0), 0x65465EA7317575AD),
        (NS1, 0x65465D69317575A6),
        (
            label("a91a39aa-2a93-4b6e-b7a4-3f4bb1297403", 0x200, 0x8000000, 0x2000000, "none", 2),
            0xDEA5C8EB2805465C,
        ),
        (
            label("0a4c5ca7-3cee-47f5-aa62-a1817c39d950", 0x1000, 0xA000000, 0x4000000, "btt2", 3),
            0x10ABB961AA514DDB,
        ),
        (label("24d2c49d-08e8-42b9-9920-041da7d00eb4", 0x200, 0xE000000, 0x4000000, "pfn", 4), 0x2B5D36C9132CF2B5),
        (label("3065ec5e-ead5-40e3-883a-11c938f993e1", 0x200, 0x12000000, 0x3000000, "dax", 5), 0xA1DE9B7D8F734BC3),
        (
            label("9a5a647a-01d9-473a-bb48-98cd33f61528", 0x200, 0x15000000, 0x2000000, "btt2", 6),
            0xD6ECA3FBEE8CDBFB,
        ),
        (ILV, 0xE53291C1B425A1DA),
        (ILV._replace(position=1), 0xE55D91C1B426A1DA),
    ],
)
def test_label_checksums_seen_on_real_devices(item: Label, expected: int) -> None:
    assert int.from_bytes(item.build()[248:], "little") == expected


def test_label_bytes() -> None:
    raw = NS1._replace(flags=8, slot=0).build()
    assert raw[80:160].hex() == (
        "0800000001000000dcb412001290ba000002000000000000000000000000000000000008000000000000000000000000"
        "79d3f066f3b47440ac430d3318b78cdbba0064269ffb7746bcb0968f11d0d225"
    )
    assert raw[248:].hex() == "ad757531a75e4665"
    assert Label.parse(raw) == NS1._replace(flags=8, slot=0)


def test_an_initialised_area_is_empty_with_block_0_current() -> None:
    seen = read(area((0, empty_index(SIZE, 0).build()), (0x100, empty_index(SIZE, 1).build())))
    assert (seen.current, seen.labels, seen.available_slots, seen.problems) == (0, (), 509, ())


def test_labels_of_the_current_index_count() -> None:
    data = area(
        (0, used(empty_index(SIZE, 0), 2, 1).build()),
        (0x100, used(empty_index(SIZE, 1), 1, 0).build()),
        (0x200, NS1._replace(flags=8, slot=0).build()),
        (0x300, NS1.build()),
    )
    seen = read(data)
    assert (seen.current, seen.labels, seen.problems) == (0, (NS1,), ())


def test_an_upstream_image_has_one_label_of_format_1_1() -> None:
    item = Label(
        bytes.fromhex("6830f0397914423ebad622bda8fde8d6"), "", 8, 4, 2, 0x0803F6D70100FEFB, 0, 1 << 24, 1 << 24, 0
    )
    head = IndexBlock(0, 0, 0x100, 0x100, 0x200, 1016, (1 << 1016) - 1, 1, 1)
    data = area(
        (0, head.build()),
        (0x100, head._replace(sequence=3, own=0x100, other=0, free=(1 << 1016) - 2).build()),
        (0x200, item.build(1)),
    )
    seen = read(data)
    assert (seen.current, seen.labels) == (1, (item,))
    assert seen.problems == ("index block 0: sequence number 0, must be 1, 2 or 3",)


@pytest.mark.parametrize(
    ("first", "second", "current"),
    [(3, 2, 0), (1, 3, 0), (2, 1, 0), (1, 2, 1), (2, 3, 1), (3, 1, 1), (1, 1, 1), (3, 3, 1), (7, 6, 0)],
)
def test_the_successor_is_current(first: int, second: int, current: int) -> None:
    blocks = [empty_index(SIZE, at)._replace(sequence=s) for at, s in enumerate((first, second))]
    assert read(area((0, blocks[0].build()), (0x100, blocks[1].build()))).current == current


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sequence": 4}, "sequence number 4"),
        ({"own": 0x200}, "own offset 0x200"),
        ({"other": 0}, "other block at 0x0"),
        ({"labels": 0x300}, "labels from 0x300"),
        ({"slots": 511}, "511 slots of 256 bytes do not fit"),
    ],
)
def test_an_invalid_block_leaves_the_other(change: dict[str, int], problem: str) -> None:
    bad = empty_index(SIZE, 0)._replace(**change).build()
    seen = read(area((0, bad), (0x100, empty_index(SIZE, 1).build())))
    assert seen.current == 1
    assert seen.problems[0].startswith(f"index block 0: {problem}")


@pytest.mark.parametrize(("size", "valid"), [(71, False), (72, True), (256, True), (257, False)])
def test_the_size_that_an_index_block_gives_itself(size: int, valid: bool) -> None:
    """From its head up to what is there for it."""
    block = bytearray(empty_index(SIZE, 0).build())
    block[32:40] = size.to_bytes(8, "little")
    seen = read(area((0, bytes(seal(block, INDEX_CHECKSUM))), (0x100, empty_index(SIZE, 1).build())))
    assert (seen.blocks[0] is not None) == valid
    assert any(problem.startswith(f"index block 0: own size {size}") for problem in seen.problems) != valid


def test_the_smaller_format_is_tried_first() -> None:
    seen = read(area((0, empty_index(SIZE, 0, 1).build()), (0x100, empty_index(SIZE, 1, 2).build())))
    assert seen.current == 0
    assert seen.problems == ("index block 1: version 1.2 with labels of 256 bytes, 128 expected",)


@pytest.mark.parametrize(("at", "problem"), [(0, "no signature"), (100, "checksum"), (64, "checksum")])
def test_a_torn_block_leaves_the_other(at: int, problem: str) -> None:
    data = area((0, empty_index(SIZE, 0).build()), (0x100, empty_index(SIZE, 1).build()))
    data[at] ^= 1
    seen = read(data)
    assert (seen.current, len(seen.problems)) == (1, 1)
    assert problem in seen.problems[0]


def with_labels(*items: Label) -> bytearray:
    index = used(empty_index(SIZE, 0), 3, *range(len(items)))
    return area((0, index.build()), *((0x200 + 0x100 * n, item.build()) for n, item in enumerate(items)))


def test_a_label_in_the_wrong_slot_is_ignored() -> None:
    seen = read(with_labels(NS1))
    assert (seen.labels, seen.problems[1]) == ((), "slot 0: calls itself slot 1, ignored")


def test_a_damaged_label_is_ignored() -> None:
    data = with_labels(NS1._replace(slot=0))
    data[0x210] ^= 1
    seen = read(data)
    assert seen.labels == ()
    assert seen.problems[1].startswith("slot 0: checksum")


@pytest.mark.parametrize(
    ("second", "conflict"),
    [
        (NS1._replace(dpa=1 << 30), None),
        (NS1._replace(uuid=bytes(16), dpa=0x7FFF000), "slots 0 and 1 claim the same bytes from 0x7fff000"),
        (NS1._replace(uuid=bytes(16), dpa=0x8000000), None),
        (NS1._replace(uuid=bytes(16), dpa=0x1000, rawsize=1), "slots 0 and 1 claim the same bytes from 0x1000"),
        (
            NS1._replace(uuid=bytes(16), dpa=0x1000, rawsize=0),
            "slot 1 claims no bytes for 00000000-0000-0000-0000-000000000000",
        ),
    ],
)
def test_conflicting_labels_make_the_device_unusable(second: Label, conflict: str | None) -> None:
    assert read(with_labels(NS1._replace(slot=0), second)).conflict == conflict


def test_zeros_are_an_area_that_is_not_initialised() -> None:
    seen = read(bytearray(SIZE))
    assert (seen.current, seen.available_slots, seen.problems) == (None, 0, ("the area is not initialised",))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 0x3FF), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_anywhere_is_reported_and_never_raised(hits: list[tuple[int, int]]) -> None:
    data = with_labels(NS1._replace(slot=0), NS1._replace(uuid=bytes(16), dpa=1 << 30))
    for at, value in hits:
        data[at] = value
    seen = read(data)
    assert seen.current is not None or seen.problems
