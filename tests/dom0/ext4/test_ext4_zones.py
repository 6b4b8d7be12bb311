"""What belongs to a file system itself: the list against dumpe2fs, and files that reach into it against the kernel."""

import errno
import os
import re
import struct

import pytest
from dom0.ext4.images import Image, mounted
from dom0.ext4.test_ext4_damage import inode_offset
from dom0.ext4.test_ext4_reader import LAYOUTS, make
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.dom0 import extents as extents_module
from xlpy.dom0.ext4.reader import Ext4, Ext4Image
from xlpy.dom0.ext4.zones import Zone, Zones, _meeting
from xlpy.dom0.extents import Extent, Extents
from xlpy.errors import FormatError, Unsafe

EVERY = LAYOUTS | {
    "quota": {"features": "quota,project"},
    "orphan file": {"features": "orphan_file"},
    "no flex_bg": {"features": "^flex_bg", "args": ("-g", 2048)},
    "no resize_inode": {"features": "^resize_inode"},
    "no sparse_super": {"features": "^sparse_super,^resize_inode", "args": ("-g", 1024)},
    "sparse_super2, no backup": {"features": "sparse_super2,^resize_inode", "args": ("-E", "num_backup_sb=0")},
    "journal without extents": {"features": "^extent,^64bit"},
    "journal in the middle": {"args": ("-J", "size=4,location=5000")},
}


def of(fs):
    """The zones of an open file system."""
    return Zones(fs.superblock, fs._read, fs.inode_bytes).zones


def blocks_of(zones):
    return {block for zone in zones for block in range(zone.first, zone.end)}


def used(image):
    """The blocks that dumpe2fs does not list as free."""
    text = image.dumpe2fs()
    size = int(re.search(r"^Block size: +(\d+)", text, re.M)[1])
    number = re.compile(r"(\d+)(?:-(\d+))?")
    cluster = int(found[1]) // size if (found := re.search(r"^Cluster size: +(\d+)", text, re.M)) else 1
    free = set()
    for line in re.findall(r"^  Free blocks: (.*)$", text, re.M):
        for first, last in number.findall(line):
            free.update(range(int(first), int(last or first) + cluster))
    return set(range(int(re.search(r"^Block count: +(\d+)", text, re.M)[1]))) - free


def lost_and_found(image):
    """The blocks of the one directory that every new file system has beside the root."""
    lines = image.debugfs("blocks /lost+found").splitlines()
    return {int(block) for line in lines if not line.startswith("debugfs") for block in line.split()}


