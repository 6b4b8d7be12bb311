"""The example configurations do what their comments say."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from copying import copy_tree

from xlpy.cli.main import run
from xlpy.host import Host

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A host made from the machine of refusals; not to be changed."""
    root = tmp_path_factory.mktemp("refusals") / "host"
    Host.make(root, CONFIGS / "machines" / "refusals.yaml").store.close()
    return root


@pytest.fixture
def root(made, tmp_path):
    copy = tmp_path / "host"
    copy_tree(made, copy)
    yield copy
    shutil.rmtree(copy)


@pytest.mark.parametrize("path", sorted((CONFIGS / "refused").glob("*.cfg")), ids=lambda path: path.stem)
@pytest.mark.parametrize("dry", [[], ["-n"]], ids=["create", "dry run"])
def test_refused_as_announced(root, path, dry, capsys):
    announced = re.match(r"# refused: (\d+) (\S+)", path.read_text())
    assert announced, "the first line says what is expected"
    assert run(["--root", str(root), "create", *dry, "--json", str(path)]) == int(announced[1])
    shown = capsys.readouterr()
    assert json.loads(shown.out)["code"] == announced[2]
    assert "\nerror: " in shown.err
    assert run(["--root", str(root), "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == []


@pytest.mark.parametrize("name", ["partition", "scattered", "devdax"])
def test_created_on_the_machine_of_refusals(root, name, capsys):
    assert run(["--root", str(root), "create", str(CONFIGS / f"{name}.cfg")]) == 0
    assert run(["--root", str(root), "guest", "probe", name]) == 0


def test_the_scattered_file_has_many_extents(root, capsys):
    assert run(["--root", str(root), "create", "--json", str(CONFIGS / "scattered.cfg")]) == 0
    (device,) = json.loads(capsys.readouterr().out)["vnvdimms"]
    assert len(device["extents"]) > 10
    assert sum(extent["length"] for extent in device["extents"]) == device["size"]


@pytest.mark.parametrize("name", ["quickstart", "device", "two", "unarmed"])
def test_created_on_the_default_machine(xlpy, name):
    xlpy("create", CONFIGS / f"{name}.cfg")
    xlpy("guest", "probe", name)


def test_every_configuration_is_tried():
    tried = {"partition", "scattered", "quickstart", "device", "devdax", "two", "unarmed"}
    assert {path.stem for path in CONFIGS.glob("*.cfg")} == tried


@pytest.mark.parametrize("machine", sorted((CONFIGS / "machines").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_machine_boots(tmp_path, machine, capsys):
    assert run(["--root", str(tmp_path / "h"), "host", "init", "--machine", str(machine)]) == 0
    assert run(["--root", str(tmp_path / "h"), "pmem", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["items"]
    assert bool(listed) != (machine.stem == "bank"), "the bank is for ndctl to make namespaces of"
