"""The commands on a machine with NVDIMMs: what is the default there, and what they say."""

from __future__ import annotations

import json
import os

import pytest
from export.linux_machine import MIB, Box

from xlpy.cli.main import run
from xlpy.toolstack.export import linux, machine


@pytest.fixture
def box(tmp_path, monkeypatch):
    """The commands find this machine."""
    made = Box(tmp_path / "box")
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "none"))
    monkeypatch.setattr(machine, "has_nvdimms", lambda: True)
    monkeypatch.setattr(linux, "LinuxMachine", lambda: made.machine)
    return made


@pytest.fixture
def config(box, tmp_path):
    image, labels = box.file("vm1.img", (0x2000000, 4 * MIB)), box.file("vm1.labels", (0x5000000, MIB))
    path = tmp_path / "domain.cfg"
    path.write_text(
        f'name = "vm1"\ntype = "hvm"\nmemory = 512\nvnvdimm = [ "file={image},label_file={labels}" ]\n'
        "disk = [ '/dev/vg/root,raw,xvda,rw' ]\n"
    )
    return path


def test_the_minute_of_the_readme(box, config, tmp_path, capsys):
    out = tmp_path / "exported"
    assert run(["export", str(config), "-o", str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [str(out / f"vm1.{kind}") for kind in ("cfg", "acpi", "json")]
    said = shown.err.splitlines()
    assert said[0] == "note: no Xen runs here; the files are for Xen 4.17"
    assert f"start: xlpy export check {out}/vm1.json && xl create {out}/vm1.cfg" in said
    assert f"release: xlpy export release {out}/vm1.json" in said
    assert sum("uncached" in line for line in said) == 1
    assert "disk = [ '/dev/vg/root,raw,xvda,rw' ]" in (out / "vm1.cfg").read_text().splitlines()
    assert json.loads((out / "vm1.json").read_text())["dom0"] == "linux"
    assert run(["export", "check", str(out / "vm1.json")]) == 0
    assert run(["export", "check"]) == 0
    assert run(["import", str(out / "vm1.cfg")]) == 0
    assert run(["config", "check", str(out / "vm1.cfg")]) == 0
    assert "warning" not in capsys.readouterr().err
    assert run(["export", "release", str(out / "vm1.json")]) == 0
    assert list(out.iterdir()) == []
    assert not (tmp_path / "none").exists()  # no emulated host was made for it


@pytest.mark.parametrize(
    ("runs", "given", "made_for", "note"),
    [
        (None, [], "4.17", "no Xen runs here"),
        (None, ["--xen", "4.20"], "4.20", ""),
        ("4.20", [], "4.20", ""),
        ("4.17", [], "4.17", ""),
        ("4.16", [], "4.17", "Xen 4.16 runs here, which was not tried"),
        ("4.20", ["--xen", "4.17"], "4.17", ""),
    ],
)
def test_for_which_xen(box, config, tmp_path, monkeypatch, capsys, runs, given, made_for, note):
    if runs:
        box.dom0_of_xen(runs)
        monkeypatch.setenv("PATH", str(tmp_path))  # no xl: nothing starts domains
    assert run(["export", "-n", "--json", str(config), "-o", str(tmp_path / "o"), *given]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["xen"] == made_for
    assert note in shown.err
    assert ("note: " in shown.err) == bool(note)


def test_a_file_system_without_the_flag_is_warned_of(box, config, tmp_path, capsys):
    box.kernel.knows = False
    assert run(["export", str(config), "-o", str(tmp_path / "o")]) == 0
    assert "no immutable flag: nothing keeps its blocks in place" in capsys.readouterr().err


def test_a_user_who_is_not_root(box, config, tmp_path, capsys, monkeypatch):
    (box.region / "pfn0.0/resource").chmod(0)
    real = box.machine._dom0.sysfs

    def sysfs(path):
        from xlpy.errors import Constraint

        if path.endswith("resource"):
            raise Constraint(f"{path}: Permission denied", code="XLPY-LINUX-ACCESS", hint="run as root")
        return real(path)

    monkeypatch.setattr(box.machine._dom0, "sysfs", sysfs)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run(["export", str(config), "-o", str(tmp_path / "o")]) == 6
    assert "only root may read where a pmem device lies in host physical memory" in capsys.readouterr().err
