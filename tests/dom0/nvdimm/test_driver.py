"""The NVDIMM driver on NFITs: numbering, ids, cookies, persistence, and tables that do not hold together."""

import json

import pytest

from xlpy.addr import GIB, MIB, Span
from xlpy.dom0.nvdimm.driver import Bus, MappingDesc
from xlpy.dom0.nvdimm.probe import interpret
from xlpy.errors import FormatError
from xlpy.firmware.acpi.nfit import VOLATILE_MEMORY, Capabilities, ControlRegion, FlushHints, RegionMap, SpaRange


def control(index, serial, vendor=0x8086, made=None):
    location, date = made or (0, 0)
    return ControlRegion(
        index,
        vendor,
        1,
        1,
        valid_fields=int(made is not None),
        manufacturing_location=location,
        manufacturing_date=date,
        serial_number=serial,
    )


PAIR_MADE = (0xA2, 0x4917)
ROUNDS = (0xABCD, (0x0A, 0xE007))


TWO_WAY = [
    SpaRange(1, 4 * GIB, 128 * MIB, flags=2, proximity_domain=3),
    RegionMap(0x101, 1, 2, 64 * MIB, region_offset=0x1000, physical_id=33, interleave_ways=2),
    RegionMap(0x001, 1, 1, 64 * MIB, region_offset=0, physical_id=32, interleave_ways=2),
    control(2, 0xB20A0000, 0x8980, PAIR_MADE),
    control(1, 0xB10A0000, 0x8980, PAIR_MADE),
    FlushHints(1, (0x1000,)),
    Capabilities(1, 2),
]


def test_a_two_way_set():
    bus = interpret(TWO_WAY, revision=1)
    assert [(d.dev, d.handle, d.phys_id, d.unique) for d in bus.dimms] == [
        ("nmem0", 1, 32, "8089-a2-1749-00000ab1"),
        ("nmem1", 0x101, 33, "8089-a2-1749-00000ab2"),
    ]
    (region,) = bus.regions
    assert (region.dev, region.span) == ("region0", Span(4 * GIB, 128 * MIB))
    # NFIT order; the position is that of the region offset
    assert region.mappings == (MappingDesc("nmem1", 0, 64 * MIB, 1), MappingDesc("nmem0", 0, 64 * MIB, 0))
    assert (region.cookie1, region.cookie2) == (0x8A50400063141000, 0xBC02EEB8F5432444)
    assert (region.align, region.node, region.read_only) == (16 * MIB, 3, False)
    assert (bus.persistence, bus.problems) == ("memory_controller", ())
    assert Bus.load(json.loads(json.dumps(bus.dump()))) == bus


@pytest.mark.parametrize(("ways", "fits"), [(32, True), (33, False)])
def test_as_many_devices_as_a_region_can_have(ways, fits):
    """Linux' ND_MAX_MAPPINGS."""
    maps = [
        RegionMap(n, 1, n, 64 * MIB, region_offset=n << 12, physical_id=n, interleave_ways=ways)
        for n in range(1, ways + 1)
    ]
    structures = [SpaRange(1, 4 * GIB, ways * 64 * MIB), *maps, *[control(n, n) for n in range(1, ways + 1)]]
    if fits:
        (region,) = interpret(structures, revision=1).regions
        assert len(region.mappings) == 32
    else:
        with pytest.raises(FormatError, match="33 mappings, at most 32"):
            interpret(structures, revision=1)


def single(flags=0, length=64 * MIB, **dcr):
    return [SpaRange(1, 4 * GIB, length), RegionMap(1, 1, 1, length, flags=flags), control(1, 0x123456, **dcr)]


def test_unique_id_without_manufacturing_data():
    assert interpret(single()).dimms[0].unique == "8680-56341200"


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ((), None),
        ((Capabilities(1, 3),), "cpu_cache"),
        ((Capabilities(1, 2),), "memory_controller"),
        ((Capabilities(0, 2),), None),  # bits above the highest valid one do not count
        ((Capabilities(2, 4),), None),
        ((Capabilities(31, 1),), "cpu_cache"),
    ],
)
def test_persistence_domain(capabilities, expected):
    assert interpret([*single(), *capabilities]).persistence == expected


def test_state_flags():
    bus = interpret(single(flags=0b1111111))
    assert bus.dimms[0].flags == (
        "save_fail",
        "restore_fail",
        "flush_fail",
        "not_armed",
        "smart_event",
        "smart_notify",
        "map_fail",
    )
    assert bus.regions[0].read_only


@pytest.mark.parametrize(
    ("size", "ways", "align"),
    [(GIB, 1, 16 * MIB), (GIB, 4, 16 * MIB), (GIB, 3, 48 * MIB), (8 * MIB, 1, 4096)],
)
def test_region_alignment(size, ways, align):
    maps = [RegionMap(i + 1, 1, 1, size // ways, region_offset=i * 4096, interleave_ways=ways) for i in range(ways)]
    assert interpret([SpaRange(1, GIB, size), *maps, control(1, 1)]).regions[0].align == align


def test_regions_are_numbered_in_table_order_and_only_pmem():
    bus = interpret(
        [
            SpaRange(7, 8 * GIB, GIB),
            SpaRange(5, 16 * GIB, GIB, range_type=VOLATILE_MEMORY),
            SpaRange(1, 4 * GIB, GIB),
            RegionMap(1, 1, 1, GIB),
            RegionMap(2, 7, 1, GIB),
            RegionMap(3, 0, 1, 0),
            control(1, 1),
        ]
    )
    assert [(r.dev, r.span.start) for r in bus.regions] == [("region0", 8 * GIB), ("region1", 4 * GIB)]
    assert [d.dev for d in bus.dimms] == ["nmem0", "nmem1", "nmem2"]  # the third has no region


def test_no_dimms():
    assert interpret([]) == Bus(1, None, (), (), ())


@pytest.mark.parametrize(
    ("structures", "text"),
    [
        ([*single()[:2]], "SPA 1 missing DCR 1"),
        ([*single()[1:]], "SPA range 1, which is missing"),
        ([SpaRange(1, GIB, GIB), RegionMap(1, 1, 0, GIB)], "no control region"),
        ([SpaRange(1, GIB, GIB), control(1, 1), *[RegionMap(i, 1, 1, GIB) for i in range(1, 34)]], "33 mappings"),
    ],
)
def test_tables_that_do_not_hold_together(structures, text):
    with pytest.raises(FormatError, match=text):
        interpret(structures)


def test_oddities_are_noted():
    bus = interpret([SpaRange(1, GIB, 2 * GIB), RegionMap(1, 1, 1, GIB, interleave_ways=2), control(1, 1)])
    assert bus.problems == (
        "region0: device 0x1 is one of 2 ways, but there are 1",
        "region0: its devices have 0x40000000 bytes together, the range has 0x80000000",
    )
