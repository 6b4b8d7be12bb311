"""Debian's kernel as judge: what it says of our tables and memory, and what it leaves on the media.

Slow (software emulation, about 15 s a boot on a quiet machine). XLPY_GUEST_KIT names the cache of guest/kit.py, where
kernel and tools come from; without QEMU or those packages the tests are skipped.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from copying import copy_tree
from programs import need

from xlpy.addr import GIB, MIB, Spa
from xlpy.cli.main import run
from xlpy.dom0.ext4.tools import find_program
from xlpy.host import Host
from xlpy.toolstack.backing.resolve import resolve
from xlpy.uuids import uuid_text

pytestmark = pytest.mark.slow

REPO = Path(__file__).parents[2]
SECONDS = 280
KNOWN = b"".join(b"%d\n" % number for number in range(1, 20001))
DIGEST = hashlib.md5(KNOWN).hexdigest()
COMPLAINTS = re.compile(
    r"ACPI Error|ACPI BIOS|ACPI Warning|AE_|\[Firmware|[Tt]aint|Call Trace|(?<!not a )BUG\b|WARNING:"
)
TWO = """
name = 'two'
type = 'hvm'
memory = 512
vnvdimm = ['file=/mnt/pmem0/scattered.img', 'file=/dev/pmem1']
"""


@pytest.fixture(scope="module")
def kit():
    """Make an initramfs that runs a script; paths of kernel and initramfs."""
    need("qemu-system-x86_64")
    words = [sys.executable, str(REPO / "guest" / "kit.py")]
    if "XLPY_GUEST_KIT" in os.environ:
        words += ["--cache", os.environ["XLPY_GUEST_KIT"]]

    def make(script, *more):
        done = subprocess.run([*words, *more, "--script", str(script)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"the guest kit cannot be assembled: {done.stderr.strip()[-200:]}")
        parts = dict(line.split("=", 1) for line in done.stdout.splitlines())
        return parts["KERNEL"], parts["INITRD"]

    return make


@pytest.fixture(scope="module")
def one_at_a_time():
    """No two guests at once, whatever the number of test processes."""
    with open(Path(tempfile.gettempdir(), "xlpy-boot-tests.lock"), "w") as lock:  # noqa: PTH123
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Guest:
    """What a guest said: its sections by name, carriage returns taken out."""

    def __init__(self, text):
        parts = re.split(r"^=== (\w+)\n", text.replace("\r", ""), flags=re.MULTILINE)
        self._sections = dict(zip(parts[1::2], parts[2::2], strict=True))
        assert "end" in self._sections, text[-2000:]

    def __getitem__(self, name):
        return self._sections[name]

    def json(self, name):
        return json.loads(self[name])

    def check_health(self):
        complaints = [line for line in self["dmesg"].splitlines() if COMPLAINTS.search(line)]
        assert complaints == []
        assert self["taint"] == "0\n"

    @property
    def pmem(self):
        """Persistent Memory of /proc/iomem: (start, end)."""
        found = re.findall(r"^(\w+)-(\w+) : Persistent Memory$", self["iomem"], re.MULTILINE)
        return [(int(start, 16), int(end, 16) + 1) for start, end in found]


@pytest.fixture(scope="module")
def boot(kit, one_at_a_time):
    """Boot a domain with a script, by default of tests/boot/guest; what the guest said."""
    del one_at_a_time

    def start(root, domain, script, *more, append="quiet"):
        kernel, initrd = kit(Path(__file__).parent / "guest" / script, *more)
        words = ["boot", domain, "--kernel", kernel, "--initrd", initrd, "--append", append, "--timeout", str(SECONDS)]
        done = subprocess.run(
            [sys.executable, "-m", "xlpy", "--root", str(root), *words],
            cwd=REPO,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout[-2000:]
        return Guest(done.stdout)

    return start


def backing(root, path):
    """Every byte of a file or device as Dom0 sees it, in order."""
    host = Host.open(root)
    pieces = resolve(host.dom0, path).extents
    data = b"".join(host.hw.read(Spa(piece.spa), piece.length) for piece in pieces)
    host.store.close()
    return data


def create(root, config, tmp_path):
    (tmp_path / "domain.cfg").write_text(config)
    assert run(["--root", str(root), "create", str(tmp_path / "domain.cfg")]) == 0


def test_quickstart(boot, host_root, tmp_path):
    create(host_root, (REPO / "configs" / "quickstart.cfg").read_text(), tmp_path)
    guest = boot(host_root, "quickstart", "quickstart.sh")
    guest.check_health()
    start = 20 * GIB
    assert guest.pmem == [(start, start + 64 * MIB)]
    assert guest["cpus"] == "2\n"
    assert "No such file" not in guest["acpi"]
    ram = [int(row.split()[1], 16) for row in guest["memmap"].splitlines() if row.endswith("System RAM")]
    assert 400 * MIB < max(ram) < 504 * MIB  # a kexec in the guest takes all of this for free memory
    host = Host.open(host_root)
    assert guest["dmi"].split() == ["Xen", "Xen", "HVM", "domU", uuid_text(host.xen.domain(1).uuid)]
    host.store.close()
    (bus,) = guest.json("list")
    assert bus["provider"] == "ACPI.NFIT"
    (dimm,) = bus["dimms"]
    assert (dimm["handle"], dimm["phys_id"]) == (1, 0)
    assert dimm["id"].startswith("5358-")
    (region,) = bus["regions"]
    assert (region["size"], region["persistence_domain"]) == (64 * MIB, "memory_controller")
    assert region["mappings"] == [{"dimm": "nmem0", "offset": 0, "length": 64 * MIB, "position": 0}]
    assert [(one["mode"], one["size"]) for one in region["namespaces"]] == [("raw", 64 * MIB)]
    assert DIGEST in guest["write"]
    assert backing(host_root, "/mnt/pmem0/vm1.img")[100 * 4096 :].startswith(KNOWN)


@pytest.fixture(scope="module")
def two(boot, boot_machine, tmp_path_factory):
    """Boot a domain with two blank vNVDIMMs, then another one with the same backings: root, what each guest said."""
    folder = tmp_path_factory.mktemp("two")
    root = folder / "host"
    copy_tree(boot_machine, root)
    assert run(["--root", str(root), "destroy", "vm"]) == 0
    create(root, TWO, folder)
    first = boot(root, "two", "first.sh")
    assert run(["--root", str(root), "destroy", "two"]) == 0
    create(root, TWO, folder)
    return root, first, boot(root, "two", "second.sh")


def test_linux_has_no_complaint(two):
    _, first, second = two
    first.check_health()
    second.check_health()


def test_linux_finds_two_vnvdimms_where_they_are(two):
    _, guest, _ = two
    scattered, device = 64 * MIB, 124 * MIB
    assert guest.pmem == [(20 * GIB, 20 * GIB + scattered), (21 * GIB, 21 * GIB + device)]
    (bus,) = guest.json("list")
    assert {(dimm["dev"], dimm["handle"]) for dimm in bus["dimms"]} == {("nmem0", 1), ("nmem1", 2)}
    assert {(one["dev"], one["size"]) for one in bus["regions"]} == {("region0", scattered), ("region1", device)}
    assert len({dimm["id"] for dimm in bus["dimms"]}) == 2


def test_labels_and_namespaces_are_made_through_dsm(two):
    _, guest, _ = two
    assert guest["labels"].count("-> 0") == 4
    assert "initialized 2 nmems" in guest["labels"]
    assert "successfully verified 2 nmem labels" in guest["labels"]
    raw, first, second = (guest.json(name) for name in ("raw", "fsdax0", "fsdax1"))
    assert (raw["mode"], raw["blockdev"]) == ("raw", "pmem0")
    assert (first["mode"], first["map"], first["blockdev"]) == ("fsdax", "dev", "pmem0.1")
    assert (second["mode"], second["map"], second["blockdev"]) == ("fsdax", "mem", "pmem1")
    assert guest["files"].count("-> 0") == 4
    assert guest["files"].count("type ext4 (rw,relatime,dax=always)") == 2


@pytest.mark.parametrize(
    ("path", "gpa", "disk"), [("/mnt/pmem0/scattered.img", 20 * GIB, 1), ("/dev/pmem1", 21 * GIB, 2)]
)
def test_what_the_guest_wrote_is_on_the_media(two, tmp_path, path, gpa, disk):
    """As Dom0 sees the backing: the guest's file system in it is sound, and has the file."""
    root, guest, _ = two
    image = tmp_path / "image"
    image.write_bytes(backing(root, path))
    start = int(guest["resources"].split()[disk], 16) - gpa
    where = f"{image}?offset={start}"
    cat = subprocess.run([find_program("debugfs"), "-R", "cat /known", where], capture_output=True, check=True)
    assert cat.stdout == KNOWN
    subprocess.run([find_program("e2fsck"), "-f", "-n", where], capture_output=True, check=True)


