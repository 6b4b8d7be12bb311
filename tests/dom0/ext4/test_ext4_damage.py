"""What the reader must refuse, and that no damage makes it crash, hang or answer nonsense."""

import contextlib
import re
import struct

import pytest
from dom0.ext4.images import MIB, Image, need, tool
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.dom0.ext4.reader import Ext4, Ext4Image
from xlpy.errors import FormatError, NotFound, Unsafe, XlpyError


@pytest.fixture
def image(tmp_path):
    """A file /d/f of 1,000 extents: the inode holds indexes, three leaves the extents."""
    made = Image(tmp_path / "fs.img", 32 * MIB).mke2fs()
    return fill(made)


def fill(image):
    image.debugfs(
        "mkdir d",
        "cd d",
        "write /dev/null f",
        f"sif f size {2000 * 4096}",
        "fallocate f 0 1999",
        *[f"punch f {block} {block}" for block in range(1, 2000, 2)],
    )
    return image


def read_all(fs):
    """A directory, and what lies behind its names; many fifos are only there to make it large."""
    for name in [name for name in fs.listdir(fs.lookup("/d")) if not name.startswith("fifo")]:
        inode = fs.lookup(f"/d/{name}")
        if inode.kind == "file":
            fs.fiemap(inode)
            fs.read_file(inode, 0, 8192)


# --- states and features -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("feature needs_recovery", "XLPY-EXT4-JOURNAL"),
        ("ssv state 2", "XLPY-EXT4-ERRORS"),
        ("feature shared_blocks", "XLPY-EXT4-FEATURE"),
        ("feature FEATURE_I12", "XLPY-EXT4-FEATURE"),
        ("feature FEATURE_I31", "XLPY-EXT4-FEATURE"),
        ("feature FEATURE_I0", "XLPY-EXT4-FEATURE"),
    ],
)
def test_a_file_system_that_is_refused(tmp_path, command, code):
    image = Image(tmp_path / "fs.img", 8 * MIB).mke2fs()
    image.debugfs(command)
    with pytest.raises(Unsafe) as caught, Ext4Image(image.path) as fs:
        fs.lookup("/")
    assert caught.value.code == code
    assert caught.value.hint


@pytest.mark.parametrize("features", ["project,quota", "large_dir", "ea_inode", "mmp", "casefold", "encrypt", "verity"])
def test_features_that_do_not_matter_here(tmp_path, features):
    image = Image(tmp_path / "fs.img", 8 * MIB).mke2fs("-I", 256, features=features)
    with Ext4Image(image.path) as fs:
        assert fs.lookup("/lost+found").kind == "dir"


def test_a_directory_in_two_places(tmp_path):
    image = Image(tmp_path / "fs.img", 8 * MIB).mke2fs()
    image.debugfs("mkdir d", "mkdir d/e", "write /dev/null d/f")
    with Ext4Image(image.path) as fs:
        assert [path for path, _ in fs.walk()] == ["/d/f"]
    image.debugfs("ln d d/e/up")
    with Ext4Image(image.path) as fs, pytest.raises(FormatError, match=r"directory 1[23] is in two places"):
        list(fs.walk())


def test_a_journal_device(tmp_path):
    image = Image(tmp_path / "journal.img", 8 * MIB)
    need("mke2fs")
    tool("mke2fs", "-q", "-F", "-O", "journal_dev", "-b", 4096, image.path)
    with pytest.raises(Unsafe):
        Ext4Image(image.path)


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (0x10080000, "XLPY-EXT4-INLINE"),
        (0x80800, "XLPY-EXT4-ENCRYPTED"),
        (0x80004, "XLPY-EXT4-ENCODED"),
        (0x280000, "XLPY-EXT4-EA-INODE"),
        (0x180000, "XLPY-EXT4-VERITY"),
        (0, "XLPY-EXT4-NO-EXTENTS"),
    ],
)
def test_a_file_that_is_refused(image, flags, code):
    image.debugfs(f"sif /d/f flags {flags:#x}")
    with Ext4Image(image.path) as fs:
        inode = fs.lookup("/d/f")
        for use in (lambda: fs.fiemap(inode, "/d/f"), lambda: fs.read_file(inode, 0, 1, "/d/f")):
            with pytest.raises(Unsafe) as caught:
                use()
            assert caught.value.code == code
            assert str(caught.value).startswith("/d/f ")


def test_inline_data(tmp_path):
    image = Image(tmp_path / "fs.img", 8 * MIB).mke2fs(features="inline_data")
    source = tmp_path / "source"
    source.write_bytes(b"x" * 120)
    image.debugfs(f"write {source} small", "mkdir folder")
    with Ext4Image(image.path) as fs:
        with pytest.raises(Unsafe, match="/small has its data inside the inode"):
            fs.fiemap(fs.lookup("/small"), "/small")
        with pytest.raises(Unsafe, match="the directory with inode"):
            fs.lookup("/folder/x")