@pytest.mark.parametrize("name", EVERY)
def test_what_is_in_use_on_an_empty_file_system(tmp_path, name):
    """All of it, and nothing else, but for the blocks of lost+found."""
    image = make(tmp_path / "fs.img", **EVERY[name])
    lost = lost_and_found(image)
    with Ext4Image(image.path, image.offset) as fs:
        cluster = fs.superblock.cluster_blocks
        lost = {at // cluster * cluster + i for at in lost for i in range(cluster)}
        assert blocks_of(of(fs)) - lost == used(image) - lost


WHERE = {
    "the superblock at the start": "default",
    "the superblock of group 1": "no flex_bg",
    "the group descriptors at the start": "default",
    "the group descriptors of group 3": "no flex_bg",
    "the room for group descriptors at the start": "default",
    "the room for group descriptors of group 3": "no flex_bg",
    "the block bitmap of group 0": "default",
    "the block bitmap of group 2": "no flex_bg",
    "the inode bitmap of group 1": "no flex_bg",
    "the inode table of group 0": "default",
    "the inode table of group 3": "no flex_bg",
    "the journal": "default",
    "the resize inode": "default",
    "the root directory": "default",
    "the quota of users": "quota",
    "the quota of groups": "quota",
    "the quota of projects": "quota",
    "the orphan file": "orphan file",
    "the boot block": "1 KiB blocks",
    "the group descriptors of group 63": "meta_bg, many groups",
    "the superblock of group 3": "sparse_super2",
}


def crafted(image, blocks):
    """A file for each of the blocks, which it claims as its only one; checksums are right."""
    commands = []
    for block in blocks:
        commands += [f"write /dev/null f{block}", f"sif f{block} size 1024", f"extent_open f{block}"]
        commands += [f"insert_node 0 1 {block}", "extent_close"]
    image.debugfs(*commands)


@pytest.mark.parametrize("what", WHERE)
def test_a_file_may_not_have_it(tmp_path, what):
    """The first and the last block of it are refused; the blocks before and behind, where they are free, are not."""
    image = make(tmp_path / "fs.img", **EVERY[WHERE[what]])
    size = EVERY[WHERE[what]].get("block", 4096)
    with Ext4Image(image.path) as fs:
        zones = of(fs)
    named = [(zone, block) for zone in zones for block in range(zone.first, zone.end) if zone.name(block) == what]
    inside = {block for _, block in named}
    owned = blocks_of(zones) | lost_and_found(image)
    edges = {min(inside), max(inside)}
    outside = {min(inside) - 1, max(inside) + 1} - owned - {-1, image.size // size}
    crafted(image, edges | outside)
    with Ext4Image(image.path) as fs:
        for block in edges:
            path = f"/f{block}"
            for look in (fs.fiemap, fs.tree):
                with pytest.raises(Unsafe, match=rf"the extent at 0x0 lies on {what} \(block {block}\)") as caught:
                    look(fs.lookup(path), path)
                assert caught.value.code == "XLPY-EXT4-METADATA"
        for block in outside:
            assert fs.fiemap(fs.lookup(f"/f{block}"))[0].physical == block * size


def test_the_block_of_multiple_mount_protection(tmp_path):
    """Its number is put into the superblock by hand: the tools wait for seconds once it is there."""
    image = make(tmp_path / "fs.img", features="^metadata_csum")
    crafted(image, [4000, 4001])
    image.poke(1024 + 0x168, struct.pack("<Q", 4000))
    with Ext4Image(image.path) as fs:
        assert len(fs.fiemap(fs.lookup("/f4000"))) == 1, "without the feature the number means nothing"
    image.poke(1024 + 0x61, bytes([image.peek(1024 + 0x61, 1)[0] | 1]))
    with Ext4Image(image.path) as fs:
        assert len(fs.fiemap(fs.lookup("/f4001"))) == 1
        with pytest.raises(Unsafe, match="lies on the multiple mount protection block"):
            fs.fiemap(fs.lookup("/f4000"), "/f4000")


def test_the_kernel_refuses_the_same(tmp_path):
    image = make(tmp_path / "fs.img")
    with Ext4Image(image.path) as fs:
        zones = {zone.what: zone.first for zone in of(fs) if zone.inode in (0, 8)}
    crafted(image, zones.values())
    with mounted(image, tmp_path / "mnt") as folder:
        for what, block in zones.items():
            with pytest.raises(OSError, match="clean") as caught:
                os.read(os.open(folder / f"f{block}", os.O_RDONLY), 1)
            assert caught.value.errno == errno.EUCLEAN, what


@pytest.fixture
def image(tmp_path):
    return make(tmp_path / "fs.img")


def test_directories_on_the_way(image):
    image.debugfs("mkdir a", "mkdir a/b")
    with Ext4Image(image.path) as fs:
        folder = fs.lookup("/a/b")
        block = fs.fiemap(folder)[0].physical // 4096
    image.debugfs("cd a/b", "write /dev/null f", "sif f size 4096", "extent_open f", f"insert_node 0 1 {block}")
    with Ext4Image(image.path) as fs:
        inode = fs.lookup("/a/b/f")
        with pytest.raises(Unsafe, match=f"lies on the directory with inode {folder.number} "):
            fs.fiemap(inode, "/a/b/f")
        assert len(fs.fiemap(folder)), "it still has its own blocks"


def test_its_own_extent_tree(image):
    image.debugfs("write /dev/null f", "sif f size 400000", "fallocate f 0 39")
    image.debugfs(*[f"punch f {block} {block}" for block in range(1, 40, 2)])
    node = struct.unpack("<I", image.peek(inode_offset(image, "/f") + 0x28 + 12 + 4, 4))[0]
    image.debugfs("extent_open f", "goto_block 38", f"insert_node --after 39 1 {node}", "extent_close")
    with Ext4Image(image.path) as fs, pytest.raises(Unsafe, match=r"the extent at 0x27000 lies on its own extent tree"):
        fs.fiemap(fs.lookup("/f"), "/f")


def test_an_extent_tree_in_the_inode_table(tmp_path):
    """The tree of a file whose node lies where inodes are: no checksums, so that a node can be put there."""
    image = make(tmp_path / "fs.img", features="^metadata_csum")
    image.debugfs("write /dev/null f", "sif f size 400000", "fallocate f 0 39")
    image.debugfs(*[f"punch f {block} {block}" for block in range(1, 40, 2)])
    with Ext4Image(image.path) as fs:
        table = next(zone for zone in of(fs) if zone.what.startswith("the inode table"))
    at = inode_offset(image, "/f") + 0x28 + 12 + 4
    node = struct.unpack("<I", image.peek(at, 4))[0]
    image.poke((table.end - 1) * 4096, image.peek(node * 4096, 4096))
    image.poke(at, struct.pack("<I", table.end - 1))
    with (
        Ext4Image(image.path) as fs,
        pytest.raises(Unsafe, match=r"a block of its extent tree .* lies on the inode"),
    ):
        fs.fiemap(fs.lookup("/f"), "/f")


def test_its_own_attributes(image, tmp_path):
    value = tmp_path / "value"
    value.write_bytes(b"x" * 2000)
    image.debugfs("write /dev/null f", "sif f size 4096", f"ea_set -f {value} f user.a")
    block = struct.unpack("<I", image.peek(inode_offset(image, "/f") + 0x68, 4))[0]
    image.debugfs("extent_open f", f"insert_node 0 1 {block}", "extent_close")
    with Ext4Image(image.path) as fs, pytest.raises(Unsafe, match="lies on its own attributes"):
        fs.fiemap(fs.lookup("/f"), "/f")


@pytest.mark.parametrize("order", ["rising", "falling", "mixed"])
def test_one_extent_among_many(image, order):
    """Whatever the order of the others on the media."""
    with Ext4Image(image.path) as fs:
        table = next(zone for zone in of(fs) if zone.what.startswith("the inode table"))
        free = 4000
    places = [free + 2 * i for i in range(40)]
    places = {"rising": places, "falling": places[::-1], "mixed": places[20:] + places[:20]}[order]
    places.insert({"rising": 0, "falling": 40, "mixed": 25}[order], table.end - 1)
    commands = ["write /dev/null f", f"sif f size {41 * 4096}", "sif f blocks 1000", "extent_open f"]
    commands += [f"insert_node --after {at} 1 {block}" for at, block in enumerate(places)]
    image.debugfs(*commands, "extent_close")
    with Ext4Image(image.path) as fs, pytest.raises(Unsafe, match=r"lies on the inode table of group 0") as caught:
        fs.fiemap(fs.lookup("/f"), "/f")
    assert f"extent at {places.index(table.end - 1) * 4096:#x} " in str(caught.value)


def test_descriptors_of_other_groups_are_checked(tmp_path):
    """A file in group 0 is not vouched for while what says where group 3 keeps its tables is damaged."""
    image = make(tmp_path / "fs.img", **EVERY["no flex_bg"])
    image.debugfs("write /dev/null f")
    with Ext4Image(image.path) as fs:
        assert not len(fs.fiemap(fs.lookup("/f")))
        place = fs.superblock.descriptor_position(3)
    image.flip(place)
    with Ext4Image(image.path) as fs, pytest.raises(FormatError, match="group 3 descriptor"):
        fs.fiemap(fs.lookup("/f"))


@pytest.mark.parametrize("at", [0, 4, 8])
@pytest.mark.parametrize(("wide", "value"), [("^64bit", "7fffffff"), ("64bit", "00000100"), ("64bit", "000000ff")])
def test_a_bitmap_or_table_outside_the_file_system(tmp_path, at, wide, value):
    image = make(tmp_path / "fs.img", features=f"^metadata_csum,{wide}", args=("-g", 2048))
    image.debugfs("write /dev/null f")
    with Ext4Image(image.path) as fs:
        high = 0 if wide == "^64bit" else 32
        image.poke(fs.superblock.descriptor_position(2) + at + high, bytes.fromhex(value))
    with Ext4Image(image.path) as fs, pytest.raises(FormatError, match="group 2 descriptor"):
        fs.fiemap(fs.lookup("/f"))


def test_what_is_read_grows_with_descriptors_alone(tmp_path):
    """64 bytes for each 128 MiB; one entry of the list for each run of groups."""
    reads = {}
    for gib in (2, 32):
        image = Image(tmp_path / f"{gib}.img", gib << 30).mke2fs("-N", 4096, "-J", "size=4")
        image.debugfs("write /dev/null f", "sif f size 4096", "fallocate f 0 0")
        with Ext4Image(image.path) as fs:
            total = []

            def read(offset, length, inner=fs._read, total=total):
                total.append(length)
                return inner(offset, length)

            plain = Ext4(read, image.size)
            plain.fiemap(plain.lookup("/f"))
            reads[gib] = sum(total), len(total), len(plain._zones.zones)
        image.path.unlink()
    small, large = reads[2], reads[32]
    assert large[0] - small[0] <= (32 - 2) * 8 * 64
    assert large[1] - small[1] <= 2
    assert large[2] - small[2] <= 3 * 16 + 3 * 5


SHAPES = st.sampled_from(["rising", "falling", "mixed"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=8),
    SHAPES,
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4)), max_size=4),
    st.integers(1, 9),
    st.randoms(use_true_random=False),
)
def test_an_extent_meets_a_zone_when_they_share_a_block(steps, shape, zones, part, random):
    rows, logical, physical = [], 0, 1
    for gap, length in steps:
        rows.append((physical + gap, length))
        physical += gap + length
    if shape == "falling":
        rows.reverse()
    elif shape == "mixed":
        random.shuffle(rows)
    found, owner = [], {}
    for place, length in rows:
        found.append(Extent(logical * 4096, place * 4096, length * 4096, 0))
        owner |= {place + at: (logical + at) * 4096 for at in range(length)}
        logical += length
    taken = [Zone(first, first + count, "") for first, count in zones]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extents_module, "PART", part)  # of extents, as if there were thousands
        hit = _meeting(Extents.of(found), taken, 4096)
    shared = blocks_of(taken) & set(owner)
    assert (hit is None) == (not shared)
    if hit:
        offset, zone, block = hit
        assert zone in taken
        assert zone.first <= block < zone.end
        assert owner[block] == offset
