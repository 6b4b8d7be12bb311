"""XFS in the emulated Dom0: made by mkfs.xfs and read by us, judged by xfs_db and xfs_repair."""

from __future__ import annotations

import os
import random
import re
import struct
import subprocess

import pytest
from dom0.test_emulated import boot
from programs import need

from xlpy.addr import MIB, Spa, Span
from xlpy.dom0.ext4 import tools
from xlpy.dom0.extents import FIEMAP_EXTENT_LAST, FIEMAP_EXTENT_UNWRITTEN
from xlpy.dom0.xfs.make import SMALLEST, NewFile, make_xfs
from xlpy.dom0.xfs.reader import XfsImage
from xlpy.dom0.xfs.superblock import checksum
from xlpy.errors import Constraint, FormatError, MissingTool, NotFound, Unsafe

COUNT = 76  # where in an inode the number of its extents is
UUID = "0d50f988-4674-48ee-b4a9-5ee17be61703"
MACHINE = """
name: box
ram: 1G
dimms: [{id: dimm0, capacity: 512M, handle: 1}]
sets: [{name: set0, dimms: [dimm0]}]
namespaces:
  - region: set0
    mode: fsdax
    reserve: true
    filesystem:
      type: xfs
      mount: /mnt/pmem0
      files:
        - {path: vm1.img, size: 32M, align: 2M}
        - {path: a/b/filled.img, content: CONTENT, size: 5M}
        - {path: a/unwritten.img, size: 4097, state: unwritten}
"""


def device(path, size=512 * MIB, files=(), base=0):
    """A file with the file system that ``make_xfs`` makes."""
    need("mkfs.xfs", "xfs_db", "xfs_repair")
    with path.open("w+b") as file:
        file.truncate(size)

        def write(at, data):
            os.pwrite(file.fileno(), data, at)

        make_xfs(size, files, uuid=UUID, epoch=0, base=base, zero=lambda _at, _length: None, write=write)
    return path


def mkfs(path, size, *args, proto=""):
    """A file with a file system of the user's own."""
    need("mkfs.xfs", "xfs_db", "xfs_repair")
    with path.open("wb") as file:
        file.truncate(size)
    source = path.with_suffix(".proto")
    source.write_text(f"/dev/null\n0 0\nd--755 0 0\n{proto}$\n")
    subprocess.run([need("mkfs.xfs"), "-q", "-f", "-p", source, *args, path], check=True)
    return path


def repair(path):
    """What xfs_repair has against a file system: its status, with its words when it is not 0."""
    found = subprocess.run([need("xfs_repair"), "-n", path], capture_output=True, text=True, check=False)
    return "" if found.returncode == 0 else found.stdout + found.stderr


def db(path, *commands):
    words = [word for command in commands for word in ("-c", command)]
    return subprocess.run([need("xfs_db"), "-r", *words, path], capture_output=True, text=True, check=True).stdout


def judged(path, file):
    """The extents of a file as xfs_db tells them: (logical, physical, length, whether unwritten), in blocks."""
    groups = int(db(path, "sb 0", "p agblocks").split("=")[1])
    text = db(path, f"path {file}", "bmap")
    form = r"data offset (\d+) startblock \d+ \((\d+)/(\d+)\) count (\d+) flag (\d)"
    return [
        (int(at), int(group) * groups + int(block), int(count), flag == "1")
        for at, group, block, count, flag in re.findall(form, text)
    ]


