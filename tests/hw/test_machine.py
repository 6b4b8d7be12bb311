"""Machine descriptions: what is read, and that every problem is told with its line."""

import json
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.addr import GIB, KIB, MIB, TIB
from xlpy.errors import ConfigError, StateError
from xlpy.hw import memmap, strict_yaml
from xlpy.hw.describe import default_machine_text, parse_machine
from xlpy.hw.machine import (
    FileSpec,
    FilesystemSpec,
    PartitionSpec,
    spec_from_json,
    spec_to_json,
)

FILES = sorted((Path(__file__).parents[2] / "configs" / "machines").glob("*.yaml"))

BASE = """\
name: box
ram: 4G
dimms:
  - {id: a, capacity: 256M}
  - {id: b, capacity: 256M}
sets:
  - {name: s0, dimms: [a, b]}
namespaces:
  - {region: s0, mode: raw}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_machine(dedent(text), "m.yaml")
    assert caught.value.exit == 3
    return list(caught.value.details)


def test_default_machine():
    spec = parse_machine(default_machine_text())
    assert spec.ram == 16 * GIB
    assert spec.cpu.features == ("clflushopt", "clwb")
    assert [(one.name, one.dimms, one.line, one.base, one.size) for one in spec.sets] == [
        ("set0", ("dimm0", "dimm1"), 4 * KIB, 0x440000000, 2 * GIB),
        ("set1", ("dimm2",), 4 * KIB, 0x4C0000000, 526 * MIB),
    ]
    first, second = spec.namespaces
    assert (first.mode, first.map, first.reserve, first.align) == ("fsdax", "dev", True, 2 * MIB)
    assert first.filesystem == FilesystemSpec("ext4", "/mnt/pmem0", (FileSpec("/mnt/pmem0/vm1.img", 64 * MIB),))
    assert (second.mode, second.filesystem, second.partitions) == ("fsdax", None, ())
    assert all(dimm.label_size == 128 * KIB for dimm in spec.dimms)


def test_defaults_are_enough():
    spec = parse_machine("{}")
    assert (spec.name, spec.ram, spec.cpu.count, spec.dimms, spec.sets) == ("machine", 16 * GIB, 4, (), ())


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def loader(request, monkeypatch):
    """Both YAML readers: the fast one where PyYAML has it, and the one that is always there."""
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(strict_yaml, "_LOADER", getattr(yaml, request.param))


def test_the_hint_is_a_machine():
    with pytest.raises(ConfigError) as caught:
        parse_machine("dimms: 1")
    assert parse_machine(str(caught.value.hint).partition(": ")[2]).sets[0].size == GIB


def test_what_is_derived_from_names_is_the_same_every_time():
    one, two = parse_machine(BASE), parse_machine(BASE)
    assert one == two
    assert one.dimms[0].serial != one.dimms[1].serial
    assert one.namespaces[0].uuid != parse_machine(BASE.replace("box", "crate")).namespaces[0].uuid


def test_manufacturing_date_is_bcd_week_and_year():
    text = BASE.replace("{id: a,", "{id: a, manufactured: {location: 0xa2, date: 2017-49},")
    assert parse_machine(text).dimms[0].manufactured == (0xA2, 0x4917)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_machines(path):
    spec = parse_machine(path.read_text(), path.name)
    assert spec.name == path.stem
    assert spec_from_json(json.loads(json.dumps(spec_to_json(spec)))) == spec


def test_two_sets_of_four_and_partitions():
    spec = parse_machine(next(p for p in FILES if p.stem == "interleaved").read_text())
    assert [(len(one.dimms), one.line, one.size, one.proximity) for one in spec.sets] == [
        (4, 4096, 4 * GIB, 0),
        (4, 256, 4 * GIB, 1),
    ]
    inner = FilesystemSpec("ext4", "/mnt/pmem1p2", (FileSpec("/mnt/pmem1p2/vm2.img", 32 * MIB),))
    assert spec.namespaces[1].partitions == (
        PartitionSpec(MIB, GIB),
        PartitionSpec(1025 * MIB, 512 * MIB, inner),
    )


@pytest.mark.parametrize(
    ("given_bases", "bases"),
    [
        # RAM ends at 5 GiB: computed bases are the lowest free GiB from there on, in order, around the given ones
        ((None, None), (5 * GIB, 6 * GIB)),
        ((None, 5 * GIB), (6 * GIB, 5 * GIB)),
        ((0x140200000, None), (0x140200000, 6 * GIB)),
        ((0x14FFFF000, None), (0x14FFFF000, 6 * GIB)),
        ((TIB, None), (TIB, 5 * GIB)),
    ],
)
def test_bases(given_bases, bases):
    lines = [
        f"  - {{name: s{i}, dimms: [{'ab'[i]}]" + (f", base: {base}}}" if base else "}")
        for i, base in enumerate(given_bases)
    ]
    text = BASE.replace("  - {name: s0, dimms: [a, b]}", "\n".join(lines))
    assert tuple(one.base for one in parse_machine(text).sets) == bases


# one fault each: (what is replaced, by what, the line and the text that must be told)
FAULTS = [
    ("name: box", "name: box\nname: bix", 2, "duplicate key 'name', first given in line 1"),
    ("name: box", "naem: box", 1, "naem: unknown key; did you mean 'name'?"),
    ("name: box", "name: ../box", 1, "name: '../box' is not a name"),
    ("name: box", "name: [box]", 1, "name: text is required, not a list"),
    ("name: box", "name: 7", 1, "name: text is required, not 7"),
    ("ram: 4G", "ram: lots", 2, "ram: not a size: 'lots'"),
    ("ram: 4G", "ram: 1K", 2, "ram: 1K is out of range, from 64M"),
    ("ram: 4G", "ram: 4294967297", 2, "ram: 4294967297 is not a multiple of 4K"),
    ("ram: 4G", "ram: true", 2, "ram: a size such as 64M is required, not True"),
    ("ram: 4G", "ram: 4G\npersistence: adr", 3, "persistence: 'adr' is not known"),
    ("ram: 4G", "ram: 4G\ncpu: 4", 3, "cpu: a mapping (key: value) is required, not 4"),
    ("ram: 4G", "ram: 4G\ncpu: {count: 0}", 3, "cpu.count: 0 is out of range"),
    ("ram: 4G", "ram: 4G\ncpu: {count: 010}", 3, "cpu.count: an integer is required, not '010'"),
    ("ram: 4G", "ram: 4G\ncpu: {count: 1:30}", 3, "cpu.count: an integer is required, not '1:30'"),
    ("ram: 4G", "ram: 4G\ncpu: {line: 48}", 3, "cpu.line: 48 is not a power of two"),
    ("ram: 4G", "ram: 4G\ncpu: {physical_bits: 60}", 3, "cpu.physical_bits: 60 is out of range"),
    ("ram: 4G", "ram: 4G\ncpu: {features: [clwbb]}", 3, "unknown word 'clwbb'; did you mean 'clwb'?"),
    ("ram: 4G", "ram: 4G\ncpu: {features: [clwb, clwb]}", 3, "'clwb' is given twice"),
    ("ram: 4G", "ram: 4G\ncpu: {features: [pcommit]}", 3, "pcommit was withdrawn"),
    ("ram: 4G", "ram: 64G\ncpu: {physical_bits: 36}", 2, "64G of RAM do not fit into 36 physical address bits"),
    ("  - {id: a,", "  - {", 4, "dimms[0].id: required, and not given"),
    ("  - {id: b,", "  - {id: a,", 5, "dimms[1].id: id a is taken by dimms[0] in line 4"),
    ("{id: b,", "{id: b, handle: 0x10000000,", 5, "dimms[1].handle: 268435456 is out of range"),
    ("{id: b,", "{id: b, interface: 0x0201,", 5, "dimms[1].interface: 0x0201 is not byte-addressable"),
    (
        "{id: b,",
        "{id: b, label_size: 64K,",
        5,
        "dimms[1].label_size: 65536 bytes are too few, it is 0 or at least 128K",
    ),
    ("{id: b,", "{id: b, flags: [unarmed],", 5, "dimms[1].flags: unknown word 'unarmed'; did you mean 'not_armed'?"),
    ("{id: b,", "{id: b, health: {state: fine},", 5, "dimms[1].health.state: 'fine' is not known"),
    ("{id: b,", "{id: b, manufactured: {location: 1, date: 2017-54},", 5, "'2017-54' is not a year and week"),
    ("{id: b, capacity: 256M}", "{id: b}", 5, "dimms[1].capacity: required, and not given"),
    ("{id: b, capacity: 256M}", "{id: b, capacity: -1}", 5, "dimms[1].capacity: size out of range"),
    ("{id: b, capacity: 256M}", "b", 5, "dimms[1]: a mapping (key: value) is required, not 'b'"),
    ("{id: b, capacity: 256M}", "{id: b, capacity: 128M}", 7, "the same capacity, not a 256M, b 128M"),
    ("dimms: [a, b]", "dimms: [a, c]", 7, "sets[0].dimms: unknown word 'c'"),
    ("dimms: [a, b]", "dimms: []", 7, "sets[0].dimms: 1 to 16 DIMMs are required; a set without DIMMs (memmap=)"),
    ("dimms: [a, b]", "dimms: [], size: 1G, line: 4K", 7, "sets[0].line: a set without DIMMs has none"),
    ("dimms: [a, b]", "dimms: [a, b], size: 1G", 7, "sets[0].size: 512M of each DIMM are wanted, there are a 256M, b"),
    ("dimms: [a, b]", "dimms: [a, b], size: 12K", 7, "sets[0].size: 12K is not a multiple of 8K, lines of 2 DIMMs"),
    ("dimms: [a, b]", "dimms: [a, b], labels: 1.3", 7, "sets[0].labels: '1.3' is not known"),
    ("dimms: [a, b]", "dimms: [a, b], location_cookie: x", 7, "sets[0].location_cookie: an integer is required"),
    (
        "dimms: [a, b]}",
        "dimms: [a, b], size: 256M, labels: 1.2}\n  - {name: s1, dimms: [a]}",
        8,
        "sets[1].labels: a is in the set s0 too, which has labels: 1.2",
    ),
    ("dimms: [a, b]", "dimms: a", 7, "sets[0].dimms: a list of words, [a, b], is required, not 'a'"),
    ("dimms: [a, b]", "dimms: [a, b], line: 3K", 7, "sets[0].line: 3072 is not a power of two"),
    ("dimms: [a, b]", "dimms: [a, b], line: 128", 7, "sets[0].line: 128 is out of range, from 256"),
    ("dimms: [a, b]", "dimms: [a, b], line: 512M", 7, "the capacity of the DIMMs is not a multiple of 512M"),
    ("dimms: [a, b]", "dimms: [a, b], base: 0", 7, "sets[0].base: 0 is out of range"),
    ("dimms: [a, b]", "dimms: [a, b], base: 0xd0000000", 7, "overlaps devices, which lie from 0xc0000000 to 0x10000"),
    ("dimms: [a, b]", "dimms: [a, b], base: 1M", 7, "[0x100000, 0x20100000) leaves firmware no room: below 4G from"),
    ("dimms: [a, b]", "dimms: [a, b], base: 0x140000800", 7, "sets[0].base: 5368711168 is not a multiple of 4K"),
    ("dimms: [a, b]", "dimms: [a, b], base: 0x3ffff0000000", 7, "does not fit into 46 physical address bits"),
    (
        "dimms: [a, b]",
        "dimms: [a, b], poison: [{offset: 512M}]",
        7,
        "sets[0].poison[0].offset: [0x20000000, 0x20000040)",
    ),
    (
        "dimms: [a, b]}",
        "dimms: [a]}\n  - {name: s0, dimms: [b]}",
        8,
        "sets[1].name: set s0 is taken by sets[0] in line 7",
    ),
    (
        "dimms: [a, b]}",
        "dimms: [a]}\n  - {name: s1, dimms: [a]}",
        8,
        "sets[1].dimms: nothing is left of a: give the set",
    ),
    (
        "dimms: [a, b]}",
        "dimms: [a], base: 8G}\n  - {name: s1, dimms: [b], base: 0x20ffff000}",
        8,
        "[0x20ffff000, 0x21ffff000) overlaps the set s0 at [0x200000000, 0x210000000)",
    ),
    ("region: s0", "region: s1", 9, "namespaces[0].region: 's1' is not known; did you mean 's0'?"),
    ("mode: raw}", "mode: raw}\n  - {region: s0}", 10, "region s0 is taken by namespaces[0] in line 9; without labels"),
    ("mode: raw", "mode: memory", 9, "namespaces[0].mode: 'memory' is not known"),
    (
        "mode: raw",
        "mode: raw, size: 64M",
        9,
        "namespaces[0].size: without labels a region is one namespace of full size",
    ),
    ("mode: raw", "mode: raw, name: x", 9, "namespaces[0].name: a namespace has its name in a label"),
    ("mode: raw", "mode: devdax, partitions: [{size: 4K}]", 9, "in devdax mode has no block device for it"),
    ("mode: raw", "mode: raw, map: dev", 9, "namespaces[0].map: only an fsdax or devdax namespace has it"),
    ("mode: raw", "mode: sector, reserve: true", 9, "namespaces[0].reserve: only an fsdax or devdax namespace has it"),
    ("mode: raw", "mode: raw, reserve: yes", 9, "namespaces[0].reserve: true or false is required, not 'yes'"),
    ("mode: raw", "mode: fsdax, align: 16M", 9, "namespaces[0].align: 16M is not one of 4K, 2M, 1G"),
    ("mode: raw", "mode: raw, uuid: x", 9, "namespaces[0].uuid: 'x' is not a uuid"),
    ("mode: raw", "mode: raw, sector_size: 512", 9, "512 or 4096, and only in sector mode"),
    (
        "mode: raw",
        "mode: raw, partitions: [{start: 0, size: 1M}]",
        9,
        "partitions[0].start: 0 is out of range, from 17K",
    ),
    ("mode: raw", "mode: raw, partitions: [{size: 512M}]", 9, "it ends at 0x20100000, beyond the region of 0x20000000"),
    ("mode: raw", "mode: raw, partitions: [{size: 700}]", 9, "partitions[0].size: 700 is not a multiple of 512"),
    (
        "mode: raw",
        "mode: raw, partitions: [{size: 2M}, {start: 2M, size: 1M}]",
        9,
        "partitions[1].start: 0x200000 overlaps the partition before it, which ends at 0x300000",
    ),
    ("mode: raw", "mode: fsdax, filesystem: {mount: mnt}", 9, "'mnt' is not an absolute path"),
    ("mode: raw", "mode: fsdax, filesystem: {mount: /a/../b}", 9, "'/a/../b' is not an absolute path"),
    (
        "mode: raw",
        "mode: raw, filesystem: {mount: /m, dax: true}",
        9,
        "filesystem.dax: a device in raw mode has no DAX",
    ),
    ("mode: raw", "mode: fsdax, filesystem: {mount: /m, type: zfs}", 9, "filesystem.type: 'zfs' is not known"),
    ("mode: raw", "mode: fsdax, filesystem: {mount: /m, block_size: 8K}", 9, "8192 is not one of 1024, 2048, 4096"),
    (
        "mode: raw",
        "mode: fsdax, filesystem: {mount: /m, files: [{path: ../x, size: 1}]}",
        9,
        "files[0].path: '../x' is not a path below /m",
    ),
    (
        "mode: raw",
        "mode: fsdax, filesystem: {mount: /m, files: [{path: x, size: 1}, {path: /m/x, size: 1}]}",
        9,
        "files: /m/x is given twice",
    ),
    ("mode: raw", "mode: fsdax, filesystem: {mount: /m, files: [{path: x, size: 1G}]}", 9, "1G of files do not fit"),
    ("mode: raw", "mode: fsdax, filesystem: {mount: /m}, partitions: [{size: 1M}]", 9, "the device has partitions"),
    ("name: box", "name: *box", 1, "aliases are not supported"),
    ("name: box", "name: !!python/name:os.system box", 1, "the tag tag:yaml.org,2002:python/name:os.system"),
    ("name: box", "name: &x box\n---\nname: y", 2, "a second document begins here"),
    ("name: box", "? [a]\n: box", 1, "a key must be a word, not a list"),
    ("name: box", "name: 'box", None, "not YAML: "),
    ("name: box", "name: b\x00x", 1, "not YAML"),
    ("name: box", "name: \ud800", 1, "not YAML text"),
]


@pytest.mark.parametrize(("old", "new", "line", "text"), FAULTS, ids=[f"{new[:50]!r}" for _, new, _, _ in FAULTS])
@pytest.mark.usefixtures("loader")
def test_a_fault_is_reported_with_its_line(old, new, line, text):
    assert old in BASE
    found = problems(BASE.replace(old, new, 1))
    assert any(text in one and (line is None or one.startswith(f"m.yaml:{line}: ")) for one in found), found


def test_all_problems_at_once_in_the_order_of_lines():
    found = problems("""\
        nmae: box
        ram: 1
        cpu: {cuont: 2}
        dimms:
          - {id: a, capacity: 1}
          - {id: a, capacity: 1G}
        sets:
          - {name: s, dimms: [b]}
        namespaces:
          - {region: t}
        """)
    assert [int(one.split(":")[1]) for one in found] == [1, 2, 3, 5, 6, 8, 10]


def dimms(*fields):
    rows = "\n".join(f"  - {{id: d{at}, capacity: 256M{text}}}" for at, text in enumerate(fields))
    return f"dimms:\n{rows}\n"


@pytest.mark.parametrize("handle", ["0x10000000", "-1", "x", "[]"])
def test_no_second_error_follows_from_the_first(handle):
    found = problems(dimms(f", handle: {handle}", ", handle: 1", f", handle: {handle}"))
    assert [one[:19] for one in found] == ["m.yaml:2: dimms[0]", "m.yaml:4: dimms[2]"] or len(found) == 2


@pytest.mark.parametrize("key", ["handle: 5", "phys_id: 5", "serial: 5"])
def test_what_two_dimms_cannot_share(key):
    (found,) = problems(dimms(f", {key}", f", {key}"))
    assert found.startswith("m.yaml:3: dimms[1].")
    assert "is taken by dimms[0] in line 2" in found


def test_numbers_that_are_not_given_avoid_those_that_are():
    spec = parse_machine(dimms("", ", handle: 1, phys_id: 0x1100", ", handle: 0", ""))
    assert [dimm.handle for dimm in spec.dimms] == [2, 1, 0, 4]
    assert [dimm.phys_id for dimm in spec.dimms] == [0x1101, 0x1100, 0x1102, 0x1103]


def test_a_dimm_in_several_sets():
    """The shares follow each other on each DIMM, as its sets do in the description."""
    spec = parse_machine(
        dimms("", "", "")
        + """sets:
  - {name: three, dimms: [d0, d1, d2], size: 96M}
  - {name: two, dimms: [d2, d1], size: 64M}
  - {name: rest, dimms: [d0]}
