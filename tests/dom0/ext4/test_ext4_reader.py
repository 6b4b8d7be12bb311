"""Our ext4 reader against debugfs, dumpe2fs and, where mounting is permitted, the kernel."""

import re

import pytest
from dom0.ext4.images import MIB, Image, mounted, need, tool

from xlpy.dom0.ext4.edit import Ext4Editor
from xlpy.dom0.ext4.inplace import InPlace
from xlpy.dom0.ext4.reader import Ext4Image
from xlpy.dom0.ext4.superblock import parse_group
from xlpy.dom0.extents import FIEMAP_EXTENT_LAST, FIEMAP_EXTENT_UNWRITTEN, Extent
from xlpy.dom0.linux import LinuxDom0
from xlpy.errors import NotFound, Unsafe

BLOCKS = 480

# every way of laying out a file system that changes where something is or how it is checked
LAYOUTS = {
    "default": {},
    "1 KiB blocks": {"block": 1024},
    "2 KiB blocks": {"block": 2048},
    "64 KiB blocks": {"block": 65536},
    "bigalloc": {"features": "bigalloc", "args": ("-C", 16384)},
    "bigalloc, 1 KiB blocks": {"block": 1024, "features": "bigalloc", "args": ("-C", 4096)},
    "meta_bg": {"features": "meta_bg,^resize_inode"},
    "meta_bg, many groups": {"block": 1024, "features": "meta_bg,^resize_inode", "args": ("-g", 256)},
    "meta_bg, all superblocks": {"block": 1024, "features": "meta_bg,^resize_inode,^sparse_super", "args": ("-g", 256)},
    "no 64bit, no checksums": {"features": "^64bit,^metadata_csum"},
    "uninit_bg": {"features": "^64bit,^metadata_csum,uninit_bg"},
    "uninit_bg, 64bit": {"features": "^metadata_csum,uninit_bg,64bit"},
    "checksum seed": {"features": "metadata_csum,metadata_csum_seed"},
    "small inodes": {"args": ("-I", 128)},
    "sparse_super2": {"features": "sparse_super2,^resize_inode", "args": ("-g", 2048)},
    "no journal": {"features": "^has_journal"},
    "partition": {"offset": MIB},
    "inline_data around": {"features": "inline_data"},
}


def make(path, *, block=4096, features="", args=(), offset=0, size=32 * MIB):
    return Image(path, size, offset).mke2fs(*args, block=block, features=features)