def ours(path, file):
    image = XfsImage(path)
    rows = image.fiemap(image.lookup(file))
    return [(e.logical // 4096, e.physical // 4096, e.length // 4096, bool(e.flags & 0x800)) for e in rows]


def flip(path, at):
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    need("mkfs.xfs", "xfs_db", "xfs_repair")
    root = tmp_path_factory.mktemp("xfs")
    content = root / "content"
    content.write_bytes(b"\0" * 4096 + os.urandom(3 * MIB))
    hw, store, dom0 = boot(root / "host", MACHINE.replace("CONTENT", str(content)))
    yield hw, dom0, content
    hw.close()
    store.close()


def copied(hw, dom0, path):
    """The file system of the host as a file of its own."""
    window = dom0.device("/dev/pmem0").window
    media, offset = hw.locate_file(window.start)
    args = [f"skip={offset}", f"count={window.size}", "iflag=skip_bytes,count_bytes", "bs=64K", "conv=sparse"]
    subprocess.run(["dd", f"if={media}", f"of={path}", "status=none", *args], check=True)
    os.truncate(path, window.size)
    return path


def test_described_files(host, tmp_path):
    hw, dom0, content = host
    assert dom0.mount_of("/mnt/pmem0").fstype == "xfs"
    assert sorted(path for path, _ in dom0.files(dom0.mount_of("/mnt/pmem0"))) == [
        "/mnt/pmem0/a/b/filled.img",
        "/mnt/pmem0/a/unwritten.img",
        "/mnt/pmem0/vm1.img",
    ]
    window = dom0.device("/dev/pmem0").window
    (extent,) = dom0.fiemap("/mnt/pmem0/vm1.img")
    assert (extent.logical, extent.length, extent.flags) == (0, 32 * MIB, FIEMAP_EXTENT_LAST)
    assert (window.start + extent.physical) % (2 * MIB) == 0
    (extent,) = dom0.fiemap("/mnt/pmem0/a/unwritten.img")
    assert extent.flags & FIEMAP_EXTENT_UNWRITTEN
    assert extent.length == 8192
    assert dom0.stat("/mnt/pmem0/a/unwritten.img").size == 4097
    data = content.read_bytes()
    assert dom0.cat("/mnt/pmem0/a/b/filled.img") == data + bytes(5 * MIB - len(data))
    assert dom0.file_state("/mnt/pmem0/vm1.img").dax
    image = copied(hw, dom0, tmp_path / "image")
    assert repair(image) == ""
    for file in ("/vm1.img", "/a/b/filled.img", "/a/unwritten.img"):
        assert ours(image, file) == judged(image, file)


def test_stores_of_a_guest_touch_no_metadata(host, tmp_path):
    hw, dom0, _ = host
    start = dom0.device("/dev/pmem0").window.start
    (extent,) = dom0.fiemap("/mnt/pmem0/vm1.img")
    for at in range(0, extent.length, 4 * MIB):
        hw.write(Spa(start + extent.physical + at), b"\xa5" * 4096)
    hw.write(Spa(start + extent.physical + extent.length - 64), b"\x5a" * 64)
    assert repair(copied(hw, dom0, tmp_path / "image")) == ""


def test_a_pin_is_in_the_records_only(host):
    hw, dom0, _ = host
    window = dom0.device("/dev/pmem0").window
    before = hw.read(window.start, 8 * MIB)
    dom0.pin("/mnt/pmem0/vm1.img", "domain 1")
    dom0.check_pinned("/mnt/pmem0/vm1.img")
    assert dom0.holder("/mnt/pmem0/vm1.img") == "domain 1"
    dom0.release("domain 1")
    dom0.settle()
    assert dom0.holder("/mnt/pmem0/vm1.img") is None
    assert hw.read(window.start, 8 * MIB) == before


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mkfile", ("/mnt/pmem0/new.img", 4096)),
        ("prepare", ("/mnt/pmem0/a/unwritten.img",)),
        ("truncate", ("/mnt/pmem0/vm1.img", 4096)),
        ("punch", ("/mnt/pmem0/vm1.img", 0, 4096)),
        ("unlink", ("/mnt/pmem0/vm1.img",)),
    ],
)
def test_nothing_is_changed(host, name, arguments):
    with pytest.raises(Constraint, match="is an XFS") as caught:
        getattr(host[1], name)(*arguments)
    assert caught.value.code == "XLPY-XFS-READ-ONLY"


def test_nothing_to_prepare(host):
    assert host[1].prepare("/mnt/pmem0/vm1.img").zeroed == 0


@pytest.mark.parametrize(("path", "error"), [("none", NotFound), ("a/none", NotFound), ("vm1.img/x", NotFound)])
def test_no_such_file(host, path, error):
    with pytest.raises(error, match="no such file"):
        host[1].stat(f"/mnt/pmem0/{path}")


def test_another_file_system_is_there(host, tmp_path):
    from xlpy.dom0.bring_up import make_filesystem
    from xlpy.hw.machine import FilesystemSpec

    hw, dom0, _ = host
    spec = FilesystemSpec(type="ext4", mount="/m", files=(), dax=True, block_size=4096, read_only=False)
    with pytest.raises(Constraint, match="holds a file system of type xfs, the description asks for ext4"):
        make_filesystem(hw, dom0.device("/dev/pmem0"), spec)
    assert make_filesystem(hw, dom0.device("/dev/pmem0"), spec._replace(type="xfs")).fstype == "xfs"