def test_block_mapped_files(tmp_path):
    image = Image(tmp_path / "fs.img", 8 * MIB).mke2fs(features="^extent,^64bit")
    with Ext4Image(image.path) as fs, pytest.raises(Unsafe, match="indirect blocks"):
        fs.lookup("/x")


@pytest.mark.parametrize("size", [0, 1000, 2047, 2048, 1 << 20])
def test_no_file_system(tmp_path, size):
    image = Image(tmp_path / "fs.img", size)
    with pytest.raises(FormatError) as caught:
        Ext4Image(image.path)
    assert caught.value.code == "XLPY-EXT4-NONE"


def test_no_image(tmp_path):
    with pytest.raises(NotFound):
        Ext4Image(tmp_path / "nothing")


def test_a_device_that_is_too_small(image):
    with pytest.raises(FormatError, match="s_blocks_count"):
        Ext4Image(image.path, 0, 16 * MIB)


# --- checksums -----------------------------------------------------------------------------------------------------


def inode_offset(image, path):
    found = re.search(r"block (\d+), offset (0x[0-9a-f]+)", image.debugfs(f"imap {path}"))
    return int(found[1]) * 4096 + int(found[2], 16)


def first_leaf(image, path):
    """The block that the first index entry in the inode names."""
    return struct.unpack("<I", image.peek(inode_offset(image, path) + 0x28 + 12 + 4, 4))[0]


def places(image):
    """Name and byte offset of one place in each kind of metadata."""
    inode, leaf = inode_offset(image, "/d/f"), first_leaf(image, "/d/f")
    with Ext4Image(image.path) as fs:
        folder = fs.fiemap(fs.lookup("/d"))[0].physical
        group = fs.superblock.descriptor_position(0)
    return {
        "superblock": 1024 + 0x78,
        "group descriptor": group + 0x0C,
        "inode": inode + 0x08,
        "inode's extents": inode + 0x28 + 12,
        "inode's checksum": inode + 0x7C,
        "extent leaf": leaf * 4096 + 12 + 8,
        "unused room of a leaf": leaf * 4096 + 12 + 339 * 12,
        "leaf's checksum": leaf * 4096 + 4092,
        "directory": folder + 2000,
        "directory's checksum": folder + 4095,
    }


def test_one_flipped_bit_anywhere_is_noticed(image):
    for name, offset in places(image).items():
        image.flip(offset)
        with pytest.raises(FormatError, match="damaged ext4 file system") as caught, Ext4Image(image.path) as fs:
            read_all(fs)
        assert caught.value.code == "XLPY-EXT4-DAMAGED", name
        image.flip(offset)
    with Ext4Image(image.path) as fs:
        read_all(fs)


def test_e2fsck_agrees_about_a_damaged_leaf(image):
    image.flip(places(image)["extent leaf"])
    assert "checksum" in tool("e2fsck", "-fn", image.device, ok=(4,)).stdout


@pytest.mark.parametrize("name", ["inode", "directory", "inode's extents"])
def test_damage_to_one_file_leaves_the_others_readable(image, name):
    image.flip(places(image)[name])
    with Ext4Image(image.path) as fs:
        assert fs.listdir(fs.lookup("/lost+found")) == {}


# --- structures that lie, where no checksum tells --------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path):
    return fill(Image(tmp_path / "fs.img", 32 * MIB).mke2fs(features="^metadata_csum,^64bit"))


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0x28, struct.pack("<H", 0xF30B)),  # eh_magic
        (0x2A, struct.pack("<H", 5)),  # eh_entries above eh_max
        (0x2A, struct.pack("<H", 0)),  # no entries, though deep
        (0x2C, struct.pack("<H", 9)),  # eh_max above the room in an inode
        (0x2E, struct.pack("<H", 6)),  # eh_depth
        (0x2E, struct.pack("<H", 2)),  # one level more than there is
        (0x2E, struct.pack("<H", 0)),  # index entries taken for extents
        (0x34 + 4, struct.pack("<I", 0)),  # ei_leaf: the boot block
        (0x34 + 4, struct.pack("<I", 0x7FFFFFFF)),  # ei_leaf beyond the device
        (0x34 + 8, struct.pack("<H", 1)),  # ei_leaf_hi
        (0x34 + 4, struct.pack("<I", 3)),  # ei_leaf: some other block
        (0x34, struct.pack("<I", 7)),  # ei_block above the first extent
        (0x34 + 12, struct.pack("<I", 0)),  # two indexes for the same blocks
        (0x1C, struct.pack("<I", 0)),  # i_blocks leaves no room for the tree
    ],
)
def test_an_extent_tree_that_contradicts_itself(plain, at, value):
    with Ext4Image(plain.path) as fs:
        plain.poke(inode_offset(plain, "/d/f") + at, value)
        with pytest.raises(FormatError, match="extent tree"):
            fs.fiemap(fs.lookup("/d/f"))


