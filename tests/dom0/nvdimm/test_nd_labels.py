"""Labels that the driver writes: the sequences, slots and checksums that Linux 6.1 left on an emulated NVDIMM."""

from __future__ import annotations

import pytest
from dom0.nvdimm import nd_bank
from dom0.nvdimm.nd_bank import AREA, create, destroy, init_labels, pair, powered, single

from xlpy.addr import MIB
from xlpy.dom0.nvdimm.labels import read_area

NS = [
    ("11111111-2222-3333-4444-555555555555", 128 * MIB, {"name": "data0"}),
    ("a91a39aa-2a93-4b6e-b7a4-3f4bb1297403", 32 * MIB, {"mode": "raw"}),
    ("0a4c5ca7-3cee-47f5-aa62-a1817c39d950", 64 * MIB, {"mode": "sector"}),
    ("24d2c49d-08e8-42b9-9920-041da7d00eb4", 64 * MIB, {"structs": "mem", "align": 4096}),
    ("3065ec5e-ead5-40e3-883a-11c938f993e1", 48 * MIB, {"mode": "devdax"}),
    ("9a5a647a-01d9-473a-bb48-98cd33f61528", 32 * MIB, {"mode": "sector", "sector": 512}),
]


def blocks(labels: nd_bank.Labels) -> list[tuple[int, list[int], int]]:
    """(sequence, used slots, checksum) of both index blocks."""
    area = read_area(AREA, labels.read)
    found = []
    for one in area.blocks:
        assert one is not None
        found.append((one.sequence, one.used, int.from_bytes(labels.read(one.own + 64, 8), "little")))
    return found


def test_the_observed_chain_of_index_blocks():
    platform = nd_bank.Platform()
    nd = powered(single(), platform)
    init_labels(nd)
    labels = platform.labels[1]
    for block in (0, 1):  # ndctl leaves the two bits behind the last slot set, and the kernel keeps what it finds
        with_spare_bits(labels, block)
    nd = powered(single(), platform)
    region = nd.region("region0")
    assert blocks(labels) == [(3, [], 0x2793E3EDD8323C1C), (2, [], 0x2793E7B2D8323C1B)]
    seen = []
    for uuid, size, options in NS:
        create(region, uuid, size, **options)
        seen.append(blocks(labels))
    assert seen[:3] == [
        [(2, [1], 0x2793E356D8323C19), (1, [0], 0x2793E749D8323C19)],
        [(1, [1, 2], 0x2793E263D8323C14), (3, [0, 1], 0x2793E763D8323C19)],
        [(3, [1, 2, 3], 0x2793E169D8323C0E), (2, [0, 1, 2], 0x2793E670D8323C14)],
    ]
    assert seen[5][0][:2] == (3, [1, 2, 3, 4, 5, 6])
    destroy(nd.namespace("namespace0.1"))
    assert blocks(labels) == [
        (2, [1, 2, 3, 4, 5, 6], 0x2793CD0ED8323B9D),
        (3, [1, 3, 4, 5, 6], 0x2793D201D8323BA2),
    ]


def with_spare_bits(labels: nd_bank.Labels, block: int) -> None:
    one = read_area(AREA, labels.read).blocks[block]
    assert one is not None
    one = one._replace(free=(1 << 512) - 1)
    labels.write(one.own, one.build())


@pytest.mark.parametrize(
    ("number", "slot", "checksum"),
    [
        (0, 1, 0x65465D69317575A6),
        (1, 2, 0xDEA5C8EB2805465C),
        (2, 3, 0x10ABB961AA514DDB),
        (3, 4, 0x2B5D36C9132CF2B5),
        (4, 5, 0xA1DE9B7D8F734BC3),
        (5, 6, 0xD6ECA3FBEE8CDBFB),
    ],
)
def test_the_observed_labels(number, slot, checksum):
    platform = nd_bank.Platform()
    nd = powered(single(), platform)
    init_labels(nd)
    for uuid, size, options in NS:
        create(nd.region("region0"), uuid, size, **options)
    raw = platform.labels[1].read(512 + slot * 256, 256)
    assert int.from_bytes(raw[248:], "little") == checksum
    assert nd.dimm("nmem0").available_slots == 503
    assert [one.block_device for one in nd.namespaces] == [
        "pmem0", "pmem0.1", "pmem0.2s", "pmem0.3", None, "pmem0.5s", None
    ]  # fmt: skip
    assert nd.namespace("namespace0.4").char_device == "dax0.4"
    assert nd.namespace(f"namespace0.{number}").uuid == NS[number][0]


def test_the_observed_labels_of_a_pair():
    platform = nd_bank.Platform()
    nd = powered(pair(), platform)
    init_labels(nd)
    region = nd.region("region0")
    create(region, "01020304-0506-0708-090a-0b0c0d0e0f10", 64 * MIB, name="ilv")
    first, second = (platform.labels[handle].read(768, 256) for handle in (0x101, 0x001))
    assert [int.from_bytes(raw[248:], "little") for raw in (first, second)] == [0xE53291C1B425A1DA, 0xE55D91C1B426A1DA]
    assert region.set_cookie == 0xBC02EEB8F5432444
    assert (region.available_size, region.max_available_extent) == (64 * MIB, 64 * MIB)
    assert [(m.dimm.dev, m.position) for m in region.mappings] == [("nmem1", 1), ("nmem0", 0)]