def test_the_raw_namespace_is_the_start_of_the_file(two):
    assert backing(two[0], "/mnt/pmem0/scattered.img").startswith(KNOWN)


def test_a_second_domain_finds_everything_again(two):
    _, first, second = two
    assert "successfully verified 2 nmem labels" in second["labels"]

    def key(namespaces):
        return sorted((one["uuid"], one["mode"], one["size"]) for one in namespaces)

    assert key(second.json("namespaces")) == key(first.json("namespaces"))
    assert len(second.json("namespaces")) == 5
    assert second["files"].count(DIGEST) == 3
    assert second["files"].count("-> 0") == 2


ONE_SET = """
name: ram
ram: 8G
cpu: {count: 4, physical_bits: 40, features: [clflushopt, clwb]}
dimms:
  - {id: dimm0, capacity: 512M, label_size: 128K, handle: 0x01}
sets:
  - {name: set0, dimms: [dimm0]}
namespaces:
  - {region: set0, mode: fsdax, map: dev, reserve: true}
"""
NODES = """
name = "ram"
type = "hvm"
memory = 768
vcpus = 2
vnuma = [ [ "pnode=0", "size=384", "vcpus=0", "vdistances=10,20" ],
          [ "pnode=0", "size=384", "vcpus=1", "vdistances=20,10" ] ]
vnvdimm = [ "file=/dev/pmem0,node=1" ]
"""


