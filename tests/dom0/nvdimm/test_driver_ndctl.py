"""``ndctl list``: nesting, keys, order and number forms against output of the real one."""

import json

import pytest

from xlpy.addr import GIB, MIB, Spa, Span
from xlpy.dom0.nvdimm.namespace import Namespace
from xlpy.dom0.nvdimm.ndctl import human_size, listing, to_json
from xlpy.dom0.nvdimm.probe import interpret
from xlpy.firmware.acpi.nfit import HEALTH_OBSERVED, NOT_ARMED, Capabilities, ControlRegion, RegionMap, SpaRange

PAIR = interpret(
    [
        SpaRange(1, 4 * GIB, 128 * MIB),
        RegionMap(1, 1, 1, 64 * MIB, 0, physical_id=32, interleave_ways=2),
        RegionMap(257, 1, 2, 64 * MIB, 4096, physical_id=33, interleave_ways=2),
        ControlRegion(1, 0x8980, 1, 1, valid_fields=1, manufacturing_location=0xA2, manufacturing_date=0x4917,
                      serial_number=0xB10A0000),
        ControlRegion(2, 0x8980, 1, 1, valid_fields=1, manufacturing_location=0xA2, manufacturing_date=0x4917,
                      serial_number=0xB20A0000),
        Capabilities(1, 2),
    ]
)  # fmt: skip
SPAN = Span(Spa(4 * GIB), 128 * MIB)
FSDAX = Namespace(
    0,
    SPAN,
    "fsdax",
    Span(Spa(4 * GIB + 4 * MIB), 124 * MIB),
    map="dev",
    uuid="0d50f988-4674-48ee-b4a9-5ee17be61703",
    align=2 * MIB,
    size=124 * MIB,
)
RAW = Namespace(0, SPAN, "raw", SPAN, size=SPAN.size)
SECTOR = Namespace(
    0, SPAN, "sector", SPAN, uuid="64e1e50d-5e48-4c0e-9a35-9e47fe688938", sector_size=4096, size=65966080
)

DIMMS = """\
    "dimms":[
      {
        "dev":"nmem0",
        "id":"8089-a2-1749-00000ab1",
        "handle":1,
        "phys_id":32
      },
      {
        "dev":"nmem1",
        "id":"8089-a2-1749-00000ab2",
        "handle":257,
        "phys_id":33
      }
    ],
"""
REGION = """\
    "regions":[
      {
        "dev":"region0",
        "size":134217728,
        "align":16777216,
        "available_size":0,
        "max_available_extent":0,
        "type":"pmem",
        "mappings":[
          {
            "dimm":"nmem0",
            "offset":0,
            "length":67108864,
            "position":0
          },
          {
            "dimm":"nmem1",
            "offset":0,
            "length":67108864,
            "position":1
          }
        ],
        "persistence_domain":"memory_controller",
        "namespaces":[
          {
            "dev":"namespace0.0",
            "mode":"raw",
            "size":134217728,
            "sector_size":512,
            "blockdev":"pmem0"
          }
        ]
      }
    ]
"""
EVERYTHING = f'[\n  {{\n    "provider":"ACPI.NFIT",\n    "dev":"ndbus0",\n{DIMMS}{REGION}  }}\n]\n'


def test_everything_nested():
    assert to_json(listing(PAIR, [RAW], buses=True, dimms=True, regions=True, with_namespaces=True)) == EVERYTHING


def shape(document):
    """What is inside what, by key."""
    if isinstance(document, list):
        return [shape(one) for one in document]
    return {key: shape(value) if isinstance(value, list) else None for key, value in document.items()
            if key in ("dimms", "regions", "namespaces", "mappings", "dev")}  # fmt: skip


DEV = {"dev": None}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", [DEV]),
        ("N", [DEV]),
        ("D", [DEV, DEV]),
        ("R", [DEV]),
        ("B", [DEV]),
        ("DN", {"dimms": [DEV, DEV], "namespaces": [DEV]}),
        ("DR", {"dimms": [DEV, DEV], "regions": [{**DEV, "mappings": [{}, {}]}]}),
        ("RN", [{**DEV, "namespaces": [DEV]}]),
        ("BN", [{**DEV, "namespaces": [DEV]}]),
        ("BR", [{**DEV, "regions": [DEV]}]),
        ("BRN", [{**DEV, "regions": [{**DEV, "namespaces": [DEV]}]}]),
        ("BD", [{**DEV, "dimms": [DEV, DEV]}]),
    ],
)
def test_nesting(flags, expected):
    found = listing(
        PAIR,
        [FSDAX],
        buses="B" in flags,
        dimms="D" in flags,
        regions="R" in flags,
        with_namespaces="N" in flags,
    )
    assert shape(found) == expected


