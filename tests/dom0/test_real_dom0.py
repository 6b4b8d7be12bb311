"""A real Dom0 as judge: Debian's kernel, a real NVDIMM driver, real DAX ext4 and FIEMAP, and xlpy running on top."""

import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dom0.ext4.images import need

import xlpy
from xlpy.addr import MIB, PAGE
from xlpy.dom0.ext4.reader import Ext4Image
from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN, Extent, flag_names
from xlpy.dom0.nvdimm.btt import parse_btt
from xlpy.dom0.nvdimm.infoblock import parse_pfn
from xlpy.dom0.nvdimm.labels import ABSTRACTIONS, read_area, uuid_text

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "real"
KIT = Path(__file__).parents[2] / "guest" / "kit.py"
MODULES = "9p 9pnet_virtio virtio_pci"
LABELS = 128 << 10
SIZE = 256 * MIB + LABELS  # QEMU takes the label area from the end
SECONDS = 400  # about 20 on an idle machine

FILES = {"beyond": 8, "link": 64, "pieces": 500, "written": 64}  # that can be mapped: name -> blocks
REFUSED = {
    "/dev/null": (7, "XLPY-PMEM-KIND"),
    "/dev/pmem0": (5, "XLPY-PMEM-MOUNTED"),
    "/dev/pmem0.1": (5, "XLPY-PMEM-MOUNTED"),
    "/dev/pmem0.2s": (7, "XLPY-PMEM-SECTOR"),
    "/dev/pmem0p1": (5, "XLPY-PMEM-MOUNTED"),
    "/dev/pmem0p3": (7, "XLPY-PMEM-UNALIGNED"),
    "/mnt/dax": (7, "XLPY-PMEM-KIND"),
    "/mnt/dax/empty": (6, "XLPY-PMEM-SIZE"),
    "/mnt/dax/half": (7, "XLPY-PMEM-UNWRITTEN"),
    "/mnt/dax/hole": (7, "XLPY-PMEM-HOLE"),
    "/mnt/dax/none": (4, "XLPY-NOT-FOUND"),
    "/mnt/dax/odd": (6, "XLPY-PMEM-SIZE"),
    "/mnt/dax/sparse": (7, "XLPY-PMEM-HOLE"),
    "/mnt/dax/unwritten": (7, "XLPY-PMEM-UNWRITTEN"),
    "/mnt/plain/file": (7, "XLPY-PMEM-NOT-DAX"),
    str(HERE / "inside.py"): (7, "XLPY-PMEM-NOT-PMEM"),
}


class Booted:
    """What the guest told, and the NVDIMM as it left it."""

    def __init__(self, folder):
        self.image = folder / "nv.img"
        self.text = (folder / "told").read_text()
        self.words = {}
        for line in self.text.splitlines():
            word, _, rest = line.partition(" ")
            self.words.setdefault(word, []).append(rest)

    def told(self, word):
        return [json.loads(rest) for rest in self.words.get(word, [])]

    def answer(self, path, at=0):
        """(exit status, document) that a path was answered with, the first or the last time."""
        return [(status, document) for where, status, document in self.told("resolve") if where == path][at]

    @property
    def sysfs(self):
        return dict(self.told("sysfs"))

    @property
    def base(self):
        return int(self.sysfs["/sys/bus/nd/devices/region0/resource"], 0)

    def read(self, spa, length):
        with self.image.open("rb") as file:
            file.seek(spa - self.base)
            return file.read(length)


@pytest.fixture(scope="module")
def dom0(tmp_path_factory):
    """One boot for all tests, whichever process comes first."""
    need("qemu-system-x86_64")
    need("sfdisk")
    base = tmp_path_factory.getbasetemp()  # under xdist that of one worker, inside that of all
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "real-dom0"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "told").exists():
            boot(folder)
    booted = Booted(folder)
    assert "complete" in booted.words, booted.text[-3000:] + (folder / "console").read_text()[-2000:]
    return booted


