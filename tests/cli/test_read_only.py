"""``mode=ro``: from the configuration to the guest's NFIT, its memory, and what Dom0 has read-only itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from copying import copy_tree

from xlpy.cli.main import run
from xlpy.host import Host

REFUSALS = Path(__file__).parents[2] / "configs" / "machines" / "refusals.yaml"
CONFIG = "name = 'reader'\ntype = 'hvm'\nmemory = 256\nvnvdimm = [ 'file={path},mode={mode}' ]\n"
OLD = "/mnt/archive/old.img"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("ro") / "host"
    Host.make(root, REFUSALS).store.close()
    return root


@pytest.fixture
def xlpy(made, tmp_path, capsys):
    root = tmp_path / "host"
    copy_tree(made, root)

    def call(*words, status=0):
        got = run(["--root", str(root), *map(str, words)])
        shown = capsys.readouterr()
        assert got == status, shown.err
        return shown.out, shown.err

    call.root = root
    return call


def create(xlpy, tmp_path, path, mode, **more):
    (tmp_path / "reader.cfg").write_text(CONFIG.format(path=path, mode=mode))
    return xlpy("create", tmp_path / "reader.cfg", **more)


@pytest.mark.parametrize("path", [OLD, "/mnt/pmem0/written.img", "/dev/pmem3p1"])
def test_a_guest_that_only_reads(xlpy, tmp_path, path):
    create(xlpy, tmp_path, path, "ro")
    (device,) = json.loads(xlpy("list", "--json")[0])["items"][-1]["vnvdimms"]
    gpa = device["gpa"]
    before, _ = xlpy("mem", "read", "reader", gpa, 64)
    _, err = xlpy("mem", "write", "reader", gpa, "--hex", "ff" * 16, status=8)
    assert "memory that it may only read" in err
    assert xlpy("mem", "read", "reader", gpa, 64)[0] == before
    (dimm,) = json.loads(xlpy("guest", "probe", "reader", "--json")[0])["dimms"]
    assert dimm["flags"] == ["not_armed"]
    (shown,) = (line for line in xlpy("map", "reader")[0].splitlines() if " pmem " in line)
    assert shown.endswith(f"{path} (read-only)")
    assert xlpy("xenstore", "read", "/libxl/1/device/nvdimm/0/mode")[0] == "r\n"
    listed = json.loads(xlpy("list", "-l", "reader")[0])
    assert '"mode": "ro"' in json.dumps(listed)


def test_a_restart_is_read_only_too(xlpy, tmp_path):
    create(xlpy, tmp_path, OLD, "ro")
    xlpy("reboot", "reader")
    gpa = json.loads(xlpy("list", "--json")[0])["items"][-1]["vnvdimms"][0]["gpa"]
    xlpy("mem", "write", "reader", gpa, "--hex", "ff", status=8)


def test_what_is_read_only_in_dom0_needs_it(xlpy, tmp_path):
    _, err = create(xlpy, tmp_path, OLD, "rw", status=7)
    assert "mode=ro" in err
    xlpy("pmem", "resolve", OLD, status=7)
    xlpy("pmem", "resolve", OLD, "--mode", "ro")


def test_nothing_changes_on_a_file_system_that_is_mounted_read_only(xlpy, tmp_path):
    media = xlpy.root / "hw" / "media" / "archive"
    before = media.read_bytes()
    create(xlpy, tmp_path, OLD, "ro")
    _, err = xlpy("pmem", "mkfile", "4K", "/mnt/archive/new", status=6)
    assert "read-only" in err.lower()
    xlpy("destroy", "reader")
    host = Host.open(xlpy.root)
    start, size = host.dom0.device("/dev/pmem5").window.start - host.hw.regions[5].span.start, 60 << 20
    host.store.close()
    assert media.read_bytes()[start : start + size] == before[start : start + size]


def test_hot_plug_knows_the_mode(xlpy, tmp_path):
    create(xlpy, tmp_path, "/dev/pmem3p1", "rw")
    xlpy("nvdimm-attach", "reader", f"file={OLD},mode=ro")
    listed = json.loads(xlpy("list", "--json")[0])["items"][-1]["vnvdimms"]
    xlpy("mem", "write", "reader", listed[0]["gpa"], "--hex", "ff")
    xlpy("mem", "write", "reader", listed[1]["gpa"], "--hex", "ff", status=8)


def test_a_store_by_dom0_is_refused(xlpy):
    """With the status that belongs to the error's code, as everything else that would change the file."""
    for words in (("write", OLD, "0", "--hex", "00"), ("mkfile", "4K", "/mnt/archive/new.img")):
        assert "Read-only file system: /mnt/archive is mounted with ro" in xlpy("pmem", *words, status=6)[1]