def test_an_extent_tree_that_loops(plain):
    """A leaf that claims to be an index of itself is stopped by its depth."""
    with Ext4Image(plain.path) as fs:
        block = first_leaf(plain, "/d/f")
        plain.poke(block * 4096, struct.pack("<HHHHI", 0xF30A, 1, 340, 1, 0) + struct.pack("<IIHH", 0, block, 0, 0))
        with pytest.raises(FormatError, match="depth"):
            fs.fiemap(fs.lookup("/d/f"))


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (4, struct.pack("<H", 0)),
        (4, struct.pack("<H", 13)),
        (4, struct.pack("<H", 0xFFFC)),
        (6, b"\xff"),
        (0, struct.pack("<I", 0x7FFFFFFF)),
    ],
    ids=["empty", "not a multiple of 4", "beyond the block", "name longer than the entry", "inode beyond the last"],
)
def test_a_wrong_directory_entry(plain, at, value):
    with Ext4Image(plain.path) as fs:
        folder = fs.fiemap(fs.lookup("/d"))[0].physical
        plain.poke(folder + 12 + at, value)  # the entry after the first
        with pytest.raises(FormatError, match="directory"):
            read_all(fs)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0x18, 7),
        (0x18, 0xFFFFFFFF),
        (0x20, 0),
        (0x28, 0),
        (0x28, 0xFFFFFFFF),
        (0x00, 1),
        (0x04, 0),
        (0x04, 0xFFFFFFFF),
        (0x14, 9),
        (0x58, 0),
        (0x58, 200),
    ],
)
def test_a_superblock_with_impossible_numbers(plain, at, value):
    plain.poke(1024 + at, struct.pack("<H" if at == 0x58 else "<I", value))
    with pytest.raises(FormatError, match="superblock"):
        Ext4Image(plain.path)


# --- any bytes -----------------------------------------------------------------------------------------------------


class Recorder:
    """An image in memory that knows which sectors a reader has touched."""

    def __init__(self, data):
        self.data = data
        self.touched = set()

    def read(self, offset, length):
        if offset + length > len(self.data):
            raise FormatError("beyond the end")
        self.touched.update(range(offset // 512, (offset + length + 511) // 512))
        return bytes(self.data[offset : offset + length])


@pytest.fixture(scope="module")
def recorders(tmp_path_factory):
    """Small images with and without checksums, read once so that the metadata is known."""
    found = []
    for features in (
        "",
        "^metadata_csum,^64bit",
        "bigalloc,^metadata_csum",
        "meta_bg,^resize_inode,^metadata_csum",
        "64bit,quota,orphan_file,^metadata_csum",
    ):
        image = Image(tmp_path_factory.mktemp("fuzz") / "fs.img", 4 * MIB).mke2fs(
            "-N", 400, features=f"^has_journal,{features}"
        )
        image.debugfs(
            *["mkdir d", "cd d", "write /dev/null f", "sif f size 400000", "fallocate f 0 40", "symlink l f"],
            *[f"punch f {block} {block}" for block in range(1, 40, 2)],
            *[f"mknod fifo-with-a-long-name-{i} p" for i in range(200)],
        )
        recorder = Recorder(bytearray(image.path.read_bytes()))
        explore(recorder)
        recorder.metadata = sorted(recorder.touched)
        found.append(recorder)
    return found


def explore(recorder):
    fs = Ext4(recorder.read, len(recorder.data))
    read_all(fs)
    fs.lookup("/d/l")
    with pytest.raises(NotFound):
        fs.lookup("/d/none")


@settings(max_examples=100)
@given(st.data())
def test_flipped_bytes_never_crash_or_hang(recorders, data):
    recorder = data.draw(st.sampled_from(recorders))
    saved = bytes(recorder.data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.sampled_from(recorder.metadata)) * 512 + data.draw(st.integers(0, 511))
        recorder.data[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, recorder.data[at] ^ 1]))
    try:
        explore(recorder)
    except XlpyError:
        pass
    finally:
        recorder.data[:] = saved


@settings(max_examples=60)
@given(st.binary(min_size=1024, max_size=1024), st.integers(11, 45))
def test_any_superblock(raw, shift):
    block = bytearray(raw)
    block[0x38:0x3A] = b"\x53\xef"
    block[0x18:0x1C] = struct.pack("<I", raw[0] % 8)
    block[0x60:0x64] = struct.pack("<I", 0x40)
    block[0x64:0x68] = bytes(4)
    whole = {(1024, 1024): bytes(block)}
    with contextlib.suppress(XlpyError):
        Ext4(lambda at, length: whole.get((at, length), bytes(length)), 1 << shift).lookup("/x")
