"""Device mapper, swap and loop devices of the emulated Dom0: what the description asks for, and what follows."""

from __future__ import annotations

import json

import pytest
from dom0.ext4.images import tool

from xlpy.cli.main import run
from xlpy.errors import XlpyError
from xlpy.host import Host
from xlpy.toolstack.backing.resolve import resolve

MACHINE = """
dimms:
  - {id: a, capacity: 64M}
  - {id: b, capacity: 64M}
  - {id: c, capacity: 64M}
sets:
  - {name: a, dimms: [a]}
  - {name: b, dimms: [b]}
  - {name: c, dimms: [c]}
namespaces:
  - region: a
    mode: fsdax
    reserve: true
    filesystem:
      type: ext4
      mount: /mnt/a
      files: [{path: disk, size: 1M}, {path: swap, size: 1M}, {path: free, size: 1M}]
  - region: b
    mode: fsdax
    map: mem
    reserve: true
    partitions: [{start: 1M, size: 16M}, {start: 17M, size: 16M}]
  - {region: c, mode: fsdax, map: mem, reserve: true}
"""
USES = """
dm: [{name: vg-root, devices: [/dev/pmem1p1, /dev/pmem2]}, {name: other, devices: [/dev/pmem1p2]}]
swap: [/mnt/a/swap]
loop: [/mnt/a/disk]
"""


def make(tmp_path, text):
    (tmp_path / "machine.yaml").write_text(text)
    return Host.make(tmp_path / "host", tmp_path / "machine.yaml")


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    made = make(tmp_path_factory.mktemp("usage"), MACHINE + USES)
    yield made
    made.store.close()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/dev/pmem1p1", "held by dm-0 (device mapper: vg-root)"),
        ("/dev/pmem2", "held by dm-0 (device mapper: vg-root)"),
        ("/dev/pmem1p2", "held by dm-1 (device mapper: other)"),
        ("/dev/pmem1", "held by dm-0 (device mapper: vg-root)"),
        ("/mnt/a/swap", "an active swap file (/mnt/a/swap)"),
        ("/mnt/a/disk", "used by the loop device loop0"),
    ],
)
def test_what_is_used_is_refused(host, path, said):
    with pytest.raises(XlpyError) as caught:
        resolve(host.dom0, path)
    assert (caught.value.code, caught.value.exit) == ("XLPY-PMEM-IN-USE", 5)
    assert f"it is {said}" in [caught.value.message.partition("Dom0: ")[2], *caught.value.details]


def test_what_is_not_used_is_not(host):
    assert resolve(host.dom0, "/mnt/a/free").size == 1 << 20


@pytest.mark.parametrize("path", ["/dev/dm-0", "/dev/dm-1", "/dev/mapper/vg-root", "/dev/loop0"])
def test_devices_that_result_have_no_address(host, path):
    with pytest.raises(XlpyError, match="is not an NVDIMM") as caught:
        resolve(host.dom0, path)
    assert caught.value.code == "XLPY-PMEM-NOT-PMEM"


def test_sysfs_shows_them_as_linux_does(host):
    dom0 = host.dom0
    assert dom0.sysfs("/sys/block/pmem2/holders/dm-0/dm/name") == "vg-root"
    assert dom0.sysfs("/sys/class/block/pmem1p1/holders/dm-0/dm/name") == "vg-root"
    assert [dom0.sysfs(f"/sys/block/dm-0/slaves/{name}/dev")[:4] for name in ("pmem1p1", "pmem2")] == ["259:", "259:"]
    assert dom0.sysfs("/sys/block/loop0/loop/backing_file") == "/mnt/a/disk"
    assert [item["uses"] for item in dom0.list_namespaces()] == [["swap", "loop0"], ["dm-0", "dm-1"], ["dm-0"]]


@pytest.mark.parametrize(
    ("uses", "status", "said"),
    [
        ("swap: [/dev/pmem0]", 5, "swap: /dev/pmem0 is mounted on /mnt/a"),
        ("swap: [/dev/pmem2]\ndm: [{name: x, devices: [/dev/pmem2]}]", 5, "/dev/pmem2 is held by dm-0"),
        ("loop: [/dev/pmem9]", 4, "loop: /dev/pmem9: no such device"),
        ("loop: [/mnt/a/none]", 4, "loop: /mnt/a/none: no such file"),
        ("loop: [/mnt/a]", 6, "loop: /mnt/a is a dir"),
        ("dm: [{name: x, devices: [/mnt/a/disk]}]", 6, "dm: /mnt/a/disk is a file, a pmem device is required"),
        ("swap: [pmem0]", 3, "'pmem0' is not an absolute path"),
        ("dm: [{name: x, devices: []}]", 3, "at least one device"),
        ("dm: [{devices: [/dev/pmem2]}]", 3, "name"),
        ("loop: [/dev/pmem2, /dev/pmem2]", 3, "given twice"),
    ],
)
def test_descriptions_that_cannot_be(tmp_path, capsys, uses, status, said):
    (tmp_path / "machine.yaml").write_text(MACHINE + uses)
    words = ["--root", str(tmp_path / "host"), "host", "init", "--machine", str(tmp_path / "machine.yaml"), "--json"]
    assert run(words) == status
    shown = json.loads(capsys.readouterr().out)
    assert said in "\n".join([shown["message"], *shown["details"]])
    assert not (tmp_path / "host/hw").exists()


# --- DAX is a property of the file -----------------------------------------------------------------------------------

PLAIN = MACHINE.replace("      mount: /mnt/a\n", "      mount: /mnt/a\n      dax: DAX\n")
EXTENTS, JOURNAL, VERITY, ENCRYPT, DAX = 0x80000, 0x4000, 0x100000, 0x800, 0x2000000


@pytest.mark.parametrize(
    ("dax", "flags", "code"),
    [
        ("true", 0, None),
        ("true", JOURNAL, "XLPY-PMEM-JOURNAL"),
        ("true", VERITY, "XLPY-PMEM-VERITY"),
        ("true", ENCRYPT, "XLPY-PMEM-ENCODED"),
        ("false", 0, "XLPY-PMEM-NOT-DAX"),
        ("false", DAX, None),
        ("false", DAX | JOURNAL, "XLPY-PMEM-JOURNAL"),
    ],
)
def test_flags_of_a_file(tmp_path, dax, flags, code):
    """As chattr sets them: x makes a file DAX on any mount, j, fs-verity and fscrypt take it away."""
    made = make(tmp_path, PLAIN.replace("DAX", dax))
    image, offset = made.hw.locate_file(made.dom0.device("/dev/pmem0").window.start)
    made.store.close()
    command = f"set_inode_field /free flags {EXTENTS | flags:#x}"
    tool("debugfs", "-w", "-R", command, f"{image}?offset={offset}")
    host = Host.open(tmp_path / "host")
    try:
        if code is None:
            assert resolve(host.dom0, "/mnt/a/free").size == 1 << 20
        else:
            with pytest.raises(XlpyError) as caught:
                resolve(host.dom0, "/mnt/a/free")
            assert (caught.value.code, caught.value.exit) == (code, 7)
    finally:
        host.store.close()