@pytest.mark.parametrize(
    ("namespace", "options", "expected"),
    [
        (
            FSDAX,
            {"human": True},
            '{"dev":"namespace0.0","mode":"fsdax","map":"dev","size":"124.00 MiB (130.02 MB)",'
            '"uuid":"0d50f988-4674-48ee-b4a9-5ee17be61703","sector_size":512,"align":2097152,"blockdev":"pmem0"}',
        ),
        (
            SECTOR,
            {"verbose": True},
            '[{"dev":"namespace0.0","mode":"sector","size":65966080,"uuid":"64e1e50d-5e48-4c0e-9a35-9e47fe688938",'
            '"sector_size":4096,"blockdev":"pmem0s","numa_node":0,"target_node":0}]',
        ),
        (
            RAW,
            {},
            '[{"dev":"namespace0.0","mode":"raw","size":134217728,"sector_size":512,"blockdev":"pmem0"}]',
        ),
        (
            RAW._replace(problem="damaged"),
            {"idle": True},
            '[{"dev":"namespace0.0","mode":"raw","size":134217728,"sector_size":512,"state":"disabled"}]',
        ),
        (
            FSDAX._replace(mode="devdax"),
            {},
            '[{"dev":"namespace0.0","mode":"devdax","map":"dev","size":130023424,'
            '"uuid":"0d50f988-4674-48ee-b4a9-5ee17be61703","daxregion":{"id":0,"size":130023424,"align":2097152,'
            '"devices":[{"chardev":"dax0.0","size":130023424,"align":2097152,"mode":"devdax"}]},"align":2097152}]',
        ),
    ],
)
def test_namespaces(namespace, options, expected):
    assert json.dumps(listing(PAIR, [namespace], **options), separators=(",", ":")) == expected


def test_human_numbers():
    one = interpret([SpaRange(1, GIB, 256 * MIB), RegionMap(2, 1, 1, 256 * MIB),
                     ControlRegion(1, 0x8086, 1, 1, serial_number=0x123457)])  # fmt: skip
    assert listing(one, [], dimms=True, human=True) == {
        "dev": "nmem0",
        "id": "8680-57341200",
        "handle": "0x2",
        "phys_id": "0",
    }
    region = listing(one, [], dimms=True, regions=True, human=True)["regions"][0]
    assert region["mappings"] == [{"dimm": "nmem0", "offset": "0", "length": "0x10000000", "position": 0}]
    assert (region["size"], region["align"], region["persistence_domain"]) == (
        "256.00 MiB (268.44 MB)",
        "0x1000000",
        "unknown",
    )


def test_failed_dimms():
    bad = interpret([SpaRange(1, GIB, GIB), RegionMap(1, 1, 1, GIB, flags=NOT_ARMED | HEALTH_OBSERVED),
                     ControlRegion(1, 1, 1, 1)])  # fmt: skip
    assert list(listing(bad, [], dimms=True)[0].items())[-2:] == [("flag_failed_arm", True), ("flag_smart_event", True)]


def test_nothing_prints_nothing():
    empty = interpret([])
    for flags in ({}, {"buses": True}, {"dimms": True, "regions": True}):
        assert to_json(listing(empty, [], **flags)) == ""
    assert listing(PAIR, [RAW._replace(problem="damaged")]) is None


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, 0),
        (512, 512),
        (5000 * 1024 - 1, 5000 * 1024 - 1),
        (124 * MIB, "124.00 MiB (130.02 MB)"),
        (134086656, "127.88 MiB (134.09 MB)"),
        (65966080, "62.91 MiB (65.97 MB)"),
        (2 * GIB - 1, "2048.00 MiB (2147.48 MB)"),
        (2 * GIB, "2.00 GiB (2.15 GB)"),
        (2048 * GIB, "2.00 TiB (2.20 TB)"),
    ],
)
def test_human_sizes(size, text):
    assert human_size(size) == text