def fill(image, folder, block):
    """A file of some hundred blocks, in turn hole, unwritten and written, with its data at random-looking places."""
    content = b"".join(bytes(block) if i % 3 != 2 else (b"%08d" % i) * (block // 8) for i in range(BLOCKS))
    source = folder / "source"
    source.write_bytes(content)
    image.debugfs(
        f"write {source} pattern",
        *[f"fallocate pattern {i} {i}" for i in range(1, BLOCKS, 3)],
    )
    return content


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_reads_as_debugfs_and_dumpe2fs_read_it(tmp_path, name):
    image = make(tmp_path / "fs.img", **LAYOUTS[name])
    block = LAYOUTS[name].get("block", 4096)
    content = fill(image, tmp_path, block)
    tables = re.findall(r"Inode table at (\d+)", image.dumpe2fs())
    with Ext4Image(image.path, image.offset) as fs:
        inode = fs.lookup("/pattern")
        found = fs.fiemap(inode)
        assert fs.read_file(inode, 0, 1 << 40) == content == image.cat("pattern")
        assert fs.read_file(inode, block + 5, 10) == content[block + 5 : block + 15]
        layout = fs.superblock
        groups = [
            parse_group(layout, number, image.peek(layout.descriptor_position(number), layout.descriptor_size))
            for number in range(layout.groups)
        ]
    assert found[-1].flags & FIEMAP_EXTENT_LAST
    found = [*list(found)[:-1], found[-1]._replace(flags=found[-1].flags & ~FIEMAP_EXTENT_LAST)]
    assert found == image.extents("pattern", block)
    assert {extent.flags for extent in found} == {0, FIEMAP_EXTENT_UNWRITTEN}
    assert [group.inode_table for group in groups] == [int(table) for table in tables]


def test_more_than_one_group_is_looked_at(tmp_path):
    """Inodes far apart, each group with its own descriptor block."""
    image = make(tmp_path / "fs.img", block=1024, features="meta_bg,^resize_inode", args=("-g", 256, "-N", 2048))
    image.debugfs(*[f"mkdir d{i}" for i in range(1200)])
    with Ext4Image(image.path) as fs:
        numbers = fs.listdir(fs.inode(2))
        assert len(numbers) == 1201  # and lost+found
        assert {fs.inode(number).kind for number in numbers.values()} == {"dir"}
        assert len(fs._groups) > 32


def test_a_written_extent_of_exactly_32768_blocks(tmp_path):
    """Its length field is 0x8000, which is the longest written extent and not an unwritten one of length 0."""
    image = Image(tmp_path / "fs.img", 400 * MIB).mke2fs("-G", 64, "-N", 64, features="^has_journal")
    image.debugfs(  # group 2 begins at block 65536 and holds neither superblock nor tables
        "write /dev/null big",
        *[f"sif big size {128 * MIB}", f"sif big blocks {128 * MIB // 512}"],
        *["extent_open big", "insert_node 0 32768 65536", "extent_close"],
    )
    tool("e2fsck", "-fy", image.device, ok=(1,))  # enters the blocks into the bitmaps
    image.fsck()
    with Ext4Image(image.path) as fs:
        inode = fs.lookup("/big")
        whole = Extent(0, 65536 * 4096, 128 * MIB, 0)
        assert fs.tree(inode) == [whole]
        assert fs.fiemap(inode) == [whole._replace(flags=FIEMAP_EXTENT_LAST)]


@pytest.mark.parametrize(
    ("commands", "extents"),
    [
        (["write /dev/null f"], []),
        (["write /dev/null f", "sif f size 1048576"], []),
        (["write {three} f"], [(0, 1, 1, 0x1)]),
        (["write /dev/null f", "sif f size 40960", "fallocate f 0 9"], [(0, 1, 10, 0x801)]),
        (["write {three} f", "fallocate f 1 9"], [(0, 1, 1, 0), (1, 2, 9, 0x801)]),
        (["write {three} f", "fallocate f 100 101"], [(0, 1, 1, 0), (100, 101, 2, 0x801)]),
    ],
    ids=[
        "empty",
        "only a hole",
        "3 bytes: a whole block",
        "unwritten",
        "beyond the end of file",
        "hole before the last",
    ],
)
def test_fiemap_like_the_kernel(tmp_path, commands, extents):
    """In blocks, and physical positions counted from one before the first."""
    image = make(tmp_path / "fs.img")
    three = tmp_path / "three"
    three.write_bytes(b"abc")
    image.debugfs(*[command.format(three=three) for command in commands])
    with Ext4Image(image.path) as fs:
        found = fs.fiemap(fs.lookup("f"))
    base = found[0].physical // 4096 - 1 if found else 0
    assert [(e.logical // 4096, e.physical // 4096 - base, e.length // 4096, e.flags) for e in found] == extents


# --- directories and paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", ["", "^metadata_csum"])
def test_a_directory_of_3000_entries_with_and_without_hash_tree(tmp_path, features):
    image = make(tmp_path / "fs.img", features=features, args=("-N", 4000))
    image.debugfs("mkdir d", "cd d", *[f"mknod entry-number-{i:04} p" for i in range(3000)])
    for indexed in (False, True):
        if indexed:
            tool("e2fsck", "-fyD", image.device, ok=(0, 1))
        with Ext4Image(image.path) as fs:
            folder = fs.lookup("/d")
            assert bool(folder.flags & 0x1000) == indexed
            names = fs.listdir(folder)
            assert len(names) == 3000
            for name in ("entry-number-0000", "entry-number-1499", "entry-number-2999"):
                assert fs.lookup(f"/d/{name}").number == names[name]
            with pytest.raises(NotFound):
                fs.lookup("/d/entry-number-3000")
            with pytest.raises(NotFound):
                fs.lookup("/d/entry-number-000")


@pytest.fixture
def tree(tmp_path):
    image = make(tmp_path / "fs.img")
    image.debugfs(
        "mkdir a",
        "mkdir a/b",
        *["cd a", "write /dev/null f", "symlink up ../a/f", "symlink away /etc/passwd", "symlink dir b", "cd /"],
        "symlink loop loop",
        "symlink long " + "./" * 60 + "a/f",
        "symlink out ../x",
        *["cd a/b", "write /dev/null file", "cd /"],
    )
    return image


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("a/f", "/a/f"),
        ("//a/./f", "/a/f"),
        ("/a/b/../f", "/a/f"),
        ("/a/up", "/a/f"),
        ("/a/dir/file", "/a/b/file"),
        ("/long", "/a/f"),
        ("/a/b/", "/a/b"),
        ("/", "/"),
    ],
)
def test_paths(tree, path, same):
    with Ext4Image(tree.path) as fs:
        assert fs.lookup(path) == fs.lookup(same)


def test_a_link_itself(tree):
    with Ext4Image(tree.path) as fs:
        assert fs.lookup("/a/up", follow=False).kind == "symlink"
        assert fs.lookup("/a/dir/file", follow=False).kind == "file"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/nothing", NotFound),
        ("/a/f/x", NotFound),
        ("/a/b/file/", None),
        ("/" + "x" * 300, NotFound),
        ("/a/away", Unsafe),
        ("/loop", Unsafe),
        ("/out", Unsafe),
        ("/..", Unsafe),
    ],
)
def test_paths_that_lead_nowhere(tree, path, error):
    with Ext4Image(tree.path) as fs:
        if error is None:
            assert fs.lookup(path).kind == "file"
        else:
            with pytest.raises(error):
                fs.lookup(path)