# --- what mkfs.xfs makes otherwise ------------------------------------------------------------------------------------


def test_extent_tree(tmp_path):
    """One extent in each of 300 allocation groups: two leaves of the tree."""
    args = ("-d", "agcount=300", "-m", "reflink=0,rmapbt=0", "-l", "size=64m")
    image = mkfs(tmp_path / "image", 300 * 80 * MIB, *args, proto=f"f r--600 0 0 {23000 * MIB}\n")
    expected = judged(image, "/f")
    assert len(expected) > 252  # what one leaf has room for
    assert "btree" in db(image, "path /f", "p core.format")
    assert ours(image, "/f") == expected
    root = int(re.search(r"1:(\d+)", db(image, "path /f", "p u3.bmbt.ptrs"))[1])
    flip(image, XfsImage(image).superblock.place(root) + 100)
    with pytest.raises(FormatError, match=r"extent tree of inode \d+, block 0x[0-9a-f]+\.crc"):
        ours(image, "/f")


@pytest.mark.parametrize("count", [3, 40, 120, 1500], ids=["short", "block", "leaf", "more blocks"])
def test_directories(tmp_path, count):
    names = [f"{number:04}-{'n' * 20}" for number in range(count)]
    proto = "d d--755 0 0\n" + "".join(f"{name} ---600 0 0 /dev/null\n" for name in names) + "$\nl l--777 0 0 d/../d\n"
    image = XfsImage(mkfs(tmp_path / "image", 400 * MIB, "-m", "reflink=0", proto=proto))
    folder = image.lookup("/d")
    assert sorted(image.listdir(folder)) == names
    assert image.lookup(f"/l/{names[-1]}").number == image.listdir(folder)[names[-1]]
    assert image.lookup("/l", follow=False).kind == "symlink"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("-m", "reflink=1"), "reflink"),
        (("-m", "crc=0"), "version 4 without checksums"),
        (("-b", "size=1024"), "blocks of 1024 bytes"),
        (("-n", "size=8192"), "directory blocks"),
        (("-n", "version=ci"), "ascii-ci"),
    ],
)
def test_features_that_are_refused(tmp_path, args, words):
    image = mkfs(tmp_path / "image", 400 * MIB, *(("-m", "reflink=0") if args[0] != "-m" else ()), *args)
    with pytest.raises(Unsafe, match=words) as caught:
        XfsImage(image)
    assert caught.value.code == "XLPY-XFS-FEATURE"


@pytest.mark.parametrize("sector", [512, 1024, 2048, 4096])
def test_sectors_of_every_size(tmp_path, sector):
    """mkfs.xfs takes 4096 on a pmem device, 512 on a file; headers of groups and the log follow."""
    args = ("-m", "reflink=0", "-s", f"size={sector}", "-l", "size=64m")
    image = mkfs(tmp_path / "image", 400 * MIB, *args, proto=f"f r--600 0 0 {MIB}\n")
    assert ours(image, "/f") == judged(image, "/f")


@pytest.mark.parametrize("wide", [0, 1])
def test_files_are_written_whatever_the_width_of_counts(tmp_path, monkeypatch, wide):
    """From 6.5 on mkfs.xfs makes inodes whose number of extents stands elsewhere and has 64 bits (nrext64)."""
    newer = tmp_path / "mkfs.xfs"
    newer.write_text(f'#!/bin/sh\nexec {need("mkfs.xfs")} -i nrext64={wide} "$@"\n')
    newer.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    image = device(tmp_path / "image", files=[NewFile("/f", MIB), NewFile("/g", MIB, "unwritten")])
    assert db(image, "path /f", "p v3.nrext64").split() == ["v3.nrext64", "=", str(wide)]
    assert [row[3] for row in judged(image, "/f")] == [False]
    assert [row[3] for row in judged(image, "/g")] == [True]
    assert not repair(image)


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "image"
    return device(path, files=[NewFile(f"/file-with-a-long-name-{n:03}", 4096) for n in range(30)])


@pytest.fixture
def image(sound, tmp_path):
    subprocess.run(["cp", "--sparse=always", sound, tmp_path / "image"], check=True)
    return tmp_path / "image"


