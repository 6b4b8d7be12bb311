"""Limits of memory and time: docs/limits.md has them, and hostile input costs no more than its size allows."""

from __future__ import annotations

import re
import struct
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from dom0.ext4.images import MIB, Image
from work import calls

from xlpy import limits
from xlpy.dom0.ext4 import reader, tree
from xlpy.dom0.ext4.reader import Ext4Image
from xlpy.dom0.ext4.superblock import parse_superblock
from xlpy.dom0.nvdimm.labels import empty_index, read_area
from xlpy.errors import Constraint, FormatError, Unsafe, XlpyError
from xlpy.firmware.acpi.sdt import build_table, set_checksum
from xlpy.firmware.acpi.walk import walk
from xlpy.firmware.dm_acpi import parse_stream
from xlpy.hw.describe import parse_machine
from xlpy.toolstack.config.domain_config import load_config
from xlpy.toolstack.config.xlcfg import Refused

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
NAMES = [name for name, value in vars(limits).items() if name.isupper() and name not in ("KIB", "MIB")]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_the_number(name):
    found = re.findall(rf"(\d+) ?([KMG]iB)?[A-Za-z ]* \(`{name}`\)", PAGE.read_text())
    assert [int(number) * UNITS[unit] for number, unit in found] == [getattr(limits, name)]


# --- what grows, and how fast ----------------------------------------------------------------------------------------

HEAD = 'name = "a"\ntype = "hvm"\n'


def config(text):
    return lambda: load_config(text, "x.cfg")


def machine(text):
    return lambda: parse_machine(text, "x.yaml")


