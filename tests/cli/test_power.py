"""Stores that may be lost, and power failures of the whole machine, as a script sees them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from xlpy.addr import MIB
from xlpy.host import Host

MACHINE = """\
persistence: {persistence}
dimms:
  - {{id: dimm0, capacity: 512M, flush_hints: 1}}
sets:
  - {{name: set0, dimms: [dimm0]}}
namespaces:
  - {{region: set0, mode: fsdax, map: dev, reserve: true}}
"""
CONFIG = 'name = "vm1"\ntype = "hvm"\nmemory = 64\nvnvdimm = [ "file=/dev/pmem0" ]\n'


@pytest.fixture
def vm(xlpy, tmp_path):
    """vm("none") makes a host with that persistence domain and a domain; gives a caller, and the guest address."""

    def make(persistence="memory_controller"):
        (tmp_path / "machine.yaml").write_text(MACHINE.format(persistence=persistence))
        (tmp_path / "vm1.cfg").write_text(CONFIG)
        root = tmp_path / "powered"

        def call(*words, status=0):
            return xlpy("--root", root, *words, status=status)

        call("host", "init", "--machine", tmp_path / "machine.yaml")
        call("create", tmp_path / "vm1.cfg")
        return call, call("list", "--json").json["items"][0]["vnvdimms"][0]["gpa"]

    return make


def media(call, gpa):
    """Two bytes behind a guest address, on the media."""
    answer = call("whereis", "gpa", "vm1", hex(gpa), "--json").json["media"]

    def read():
        with Path(answer["file"]).open("rb") as file:
            file.seek(answer["offset"])
            return file.read(2)

    return read


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ([], b"\0\0"),
        ([("flush", "clwb")], b"\0\0"),
        ([("fence",)], b"\0\0"),
        ([("flush", "clwb"), ("fence",)], b"ab"),
        ([("flush", "clflushopt"), ("fence",)], b"ab"),
        ([("flush", "clflush")], b"ab"),
    ],
)
def test_flush_and_fence_decide(vm, steps, left):
    call, gpa = vm()
    bytes_of = media(call, gpa)
    call("mem", "write", "vm1", hex(gpa), "--hex", "6162", "--no-flush")
    assert bytes_of() == b"ab"  # caches are coherent: everybody sees it
    for step, *instruction in steps:
        if step == "fence":
            call("mem", "fence")
        else:
            call("mem", "flush", "vm1", hex(gpa), "2", "--with", *instruction)
    call("host", "power", "cut", "--keep", "none")
    assert bytes_of() == left


def test_by_default_a_store_is_safe(vm):
    call, gpa = vm()
    bytes_of = media(call, gpa)
    call("mem", "write", "vm1", hex(gpa + 1), "--hex", "62", "--no-flush")
    call("mem", "write", "vm1", hex(gpa), "--hex", "61")  # the whole line is written back with it
    assert call("host", "power", "cut", "--keep", "none", "--json").json["lost"] == []
    assert bytes_of() == b"ab"


@pytest.mark.parametrize(("keep", "left"), [("all", b"ab"), ("none", b"\0\0")])
def test_what_is_not_safe_may_be_kept(vm, keep, left):
    call, gpa = vm()
    bytes_of = media(call, gpa)
    call("mem", "write", "vm1", hex(gpa), "--hex", "6162", "--no-flush")
    call("host", "power", "cut", "--keep", keep)
    assert bytes_of() == left


def test_a_seed_repeats_the_failure(vm):
    call, gpa = vm()
    for line in range(16):
        call("mem", "write", "vm1", hex(gpa + 64 * line), "--hex", "61", "--no-flush")
    found = [call("host", "power", "cut", "-n", "--seed", seed, "--json").json["lost"] for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_without_adr_the_queue_is_lost_and_the_shutdown_dirty(vm):
    call, gpa = vm("none")
    call("mem", "write", "vm1", hex(gpa), "--hex", "6162", "--no-flush")
    call("mem", "flush", "vm1", hex(gpa), "2")
    call("mem", "fence")
    found = call("host", "power", "cut", "--keep", "none", "--json").json
    assert (len(found["lost"]), found["dirty"], found["domains"]) == (1, ["dimm0"], ["vm1"])
    call("host", "power", "on")
    host = Host.open(call("host", "show", "--json").json["root"])
    health = host.hw.dimm("dimm0").health
    host.store.close()
    assert (health.unsafe_shutdowns, health.last_shutdown) == (1, "dirty")


@pytest.mark.parametrize(("words", "lost"), [(["--drain"], 0), ([], 1)])
def test_a_drained_queue_is_safe(vm, words, lost):
    call, gpa = vm("none")
    call("mem", "write", "vm1", hex(gpa), "--hex", "6162", "--no-flush")
    call("mem", "flush", "vm1", hex(gpa), "2")
    call("mem", "fence", *words)
    assert len(call("host", "power", "cut", "--keep", "none", "--json").json["lost"]) == lost


def test_with_eadr_nothing_is_lost(vm):
    call, gpa = vm("cpu_cache")
    call("mem", "write", "vm1", hex(gpa), "--hex", "6162", "--no-flush")
    assert call("host", "power", "cut", "--keep", "none", "--json").json["lines"] == 0


def test_without_power_only_power_helps(vm):
    call, _ = vm()
    call("host", "power", "cut")
    for words in (["list"], ["mem", "fence"], ["pmem", "list"], ["host", "power", "cut"]):
        assert "the host has no power" in call(*words, status=5).err
    call("host", "power", "on")
    assert call("list", "--json").json["items"] == []


def test_power_comes_back_with_a_reset_too(vm):
    call, _ = vm()
    call("host", "power", "cut")
    call("host", "reset")
    call("list")


def test_a_dry_run_changes_nothing(vm):
    call, gpa = vm()
    bytes_of = media(call, gpa)
    call("mem", "write", "vm1", hex(gpa), "--hex", "6162", "--no-flush", "-n")
    assert bytes_of() == b"\0\0"
    call("mem", "write", "vm1", hex(gpa), "--hex", "6162", "--no-flush")
    for words in (["mem", "flush", "vm1", hex(gpa), "2", "-n"], ["mem", "fence", "-n"], ["host", "power", "cut", "-n"]):
        call(*words)
    assert call("host", "power", "cut", "--keep", "none", "--json").json["lines"] == 1


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["mem", "flush", "vm1", "0x1000", "64"], 6, "no persistent memory"),
        (["mem", "flush", "vm1", "GPA", "0"], 2, "at least 1"),
        (["mem", "flush", "vm2", "GPA", "64"], 4, "vm2"),
        (["mem", "write", "vm1", "0xb0000", "--hex", "00", "--no-flush"], 6, "nothing at 0xb0000"),
        (["host", "power", "off"], 2, "off"),
        (["host", "power", "cut", "--keep", "some"], 2, "no line of memory"),
        (["host", "power", "cut", "--keep", "0x1000"], 6, "can keep nothing"),
        (["host", "power", "cut", "--keep", "vm1@0x1000"], 6, "no persistent memory at 0x1000"),
        (["host", "power", "cut", "--writing", "dimm0=00"], 2, "no label write"),
        (["host", "power", "cut", "--writing", "dimm0@0="], 2, "no label write"),
        (["host", "power", "cut", "--writing", "dimm9@0=00"], 4, "dimm9"),
        (["host", "power", "cut", "--writing", "dimm0@0x1ffff=0000"], 6, "leaves the label area"),
        (["host", "power", "cut", "--writing", "vm1/7@0=00"], 4, "slot 7"),
    ],
)
def test_what_cannot_be_done(vm, words, status, message):
    call, gpa = vm()
    assert message in call(*[hex(gpa) if word == "GPA" else word for word in words], status=status).err


def test_an_instruction_that_the_guest_is_not_told_of(vm, tmp_path):
    call, gpa = vm()
    call("destroy", "vm1")
    (tmp_path / "vm1.cfg").write_text(CONFIG + 'cpuid = "host,clwb=0"\n')
    call("create", tmp_path / "vm1.cfg")
    assert "clwb is not in the CPUID of vm1" in call("mem", "flush", "vm1", hex(gpa), "64").err
    assert "CPUID" not in call("mem", "flush", "vm1", hex(gpa), "64", "--with", "clflush").err


def test_a_boot_finds_everything_written_back(vm):
    """Whoever uses the media next sees what is there; hardware may have written it back meanwhile."""
    from xlpy.events.power import settle

    call, gpa = vm()
    call("mem", "write", "vm1", hex(gpa), "--hex", "6162", "--no-flush")
    host = Host.open(call("host", "show", "--json").json["root"])
    settle(host)
    host.store.close()
    assert call("host", "power", "cut", "--keep", "none", "--json").json["lines"] == 0


def test_a_store_across_two_lines(vm):
    call, gpa = vm()
    call("mem", "write", "vm1", hex(gpa + 60), "--hex", "61" * 8, "--no-flush")
    assert call("host", "power", "cut", "-n", "--keep", "none", "--json").json["lines"] == 2


@pytest.mark.parametrize(
    ("keep", "left"),
    [("vm1@GPA", b"ab"), ("vm1@GPA:1", b"a\0"), ("vm1@GPA:0", b"\0\0"), ("SPA", b"ab"), ("NEXT", b"\0\0")],
)
def test_lines_that_are_kept(vm, keep, left):
    """Each is a prefix of its stores; a line that is not named loses whatever is not safe."""
    call, gpa = vm()
    bytes_of = media(call, gpa)
    for at, digits in ((gpa, "61"), (gpa + 1, "62"), (gpa + 64, "63")):
        call("mem", "write", "vm1", hex(at), "--hex", digits, "--no-flush")
    first, second = call("host", "power", "cut", "-n", "--keep", "none", "--json").json["lost"]
    keep = keep.replace("GPA", hex(gpa)).replace("SPA", hex(first)).replace("NEXT", hex(second + 5))
    call("host", "power", "cut", "--keep", keep)
    assert bytes_of() == left


def area(call, name):
    return (Path(call("host", "show", "--json").json["root"]) / name).read_bytes()


@pytest.mark.parametrize(("keep", "left"), [("all", b"abcdefghijkl"), ("none", b"")])
def test_a_label_write_in_flight(vm, keep, left):
    call, _ = vm()
    before = area(call, "hw/labels/dimm0")
    root = Path(call("host", "show", "--json").json["root"])
    found = call("host", "power", "cut", "--keep", keep, "--writing", "dimm0@0x1004=6162636465666768696a6b6c", "--json")
    assert found.json["labels"] == [len(left)]
    after = (root / "hw/labels/dimm0").read_bytes()
    assert after == before[:0x1004] + left + before[0x1004 + len(left) :]


def test_a_torn_label_write_leaves_the_first_bytes_of_each_unit(vm):
    call, _ = vm()
    root = Path(call("host", "show", "--json").json["root"])
    call("host", "power", "cut", "--seed", "3", "--writing", "vm1/0@0=" + "ff" * 256)
    (labels,) = (root / "labels").iterdir()
    units = [labels.read_bytes()[at : at + 8] for at in range(0, 256, 8)]
    counts = [unit.count(0xFF) for unit in units]
    assert all(unit == b"\xff" * count + bytes(8 - count) for unit, count in zip(units, counts, strict=True))
    assert len(set(counts)) > 3
    call("host", "power", "on")
    call("create", root.parent / "vm1.cfg")
    assert call("guest", "probe", "vm1").status == 0  # an area that makes no sense is one without labels


@pytest.mark.parametrize("described", ["", ", partitions: [{start: 1M, size: 8M, filesystem: {mount: /mnt/p1}}]"])
def test_partitions_that_others_made_are_found_and_stay(xlpy, tmp_path, described):
    """A guest may write any table to a device that it gets, whatever the machine description says."""
    machine = MACHINE.format(persistence="memory_controller").replace("reserve: true", f"reserve: true{described}")
    (tmp_path / "machine.yaml").write_text(machine)
    table = bytearray(512)
    for number, (kind, first, count) in enumerate([(0x83, 40960, 2048), (5, 45056, 8192), (0x83, 65536, 4096)]):
        struct.pack_into("<4xB3xII", table, 446 + 16 * number, kind, first, count)
    table[510:] = b"\x55\xaa"
    (tmp_path / "table").write_bytes(table)

    def call(*words, status=0):
        return xlpy("--root", tmp_path / "other", *words, status=status)

    call("host", "init", "--machine", tmp_path / "machine.yaml")
    if described:
        call("host", "umount", "/mnt/p1")
        call("pmem", "write", "/dev/pmem0", "0", "--zero", "2M")
    call("pmem", "write", "/dev/pmem0", "0", "--file", tmp_path / "table")
    call("host", "power", "cut")
    call("host", "power", "on")
    assert "2M" in call("pmem", "resolve", "/dev/pmem0p3").out
    assert "does not begin and end on 4 KiB pages" in call("pmem", "resolve", "/dev/pmem0p2", status=7).err
    call("pmem", "read", "/dev/pmem0", "0", "21M", "-o", tmp_path / "disk")
    assert (tmp_path / "disk").read_bytes() == table.ljust(21 * MIB, b"\0")  # no table and no file system over it
