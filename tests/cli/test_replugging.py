"""A labelled interleave set that is pulled, in use or not, and plugged in again: label cookies decide what is found."""

from __future__ import annotations

import pytest
from copying import copy_tree

from xlpy.dom0.nvdimm.labelset import Member, cookies

MACHINE = """
name: %(name)s
ram: 2G
cpu: {count: 1, physical_bits: 40}
dimms:
  - {id: a, capacity: 64M, handle: 0x01, serial: 0x11, manufactured: {location: 0xa2, date: 2017-49}}
  - {id: b, capacity: 64M, handle: 0x11, serial: 0x22}
  - {id: c, capacity: 64M, handle: 0x21, serial: 0x33}
sets:
  - {name: pair, dimms: [a, b], labels: '%(labels)s'}
  - {name: single, dimms: [c]}
"""
OTHER = """
name: other
ram: 3G
dimms: [{id: a, capacity: 64M, serial: 0x99}]
sets: [{name: first, dimms: [a]}]
"""
GUEST = 'name = "g"\ntype = "hvm"\nmemory = 64\nvnvdimm = ["file=/dev/pmem0"]\n'
LINES = "01" * 4096 + "02" * 4096 + "03" * 4096  # a line of one DIMM each, in turn


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """For both kinds of labels a host whose pair has a namespace, one, with LINES at its start."""
    from xlpy.cli.main import run

    folder = tmp_path_factory.mktemp("replugging")
    with pytest.MonkeyPatch.context() as patch:
        for labels in ("1.1", "1.2"):
            (folder / "machine.yaml").write_text(MACHINE % {"name": "replugging", "labels": labels})
            patch.setenv("XLPY_ROOT", str(folder / labels))
            for line in (
                f"-q host init --machine {folder / 'machine.yaml'}",
                "ndctl create-namespace -r region0 -s 64M -n one --reserve xen",
                f"pmem write /dev/pmem0 0 --hex {LINES}",
            ):
                assert run(line.split()) == 0
    return folder


@pytest.fixture(params=["1.1", "1.2"])
def labels(request):
    return request.param


@pytest.fixture
def host_root(made, labels, tmp_path):
    copy_tree(made / labels, tmp_path / "host")
    return tmp_path / "host"


@pytest.fixture
def pulled(xlpy, tmp_path):
    """The pair is out: a domain had its namespace, nobody was asked. The file with which it is plugged in again."""
    (tmp_path / "g.cfg").write_text(GUEST)
    xlpy("create", "-q", tmp_path / "g.cfg")
    assert "machine check" in xlpy("host", "unplug", "pair", "--surprise", "--to", tmp_path / "drawer").err
    xlpy("destroy", "g")
    xlpy("host", "unplug", "pair", "--to", tmp_path / "drawer")
    return tmp_path / "drawer" / "pair.yaml"


def change(fragment, *changes):
    text = fragment.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    fragment.write_text(text)


def region(xlpy, *dimms):
    """The region of these DIMMs, with its namespaces."""
    (found,) = (
        one
        for one in listed(xlpy, "-DRN")["regions"]
        if {mapping["dimm"] for mapping in one["mappings"]} == {name(xlpy, dimm) for dimm in dimms}
    )
    return found


def name(xlpy, dimm):
    handle = next(one["handle"] for one in xlpy("host", "show", "--json").json["dimms"] if one["id"] == dimm)
    return next(one["dev"] for one in listed(xlpy, "-D") if one["handle"] == handle)


def listed(xlpy, words):
    return xlpy("ndctl", "list", *words.split()).json


def is_whole(xlpy, found):
    """Name, content and Xen's knowledge are those of before."""
    (one,) = found["namespaces"]
    assert (one["name"], one["mode"]) == ("one", "fsdax")
    told = {item["dev"]: item for item in xlpy("pmem", "list", "--json").json["items"]}
    assert told[one["dev"]]["registered"]
    assert "badblocks" not in told[one["dev"]]
    shown = xlpy("pmem", "read", f"/dev/{one['blockdev']}", "0", "12K", "--json").json
    assert shown["hex"] == LINES


def test_the_cookie_is_of_the_kind_of_the_labels(xlpy, labels):
    """Labels 1.1 know devices by serial number alone, labels 1.2 by vendor and manufacture too."""
    members = [Member(0, 0x11, 0x8980, 0x4917, 0xA2), Member(4096, 0x22, 0x8980, 0, 0)]
    known = cookies(members)
    assert region(xlpy, "a", "b")["iset_id"] == (known.v1_1 if labels == "1.1" else known.v1_2)
    assert known.v1_1 != known.v1_2


