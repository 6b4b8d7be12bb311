"""Bad blocks: `pmem list` shows them, and `pmem resolve` says what `create` will."""

from __future__ import annotations

import pytest

MACHINE = """
ram: 4G
dimms: [{id: a, capacity: 64M}, {id: b, capacity: 64M}]
sets:
  - {name: bad, dimms: [a], poison: [{offset: 32M, size: 64}, {offset: 33M, size: 1024}]}
  - {name: raw, dimms: [b]}
namespaces:
  - region: bad
    mode: fsdax
    reserve: true
    partitions: [{start: 1M, size: 8M}, {start: 16M, size: 24M}, {start: 44M, size: 8M}]
  - {region: raw, mode: raw}
"""
GUEST = 'name = "vm"\ntype = "hvm"\nmemory = 256\nvnvdimm = [ "file=%s" ]\n'


@pytest.fixture
def bad_host(xlpy, tmp_path, monkeypatch):
    """A host with poison in the second partition of pmem0, and a device that Xen does not know."""
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "bad"))
    (tmp_path / "m.yaml").write_text(MACHINE)
    xlpy("host", "init", "--machine", tmp_path / "m.yaml")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/dev/pmem0", 8, "is poisoned"),
        ("/dev/pmem0p1", 0, ""),
        ("/dev/pmem0p2", 8, "is poisoned"),
        ("/dev/pmem0p3", 0, ""),
        ("/dev/pmem1", 8, "Xen does not know pmem1"),
    ],
)
def test_resolve_and_create_agree(xlpy, bad_host, path, status, words):
    (bad_host / "vm.cfg").write_text(GUEST % path)
    for command in (("pmem", "resolve", path), ("create", "-n", bad_host / "vm.cfg"), ("create", bad_host / "vm.cfg")):
        assert words in xlpy(*command, status=status).err


def test_a_device_that_a_domain_has_can_be_looked_at(xlpy, bad_host):
    (bad_host / "vm.cfg").write_text(GUEST % "/dev/pmem0p1")
    xlpy("create", "-q", bad_host / "vm.cfg")
    assert "pmem0" in xlpy("pmem", "resolve", "/dev/pmem0p1").err


def test_the_list_shows_them(xlpy, bad_host):
    found = xlpy("pmem", "list")
    assert "warning: pmem0 has 3 bad blocks of 512 bytes, from 0x" in found.err
    first, second = xlpy("pmem", "list", "--json").json["items"]
    assert first["badblock_count"] == 3
    assert [one["length"] for one in first["badblocks"]] == [1, 2]
    assert first["badblocks"][1]["offset"] - first["badblocks"][0]["offset"] == 2048
    assert f"from {first['badblocks'][0]['offset'] * 512:#x} on" in found.err
    assert "badblocks" not in second