def test_a_vnvdimm_becomes_memory_of_its_node(boot, tmp_path):
    """As on QEMU: device-DAX has a target node, and kmem gives its memory to that node."""
    (tmp_path / "machine.yaml").write_text(ONE_SET)
    Host.make(tmp_path / "host", tmp_path / "machine.yaml").store.close()
    create(tmp_path / "host", NODES, tmp_path)
    guest = boot(tmp_path / "host", "ram", "system_ram.sh", "--with", "daxctl")
    guest.check_health()
    assert guest["numa"].split() == ["1", "1"]  # numa_node, target_node
    assert guest["before"] == "0-1\n"
    (device,) = guest.json("devdax")["daxregion"]["devices"]
    assert (device["mode"], device["target_node"]) == ("devdax", 1)
    (ram,) = guest.json("reconfigure")
    assert (ram["mode"], ram["target_node"], ram["online_memblocks"]) == ("system-ram", 1, ram["total_memblocks"])
    before, after = (int(guest[name].split()[-2]) for name in ("free", "after"))
    assert after - before == ram["total_memblocks"] * 128 * 1024
    assert "System RAM (kmem)" in guest["iomem"]


def test_probe_names_what_linux_names(two, capsys):
    """Every mode, several namespaces: as ndctl lists them in the guest."""
    root, _, guest = two
    capsys.readouterr()
    assert run(["--root", str(root), "guest", "probe", "two", "--json"]) == 0
    probed = json.loads(capsys.readouterr().out)
    listed = []
    for region in guest.json("listed")["regions"]:
        for one in region["namespaces"]:
            if one["size"]:
                char = one.get("daxregion", {}).get("devices", [{}])[0]
                dev = one.get("blockdev") or char.get("chardev")
                facts = {key: one.get(key) for key in ("mode", "size", "uuid", "name", "target_node")}
                listed.append({"namespace": one["dev"], "dev": dev, **facts})
    keys = list(listed[0])
    assert sorted(listed, key=lambda one: one["namespace"]) == [
        {key: one[key] for key in keys} for one in probed["pmem"]
    ]
    assert {one["mode"] for one in listed} == {"raw", "fsdax", "devdax", "sector"}
    assert [region["seed"] for region in probed["regions"]] == guest["seeds"].split()