def test_in_other_slots_it_is_found(xlpy, pulled):
    change(pulled, ("id: a", "id: x"), ("id: b", "id: y"), ("[a, b]", "[x, y]"), ("name: pair", "name: again"))
    change(pulled, ("handle: 0x1\n", "handle: 0x32\n"), ("handle: 0x11", "handle: 0x05"), ("0x1100", "0x2200"))
    xlpy("host", "plug", pulled)
    is_whole(xlpy, region(xlpy, "x", "y"))


def test_in_another_host_it_is_found(xlpy, pulled, tmp_path, monkeypatch):
    (tmp_path / "other.yaml").write_text(OTHER)
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "other"))
    xlpy("-q", "host", "init", "--machine", tmp_path / "other.yaml")
    change(pulled, ("id: a", "id: x"), ("[a, b]", "[x, b]"), ("handle: 0x1\n", "handle: 0x7\n"), ("0x1100", "0x1207"))
    xlpy("host", "plug", pulled)
    is_whole(xlpy, region(xlpy, "x", "b"))
    xlpy("host", "power", "cut")
    xlpy("host", "power", "on")
    is_whole(xlpy, region(xlpy, "x", "b"))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param([("dimms: [a, b]", "dimms: [b, a]")], id="another order"),
        pytest.param([("line: 4096", "line: 256")], id="another line"),
        pytest.param(
            [("sets:", "  - {id: new, capacity: 64M}\nsets:"), ("dimms: [a, b]", "dimms: [a, new]")], id="a stranger"
        ),
    ],
)
def test_what_is_not_the_set_that_it_was_has_no_namespace(xlpy, pulled, tmp_path, wrong):
    """The labels stay, and are believed again where they fit."""
    right = pulled.read_text()
    change(pulled, *wrong)
    xlpy("host", "plug", pulled)
    other = "new" if "id: new" in pulled.read_text() else "b"
    found = region(xlpy, "a", other)
    assert "namespaces" not in found
    label = xlpy("ndctl", "read-labels", "-j", name(xlpy, "a")).json[0]["label"]
    assert any(one["name"] == "one" for one in label)
    xlpy("host", "unplug", "pair", "--to", tmp_path / "drawer")
    if other == "new":
        xlpy("host", "unplug", "b", "--to", tmp_path / "drawer")
    pulled.write_text(right)
    xlpy("host", "plug", pulled)
    is_whole(xlpy, region(xlpy, "a", "b"))


def test_one_of_them_pulled_takes_none_of_the_other_with_it(xlpy, tmp_path):
    """No line of the set can be read meanwhile, and no write reaches it; back together they are what they were."""
    xlpy("ndctl", "inject-error", "namespace0.0", "-B", "100", "-n", "1")
    assert "take away what is left of pair" in xlpy("host", "unplug", "a", "--surprise", "--to", tmp_path / "one").err
    assert [one["out"] for one in xlpy("host", "show", "--json").json["dimms"]] == [True, False, False]
    xlpy("pmem", "read", "/dev/pmem0", "4K", "4K", status=7)
    assert "failed to clear badblock" in xlpy("ndctl", "clear-errors", "namespace0.0").err
    assert "a of pair is out already" in xlpy("host", "unplug", "a", "--surprise", status=5).err
    shown = xlpy("host", "unplug", "pair", "--to", tmp_path / "rest")
    fragment = tmp_path / "rest" / "pair.yaml"
    assert str(fragment) in shown.err
    xlpy("host", "plug", fragment)
    found = region(xlpy, "a", "b")
    assert found["namespaces"][0]["name"] == "one"
    (bad,) = (one["badblocks"] for one in listed(xlpy, "-M") if "badblocks" in one)
    assert bad == [{"offset": 100, "length": 1}]
    shown = xlpy("pmem", "read", "/dev/pmem0", "0", "12K", "--json").json
    assert shown["hex"] == LINES


def test_what_was_pulled_and_not_taken_away_is_not_plugged_in_twice(xlpy, pulled, tmp_path):
    xlpy("host", "plug", pulled)
    again = pulled.parent / "again.yaml"
    again.write_text(pulled.read_text())
    xlpy("host", "unplug", "pair", "--surprise", "--to", tmp_path / "drawer")
    assert "hint: pair was pulled out by surprise" in xlpy("host", "plug", again, status=3).err
