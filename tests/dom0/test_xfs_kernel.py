"""Linux as judge of XFS: which logs it would have to replay, and trees of free space and inodes that it has grown.

``XLPY_XFS_KERNEL=1`` boots a guest that makes a file system, uses, freezes and unmounts it; ``XLPY_XFS_KERNEL=record``
also keeps the logs. Else the logs that are kept are read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import lzma
import os
from pathlib import Path

import pytest
from boot.test_linux import REPO, boot, create, kit, one_at_a_time
from programs import need

from xlpy.addr import MIB
from xlpy.cli.main import run
from xlpy.dom0.xfs.groups import FREE, Groups
from xlpy.dom0.xfs.log import require_empty
from xlpy.dom0.xfs.reader import XfsImage
from xlpy.dom0.xfs.superblock import SECTORS, parse_superblock
from xlpy.errors import Unsafe
from xlpy.host import Host
from xlpy.toolstack.backing.resolve import resolve

__all__ = ["boot", "kit", "one_at_a_time"]

ASKED = os.environ.get("XLPY_XFS_KERNEL", "")
KEPT = Path(__file__).parent / "xfs_logs.json"
HEADER = bytes.fromhex("feedbabe")  # of a record of a log
SIZE = 304 * MIB
MACHINE = f"""
name: xfs
ram: 4G
dimms: [{{id: d, capacity: 2G}}]
sets: [{{name: s, dimms: [d]}}]
namespaces:
  - region: s
    mode: fsdax
    reserve: true
    filesystem:
      type: ext4
      mount: /mnt/pmem0
      files: [{", ".join(f"{{path: {n}.img, size: {SIZE}}}" for n in "abc")}]
"""
GUEST = 'name="x"\ntype="hvm"\nmemory=768\nvnvdimm=[' + ", ".join(f'"file=/mnt/pmem0/{n}.img"' for n in "abc") + "]\n"
JUDGED = {"pmem0": "unmounted", "pmem1": "in use", "pmem2": "frozen"}


def reader(fd):
    """Reads a device."""
    return lambda at, length: os.pread(fd, length, at)


def says(superblock, read):
    """What our reader says of a log."""
    try:
        require_empty(superblock, read)
    except Unsafe as error:
        return "dirty" if error.code == "XLPY-XFS-LOG" else str(error)
    return "clean"


@pytest.mark.parametrize("state", JUDGED.values())
def test_logs_that_linux_has_judged(state):
    """Of each: superblock, log, the kernel's answer; of the log headers of records, and 10 bytes of other sectors."""
    kept = json.loads(KEPT.read_text())[state]
    whole = lzma.decompress(base64.b85decode(kept["sectors"]))
    sectors = {0: whole[8 : 8 + SECTORS[-1]]}
    for at in range(8 + SECTORS[-1], len(whole), 8 + 512):
        sectors[int.from_bytes(whole[at : at + 8], "big")] = whole[at + 8 : at + 8 + 512]
    superblock = parse_superblock(sectors[0], SIZE)
    assert says(superblock, lambda at, _: sectors.get(at, bytes(512))) == kept["linux"]


# --- the kernel itself ------------------------------------------------------------------------------------------------

asked = pytest.mark.skipif(not ASKED, reason="XLPY_XFS_KERNEL=1 asks the kernel (a boot of half a minute)")


@pytest.fixture(scope="module")
def judged(boot, tmp_path_factory):
    """What the guest said, and the three images."""
    need("qemu-system-x86_64", "xfs_repair")
    folder = tmp_path_factory.mktemp("xfs-kernel")
    root = folder / "host"
    (folder / "machine.yaml").write_text(MACHINE)
    assert run(["--root", str(root), "-q", "host", "init", "--machine", str(folder / "machine.yaml")]) == 0
    create(root, GUEST, folder)
    guest = boot(root, "x", REPO / "tests" / "dom0" / "xfs_log.sh", "--with", "xfs", append="quiet maxcpus=1")
    images = {}
    with Host.open(root) as host:
        for disk, name in zip(JUDGED, "abc", strict=True):
            images[disk] = folder / disk
            with images[disk].open("wb") as file:
                file.truncate(SIZE)
                for piece in resolve(host.dom0, f"/mnt/pmem0/{name}.img").extents:
                    for at in range(0, piece.length, MIB):
                        data = host.hw.read(piece.spa + at, min(MIB, piece.length - at))
                        if any(data):
                            os.pwrite(file.fileno(), data, piece.logical + at)
    if ASKED == "record":
        KEPT.write_text(
            json.dumps({JUDGED[disk]: recorded(path, guest[disk].strip()) for disk, path in images.items()})
        )
    return guest, images


def recorded(path, answer):
    """Superblock and log of an image, small."""
    with path.open("rb") as file:
        head = file.read(SECTORS[-1])
        superblock = parse_superblock(head, SIZE)
        start = superblock.place(superblock.log_start)
        kept = bytes(8) + head
        for at in range(start, start + superblock.log_blocks * superblock.block_size, 512):
            data = os.pread(file.fileno(), 512, at)
            if any(data):
                kept += at.to_bytes(8, "big") + (data if data.startswith(HEADER) else data[:10].ljust(512, b"\0"))
    return {"linux": answer, "sectors": base64.b85encode(lzma.compress(kept)).decode()}


@asked
def test_linux_would_replay_what_we_refuse(judged):
    guest, images = judged
    assert [guest[disk].strip() for disk in JUDGED] == ["clean", "dirty", "dirty"], guest["dmesg"]
    for disk, path in images.items():
        with path.open("rb") as file:
            superblock = parse_superblock(file.read(SECTORS[-1]), SIZE)
            assert says(superblock, reader(file.fileno())) == guest[disk].strip()
    with pytest.raises(Unsafe, match="not unmounted cleanly"):
        XfsImage(images["pmem1"])


@asked
def test_files_that_linux_wrote_are_read_through_trees_that_it_has_grown(judged):
    guest, images = judged
    image = XfsImage(images["pmem0"])
    for line in guest["sums"].splitlines():
        digest, name = line.split()
        inode = image.lookup(f"/{name}")
        assert hashlib.md5(image.read_file(inode, 0, inode.size)).hexdigest() == digest
    groups = Groups(image.superblock, image._read)
    levels = [groups._root(FREE, group)[1] for group in range(image.superblock.ag_count)]
    assert max(levels) > 1
    assert len(list(image.walk())) == 650 + 2
