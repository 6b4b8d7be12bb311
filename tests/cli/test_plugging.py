"""`xlpy host plug` and `unplug`: DIMMs that come, go, and come back, here, in another slot, in another host."""

from __future__ import annotations

import pytest
from copying import copy_tree

from xlpy.dom0.nvdimm.driver import Bus, RegionDesc
from xlpy.dom0.nvdimm.rescan import evaluate_fit, merge
from xlpy.firmware.acpi.eval import load
from xlpy.firmware.acpi.nfit_format import parse_structures
from xlpy.host import Host

NEW = """
dimms: [{id: new0, capacity: 66M, serial: 0x1234}]
sets: [{name: more, dimms: [new0]}]
namespaces: [{region: more, mode: fsdax, reserve: true}]
"""
PAIR = """
dimms: [{id: a, capacity: 64M}, {id: b, capacity: 64M}]
sets: [{name: pair, dimms: [a, b]}]
namespaces:
  - region: pair
    mode: fsdax
    reserve: true
    filesystem: {type: ext4, mount: /mnt/pair, files: [{path: vm.img, size: 16M}]}
"""
GUEST = 'name = "g"\ntype = "hvm"\nmemory = 128\nvnvdimm = [ "file=%s" ]\n'


@pytest.fixture
def plugged(xlpy, tmp_path):
    (tmp_path / "new.yaml").write_text(NEW)
    xlpy("host", "plug", tmp_path / "new.yaml")
    return xlpy


def devices(xlpy):
    return {item.get("blockdev", item["dev"]): item for item in xlpy("pmem", "list", "--json").json["items"]}


def test_what_is_plugged_in_is_found_attached_and_reported(xlpy, tmp_path, host_root):
    (tmp_path / "new.yaml").write_text(NEW)
    shown = xlpy("host", "plug", tmp_path / "new.yaml", "--json").json
    assert (shown["dimms"], shown["sets"], shown["regions"]) == (["new0"], ["more"], ["region2"])
    item = devices(xlpy)["pmem2"]
    assert (item["registered"], item["mode"], item["size"], item["resource"]) == (True, "fsdax", 64 << 20, 0x500200000)
    assert "_FIT, SPA range 3 " in xlpy("whereis", "spa", "0x500200000").out
    host = Host.open(host_root)
    ranges = [one.base for one in parse_structures(evaluate_fit(host.hw)) if type(one).__name__ == "SpaRange"]
    assert ranges == [0x440000000, 0x4C0000000, 0x500000000]
    assert host.dom0.nd.dimm("nmem3").info.handle == 4
    host.store.close()
    (tmp_path / "g.cfg").write_text(GUEST % "/dev/pmem2")
    xlpy("create", "-q", tmp_path / "g.cfg")
    xlpy("mem", "write", "g", "0x500000000", "--hex", "4142")
    xlpy("destroy", "g")
    assert xlpy("pmem", "read", "/dev/pmem2", "0", "2").out.startswith("0x000000000000  41 42")


def test_a_set_without_a_reserve_is_there_and_ignored_by_xen(xlpy, tmp_path):
    (tmp_path / "raw.yaml").write_text(NEW.replace("mode: fsdax, reserve: true", "mode: fsdax"))
    assert "Xen does not know it" in xlpy("host", "plug", tmp_path / "raw.yaml").err
    item = devices(xlpy)["pmem2"]
    assert not item["registered"]
    assert "without a reserve" in item["reason"]


def test_file_systems_of_a_fragment_are_made_and_mounted(xlpy, tmp_path):
    (tmp_path / "pair.yaml").write_text(PAIR)
    xlpy("host", "plug", tmp_path / "pair.yaml")
    xlpy("pmem", "resolve", "/mnt/pair/vm.img")
    xlpy("pmem", "write", "/mnt/pair/vm.img", "4K", "--hex", "4243")
    assert "in use by mount /mnt/pair" in xlpy("host", "unplug", "pair", status=5).err
    xlpy("host", "reset", "--keep-media")
    assert xlpy("pmem", "read", "/mnt/pair/vm.img", "4K", "2").out.startswith("0x000000001000  42 43")


