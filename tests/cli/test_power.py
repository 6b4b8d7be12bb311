"""Stores that may be lost, and power failures of the whole machine, as a script sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

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
