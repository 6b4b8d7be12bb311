"""``ndctl list``: nesting, keys, order and number forms against output of the real one, on buses of any shape."""

import json
from contextlib import nullcontext

import pytest
from dom0.nvdimm.nd_bank import Platform, disable, powered

from xlpy.addr import GIB, MIB
from xlpy.cli.ndctl import listing
from xlpy.cli.ndctl.session import NdctlSession
from xlpy.cli.ndctl.sizes import human
from xlpy.dom0.nvdimm.nd.bus import NdBus
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
SMALL = interpret([SpaRange(1, 4 * GIB, 64 * MIB), RegionMap(1, 1, 1, 64 * MIB), ControlRegion(1, 0x8086, 1, 1)])
UUID = "0d50f988-4674-48ee-b4a9-5ee17be61703"
SECTOR_UUID = "64e1e50d-5e48-4c0e-9a35-9e47fe688938"

DIMMS = """\
    "dimms":[
      {
        "dev":"nmem1",
        "id":"8089-a2-1749-00000ab2",
        "handle":257,
        "phys_id":33
      },
      {
        "dev":"nmem0",
        "id":"8089-a2-1749-00000ab1",
        "handle":1,
        "phys_id":32
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


class Heard(NdctlSession):
    """A session whose output is kept."""

    def __init__(self, nd):
        super().__init__(None, "ndctl", "76")
        self.__dict__["nd"] = nd
        self.text = ""

    def looking(self):
        return nullcontext()

    def out(self, *texts):
        self.text += "".join(texts)

    def err(self, *lines):
        """What is said beside the list does not matter here."""


@pytest.fixture(autouse=True)
def firmware_without_scrubs(monkeypatch):
    monkeypatch.setattr(NdBus, "scrub_state", None)


@pytest.fixture
def listed():
    """What the list of a bus says, with ndctl's options; ``prepare`` is given the region first."""

    def ask(bus, words, prepare=None):
        nd = powered(bus, Platform())
        if prepare:
            prepare(next(iter(nd.regions)))
        session = Heard(nd)
        assert listing.run(session, words.split()) == 0
        return session.text

    return ask


def fsdax(region):
    """The whole region in fsdax mode, page structs on the media."""
    _paged(region, region.pfn_seed)


def devdax(region):
    _paged(region, region.dax_seed)


def _paged(region, seed):
    (namespace,) = region.namespaces
    disable(namespace)
    seed.store_uuid(UUID)
    seed.store_mode("pmem")
    seed.store_align(2 * MIB)
    seed.store_namespace(namespace.dev)
    seed.bind()


def sector(region):
    (namespace,) = region.namespaces
    disable(namespace)
    seed = region.btt_seed
    seed.store_uuid(SECTOR_UUID)
    seed.store_sector_size(4096)
    seed.store_namespace(namespace.dev)
    seed.bind()


def disabled(region):
    disable(region.namespaces[0])


def test_everything_nested(listed):
    assert listed(PAIR, "-BDRN") == EVERYTHING


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
        ("-N", [DEV]),
        ("-D", [DEV, DEV]),
        ("-R", [DEV]),
        ("-B", [DEV]),
        ("-DN", {"dimms": [DEV, DEV], "namespaces": [DEV]}),
        ("-DR", {"dimms": [DEV, DEV], "regions": [{**DEV, "mappings": [{}, {}]}]}),
        ("-RN", {"regions": [{**DEV, "namespaces": [DEV]}]}),
        ("-BN", [{**DEV, "namespaces": [DEV]}]),
        ("-BR", [{**DEV, "regions": [DEV]}]),
        ("-BRN", [{**DEV, "regions": [{**DEV, "namespaces": [DEV]}]}]),
        ("-BD", [{**DEV, "dimms": [DEV, DEV]}]),
    ],
)
def test_nesting(listed, flags, expected):
    assert shape(json.loads(listed(PAIR, flags, fsdax))) == expected


@pytest.mark.parametrize(
    ("bus", "prepare", "flags", "expected"),
    [
        (
            PAIR,
            fsdax,
            "-u",
            '{"dev":"namespace0.0","mode":"fsdax","map":"dev","size":"124.00 MiB (130.02 MB)",'
            f'"uuid":"{UUID}","sector_size":512,"align":2097152,"blockdev":"pmem0"}}',
        ),
        (
            SMALL,
            sector,
            "-N -v",
            f'[{{"dev":"namespace0.0","mode":"sector","size":65961984,"uuid":"{SECTOR_UUID}",'
            '"sector_size":4096,"blockdev":"pmem0s","numa_node":0,"target_node":0}]',
        ),
        (
            PAIR,
            None,
            "",
            '[{"dev":"namespace0.0","mode":"raw","size":134217728,"sector_size":512,"blockdev":"pmem0"}]',
        ),
        (
            PAIR,
            disabled,
            "-i",
            '[{"dev":"namespace0.0","mode":"raw","size":134217728,"sector_size":512,"state":"disabled"}]',
        ),
        (
            PAIR,
            devdax,
            "-X",
            '[{"dev":"namespace0.0","mode":"devdax","map":"dev","size":130023424,'
            f'"uuid":"{UUID}","daxregion":{{"id":0,"size":130023424,"align":2097152,'
            '"devices":[{"chardev":"dax0.0","size":130023424,"target_node":0,"align":2097152,"mode":"devdax"}]},'
            '"align":2097152}]',
        ),
    ],
)
def test_namespaces(listed, bus, prepare, flags, expected):
    assert json.dumps(json.loads(listed(bus, flags, prepare)), separators=(",", ":")) == expected


def test_human_numbers(listed):
    one = interpret([SpaRange(1, GIB, 256 * MIB), RegionMap(2, 1, 1, 256 * MIB),
                     ControlRegion(1, 0x8086, 1, 1, serial_number=0x123457)])  # fmt: skip
    assert json.loads(listed(one, "-D -u")) == {
        "dev": "nmem0",
        "id": "8680-57341200",
        "handle": "0x2",
        "phys_id": "0",
    }
    region = json.loads(listed(one, "-DR -u"))["regions"][0]
    assert region["mappings"] == [{"dimm": "nmem0", "offset": "0", "length": "0x10000000", "position": 0}]
    assert (region["size"], region["align"], region["persistence_domain"]) == (
        "256.00 MiB (268.44 MB)",
        "16.00 MiB (16.78 MB)",
        "unknown",
    )


def test_failed_dimms(listed):
    bad = interpret([SpaRange(1, GIB, GIB), RegionMap(1, 1, 1, GIB, flags=NOT_ARMED | HEALTH_OBSERVED),
                     ControlRegion(1, 1, 1, 1)])  # fmt: skip
    found = json.loads(listed(bad, "-D"))[0]
    assert list(found.items())[-2:] == [("flag_failed_arm", True), ("flag_smart_event", True)]


@pytest.mark.parametrize("flags", ["", "-DR"])
def test_nothing_prints_nothing(listed, flags):
    assert listed(interpret([]), flags) == ""


def test_what_is_disabled_is_not_listed(listed):
    assert listed(PAIR, "", disabled) == ""


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
    assert human(size) == text