def places(path):
    """Where things lie on the device: what our reader says of it, name by name."""
    fs = XfsImage(path)
    root = fs.inode(fs.superblock.root)
    (block,) = fs.fiemap(root)
    return {
        "superblock.crc": 108,
        f"inode {root.number}.crc": fs.superblock.inode_place(root.number) + 40,
        f"directory {root.number}, block at {block.physical:#x}.crc": block.physical + 1000,
    }


@pytest.mark.parametrize("number", range(3))
def test_damage_is_named(image, number):
    name, place = list(places(image).items())[number]
    flip(image, place)
    with pytest.raises(FormatError, match=re.escape(name)) as caught:
        XfsImage(image).lookup("/file-with-a-long-name-003")
    assert caught.value.code == "XLPY-XFS-DAMAGED"


def store_inode(path, number, at, form, value):
    """Change a field of an inode, with its checksum made right."""
    raw, place = XfsImage(path).inode_bytes(number)
    new = bytearray(raw)
    if at == COUNT and raw[127] & 0x10:  # nrext64
        at, form = 24, ">Q"
    struct.pack_into(form, new, at, value)
    struct.pack_into("<I", new, 100, checksum(bytes(new), 100))
    with path.open("r+b") as file:
        file.seek(place)
        file.write(new)


@pytest.mark.parametrize(
    ("at", "form", "value", "words"),
    [
        (184, ">Q", 1, "metadata of the file system, at block 0x0"),
        (184, ">Q", ((1 << 40) << 21) | 1, "in no allocation group"),
        (184, ">Q", 500 << 21, "0 blocks at 0"),
        (COUNT, ">I", 1000, "di_nextents is 1000"),
        (152, ">Q", 1, "in no use"),
        (16, ">I", 0, "in no use"),
        (90, ">H", 1, "realtime section"),
        (120, ">Q", 2, "shares blocks"),
    ],
)
def test_inodes_that_lie(image, at, form, value, words):
    number = XfsImage(image).lookup("/file-with-a-long-name-003").number
    store_inode(image, number, at, form, value)
    with pytest.raises((FormatError, Unsafe), match=words):
        ours(image, "/file-with-a-long-name-003")


FILE = "/file-with-a-long-name-003"


def group_parts(path):
    """Where on the device the parts of the group are that has FILE, by the words of messages."""
    fs = XfsImage(path).superblock
    ((_, block, _, _),) = judged(path, FILE)
    group = block // fs.ag_blocks
    at = group * fs.ag_blocks

    def root(header, name):
        return int(db(path, f"{header} {group}", f"p {name}").split("=")[1])

    return {
        f"header XAGF of allocation group {group}": ((at << 12) + fs.sector, fs.sector, 216),
        f"header XAGI of allocation group {group}": ((at << 12) + 2 * fs.sector, fs.sector, 312),
        f"free space tree of allocation group {group}": ((at + root("agf", "bnoroot")) << 12, 4096, 52),
        f"inode tree of allocation group {group}": ((at + root("agi", "root")) << 12, 4096, 52),
    }


@pytest.mark.parametrize("number", range(4))
def test_damage_of_a_group_is_named(image, number):
    name, (place, _, _) = list(group_parts(image).items())[number]
    flip(image, place + 40)
    with pytest.raises(FormatError, match=rf"{name}.*\.crc") as caught:
        ours(image, FILE)
    assert caught.value.code == "XLPY-XFS-DAMAGED"


def test_groups_that_lie_end_in_an_answer(image):
    """Any two bytes of a group's parts, their checksums made right: extents or an error, and soon."""
    chosen, answers = random.Random(1), set()
    rows = ours(image, FILE)
    for place, size, at in group_parts(image).values():
        with image.open("r+b") as file:
            file.seek(place)
            whole = file.read(size)
            for _ in range(60):
                new = bytearray(whole)
                for _ in range(2):
                    new[chosen.randrange(96)] = chosen.choice((0, 1, 2, 0x7F, 0x80, 0xFF))
                struct.pack_into("<I", new, at, checksum(bytes(new), at))
                os.pwrite(file.fileno(), new, place)
                try:
                    assert ours(image, FILE) == rows
                    answers.add("read")
                except FormatError as error:
                    answers.add(error.path.partition(" of ")[0])
            os.pwrite(file.fileno(), whole, place)
    assert {"read", "header XAGF", "header XAGI", "free space tree", "inode tree"} <= answers