def test_a_dry_run_plugs_nothing(xlpy, tmp_path, host_root):
    (tmp_path / "new.yaml").write_text(NEW)
    before = sorted(path.name for path in (host_root / "hw").rglob("*"))
    assert "new0 would be plugged in\n" in xlpy("host", "plug", "-n", tmp_path / "new.yaml").err
    xlpy("host", "unplug", "-n", "set1")
    assert sorted(path.name for path in (host_root / "hw").rglob("*")) == before
    assert not (host_root / "unplugged").exists()


def structures(root):
    """What ``_FIT`` returns: each structure, as bytes."""
    host = Host.open(root)
    data, found = evaluate_fit(host.hw), []
    host.store.close()
    while data:
        size = int.from_bytes(data[2:4], "little")
        found.append(data[:size])
        data = data[size:]
    return found


def test_structures_of_what_stays_do_not_change(xlpy, tmp_path, host_root):
    """Linux tells what it has by comparing bytes: a changed index is something that went, which it refuses."""
    at_first = structures(host_root)
    finer = PAIR.split("    filesystem")[0].replace("b]", "b], line: 256")
    finer = finer.replace("capacity", "flush_hints: 1, capacity")
    (tmp_path / "pair.yaml").write_text(finer)
    xlpy("host", "plug", tmp_path / "pair.yaml")
    grown = structures(host_root)
    assert set(at_first) < set(grown)
    assert len(grown) - len(at_first) == 1 + 2 + 1 + 2 + 2  # range, mappings, interleave, control regions, hints
    xlpy("host", "unplug", "set1")
    assert set(structures(host_root)) < set(grown)
    xlpy("host", "plug", host_root / "unplugged" / "set1.yaml")
    assert set(structures(host_root)) == set(grown)  # into the same slots
    xlpy("host", "unplug", "pair")
    assert set(structures(host_root)) == set(at_first)
    xlpy("host", "reset", "--keep-media")
    assert set(structures(host_root)) == set(at_first)


def test_each_dimm_has_an_acpi_device_from_the_start(plugged, host_root):
    """Its ``_ADR`` is the handle: Linux looks for it below the root device, for ``_DSM`` and ``_LSR``."""
    host = Host.open(host_root)
    tables = [one.data for one in host.acpi_tables() if one.signature == "DSDT"]
    machine = load(tables)
    addresses = [machine.evaluate(f"\\_SB.NVDR.N{slot:03X}._ADR") for slot in range(256)]
    assert addresses == list(range(256))
    assert {dimm.info.handle for dimm in host.dom0.nd.dimms} == {1, 4, 0x11, 0x21}
    host.store.close()


