"""The emulated Dom0 on a real (small) emulated machine: what it sets up, shows, refuses, and survives."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress

import pytest
from programs import need

from xlpy.addr import KIB, MIB, PAGE, Mfn, Spa, Span
from xlpy.dom0.emulated import EmulatedDom0
from xlpy.dom0.ext4.inplace import InPlace
from xlpy.dom0.ext4.reader import Ext4Image
from xlpy.dom0.files.changes import Prepared
from xlpy.dom0.kernel import FileStat, Mount
from xlpy.dom0.nvdimm.infoblock import parse_pfn
from xlpy.errors import Conflict, Constraint, HypercallError, NotFound, StateError, Unsafe
from xlpy.firmware.bios import power_on
from xlpy.hw.describe import parse_machine
from xlpy.hw.hardware import Hardware
from xlpy.store import Store

DIMMS = """
name: small
ram: 1G
dimms:
  - {id: a, capacity: 64M, handle: 0x01}
  - {id: b, capacity: 64M, handle: 0x11}
  - {id: c, capacity: 128M, handle: 0x21}
  - {id: d, capacity: 64M, handle: 0x31}
  - {id: e, capacity: 64M, handle: 0x41}
  - {id: f, capacity: 64M, handle: 0x51, flags: [not_armed]}
sets:
  - {name: pair, dimms: [a, b], line: 4K}
  - {name: single, dimms: [c]}
  - {name: sectors, dimms: [d]}
  - {name: plain, dimms: [e]}
  - {name: unarmed, dimms: [f]}
"""
NAMESPACES = """
namespaces:
  - region: pair
    mode: fsdax
    reserve: true
    uuid: 0d50f988-4674-48ee-b4a9-5ee17be61703
    filesystem:
      type: ext4
      mount: /mnt/pmem0
      files:
        - {path: vm1.img, size: 4M, state: written}
        - {path: hollow.img, size: 1M, state: sparse}
        - {path: promised.img, size: 1M, state: unwritten}
        - {path: deep/er/vm2.img, size: 1M, state: fragmented}
  - region: single
    mode: fsdax
    map: mem
    reserve: true
    partitions:
      - {start: 1M, size: 32M, filesystem: {type: ext4, mount: /mnt/part}}
      - {start: 64M, size: 16M}
  - {region: sectors, mode: sector}
  - {region: plain, mode: fsdax}
  - {region: unarmed, mode: fsdax, reserve: true}