def blocks_of(image, kind):
    """A file system block of the group of FILE that is free, has inodes, or is the root of the tree that says so."""
    fs = XfsImage(image).superblock
    ((_, block, _, _),) = judged(image, FILE)
    group = block // fs.ag_blocks
    if kind == "free":
        (start,) = re.findall(r"^1:\[(\d+),", db(image, f"agf {group}", "addr bnoroot", "p recs"), re.MULTILINE)[:1]
        within = int(start) + 3
    elif kind == "inodes":
        within = XfsImage(image).lookup(FILE).number % (1 << fs.ag_block_log + 3) // 8
    else:
        within = int(db(image, f"agf {group}", "p bnoroot").split("=")[1])
    return group << fs.ag_block_log | within


@pytest.mark.parametrize(
    ("kind", "words"),
    [("free", "of which some are free"), ("inodes", "of which some hold inodes"), ("tree", "one is of a tree")],
)
def test_files_on_what_is_not_theirs(image, kind, words):
    """The next file would get free blocks as well; a guest's stores would go over inodes and trees."""
    number = XfsImage(image).lookup(FILE).number
    store_inode(image, number, 184, ">Q", blocks_of(image, kind) << 21 | 1)
    with pytest.raises(FormatError, match=words):
        ours(image, FILE)
    assert repair(image) != ""


def test_log_that_is_not_empty(image):
    fs = XfsImage(image)
    start = fs.superblock.place(fs.superblock.log_start)
    with image.open("r+b") as file:
        file.seek(start + 40)
        assert file.read(4) == struct.pack(">I", 1)  # operations of the only record: that of unmounting
        file.seek(start + 40)
        file.write(struct.pack(">I", 2))
    with pytest.raises(Unsafe, match="not unmounted cleanly") as caught:
        XfsImage(image)
    assert caught.value.code == "XLPY-XFS-LOG"


def test_immutable_flag_is_reported(image):
    number = XfsImage(image).lookup("/file-with-a-long-name-003").number
    assert not XfsImage(image).inode(number).immutable
    store_inode(image, number, 90, ">H", 8)
    assert XfsImage(image).inode(number).immutable
    assert "core.immutable = 1" in db(image, f"inode {number}", "p core.immutable")


# --- what cannot be made ----------------------------------------------------------------------------------------------


def test_smallest(tmp_path):
    assert repair(device(tmp_path / "image", SMALLEST, [NewFile("/f", 64 * MIB)])) == ""
    with pytest.raises(Constraint, match=r"an XFS needs 300 MiB .* found 314568704 bytes"):
        device(tmp_path / "image", SMALLEST - 4096)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (NewFile("/f", 4096, "sparse"), "makes no sparse files"),
        (NewFile("/f", 4096, "fragmented"), "makes no fragmented files"),
        (NewFile("/a b/f", 4096), "cannot have the name 'a b'"),
        (NewFile("/$", 4096), r"cannot have the name '\$'"),
        (NewFile("/g/f", 4096), "/g is a file"),
        (NewFile("/f", 4096, align=1 << 30), "no multiple of 0x40000000"),
        (NewFile("/f", 480 * MIB), "no space|in a list inside the inode"),
    ],
)
def test_files_that_cannot_be_made(tmp_path, file, words):
    need("mkfs.xfs")
    path = tmp_path / "image"
    with pytest.raises(Constraint, match=words):
        device(path, files=[NewFile("/g", 4096), file])
    assert path.stat().st_blocks == 0  # the media are as they were


def test_without_xfsprogs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools, "_SYSTEM_FOLDERS", ())
    with pytest.raises(MissingTool, match=r"mkfs\.xfs is needed") as caught:
        boot(tmp_path / "host", MACHINE.replace("content: CONTENT, ", ""))
    assert "apt-get install xfsprogs" in caught.value.hint


def test_span_of_the_host(host):
    """The files lie inside the data of the namespace."""
    _, dom0, _ = host
    window = dom0.device("/dev/pmem0").window
    for path in ("vm1.img", "a/b/filled.img"):
        for extent in dom0.fiemap(f"/mnt/pmem0/{path}"):
            assert Span(Spa(window.start + extent.physical), extent.length).end <= window.end