def test_names_that_are_not_text(tmp_path):
    """A name is bytes; one that is not UTF-8 comes as Python spells such names, and is found again by that."""
    image = make(tmp_path / "fs.img")
    image.debugfs('mkdir "größe 5"')
    with Ext4Image(image.path) as fs:
        assert fs.lookup("/größe 5").kind == "dir"


# --- the kernel as judge -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["default", "1 KiB blocks", "bigalloc", "meta_bg", "partition", "small inodes"])
def test_the_kernel_sees_the_same(tmp_path, name):
    image = make(tmp_path / "fs.img", **LAYOUTS[name])
    content = fill(image, tmp_path, LAYOUTS[name].get("block", 4096))
    with Ext4Image(image.path, image.offset) as fs:
        found = fs.fiemap(fs.lookup("/pattern"))
    with mounted(image, tmp_path / "mnt") as folder:
        assert (folder / "pattern").read_bytes() == content
        assert LinuxDom0().fiemap(str(folder / "pattern")) == found


def test_names_and_small_maps_are_looked_up_once_for_each_edition(tmp_path, monkeypatch):
    need("mke2fs", "debugfs")
    image = make(tmp_path / "img")
    editor = Ext4Editor(image.path, 0, 32 * MIB)
    editor.mkfile("/a.img", 1 << 20, "written", 1)
    read: list[int] = []
    with Ext4Image(image.path) as fs:
        pread = fs._read
        fs._read = lambda at, length: read.append(length) or pread(at, length)

        def reads():
            read.clear()
            inode = fs.lookup("/a.img")
            assert len(fs.fiemap(inode)) == 1
            return len(read), inode

        first, inode = reads()
        again, _ = reads()
        assert again == 2 < first  # the two inodes on the way, which tell whether all else is as it was
        InPlace(image.path, 0, 32 * MIB).set_immutable(inode.number, True, fs.only_flags_changed)
        flagged, inode = reads()
        assert inode.immutable
        assert flagged == 2
        InPlace(image.path, 0, 32 * MIB).set_immutable(inode.number, False)  # by somebody else, for all it knows
        assert reads()[0] > 2
        editor.unlink("/a.img")
        with pytest.raises(NotFound):
            fs.lookup("/a.img")