"""


class Platform:
    """A hypervisor that records reports, and refuses devices that start at given pages."""

    def __init__(self, refuse=()):
        self.reports = []
        self.refuse = refuse

    def platform_pmem_add(self, region, reserved, data):
        if region.start in self.refuse:
            raise HypercallError("overlaps a device that is known already", 17)
        self.reports.append((region, reserved, data))

    def platform_pmem_bad(self, spans):
        self.bad = spans


def boot(root, text=DIMMS + NAMESPACES, xen=None, store=None, prepare=lambda _hw: None):
    spec = parse_machine(text)
    hw = Hardware.create(root, spec)
    power_on(hw)
    prepare(hw)
    store = store or Store(None)
    return hw, store, EmulatedDom0.boot(hw, xen or Platform(), store, spec)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """(root, xen) of a host that is only read."""
    need("mke2fs")
    root = tmp_path_factory.mktemp("host")
    xen = Platform()
    hw, store, _ = boot(root, xen=xen, store=Store(root / "state.db"))
    hw.close()
    store.close()
    return root, xen


@pytest.fixture
def dom0(host):
    """The Dom0 of that host, as the next command opens it."""
    root, _ = host
    hw = Hardware.open(root)
    store = Store(root / "state.db")
    yield EmulatedDom0.open(hw, store)
    hw.close()
    store.close()


@pytest.fixture
def fresh(host, tmp_path):
    """A copy of that host that may be changed: (hardware, a function that opens Dom0 anew)."""
    root = tmp_path / "copy"
    subprocess.run(["cp", "-r", "--sparse=always", host[0], root], check=True)
    hw = Hardware.open(root)
    store = Store(root / "state.db")
    yield hw, lambda: EmulatedDom0.open(hw, store)
    hw.close()
    store.close()


BASES = {
    name: one.base
    for name, one in zip(["pair", "single", "sectors", "plain", "unarmed"], parse_machine(DIMMS).sets, strict=True)
}


def test_the_list(dom0):
    items = dom0.list_namespaces()
    assert [(i["dev"], i["mode"], i.get("map"), i.get("blockdev"), i["size"]) for i in items] == [
        ("namespace0.0", "fsdax", "dev", "pmem0", 130023424),
        ("namespace1.0", "fsdax", "mem", "pmem1", 132120576),
        ("namespace2.0", "sector", None, "pmem2s", 65961984),
        ("namespace3.0", "fsdax", "dev", "pmem3", 65011712),
        ("namespace4.0", "fsdax", "dev", "pmem4", 65011712),
    ]
    assert list(items[0]) == [
        "dev", "mode", "map", "size", "uuid", "sector_size", "align", "blockdev",
        "resource", "reserved", "registered", "users", "mounts",
    ]  # fmt: skip
    assert items[0]["uuid"] == "0d50f988-4674-48ee-b4a9-5ee17be61703"
    assert (items[0]["sector_size"], items[0]["align"]) == (512, 2 * MIB)
    assert [i["resource"] for i in items] == [
        BASES["pair"] + 4 * MIB,
        BASES["single"] + 2 * MIB,
        None,
        BASES["plain"] + 2 * MIB,
        BASES["unarmed"] + 2 * MIB,
    ]
    assert [i["reserved"] for i in items] == [1310720, 1310720, 0, 0, 655360]
    assert [i["registered"] for i in items] == [True, True, False, False, False]
    assert [i.get("reason") for i in items] == [
        None,
        None,
        "a namespace in sector mode has no reserve for Xen's frame table",
        "the namespace was made without a reserve for Xen's frame table",
        "a DIMM may not keep its content (nmem5: not_armed)",
    ]
    assert [i["mounts"] for i in items] == [["/mnt/pmem0"], ["/mnt/part"], [], [], []]
    assert all(i["users"] == [] and "state" not in i for i in items)
    json.dumps(items)


def test_what_xen_was_told(host):
    _, xen = host

    def pages(base, start, end):
        return Span.between(Mfn((base + start) // PAGE), Mfn((base + end) // PAGE))

    pair, single = BASES["pair"], BASES["single"]
    linux = 0x2000 + 64 * (128 * MIB // PAGE - 2)  # two pages, then page structs for all others
    linux_end = -(-linux // PAGE) * PAGE
    assert xen.reports == [
        (
            pages(pair, 0, 128 * MIB),
            pages(pair, linux_end, linux_end + 320 * PAGE),  # 256 of page_info, 64 of M2P
            pages(pair, 4 * MIB, 128 * MIB),
        ),
        (pages(single, 0, 128 * MIB), pages(single, 0x2000, 0x2000 + 320 * PAGE), pages(single, 2 * MIB, 128 * MIB)),
    ]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/sys/block/pmem0/device/resource", hex(BASES["pair"] + 4 * MIB)),
        ("/sys/block/pmem0/device/size", str(124 * MIB)),
        ("/sys/block/pmem1/pmem1p1/start", "2048"),
        ("/sys/block/pmem1/pmem1p2/size", "32768"),
        ("/sys/block/pmem0/queue/dax", "1"),
        ("/sys/dev/block/259:0/dev", "259:0"),
        ("/sys/bus/nd/devices/region0/mapping1", "nmem1,0,67108864,1"),
        ("/sys/bus/nd/devices/nmem0/nfit/flags", ""),
        ("/sys/bus/nd/devices/region4/read_only", "1"),
    ],
)
def test_sysfs(dom0, path, text):
    assert dom0.sysfs(path) == text


def test_sector_mode_has_no_resource(dom0):
    with pytest.raises(NotFound):
        dom0.sysfs("/sys/block/pmem2s/device/resource")


def test_mounts(dom0):
    assert dom0.mounts()[-2:] == [
        Mount("/dev/pmem0", "/mnt/pmem0", "ext4", ("rw", "relatime", "dax=always")),
        Mount("/dev/pmem1p1", "/mnt/part", "ext4", ("rw", "relatime", "dax=always")),
    ]
    assert dom0.mount_of("/mnt/pmem0/vm1.img").device == "/dev/pmem0"
    assert dom0.mount_of("/mnt/part").device == "/dev/pmem1p1"
    assert dom0.mount_of("/mnt").mountpoint == "/"
    assert dom0.mount_of("/dev/pmem0").fstype == "devtmpfs"
    with pytest.raises(NotFound):
        dom0.mount_of("/mnt/pmem0/none")


@pytest.mark.parametrize(
    ("path", "kind", "device"),
    [
        ("/dev/pmem0", "block", (259, 0)),
        ("/dev/pmem1p2", "block", (259, 3)),
        ("/dev/pmem2s", "block", (259, 4)),
        ("/dev/../dev//./pmem0", "block", (259, 0)),
        ("/mnt/pmem0", "dir", (259, 0)),
        ("/mnt/pmem0/vm1.img", "file", (259, 0)),
        ("/mnt/pmem0/deep/../vm1.img", "file", (259, 0)),
        ("/mnt/pmem0/../pmem0/vm1.img", "file", (259, 0)),
        ("/mnt/part/", "dir", (259, 2)),
        ("/", "dir", (0, 2)),
        ("/..", "dir", (0, 2)),
        ("/dev", "dir", (0, 6)),
        ("/sys/block/pmem0", "dir", (0, 22)),
        ("/sys/block/pmem0/size", "file", (0, 22)),
    ],
)
def test_stat(dom0, path, kind, device):
    found = dom0.stat(path)
    assert (found.kind, found.device) == (kind, device)


def test_stat_of_a_file(dom0):
    found = dom0.stat("/mnt/pmem0/vm1.img")
    assert found == FileStat("file", 4 * MIB, (259, 0), found.inode, 1)
    assert dom0.block_device_name(*found.device) == "pmem0"
    assert dom0.block_device_name(259, 2) == "pmem1p1"
    with pytest.raises(NotFound):
        dom0.block_device_name(259, 99)


@pytest.mark.parametrize(
    "path",
    [
        "/dev/pmem9",
        "/dev/pmem2",
        "/dev/pmem0p1",
        "/mnt/pmem0/none",
        "/mnt/pmem0/vm1.img/x",
        "/mnt/pmem0/none/../vm1.img",
        "/mnt/pmem0/vm1.img/../vm1.img",
        "/nowhere/../dev/pmem0",
        "/etc/passwd",
        "pmem0",
        "",
        "/sys/block/pmem7/size",
    ],
)
def test_paths_that_lead_nowhere(dom0, path):
    for ask in (dom0.stat, dom0.fiemap):
        with pytest.raises((NotFound, Unsafe)) as caught:
            ask(path)
    with pytest.raises(NotFound):
        dom0.stat(path)
    assert caught.value.message


def test_fiemap(dom0):
    (whole,) = dom0.fiemap("/mnt/pmem0/vm1.img")
    assert (whole.logical, whole.length, whole.flags) == (0, 4 * MIB, 1)
    assert dom0.fiemap("/mnt/pmem0/hollow.img") == []
    assert {e.flags & ~1 for e in dom0.fiemap("/mnt/pmem0/promised.img")} == {0x800}
    assert len(dom0.fiemap("/mnt/pmem0/deep/er/vm2.img")) == 16
    for path in ("/mnt/pmem0", "/dev/pmem0", "/sys/block/pmem0/size"):
        with pytest.raises(Unsafe):
            dom0.fiemap(path)


def test_a_byte_goes_from_the_file_to_its_place_in_host_memory(fresh):
    hw, reopen = fresh
    dom0 = reopen()
    (extent,) = dom0.fiemap("/mnt/pmem0/vm1.img")
    spa = int(dom0.sysfs("/sys/block/pmem0/device/resource"), 0) + extent.physical
    hw.write(Spa(spa + 12345), b"hello from the guest")
    assert dom0.cat("/mnt/pmem0/vm1.img", 12345, 20) == b"hello from the guest"
    window = int(dom0.sysfs("/sys/block/pmem0/device/size"))
    assert dom0.cat("/dev/pmem0", extent.physical + 12345, 5) == b"hello"
    assert dom0.cat("/dev/pmem0", window - 10, 100) == bytes(10)
    debugfs = shutil.which("debugfs") or shutil.which("/sbin/debugfs")
    hw.sync()
    image, offset = hw.backing(Spa(spa - extent.physical))
    judge = subprocess.run(
        [debugfs, "-R", "cat /vm1.img", f"{image}?offset={offset}"], capture_output=True, check=True
    ).stdout
    assert judge[12345:12365] == b"hello from the guest"


def test_e2fsck_finds_nothing(fresh):
    hw, reopen = fresh
    dom0 = reopen()
    dom0.mkfile("/mnt/pmem0/new/vm3.img", 300 * KIB)
    dom0.prepare("/mnt/pmem0/hollow.img")
    dom0.unlink("/mnt/pmem0/vm1.img")
    dom0.truncate("/mnt/pmem0/promised.img", 100 * KIB)
    hw.sync()
    for disk in ("pmem0", "pmem1/pmem1p1"):
        base = int(dom0.sysfs(f"/sys/block/{disk.split('/')[0]}/device/resource"), 0)
        if "/" in disk:
            base += int(dom0.sysfs(f"/sys/block/{disk}/start")) * 512
        image, offset = hw.backing(Spa(base))
        checker = shutil.which("e2fsck") or shutil.which("/sbin/e2fsck")
        done = subprocess.run([checker, "-fn", f"{image}?offset={offset}"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_files_are_made_and_prepared(fresh):
    _, reopen = fresh
    dom0 = reopen()
    dom0.mkfile("/mnt/part/vm.img", MIB)
    assert dom0.stat("/mnt/part/vm.img").size == MIB
    assert [e.flags for e in dom0.fiemap("/mnt/part/vm.img")] == [1]
    for name in ("hollow", "promised"):
        path = f"/mnt/pmem0/{name}.img"
        assert dom0.prepare(path, dry_run=True) == Prepared(MIB, MIB)
        assert dom0.prepare(path) == Prepared(MIB, MIB)
        assert dom0.prepare(path) == Prepared(MIB, 0)
    assert dom0.prepare("/mnt/pmem0/vm1.img") == Prepared(4 * MIB, 0)


def test_dry_runs_change_nothing(fresh):
    _, reopen = fresh
    dom0 = reopen()
    dom0.mkfile("/mnt/pmem0/new.img", MIB, dry_run=True)
    with pytest.raises(NotFound):
        dom0.stat("/mnt/pmem0/new.img")
    with pytest.raises(Constraint, match="are free"):
        dom0.mkfile("/mnt/pmem0/new.img", 1 << 40, dry_run=True)
    dom0.prepare("/mnt/pmem0/hollow.img", dry_run=True)
    assert dom0.fiemap("/mnt/pmem0/hollow.img") == []


@pytest.mark.parametrize(
    ("path", "size", "error"),
    [
        ("/mnt/pmem0/vm1.img", MIB, Conflict),
        ("/mnt/pmem0", MIB, Conflict),
        ("/mnt/pmem0/x.img", 0, Constraint),
        ("/mnt/pmem0/x.img", 1 << 40, Constraint),
        ("/mnt/x.img", MIB, Constraint),
        ("/dev/pmem0", MIB, Constraint),
        ("x.img", MIB, NotFound),
        ("/mnt/pmem0/vm1.img/x", MIB, (Conflict, NotFound)),
    ],
)
def test_files_that_cannot_be_made(fresh, path, size, error):
    _, reopen = fresh
    with pytest.raises(error):
        reopen().mkfile(path, size)


def test_a_pinned_file_stays_as_it_is(fresh):
    _, reopen = fresh
    path, dom0 = "/mnt/pmem0/vm1.img", reopen()
    dom0.pin(path, "domain 1")
    dom0 = reopen()  # pins outlive the command
    dom0.check_pinned(path)
    dom0.check_pinned("/mnt/pmem0/../pmem0/vm1.img")
    assert dom0.list_namespaces()[0]["users"] == ["domain 1"]
    for act in (lambda: dom0.unlink(path), lambda: dom0.truncate(path, 0)):
        with pytest.raises(Conflict, match="Operation not permitted: domain 1 holds it"):
            act()
    assert dom0.prepare(path) == Prepared(4 * MIB, 0)
    dom0.pin(path, "domain 1")
    with pytest.raises(Conflict, match="domain 1"):
        dom0.pin(path, "domain 2")
    dom0.pin("/mnt/pmem0/deep/er/vm2.img", "domain 2")
    assert dom0.list_namespaces()[0]["users"] == ["domain 1", "domain 2"]
    dom0.unpin(path, "domain 2")  # not its owner: nothing happens
    dom0.check_pinned(path)
    dom0.unpin(path, "domain 1")
    dom0.unpin(path, "domain 1")
    with pytest.raises(NotFound):
        dom0.check_pinned(path)
    dom0.unlink(path)


def test_a_change_behind_our_back_is_noticed(fresh):
    hw, reopen = fresh
    path, dom0 = "/mnt/pmem0/vm1.img", reopen()
    dom0.pin(path, "domain 1")
    image, offset = hw.backing(Spa(BASES["pair"] + 4 * MIB))
    debugfs = shutil.which("debugfs") or shutil.which("/sbin/debugfs")
    subprocess.run(
        [debugfs, "-w", "-R", "punch /vm1.img 8 9", f"{image}?offset={offset}"], capture_output=True, check=True
    )
    with pytest.raises(Unsafe, match="does not have the size or the blocks") as caught:
        reopen().check_pinned(path)
    assert caught.value.code == "XLPY-PMEM-MOVED"


def test_links(fresh):
    hw, reopen = fresh
    image, offset = hw.backing(Spa(BASES["pair"] + 4 * MIB))
    debugfs = shutil.which("debugfs") or shutil.which("/sbin/debugfs")
    for command in ("symlink soft vm1.img", "symlink folder deep/er", "symlink away /etc", "ln vm1.img hard"):
        subprocess.run([debugfs, "-w", "-R", command, f"{image}?offset={offset}"], capture_output=True, check=True)
    dom0 = reopen()
    whole = dom0.stat("/mnt/pmem0/vm1.img")
    assert dom0.stat("/mnt/pmem0/soft") == dom0.stat("/mnt/pmem0/hard") == whole
    assert dom0.fiemap("/mnt/pmem0/soft") == dom0.fiemap("/mnt/pmem0/vm1.img")
    assert dom0.stat("/mnt/pmem0/folder/vm2.img").size == MIB
    for path in ("/mnt/pmem0/folder/../vm2.img", "/mnt/pmem0/away/passwd"):
        with pytest.raises(Unsafe) as caught:
            dom0.stat(path)
        assert caught.value.code == "XLPY-EXT4-SYMLINK"
    dom0.pin("/mnt/pmem0/soft", "domain 1")  # one file, whatever it is called
    for path in ("/mnt/pmem0/vm1.img", "/mnt/pmem0/hard"):
        with pytest.raises(Conflict, match="domain 1"):
            dom0.pin(path, "domain 2")
        with pytest.raises(Conflict, match="domain 1 holds it"):
            dom0.truncate(path, 0)


def test_devices_are_held_whole(fresh):
    _, reopen = fresh
    dom0 = reopen()
    with pytest.raises(Conflict, match="mounted on /mnt/pmem0"):
        dom0.pin("/dev/pmem0", "domain 1")
    with pytest.raises(Conflict, match="mounted on /mnt/part"):
        dom0.pin("/dev/pmem1", "domain 1")
    dom0.pin("/dev/pmem1p2", "domain 1")
    dom0.check_pinned("/dev/pmem1p2")
    assert dom0.list_namespaces()[1]["users"] == ["domain 1"]
    dom0.pin("/dev/pmem3", "domain 2")
    with pytest.raises(Conflict, match="domain 2"):
        dom0.pin("/dev/pmem3", "domain 3")
    dom0.unpin("/dev/pmem3", "domain 2")
    dom0.pin("/dev/pmem3", "domain 3")


@contextmanager
def killed(dom0):
    """Do something as a command that is killed then: its transaction is gone, what it did to media is not."""

    class Killed(Exception):
        pass

    with suppress(Killed), dom0.store.transaction("killed"):
        yield
        raise Killed


def test_repair_takes_back_what_was_not_committed(fresh):
    _, reopen = fresh
    path, dom0 = "/mnt/pmem0/vm1.img", reopen()
    with killed(dom0):
        dom0.pin(path, "domain 1")
    assert dom0.file(path)[2].immutable
    dom0 = reopen()
    dom0.repair()
    assert not dom0.file(path)[2].immutable
    dom0.pin(path, "domain 1")
    dom0.settle()
    dom0 = reopen()
    with killed(dom0):
        dom0.unpin(path, "domain 1")
    assert not dom0.file(path)[2].immutable
    dom0 = reopen()
    dom0.repair()
    assert dom0.file(path)[2].immutable
    dom0.unpin(path, "domain 1")
    dom0.unlink(path)


def test_a_flag_that_the_user_has_set_is_his(fresh):
    _, reopen = fresh
    path, dom0 = "/mnt/pmem0/vm1.img", reopen()
    InPlace(*dom0.located(dom0.place(path)[0])).set_immutable(dom0.file(path)[2].number, True)
    for _ in range(2):
        dom0 = reopen()
        dom0.pin(path, "domain 1")
        dom0.pin(path, "domain 1")
        dom0.check_pinned(path)
        dom0.unpin(path, "domain 1")
        dom0.repair()
        assert dom0.file(path)[2].immutable


def test_repair_costs_by_what_was_touched(fresh, monkeypatch):
    """Counted in inodes read and bytes stored: with many files, and with none, it is the same."""
    _, reopen = fresh
    dom0 = reopen()
    for number in range(30):
        dom0.mkfile(f"/mnt/pmem0/deep/{'d/' * number}f", 4096)
    dom0.settle()
    read, stored = [], []
    inode, pwrite = Ext4Image.inode, os.pwrite
    monkeypatch.setattr(Ext4Image, "inode", lambda self, number: read.append(number) or inode(self, number))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: stored.append(len(data)) or pwrite(fd, data, at))
    with killed(dom0):
        dom0.pin("/mnt/pmem0/vm1.img", "domain 1")
    read.clear()
    stored.clear()
    dom0 = reopen()
    dom0.repair()
    assert (read, stored) == ([], [256])
    dom0.repair()
    assert (read, stored) == ([], [256])


def test_a_damaged_info_block_disables_what_lies_behind(fresh):
    hw, reopen = fresh
    dom0 = reopen()
    dom0.pin("/mnt/pmem0/vm1.img", "domain 1")
    block = Spa(BASES["pair"] + 4096)
    good = hw.read(block, 4096)
    hw.write(Spa(block + 60), b"\xff")
    dom0 = reopen()
    item = dom0.list_namespaces()[0]
    assert (item["mode"], item["state"], item["size"]) == ("raw", "disabled", 128 * MIB)
    assert "blockdev" not in item
    assert "checksum" in item["problem"]
    for use in (
        lambda: dom0.stat("/dev/pmem0"),
        lambda: dom0.stat("/mnt/pmem0/vm1.img"),
        lambda: dom0.fiemap("/mnt/pmem0/vm1.img"),
        lambda: dom0.mkfile("/mnt/pmem0/x", MIB),
        lambda: dom0.cat("/mnt/pmem0/vm1.img"),
    ):
        with pytest.raises(Unsafe, match=r"namespace0\.0 is disabled: PFN info block: checksum") as caught:
            use()
        assert caught.value.code == "XLPY-PMEM-INFOBLOCK"
    with pytest.raises(NotFound):
        dom0.sysfs("/sys/block/pmem0/device/resource")
    assert dom0.stat("/dev/pmem3").kind == "block"  # others are not concerned
    dom0.unpin("/mnt/pmem0/vm1.img", "domain 1")  # a domain can end all the same
    dom0.repair()
    hw.write(block, good)
    dom0 = reopen()
    assert "state" not in dom0.list_namespaces()[0]
    dom0.repair()
    dom0.unlink("/mnt/pmem0/vm1.img")


def test_a_poisoned_info_block_disables(fresh):
    hw, reopen = fresh
    hw.poison.add(Span(Spa(BASES["sectors"] + 4096 + 128), 1))
    item = reopen().list_namespaces()[2]
    assert (item["mode"], item["state"]) == ("raw", "disabled")
    assert "poisoned" in item["problem"]


def test_badblocks_are_shown(fresh):
    hw, reopen = fresh
    hw.poison.add(Span(Spa(BASES["pair"] + 4 * MIB + 8192), 64))
    dom0, xen = reopen(), Platform()
    assert dom0.sysfs("/sys/block/pmem0/badblocks") == ""  # until it is looked for
    assert [span.size for span in dom0.scrub(xen)] == [64]
    assert dom0.sysfs("/sys/block/pmem0/badblocks") == "16 1"
    assert [span.size for span in xen.bad] == [64]
    assert dom0.scrub(xen) == []  # nothing new
    assert reopen().sysfs("/sys/block/pmem0/badblocks") == "16 1"


def test_what_xen_refuses_is_ignored_and_stays_usable(tmp_path):
    text = (
        DIMMS
        + "namespaces: [{region: plain, mode: fsdax, reserve: true}, {region: single, mode: fsdax, reserve: true}]"
    )
    _, _, dom0 = boot(tmp_path, text, Platform(refuse=[BASES["plain"] // PAGE]))
    items = dom0.list_namespaces()
    assert [i["registered"] for i in items] == [False, True, False, False, False]
    assert items[3]["reason"] == "Xen refused it: overlaps a device that is known already (-EEXIST)"
    assert items[0]["mode"] == "raw"  # not described: as the region comes
    assert dom0.stat("/dev/pmem3").kind == "block"
    assert dom0.sysfs("/sys/block/pmem0/device/resource") == hex(BASES["pair"])


def test_media_that_hold_the_namespace_are_kept(tmp_path):
    hw, _, first = boot(tmp_path)
    first.mkfile("/mnt/pmem0/kept.img", MIB)
    again = EmulatedDom0.boot(hw, Platform(), Store(None), parse_machine(DIMMS + NAMESPACES))
    assert again.stat("/mnt/pmem0/kept.img").size == MIB
    assert again.list_namespaces() == first.list_namespaces()
    other = DIMMS + "namespaces: [{region: pair, mode: sector}]"
    with pytest.raises(Conflict, match="holds a namespace in fsdax mode, the description asks for sector"):
        EmulatedDom0.boot(hw, Platform(), Store(None), parse_machine(other))


def stored(path):
    """(offset, bytes) of the parts of a sparse file that are not zero, by page."""
    found, at = [], 0
    with path.open("rb") as file:
        while True:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return found
            page = os.pread(file.fileno(), PAGE, at)
            if any(page):
                found.append((at, page))
            at += len(page)


def test_equal_descriptions_give_equal_media(tmp_path):
    first, second = (boot(tmp_path / name)[0] for name in ("one", "two"))
    first.sync()
    second.sync()
    for one, two in zip(first.regions, second.regions, strict=True):
        assert stored(one.path) == stored(two.path)


def test_info_block_poisoned_from_the_start(tmp_path):
    def poison(hw):
        hw.poison.add(Span(Spa(BASES["pair"] + 4096), 64))

    _, _, dom0 = boot(tmp_path, prepare=poison)
    item = dom0.list_namespaces()[0]
    assert (item["state"], item["registered"]) == ("disabled", False)
    assert "poisoned" in item["reason"]
    assert [m.mountpoint for m in dom0.mounts()][3:] == ["/mnt/part"]
    assert any("poisoned" in problem for problem in dom0.problems)


@pytest.mark.parametrize(
    ("namespaces", "text"),
    [
        (
            "{region: plain, mode: fsdax, filesystem: {type: ext4, mount: /m, block_size: 1024}}",
            "unsupported blocksize",
        ),
        ("{region: plain, mode: fsdax, partitions: [{start: 1M, size: 62M}]}", "partition 1 at 0x100000 of 62M"),
        (
            "{region: plain, mode: fsdax, partitions: [{start: 20992, size: 8M, filesystem: {type: ext4, mount: /m}}]}",
            "unaligned partition for dax",
        ),
        ("{region: plain, mode: fsdax, align: 1G}", "G.*no room for data|alignment|2M boundary"),
    ],
)
def test_descriptions_that_cannot_be_carried_out(tmp_path, namespaces, text):
    with pytest.raises(Constraint, match=text):
        boot(tmp_path, f"{DIMMS}namespaces: [{namespaces}]")


def test_file_systems_without_dax(tmp_path):
    text = (
        DIMMS
        + """