def boot(folder):
    kit = subprocess.run([sys.executable, KIT, "--modules", MODULES], capture_output=True, text=True, check=False)
    if kit.returncode:
        pytest.skip(f"the guest kit cannot be assembled: {kit.stderr.strip()[-300:]}")
    parts = dict(line.split("=", 1) for line in kit.stdout.splitlines())
    with (folder / "nv.img").open("wb") as file:
        file.truncate(SIZE)
    script = f"sh+/host{HERE}/guest.sh+{sys.executable}+{HERE}+{Path(xlpy.__file__).parents[1]}"
    share = "mkdir+/host;mount+-t+9p+-o+trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000+host+/host"
    command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-machine", "pc,nvdimm=on"]
    command += ["-m", "1G,slots=2,maxmem=4G", "-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"]
    command += ["-serial", f"file:{folder}/console", "-serial", f"file:{folder}/told"]
    command += ["-object", f"memory-backend-file,id=m1,share=on,mem-path={folder}/nv.img,size={SIZE}"]
    command += ["-device", f"nvdimm,memdev=m1,id=nv1,label-size={LABELS}"]
    command += ["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]
    command += ["-kernel", parts["KERNEL"], "-initrd", parts["INITRD"]]
    command += ["-append", f"console=ttyS0 quiet panic=-1 mitigations=off xlpy.run={share};{script}"]
    done = subprocess.run(command, timeout=SECONDS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def extents_of(document):
    return [(e["logical"], e["spa"], e["length"]) for e in document["extents"]]


@pytest.mark.parametrize(("name", "blocks"), FILES.items())
def test_resolved_addresses_hold_the_bytes_of_the_file(dom0, name, blocks):
    status, found = dom0.answer(f"/mnt/dax/{name}")
    assert (status, found["kind"], found["device"], found["size"]) == (0, "file", "pmem0", blocks * PAGE)
    seen = b"".join(dom0.read(spa, length) for _, spa, length in extents_of(found))
    written = "written" if name == "link" else name
    assert seen == b"".join(f"{written} block {n} ".encode().ljust(PAGE, b".") for n in range(blocks))


def test_many_extents(dom0):
    assert len(dom0.answer("/mnt/dax/pieces")[1]["extents"]) > 340  # more than one block of the extent tree


def test_devices(dom0):
    """A free partition, and a whole namespace after its file system was unmounted."""
    _, part = dom0.answer("/dev/pmem0p2")
    data = int(dom0.sysfs["/sys/block/pmem0/device/resource"], 0)
    assert (part["kind"], extents_of(part)) == ("partition", [(0, data + 198656 * 512, 8 * MIB)])
    status, raw = dom0.answer("/dev/pmem0.1", -1)
    assert (status, raw["kind"], raw["device"]) == (0, "device", "pmem0.1")
    ((_, spa, length),) = extents_of(raw)
    assert length == 32 * MIB
    assert dom0.read(spa + 1024 + 56, 2) == b"\x53\xef"  # ext4's magic number where the namespace should have it


@pytest.mark.parametrize(("path", "expected"), REFUSED.items())
def test_refused(dom0, path, expected):
    status, document = dom0.answer(path)
    assert (status, document["code"]) == expected


def test_pinned_files_keep_their_blocks(dom0):
    assert dom0.told("held") == ["EPERM", "EPERM"]


@pytest.fixture(scope="module")
def ext4(dom0):
    """The file system, read by us from the bytes of the switched off NVDIMM."""
    data = int(dom0.sysfs["/sys/block/pmem0/device/resource"], 0)
    with Ext4Image(dom0.image, data - dom0.base + 2048 * 512, 96 * MIB) as opened:
        yield opened


def test_our_reader_sees_what_the_kernel_saw(dom0, ext4):
    told = {name: [Extent(*extent) for extent in extents] for name, extents in dom0.told("fiemap")}
    assert len(told) == 10
    assert any(e.flags & FIEMAP_EXTENT_UNWRITTEN for e in told["half"])
    assert {name: ext4.fiemap(ext4.lookup(f"/{name}")) for name in told} == told


def test_and_what_filefrag_printed(dom0, ext4):
    """e2fsprogs' own program, which does not merge: block for block."""
    for line in dom0.words["filefrag"]:
        name, _, rows = line.partition(" ")
        blocks = {}
        for row in filter(None, rows.split(";")):
            first, place, length, flags = re.fullmatch(
                r" *\d+: +(\d+)\.\. +\d+: +(\d+)\.\. +\d+: +(\d+):(?: +\d+:)? *(\S*)", row
            ).groups()
            blocks |= {int(first) + i: (int(place) + i, "unwritten" in flags) for i in range(int(length))}
        if name != "lost+found":
            assert {
                e.logical // PAGE + i: (e.physical // PAGE + i, "unwritten" in flag_names(e.flags))
                for e in ext4.fiemap(ext4.lookup(f"/{name}"))
                for i in range(e.length // PAGE)
            } == blocks


def test_labels_and_info_blocks_as_linux_wrote_them(dom0):
    """Our readers against ndctl's labels and the kernel's info blocks."""
    with dom0.image.open("rb") as file:
        raw = file.read()
    area = read_area(LABELS, lambda at, length: raw[SIZE - LABELS + at :][:length])
    assert (area.head.major, area.head.minor, area.problems) == (1, 2, ())
    labels = {label.name: label for label in area.labels}
    assert {name: ABSTRACTIONS[label.abstraction] for name, label in labels.items()} == {
        "data": "pfn",
        "raw": "none",
        "sector": "btt2",
    }
    assert [labels[name].rawsize // MIB for name in ("data", "raw", "sector")] == [128, 32, 32]
    data, sector = labels["data"], labels["sector"]
    pfn = parse_pfn(raw[data.dpa + 4096 :][:4096])
    assert dom0.base + data.dpa + pfn.dataoff == int(dom0.sysfs["/sys/block/pmem0/device/resource"], 0)
    assert uuid_text(pfn.parent) == uuid_text(data.uuid)
    assert parse_btt(raw[sector.dpa :][:4096], sector.uuid).external_lbasize == 4096
    assert extents_of(dom0.answer("/dev/pmem0.1", -1)[1])[0][1] == dom0.base + labels["raw"].dpa