HOSTILE = {  # a name, what makes an input of about so many bytes, and how many bytes of memory each may cost
    "xl.cfg: errors": (lambda size: config("?\n" * (size // 2)), 700),
    "xl.cfg: unknown keys": (lambda size: config(HEAD + "".join(f"k{n}=1\n" for n in range(size // 9))), 150),
    "xl.cfg: entries": (lambda size: config(HEAD + "vif=[" + '"a=1",' * (size // 6) + "]\n"), 250),
    "xl.cfg: settings": (lambda size: config(HEAD + 'vif=["' + "a=1," * (size // 4) + '"]\n'), 250),
    "xl.cfg: additions": (lambda size: config(HEAD + 'x+="a"\n' * (size // 7)), 100),
    "xl.cfg: brackets": (lambda size: config("x=" + "[" * size), 150),
    "xl.cfg: nested lists": (lambda size: config(HEAD + "x=[" + "[1]," * (size // 4) + "]\n"), 150),
    "xl.cfg: escapes": (lambda size: config(HEAD + 'x="' + "\\n" * (size // 2) + '"\n'), 100),
    "xl.cfg: CPU lists": (lambda size: config(HEAD + 'vcpus=2\ncpus="' + "0," * (size // 2) + '"\n'), 100),
    "xl.cfg: features": (lambda size: config(HEAD + 'cpuid="host,' + "clwb=1," * (size // 7) + '"\n'), 250),
    "xl.cfg: disks": (lambda size: config(HEAD + "disk=[" + '"x",' * (size // 4) + "]\n"), 400),
    "YAML: nested": (lambda size: machine("[" * size), 400),
    "YAML: keys": (lambda size: machine("".join(f"k{n}: 1\n" for n in range(size // 9))), 400),
    "YAML: duplicates": (lambda size: machine("k: 1\n" * (size // 5)), 400),
    "YAML: items": (lambda size: machine("dimms: [" + "{}," * (size // 3) + "]\n"), 1500),
    "YAML: quotes": (lambda size: machine('name: "' + "\\n" * (size // 2) + '"\n'), 100),
    "dm-acpi: tables": (lambda size: lambda: parse_stream(table_entries(size)), 20),
    "labels: garbage": (lambda size: lambda: read_area(*label_area(size)), 100),
}


def table_entries(size):
    entries = []
    for number in range(size // 42):
        table = build_table("SSDT", struct.pack("<I", number))
        entries.append(struct.pack("<BI", 0, len(table)) + table)
    return b"".join(entries)


def label_area(size):
    index = empty_index(size, 0)._replace(free=0)
    data = index.build().ljust(size, b"x")
    return size, lambda at, length: data[at : at + length]


def cost(act):
    """Calls, and the peak of memory in bytes."""

    def quiet():
        with suppress(XlpyError):
            act()

    quiet()  # what is imported and cached is not counted
    work = calls(quiet)
    tracemalloc.start()
    try:
        quiet()
        return work, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", HOSTILE)
def test_twice_the_input_costs_at_most_twice_as_much(name):
    make, factor = HOSTILE[name]
    size = 4 << 10
    (work, memory), (more_work, more_memory) = cost(make(size)), cost(make(2 * size))
    assert more_work <= 2.3 * work + 2000
    assert more_memory <= 2.3 * memory + (64 << 10)
    assert memory <= factor * size + (64 << 10)


# --- both sides of each limit --------------------------------------------------------------------------------


def test_as_many_errors_as_are_reported():
    for count, told in ((limits.FINDINGS - 1, limits.FINDINGS - 1), (limits.FINDINGS + 1, limits.FINDINGS)):
        with pytest.raises(Refused) as caught:
            load_config("?\n" * count, "x.cfg")
        assert len(caught.value.problems) == told
    with pytest.raises(Refused) as caught:
        load_config(HEAD + "vnvdimm=[" + '"x",' * (limits.FINDINGS + 5) + "]", "x.cfg")
    assert len(caught.value.problems) == limits.FINDINGS


def test_as_many_warnings_as_are_reported():
    text = HEAD + "".join(f"k{number}=1\n" for number in range(limits.FINDINGS + 5))
    assert len(load_config(text, "x.cfg").warnings) == limits.FINDINGS


def test_numa_nodes():
    def nodes(count):
        return load_config(HEAD + "maxvcpus=1\nvnuma=[" + '["vcpus=0"],' + '["size=1"],' * (count - 1) + "]", "x.cfg")

    assert len(nodes(limits.NUMA_NODES).vnuma) == limits.NUMA_NODES
    with pytest.raises(Refused, match="cannot be used") as caught:
        nodes(limits.NUMA_NODES + 1)
    assert caught.value.problems[0].message == f"vnuma has {limits.NUMA_NODES + 1} nodes, and a guest at most 1024"


class Memory:
    """Guest memory with an XSDT of so many entries, each leading to a table of its own."""

    def __init__(self, count, length):
        self.length, self.taken = length, 0
        pointers = [0x100000 + 64 * number for number in range(count)]
        self.xsdt = build_table("XSDT", struct.pack(f"<{count}Q", *pointers))
        rsdp = bytearray(struct.pack("<8sB6sBIIQB3x", b"RSD PTR ", 0, b"XLPY  ", 2, 0, 36, 0x1000, 0))
        rsdp = bytearray(set_checksum(bytes(rsdp[:20]), 8)) + rsdp[20:]
        self.rsdp = set_checksum(bytes(rsdp), 32)
        self.head = b"OEM1" + struct.pack("<I", length) + bytes(28)

    def read(self, address, length):
        self.taken += length
        if address == 0:
            return self.rsdp[:length]
        if address == 0x1000:
            return self.xsdt[:length]
        return self.head if length == 36 else self.head.ljust(length, b"\0")


def test_tables_of_a_guest_are_as_many_as_are_looked_at():
    for count, full in ((limits.GUEST_ENTRIES - 1, False), (limits.GUEST_ENTRIES, True), (400_000, True)):
        problems: list[FormatError] = []
        found = walk(Memory(count, 36).read, 0, problems=problems)
        assert len(found) == min(count, limits.GUEST_ENTRIES - 1) + 2  # the RSDP, and the XSDT, which counts too
        assert [str(problem) for problem in problems if "more than 4096 tables" in str(problem)] != [] or not full
        assert len(problems) == full


def test_tables_of_a_guest_are_as_long_as_is_read_in_all():
    """The guest points at the same memory again and again: 4 MiB from every 64 bytes on."""
    for count in (15, 16, 100_000):
        memory, problems = Memory(count, 4 * MIB), []
        found = walk(memory.read, 0, problems=problems)
        assert sum(len(table.data) for table in found) <= limits.GUEST_TABLES
        assert memory.taken < 2 * limits.GUEST_TABLES
        assert bool(problems) == (count > 15)


@pytest.mark.parametrize(("groups", "fits"), [(limits.GROUPS, True), (limits.GROUPS + 1, False)])
def test_groups_of_a_file_system(groups, fits):
    raw = bytearray(1024)
    for at, value in {0x00: groups * 4, 0x04: groups * 8, 0x18: 2, 0x1C: 2, 0x20: 8, 0x24: 8, 0x28: 4}.items():
        struct.pack_into("<I", raw, at, value)
    struct.pack_into("<HH", raw, 0x38, 0xEF53, 1)
    struct.pack_into("<IIH", raw, 0x4C, 1, 0, 0)
    struct.pack_into("<H", raw, 0x58, 256)
    if fits:
        assert parse_superblock(bytes(raw), 1 << 60).groups == groups
    else:
        with pytest.raises(Unsafe, match=f"{groups} block groups; at most {limits.GROUPS} are read"):
            parse_superblock(bytes(raw), 1 << 60)


def test_extents_of_a_file(tmp_path, monkeypatch):
    image = Image(tmp_path / "fs.img", 8 * MIB).mke2fs()
    image.debugfs("write /dev/null f", "sif f size 400000", "fallocate f 0 39")
    image.debugfs(*[f"punch f {block} {block}" for block in range(1, 40, 2)])
    for most, fits in ((20, True), (19, False)):
        monkeypatch.setattr(tree, "EXTENTS", most)
        with Ext4Image(image.path) as fs:
            if fits:
                assert len(fs.fiemap(fs.lookup("/f"))) == 20
            else:
                with pytest.raises(Constraint, match="more than 19 extents"):
                    fs.fiemap(fs.lookup("/f"))


def test_directories_on_the_way(tmp_path, monkeypatch):
    """A name is looked for once in each, however often a path goes through it."""
    image = Image(tmp_path / "fs.img", 8 * MIB).mke2fs()
    image.debugfs("mkdir a", "mkdir a/b", "write /dev/null a/b/f", "symlink l " + "a/../" * 400 + "a/b")
    for most, fits in ((4 * 4096, True), (4 * 4096 - 1, False)):
        monkeypatch.setattr(reader, "DIRECTORIES", most)
        with Ext4Image(image.path) as fs:
            if fits:
                assert fs.lookup("/l/f").kind == "file"
            else:
                with pytest.raises(Constraint, match="bytes of directories lie on the way"):
                    fs.lookup("/l/f")