namespaces:
  - {region: plain, mode: raw, filesystem: {type: ext4, mount: /mnt/raw, files: [{path: x, size: 64K}]}}
  - {region: sectors, mode: sector, filesystem: {type: ext4, mount: /mnt/s, files: [{path: y, size: 64K}]}}
"""
    )
    _, _, dom0 = boot(tmp_path, text)
    assert [m.options for m in dom0.mounts()[3:]] == [("rw", "relatime")] * 2
    assert [(m.device, m.mountpoint) for m in dom0.mounts()[3:]] == [
        ("/dev/pmem2s", "/mnt/s"),
        ("/dev/pmem3", "/mnt/raw"),
    ]
    assert dom0.stat("/mnt/s/y").size == 64 * KIB


def test_the_block_on_media_is_what_the_description_says(host):
    hw = Hardware.open(host[0])
    block = parse_pfn(hw.read(Spa(BASES["pair"] + 4096), 4096))
    assert (block.mode, block.page_struct_size, block.dataoff) == (2, 104, 4 * MIB)
    hw.close()


def test_a_host_without_dom0(tmp_path):
    spec = parse_machine(DIMMS)
    dom0 = EmulatedDom0.open(Hardware.create(tmp_path, spec), Store(None))
    with pytest.raises(StateError, match="has not been started"):
        dom0.list_namespaces()


def test_listing_imports_no_parser(host):
    root, _ = host
    script = f"""
import sys
from pathlib import Path
from xlpy.hw.hardware import Hardware
from xlpy.store import Store
hw, store = Hardware.open(Path({str(root)!r})), Store(Path({str(root)!r}) / "state.db")
from xlpy.dom0.emulated import EmulatedDom0
assert len(EmulatedDom0.open(hw, store).list_namespaces()) == 5
print([name for name in ("construct", "yaml", "subprocess", "xlpy.firmware") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