"""
    )
    assert [(one.size, one.starts) for one in spec.sets] == [
        (96 * MIB, (0, 0, 0)),
        (64 * MIB, (32 * MIB, 32 * MIB)),
        (224 * MIB, (32 * MIB,)),
    ]


def test_several_namespaces_of_a_set_with_labels():
    head = dimms("") + "sets: [{name: s, dimms: [d0], labels: 1.2}]\nnamespaces:\n"
    spec = parse_machine(head + "  - {region: s, size: 64M, name: one}\n  - {region: s, mode: fsdax, size: 64M}\n")
    assert [(one.size, one.name) for one in spec.namespaces] == [(64 * MIB, "one"), (64 * MIB, "")]
    assert len({one.uuid for one in spec.namespaces}) == 2
    assert parse_machine(head + "  - {region: s}\n").namespaces[0].size == 0  # all that is free
    (found,) = problems(head + "  - {region: s}\n  - {region: s, size: 64M}\n")
    assert "namespaces[0].size: required, the set s has 2 namespaces" in found
    (found,) = problems(head + "  - {region: s, size: 192M}\n  - {region: s, size: 128M}\n")
    assert "namespaces[1].size: 128M do not fit, 64M are left of s" in found
    (found,) = problems(head + f"  - {{region: s, name: {'x' * 64}}}\n")
    assert "name: 64 bytes, a label has room for 63" in found


def test_ranges_that_only_the_memory_map_knows_come_last():
    spec = parse_machine("ram: 4G\nsets: [{name: m, size: 64M, base: 1G}, {name: s, dimms: [d0]}]\n" + dimms(""))
    assert [(one.name, one.base, one.size) for one in spec.sets] == [
        ("s", 6 * GIB, 256 * MIB),
        ("m", GIB, 64 * MIB),
    ]
    rows = [(one.start, one.size, one.type) for one in memmap.host_e820(spec) if one.type in (1, 7, 12)]
    assert rows == [
        (0, 0x9FC00, 1),
        (MIB, GIB - MIB, 1),
        (GIB, 64 * MIB, 12),
        (GIB + 64 * MIB, 2 * GIB - 65 * MIB, 1),
        (4 * GIB, GIB + 64 * MIB, 1),
        (6 * GIB, 256 * MIB, 7),
    ]


def test_persistent_memory_between_ram_and_ram():
    spec = parse_machine("ram: 8G\nsets: [{name: s, dimms: [d0], base: 5G}]\n" + dimms(""))
    high = [(one.start, one.size, one.type) for one in memmap.host_e820(spec) if one.start >= 4 * GIB]
    assert high == [(4 * GIB, GIB, 1), (5 * GIB, 256 * MIB, 7), (5 * GIB + 256 * MIB, 4 * GIB, 1)]


def test_a_flood_of_problems_is_cut_short():
    found = problems("{" + ", ".join(f"key{i}: 1" for i in range(5000)) + "}")
    assert len(found) == 201
    assert found[-1] == "and 4800 more"


def test_too_many_of_a_kind():
    found = problems("dimms: [" + "x, " * 300 + "]")
    assert "dimms: 300 entries are too many, the limit is 256" in found[0]


@pytest.mark.parametrize(
    "text", ["[" * 100000, "{a: " * 100000, "- " * 50000, "x" * (1 << 21), "", "[]", "7", "\t:", "%"]
)
@pytest.mark.usefixtures("loader")
def test_hostile_text(text):
    if text == "":
        assert problems(text) == ["m.yaml:1: the machine: a mapping (key: value) is required, not nothing"]
    else:
        assert problems(text)


KEYS = ["name", "ram", "cpu", "count", "dimms", "id", "capacity", "handle", "sets", "line", "base"]
KEYS += ["namespaces", "region", "mode", "filesystem", "mount", "files", "path"]
VALUES = st.recursive(
    st.sampled_from(["a", "1", "1G", "0x10", "true", "~", "-5", "raw", "fsdax", "[]", "{}", "'", "1e3", "2020-01-01"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=4).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_any_text_is_read_or_refused(entries):
    text = "".join(f"{key}: {value}\n" for key, value in entries.items())
    try:
        spec = parse_machine(text)
    except ConfigError:
        return
    assert spec_from_json(spec_to_json(spec)) == spec


@pytest.mark.parametrize("data", [None, [], {"name": "x", "colour": 1}, {"cpu": 7}, {"sets": [{"name": "x"}]}])
def test_damaged_json(data):
    with pytest.raises(StateError, match="the stored machine cannot be read"):
        spec_from_json(data)