def test_out_and_in_again_elsewhere(plugged, host_root, tmp_path):
    """Content, labels and bad lines are the DIMM's; number, handle and address are the slot's."""
    plugged("pmem", "write", "/dev/pmem2", "8K", "--hex", "68656c6c6f")
    plugged("mceinj", "-p", "0x500300000")
    drawer = host_root / "unplugged"
    plugged("host", "unplug", "set1", "--to", tmp_path / "elsewhere")
    assert list(devices(plugged)) == ["pmem0", "pmem2"]  # numbers stay
    assert "disabled" not in plugged("ndctl", "list", "-DRi").out  # and what the driver knows of them
    plugged("host", "unplug", "more")
    fragment = drawer / "more.yaml"
    fragment.write_text(fragment.read_text().replace("handle: 0x4", "handle: 0x99"))
    plugged("host", "plug", fragment)
    assert list(devices(plugged)) == ["pmem0", "pmem1"]  # and the lowest free ones are given
    assert plugged("pmem", "read", "/dev/pmem1", "8K", "5").out.endswith("|hello|\n")
    item = devices(plugged)["pmem1"]
    assert (item["registered"], item["badblocks"]) == (True, [{"offset": 0x100000 // 512, "length": 1}])
    assert not (drawer / "new0").exists()  # it lies in one place only
    plugged("host", "plug", tmp_path / "elsewhere" / "set1.yaml")
    assert devices(plugged)["pmem2"]["size"] == 512 << 20


def test_in_another_host(plugged, tmp_path, monkeypatch, made_host):
    plugged("pmem", "write", "/dev/pmem2", "8K", "--hex", "68656c6c6f")
    plugged("host", "unplug", "more", "--to", tmp_path / "drawer")
    copy_tree(made_host, tmp_path / "other")
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "other"))
    plugged("host", "plug", tmp_path / "drawer" / "more.yaml")
    assert plugged("pmem", "read", "/dev/pmem2", "8K", "5").out.endswith("|hello|\n")


@pytest.mark.parametrize(("order", "found"), [("a, b", True), ("b, a", False)])
def test_the_order_of_a_set_decides(xlpy, tmp_path, host_root, order, found):
    """The bytes of each DIMM are its own: in another order they are no namespace."""
    (tmp_path / "pair.yaml").write_text(PAIR.split("    filesystem")[0])
    xlpy("host", "plug", tmp_path / "pair.yaml")
    xlpy("pmem", "write", "/dev/pmem2", "0", "--hex", "01" * 4096 + "02" * 4096)
    xlpy("host", "unplug", "pair")
    fragment = host_root / "unplugged" / "pair.yaml"
    fragment.write_text(fragment.read_text().replace("dimms: [a, b]", f"dimms: [{order}]"))
    xlpy("host", "plug", fragment)
    item = devices(xlpy)["pmem2"]
    assert (item["mode"] == "fsdax") is found
    if found:
        assert xlpy("pmem", "read", "/dev/pmem2", str(4096 - 1), "2").out.startswith("0x000000000fff  01 02")


def test_restarts_keep_what_was_plugged(plugged):
    plugged("host", "unplug", "set1")
    for words in (("host", "reset", "--keep-media"), ("host", "power", "cut"), ("host", "power", "on")):
        plugged(*words)
    assert len(devices(plugged)) == 2
    assert [dimm["id"] for dimm in plugged("host", "show", "--json").json["dimms"]] == ["dimm0", "dimm1", "new0"]
    plugged("host", "reset")
    assert len(devices(plugged)) == 2
    assert [dimm["id"] for dimm in plugged("host", "show", "--json").json["dimms"]] == ["dimm0", "dimm1", "dimm2"]


def test_what_is_used_stays(xlpy, configs):
    xlpy("create", "-q", configs / "two.cfg")
    assert "set1 is in use by domain 1 (two)" in xlpy("host", "unplug", "set1", status=5).err
    assert "dimm0 is interleaved with dimm1" in xlpy("host", "unplug", "dimm0", status=5).err
    assert "no DIMM or set 'nothing'" in xlpy("host", "unplug", "nothing", status=4).err
    assert len(devices(xlpy)) == 2


def test_a_surprise(xlpy, configs, host_root):
    """Whoever has some of it gets a machine check; Dom0 sees nothing but bad blocks; it can be plugged in again."""
    xlpy("create", "-q", configs / "quickstart.cfg")
    xlpy("mem", "write", "quickstart", "0x500000000", "--hex", "4142")
    shown = xlpy("host", "unplug", "set0", "--surprise")
    assert "machine check: frame 0x443df7 belongs to d1 at 0x500000000" in shown.err
    assert "disabled" in devices(xlpy)["namespace0.0"]["state"]
    assert "poison" in xlpy("mem", "read", "quickstart", "0x500001000", "4", status=8).err
    assert "quickstart" not in xlpy("list").out  # on_crash
    assert (host_root / "unplugged" / "dimm0" / "media").stat().st_size == 1 << 30
    xlpy("host", "unplug", "set0")  # what is left of it
    assert list(devices(xlpy)) == ["pmem1"]
    xlpy("host", "plug", host_root / "unplugged" / "set0.yaml")
    assert devices(xlpy)["pmem0"]["registered"]
    data = devices(xlpy)["pmem0"]["resource"]
    host = Host.open(host_root)
    assert host.hw.read(0x443DF7000, 2) == b"AB"
    assert data == 0x443600000


MISFITS = [
    ("dimms: [{id: dimm0, capacity: 64M}]", "1: dimms[0].id: id dimm0 is taken by dimm0 in the machine"),
    ("dimms: [{id: n, capacity: 64M, handle: 0x11}]", "handle 0x11 is taken by dimm1 in the machine"),
    ("dimms: [{id: n, capacity: 64M, serial: 0x0139192b}]", "serial number 0x139192b is taken by dimm0"),
    (
        "dimms: [{id: n, capacity: 64M}]\nsets: [{name: set0, dimms: [n]}]",
        "2: sets[0].name: set set0 is taken by set0 in the machine",
    ),
    (
        "dimms: [{id: n, capacity: 64M}]\nsets: [{name: n, dimms: [n], base: 1G}]",
        "2: sets: n: base: [0x40000000, 0x44000000) overlaps RAM at [0x100000",
    ),
    (
        "dimms: [{id: n, capacity: 64M}]\nsets: [{name: n, dimms: [n], base: 0xfec00000}]",
        "sets[0].base: [0xfec00000, 0x102c00000) overlaps devices",
    ),
    (
        "dimms: [{id: n, capacity: 64M}]\nsets: [{name: n, dimms: [n], base: 0x4c0000000}]",
        "sets[0].base: [0x4c0000000, 0x4c4000000) overlaps the set set1 at [0x4c0000000, 0x4e0e00000)",
    ),
    (
        "dimms: [{id: n, capacity: 64M}]\nsets: [{name: n, dimms: [n], base: 0x3fffffff0000}]",
        "does not fit into 46 physical address bits",
    ),
    (
        "dimms:\n  - {id: n, capacity: 64M,\n     handle: 0x1001}",
        "3: dimms: n: handle 0x1001: the board has no slot for it, it has 0x0-0xff",
    ),
    ("sets: []", "dimms: at least one DIMM is required"),
    ("ram: 4G\ndimms: [{id: n, capacity: 64M}]", "1: ram: only dimms, sets, namespaces can be plugged in"),
    ("[]", "a mapping (key: value) is required"),
    ("dimms: 5", "a list of mappings is required"),
    ("dimms: [5]", "a mapping (key: value) is required"),
    ("dimms: [{id: n, capacity: 64M, media: [x]}]", "media: a folder is required, not a list"),
    ("dimms: [{id: n, capacity: 64M, media: nowhere}]", "there is no DIMM in it"),
    ("dimms: [{id: n, capacity: 64M}]\nnamespaces: [{region: set1, mode: raw}]", "set1 is in the machine already"),
    (": :", "not YAML"),
    ("", "a mapping (key: value) is required"),
]


def test_fragments_that_do_not_fit(xlpy, tmp_path):
    before = xlpy("host", "show", "--json").json
    for text, words in MISFITS:
        (tmp_path / "bad.yaml").write_text(text)
        assert words in xlpy("host", "plug", tmp_path / "bad.yaml", status=3).err, text
    assert xlpy("host", "show", "--json").json == before


def test_only_what_the_fragment_says_is_complained_about(xlpy, tmp_path):
    (tmp_path / "bad.yaml").write_text("dimms: [{id: dimm0, capacity: 64M}]")
    shown = xlpy("host", "plug", tmp_path / "bad.yaml", "--json", status=3)
    assert [line.rsplit("/", 1)[-1] for line in shown.json["details"]] == [
        "bad.yaml:1: dimms[0].id: id dimm0 is taken by dimm0 in the machine"
    ]
    for base in ("0xfd000000", "0xe0000", "0x4c0000000"):
        (tmp_path / "bad.yaml").write_text(
            f"dimms: [{{id: n, capacity: 64M}}]\nsets: [{{name: n, dimms: [n], base: {base}}}]"
        )
        assert len(xlpy("host", "plug", tmp_path / "bad.yaml", "--json", status=3).json["details"]) == 1


def test_a_dimm_is_itself(plugged, host_root):
    plugged("host", "unplug", "more")
    fragment = host_root / "unplugged" / "more.yaml"
    fragment.write_text(fragment.read_text().replace("serial: 0x1234", "serial: 0x1235"))
    assert "serial is 4661, the DIMM in" in plugged("host", "plug", fragment, status=3).err


def test_numbers_stay_and_the_lowest_are_given():
    def region(number, start, cookie):
        from xlpy.addr import Spa, Span

        return RegionDesc(number, Span(Spa(start), 1), (), cookie, cookie, 0, False)

    known = Bus(1, None, (), (region(0, 0, 1), region(1, 10, 2), region(2, 20, 3)), ())
    now = Bus(1, None, (), (region(0, 10, 2), region(1, 20, 3), region(2, 30, 4), region(3, 0, 9)), ())
    merged = merge(known, now)
    assert [(one.number, int(one.span.start)) for one in merged.regions] == [(0, 30), (1, 10), (2, 20), (3, 0)]
