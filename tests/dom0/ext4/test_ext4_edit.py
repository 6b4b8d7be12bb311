"""Making and changing files with debugfs: every state a backing can be in, judged by e2fsck and debugfs."""

import errno
import fcntl
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from dom0.ext4.images import MIB, UUID, Image, mounted, need

from xlpy.dom0.ext4 import tools
from xlpy.dom0.ext4.checksum import crc32c
from xlpy.dom0.ext4.edit import STATES, Ext4Editor
from xlpy.dom0.ext4.guard import lock_path
from xlpy.dom0.ext4.journal import ByteEdit, Journal
from xlpy.dom0.ext4.make import EPOCH, make_ext4
from xlpy.dom0.ext4.reader import Ext4Image
from xlpy.dom0.ext4.scratch import ScratchCopy
from xlpy.dom0.ext4.tools import Interrupted
from xlpy.dom0.extents import FIEMAP_EXTENT_LAST, FIEMAP_EXTENT_UNWRITTEN, Extent
from xlpy.dom0.linux import LinuxDom0
from xlpy.errors import Conflict, Constraint, FormatError, MissingTool, NotFound, Unsafe, UsageError

SIZE, OFFSET = 32 * MIB, 2 * MIB
BLOCK = 4096


@pytest.fixture
def image(tmp_path):
    need("mke2fs", "debugfs", "e2fsck")
    made = Image(tmp_path / "fs.img", SIZE, OFFSET)
    make_ext4(made.path, OFFSET, SIZE, uuid=UUID)
    return made


@pytest.fixture
def editor(image):
    return Ext4Editor(image.path, OFFSET, SIZE)


def pin(editor, path, on):
    """Set or clear the immutable flag of a file."""
    with Ext4Image(*editor._where) as fs:
        number = fs.lookup(path).number
    editor.set_immutable(number, on)


def extents(image, path):
    with Ext4Image(image.path, OFFSET, SIZE) as fs:
        return fs.fiemap(fs.lookup(path), path)


def content(image, path):
    with Ext4Image(image.path, OFFSET, SIZE) as fs:
        inode = fs.lookup(path)
        return fs.read_file(inode, 0, inode.size)


def shape(image, path):
    """(first block, blocks, unwritten) of each extent."""
    return [
        (e.logical // BLOCK, e.length // BLOCK, bool(e.flags & FIEMAP_EXTENT_UNWRITTEN)) for e in extents(image, path)
    ]


# --- making --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("written", [(0, 256, False)]),
        ("unwritten", [(0, 256, True)]),
        ("sparse", []),
        ("fragmented", [(block, 16, False) for block in range(0, 256, 16)]),
    ],
)
def test_a_new_file(image, editor, state, expected):
    editor.mkfile("/folder/inner/vm1.img", MIB, state)
    assert shape(image, "/folder/inner/vm1.img") == expected
    assert content(image, "/folder/inner/vm1.img") == bytes(MIB)
    image.fsck()
    text = image.debugfs("stat /folder/inner/vm1.img")
    assert "Type: regular    Mode:  0644" in text
    assert "User:     0   Group:     0" in text
    assert f"Size: {MIB}" in text


def test_a_fragmented_file_lies_backwards(image, editor):
    editor.mkfile("/f", 6 * BLOCK, "fragmented", chunk=2)
    first, second, third = extents(image, "/f")
    assert first.physical == second.physical + 2 * BLOCK == third.physical + 4 * BLOCK


def test_a_tree_of_two_levels(image, editor):
    editor.mkfile("/f", 3_000 * BLOCK, "fragmented", chunk=1)
    image.fsck()
    found = extents(image, "/f")
    assert len(found) == 3_000
    assert found[-1].flags == FIEMAP_EXTENT_LAST
    assert [e._replace(flags=0) for e in found] == image.extents("f")
    editor.unlink("/f")
    image.fsck()


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 100_000])
def test_any_size(image, editor, size):
    editor.mkfile("/f", size)
    assert content(image, "/f") == bytes(size)
    assert shape(image, "/f") == [(0, -(-size // BLOCK), False)]
    image.fsck()


def test_an_empty_file(image, editor):
    editor.mkfile("/f", 0)
    assert extents(image, "/f") == []
    with pytest.raises(Constraint, match="empty"):
        editor.prepare("/f")


@pytest.mark.parametrize(
    "name",
    ["a b", "<5>", "<13>", '"quoted"', "#comment", "grün", "-rf", "'", "back\\slash", "x" * 255, "~", "a\u00a0b"],
)
def test_any_name(image, editor, name):
    editor.mkfile(f"/dir {name}"[:250] + f"/{name}", BLOCK)
    folder = f"/dir {name}"[:250]
    assert shape(image, f"{folder}/{name}") == [(0, 1, False)]
    editor.unlink(f"{folder}/{name}")
    with pytest.raises(NotFound):
        extents(image, f"{folder}/{name}")
    image.fsck()


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "tab\t", "x" * 256, "\x7f"])
def test_names_that_are_refused(image, editor, name):
    with pytest.raises((UsageError, Conflict, Unsafe)):
        editor.mkfile(f"/{name}", BLOCK)
    image.fsck()


def test_a_file_that_exists(editor):
    editor.mkfile("/f", BLOCK)
    with pytest.raises(Conflict):
        editor.mkfile("/f", BLOCK)
    with pytest.raises(Conflict, match="not a directory"):
        editor.mkfile("/f/below", BLOCK)
    editor.mkdir("/d/e")
    editor.mkdir("/d/e")


@pytest.mark.parametrize("state", ["odd", ""])
def test_an_unknown_state(editor, state):
    with pytest.raises(UsageError) as caught:
        editor.mkfile("/f", BLOCK, state)
    assert "sparse" in caught.value.hint


def test_stale_bytes_never_show(image, editor):
    """Blocks that held another file's data read as zeros in a new file."""
    editor.mkfile("/old", MIB)
    editor.write("/old", 0, b"secret__" * (MIB // 8))
    place = extents(image, "/old")[0]
    editor.unlink("/old")
    editor.mkfile("/new", MIB)
    assert extents(image, "/new")[0].physical == place.physical
    assert image.cat("/new") == bytes(MIB)
    assert image.peek(place.physical, MIB) == bytes(MIB)


def test_media_stay_sparse(image, editor):
    before = image.path.stat().st_blocks
    editor.mkfile("/f", 16 * MIB)
    assert image.path.stat().st_blocks - before < 256  # sectors


def test_equal_hosts_have_equal_bytes(tmp_path):
    need("mke2fs", "debugfs")
    found = []
    for name in ("one", "two"):
        image = Image(tmp_path / name, 8 * MIB)
        make_ext4(image.path, 0, image.size, uuid=UUID, label="pmem0")
        editor = Ext4Editor(image.path, 0, image.size, now=EPOCH)
        editor.mkfile("/folder/vm1.img", MIB)
        editor.mkfile("/vm2.img", MIB, "fragmented")
        found.append(image.path.read_bytes())
        time.sleep(1.1 if name == "one" else 0)
    assert found[0] == found[1]


def test_what_was_there_before_is_gone(image, editor):
    editor.mkfile("/f", MIB)
    make_ext4(image.path, OFFSET, SIZE, uuid=UUID)
    with Ext4Image(image.path, OFFSET, SIZE) as fs:
        assert list(fs.listdir(fs.lookup("/"))) == ["lost+found"]
    image.fsck()


def test_nothing_outside_the_device_is_touched(tmp_path):
    path = tmp_path / "fs.img"
    path.write_bytes(b"\xaa" * (OFFSET + SIZE + MIB))
    image = Image.__new__(Image)
    image.path, image.size, image.offset = path, SIZE, OFFSET
    make_ext4(path, OFFSET, SIZE, uuid=UUID)
    editor = Ext4Editor(path, OFFSET, SIZE)
    editor.mkfile("/f", 8 * MIB)
    editor.unlink("/f")
    image.fsck()
    data = path.read_bytes()
    assert data[:OFFSET] == b"\xaa" * OFFSET
    assert data[OFFSET + SIZE :] == b"\xaa" * MIB


def test_zeroing_can_be_left_to_the_owner_of_the_media(image):
    asked = []
    Ext4Editor(image.path, OFFSET, SIZE, zero=lambda at, length: asked.append((at, length))).mkfile("/f", MIB)
    assert asked == [(extents(image, "/f")[0].physical, MIB)]


@pytest.mark.parametrize(("offset", "size"), [(0, 1000), (512, 8 * MIB), (0, 64 * MIB)])
def test_a_device_that_does_not_fit(tmp_path, offset, size):
    image = Image(tmp_path / "fs.img", 16 * MIB)
    with pytest.raises(Constraint):
        make_ext4(image.path, offset, size, uuid=UUID)


# --- preparing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "commands",
    [
        ["write {data} f"],
        ["write {data} f", "fallocate f 0 63"],
        ["write /dev/null f", "sif f size 262144"],
        ["write /dev/null f", "sif f size 262144", "fallocate f 10 20", "fallocate f 40 63"],
        ["write {data} f", "fallocate f 60 90"],
        ["write {data} f", "punch f 3 40"],
        ["write /dev/null f", "sif f size 250000", "fallocate f 0 99"],
        ["write {data} f", *[f"fallocate f {block} {block}" for block in range(1, 64, 5)]],
    ],
    ids=[
        "holes where the data had zeros",
        "half written, half unwritten",
        "only a hole",
        "unwritten and holes",
        "allocated beyond the end",
        "punched",
        "one extent across the end",
        "many small ones",
    ],
)
def test_prepare_makes_every_block_written_and_keeps_the_data(tmp_path, image, editor, commands):
    data = tmp_path / "data"
    data.write_bytes(b"".join((b"%04d" % i) * 1024 if i % 4 == 0 else bytes(BLOCK) for i in range(64)))
    image.debugfs(*[command.format(data=data) for command in commands])
    before = content(image, "/f")
    free = image.free_blocks()
    assert editor.prepare("/f") is True
    image.fsck()
    blocks = -(-len(before) // BLOCK)
    covered = [e for e in extents(image, "/f") if e.logical < len(before)]
    assert sum(e.length for e in covered) == blocks * BLOCK
    assert not any(e.flags & FIEMAP_EXTENT_UNWRITTEN for e in covered)
    assert content(image, "/f") == before == image.cat("/f")
    assert image.free_blocks() <= free
    assert editor.prepare("/f") is False  # nothing left to do


def test_prepare_of_what_is_ready(image, editor):
    editor.mkfile("/f", MIB)
    before = image.path.read_bytes()
    assert editor.prepare("/f") is False
    assert image.path.read_bytes() == before


@pytest.mark.parametrize("path", ["/nothing", "/folder"])
def test_prepare_of_what_is_no_file(editor, path):
    editor.mkdir("/folder")
    with pytest.raises((NotFound, Unsafe)):
        editor.prepare(path)


# --- other changes -------------------------------------------------------------------------------------------------


def test_fallocate_punch_truncate(image, editor):
    editor.mkfile("/f", 64 * BLOCK)
    editor.write("/f", 0, b"x" * 64 * BLOCK)
    editor.punch("/f", 8 * BLOCK, 8 * BLOCK)
    assert shape(image, "/f") == [(0, 8, False), (16, 48, False)]
    editor.fallocate("/f", 10 * BLOCK, 2 * BLOCK)
    assert shape(image, "/f") == [(0, 8, False), (10, 2, True), (16, 48, False)]
    editor.fallocate("/f", 64 * BLOCK, 5)
    assert shape(image, "/f")[-1] == (64, 1, True)
    assert len(content(image, "/f")) == 64 * BLOCK + 5
    editor.truncate("/f", 20 * BLOCK + 100)
    assert shape(image, "/f")[-1] == (16, 5, False)
    image.fsck()
    editor.truncate("/f", 30 * BLOCK)
    expected = b"x" * 8 * BLOCK + bytes(8 * BLOCK) + b"x" * (4 * BLOCK + 100) + bytes(10 * BLOCK - 100)
    assert content(image, "/f") == expected == image.cat("/f")
    editor.truncate("/f", 0)
    assert extents(image, "/f") == []
    image.fsck()


def test_unlink_gives_the_space_back(image, editor):
    free = image.free_blocks()
    editor.mkfile("/f", 4 * MIB, "fragmented", chunk=1)
    assert image.free_blocks() < free - 1024
    editor.unlink("/f")
    assert image.free_blocks() == free
    image.fsck()
    with pytest.raises(Constraint):
        editor.unlink("/lost+found")


def test_write_needs_written_blocks(image, editor):
    editor.mkfile("/f", 2 * BLOCK, "fragmented", chunk=1)
    editor.write("/f", BLOCK - 3, b"across")
    assert content(image, "/f")[BLOCK - 3 : BLOCK + 3] == b"across"
    editor.mkfile("/u", BLOCK, "unwritten")
    for path, offset in (("/u", 0), ("/f", 2 * BLOCK - 1)):
        with pytest.raises(Unsafe):
            editor.write(path, offset, b"xy")


def test_no_space(image, editor):
    free = image.free_blocks()
    with pytest.raises(Constraint, match="no space") as caught:
        editor.mkfile("/f", SIZE)
    assert caught.value.code == "XLPY-EXT4-NO-SPACE"
    editor.mkfile("/sparse", SIZE, "sparse")
    for change in (lambda: editor.prepare("/sparse"), lambda: editor.fallocate("/sparse", 0, SIZE)):
        with pytest.raises(Constraint, match="no space"):
            change()
    assert image.free_blocks() == free
    image.fsck()


def test_no_space_that_only_debugfs_notices(image, editor, monkeypatch):
    """A file that cannot be finished is not left behind."""
    monkeypatch.setattr("xlpy.dom0.ext4.edit._check_space", lambda *_: None)
    free = image.free_blocks()
    with pytest.raises(Constraint, match="no space"):
        editor.mkfile("/f", SIZE)
    with pytest.raises(NotFound):
        extents(image, "/f")
    assert image.free_blocks() == free
    image.fsck()


def test_no_inodes_left(tmp_path):
    image = Image(tmp_path / "fs.img", 2 * MIB)
    make_ext4(image.path, 0, image.size, uuid=UUID)
    editor = Ext4Editor(image.path, 0, image.size)
    editor.mkdir("/" + "/".join("abcdefghijklmnopqrst"))
    with pytest.raises(Constraint, match="no space"):
        editor.mkdir("/" + "/".join("zyxwvutsrqponmlkj"))
    image.fsck()


# --- pins ----------------------------------------------------------------------------------------------------------


def test_an_immutable_file_does_not_change(image, editor):
    editor.mkfile("/f", MIB)
    pin(editor, "/f", True)
    assert "Flags: 0x80010" in image.debugfs("stat /f")
    before = extents(image, "/f")
    for change in (
        lambda: editor.truncate("/f", 0),
        lambda: editor.punch("/f", 0, BLOCK),
        lambda: editor.fallocate("/f", MIB, MIB),
        lambda: editor.unlink("/f"),
    ):
        with pytest.raises(Conflict) as caught:
            change()
        assert caught.value.code == "XLPY-PMEM-PINNED"
    assert extents(image, "/f") == before
    editor.prepare("/f")  # ready already
    image.fsck()
    pin(editor, "/f", False)
    pin(editor, "/f", False)
    editor.unlink("/f")


@pytest.mark.parametrize(("options", "features"), [
    ((), "metadata_csum"),
    ((), "^metadata_csum,uninit_bg"),
    (("-I", 128), "metadata_csum,^extra_isize"),
    (("-I", 1024), "metadata_csum,metadata_csum_seed"),
])  # fmt: skip
def test_the_flag_is_right_in_inodes_of_any_shape(tmp_path, options, features):
    image = Image(tmp_path / "fs.img").mke2fs(*options, features=features)
    image.debugfs("write /dev/null f")
    editor = Ext4Editor(image.path, 0, image.size)
    for on, flags in ((True, "0x80010"), (False, "0x80000")):
        pin(editor, "/f", on)
        assert f"Flags: {flags}" in image.debugfs("stat /f")
        image.fsck()


@pytest.mark.parametrize(
    ("made", "added", "words"),
    [
        ("quota", 0, "quota (debugfs does not keep its accounts)"),
        ("inline_data", 0, "the file system has inline_data"),
        ("", 0x1000, "changed here: read-only"),
        ("", 0x20000, "unknown read-only feature 0x20000"),
    ],
)
def test_features_with_which_nothing_is_changed(tmp_path, made, added, words):
    """Linux keeps quotas right, debugfs does not; with the others Linux changes nothing itself, or debugfs cannot."""
    image = Image(tmp_path / "fs.img").mke2fs(features=made)
    if added:
        raw = bytearray(image.peek(1024, 1024))
        struct.pack_into("<I", raw, 0x64, struct.unpack_from("<I", raw, 0x64)[0] | added)
        struct.pack_into("<I", raw, 1020, crc32c(0xFFFFFFFF, bytes(raw[:1020])))
        image.poke(1024, raw)
    before = Path(image.path).read_bytes()
    with pytest.raises(Unsafe, match=re.escape(words)) as caught:
        Ext4Editor(image.path, 0, image.size).mkfile("/f", 4096)
    assert caught.value.code == "XLPY-EXT4-FEATURE"
    with Ext4Image(image.path) as fs:
        assert fs.listdir(fs.lookup("/")).keys() == {"lost+found"}
    assert Path(image.path).read_bytes() == before


def test_descriptors_in_the_middle_of_the_device(tmp_path):
    """With meta_bg debugfs stores into the copies of descriptors too, which lie in three groups of each run."""
    image = Image(tmp_path / "fs.img", 300 * MIB).mke2fs("-g", 1024, features="meta_bg,^resize_inode")
    editor = Ext4Editor(image.path, 0, image.size)
    editor.mkfile("/d/f", 5 * MIB)
    editor.mkfile("/d/g", 5 * MIB, "fragmented")
    editor.unlink("/d/f")
    image.fsck()


def test_an_unprepared_file_that_is_immutable(editor):
    editor.mkfile("/f", MIB, "unwritten")
    pin(editor, "/f", True)
    with pytest.raises(Conflict):
        editor.prepare("/f")


def test_the_kernel_agrees_and_obeys_the_flag(tmp_path, image, editor):
    for state in STATES:
        editor.mkfile(f"/{state}", MIB, state)
    editor.prepare("/sparse")
    pin(editor, "/written", True)
    before = {state: extents(image, f"/{state}") for state in STATES}
    with mounted(image, tmp_path / "mnt", "rw") as folder:
        assert {state: LinuxDom0().fiemap(str(folder / state)) for state in STATES} == before
        for change in (lambda: os.truncate(folder / "written", 0), (folder / "written").unlink):
            with pytest.raises(PermissionError):
                change()
        os.truncate(folder / "sparse", 0)
    image.fsck()
    assert extents(image, "/written") == before["written"]
    assert extents(image, "/sparse") == []


# --- programs that are missing, fail or are killed -----------------------------------------------------------------


def test_programs_are_found_outside_the_path(monkeypatch):
    need("debugfs")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert tools.find_program("debugfs").endswith("/debugfs")


def test_no_e2fsprogs(image, editor, monkeypatch):
    monkeypatch.setattr(tools, "_SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    for use in (
        lambda: make_ext4(image.path, OFFSET, SIZE, uuid=UUID),
        lambda: editor.mkfile("/f", BLOCK),
    ):
        with pytest.raises(MissingTool, match="is needed and not installed") as caught:
            use()
        assert "e2fsprogs" in caught.value.hint
    monkeypatch.undo()
    image.fsck()  # what was there is still there


def program(tmp_path, monkeypatch, name, text):
    """Put a shell script in front of a real program."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_debugfs_that_complains_but_exits_with_0(tmp_path, editor, monkeypatch):
    program(tmp_path, monkeypatch, "debugfs", "echo debugfs 1.99.9 >&2; echo something is wrong >&2; exit 0")
    with pytest.raises(FormatError, match="something is wrong"):
        editor.mkfile("/f", BLOCK)


def test_mke2fs_that_fails(tmp_path, image, monkeypatch):
    program(tmp_path, monkeypatch, "mke2fs", "echo mke2fs 1.99.9 >&2; echo it broke >&2; exit 1")
    with pytest.raises(FormatError, match="status 1") as caught:
        make_ext4(image.path, OFFSET, SIZE, uuid=UUID)
    assert caught.value.details == ("it broke",)


def test_a_question_mark_in_the_path(tmp_path):
    with pytest.raises(Constraint, match="question mark"):
        make_ext4(Image(tmp_path / "a?b", 8 * MIB).path, 0, 8 * MIB, uuid=UUID)


@pytest.mark.parametrize("run", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_program_changes_nothing(tmp_path, image, editor, monkeypatch, run, when):
    """debugfs dies before or after its work, the first or the second time that it is started."""
    editor.mkfile("/keep", MIB)
    before = image.path.read_bytes()
    count = tmp_path / "count"
    real = shutil.which("debugfs", path="/sbin:/usr/sbin:/usr/bin")
    die = "kill -9 $$"
    with monkeypatch.context() as patch:
        program(
            tmp_path,
            patch,
            "debugfs",
            f'echo >>{count}; [ $(wc -l <{count}) = {run} ] || exec {real} "$@"\n'
            + (die if when == "before" else f'{real} "$@"; {die}'),
        )
        with pytest.raises(Interrupted, match=r"debugfs was killed by signal 9.*") as caught:
            editor.mkfile("/f", MIB)
    assert "nothing was changed" in caught.value.hint
    assert image.path.read_bytes() == before
    assert Journal(image.path, OFFSET).pending() == []
    editor.mkfile("/f", MIB)
    image.fsck()


def test_an_edit_that_cannot_be_stored_is_taken_back(image, editor, monkeypatch):
    editor.mkfile("/keep", MIB)
    before = image.path.read_bytes()
    pwrite, count = os.pwrite, [0]

    def full(fd, data, offset):
        if os.path.realpath(f"/proc/self/fd/{fd}") == str(image.path):
            count[0] += 1
            if count[0] == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(Constraint, match="No space left"):
        editor.mkfile("/f", MIB)
    assert image.path.read_bytes() == before
    assert Journal(image.path, OFFSET).pending() == []


def test_edits_are_finished_or_taken_back(image):
    """What is kept of an edit serves both ways, however far the edit came."""
    editor = Ext4Editor(image.path, OFFSET, SIZE, keep=lambda _name: None)
    start = image.path.read_bytes()
    for path in ("/one", "/two"):
        editor.mkfile(path, MIB)
    first, second = editor.journal.pending()
    done = image.path.read_bytes()
    editor.recover(lambda name: name == first)
    assert editor.journal.pending() == []
    with Ext4Image(image.path, OFFSET, SIZE) as fs:
        assert "one" in fs.listdir(fs.lookup("/"))
        assert "two" not in fs.listdir(fs.lookup("/"))
    image.fsck()
    editor.mkfile("/two", MIB)
    third = editor.journal.pending()
    assert third != [second]
    editor.take_back(lambda name: name not in third)
    image.fsck()
    editor.unlink("/one")
    editor.recover(lambda _name: False)
    assert [len(start), len(done)] == [len(image.path.read_bytes())] * 2
    with Ext4Image(image.path, OFFSET, SIZE) as fs:
        assert "one" in fs.listdir(fs.lookup("/"))


def test_an_edit_that_was_not_written_in_full_is_none(image):
    journal = Journal(image.path, OFFSET)
    name = journal.write([ByteEdit(0, bytes(4), b"abcd")])
    kept = Path(f"{image.path}.ext4-{OFFSET:x}.edit-{name}")
    kept.rename(f"{kept}.new")
    assert journal.pending() == []
    assert not list(image.path.parent.glob("*.edit-*"))


def test_a_program_that_writes_where_it_should_not(tmp_path, image, editor, monkeypatch):
    """A block in use that nobody has looked at is changed in the copy: that is no edit."""
    editor.mkfile("/keep", MIB)
    block = extents(image, "/keep")[0].physical // BLOCK
    before = image.path.read_bytes()
    program(
        tmp_path,
        monkeypatch,
        "debugfs",
        f'for last; do :; done; printf x | dd of="$last" bs={BLOCK} seek={block} conv=notrunc status=none',
    )
    with pytest.raises(FormatError, match=f"block {block}, which is in use"):
        editor.unlink("/keep")
    assert image.path.read_bytes() == before


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_a_limit_on_file_sizes(image, editor, limit):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = image.path.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(Constraint, match="File too large") as caught:
            editor.mkfile("/f", MIB)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "ulimit -f" in caught.value.hint
    assert image.path.read_bytes() == before


def test_the_copy_holds_metadata_only(image, editor):
    """Its size is that of what is in use of the file system's metadata, whatever the files hold."""
    editor.mkfile("/data", 8 * MIB)
    editor.write("/data", 0, bytes(range(256)) * (4 * MIB // 256))
    with ScratchCopy(image.path, OFFSET, SIZE) as scratch:
        assert os.fstat(scratch.fd).st_blocks * 512 < MIB
        assert scratch.changes() == []


def test_killed_at_any_instant(image, editor):
    """The next command finds a sound file system, whatever the last one came to."""
    script = f"""
from xlpy.dom0.ext4.edit import STATES, Ext4Editor
print("ready", flush=True)
for number in range(100):
    Ext4Editor({str(image.path)!r}, {OFFSET}, {SIZE}).mkfile(f"/f{{number}}", 200 * 4096, "fragmented", chunk=1)
"""
    for delay in (0.0, 0.011, 0.023, 0.037, 0.05):
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(delay)
        child.kill()
        child.wait()
        editor.recover()
        image.fsck()
        with Ext4Image(image.path, OFFSET, SIZE) as fs:
            for name in fs.listdir(fs.lookup("/")):
                if name != "lost+found":
                    fs.fiemap(fs.lookup(name))
                    editor.unlink(f"/{name}")


def test_a_reader_waits_for_an_editor_and_sees_what_it_did(image, editor):
    with Ext4Image(image.path, OFFSET, SIZE) as fs:
        free = fs.superblock.free_blocks
        editor.mkfile("/f", MIB)
        assert fs.fiemap(fs.lookup("/f"))[0].length == MIB
        assert fs.superblock.free_blocks == free - 256


def test_an_image_does_not_change_while_its_files_are_walked(image, editor, monkeypatch):
    """Also between two steps, in which others use it; an iterator that is given up lets it go."""
    monkeypatch.setattr("xlpy.dom0.ext4.guard.LOCK_SECONDS", 0.05)
    for name in ("a", "b", "c"):
        editor.mkfile(f"/{name}", BLOCK)
    with Ext4Image(image.path, OFFSET, SIZE) as fs:
        walk = fs.walk()
        path, inode = next(walk)
        assert (path, fs.fiemap(inode)[0].length) == ("/a", BLOCK)
        with pytest.raises(Conflict, match="another process"):
            editor.unlink("/b")
        walk.close()
        editor.unlink("/b")
        assert [path for path, _ in fs.walk()] == ["/a", "/c"]


def test_an_editor_that_never_ends(image, editor, monkeypatch):
    monkeypatch.setattr("xlpy.dom0.ext4.guard.LOCK_SECONDS", 0.05)
    editor.recover()
    with Path(lock_path(image.path, OFFSET)).open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for use in (lambda: editor.mkfile("/f", BLOCK), lambda: extents(image, "/")):
            with pytest.raises(Conflict, match="another process"):
                use()


def test_without_root():
    if os.geteuid():
        pytest.skip("runs as an ordinary user anyway")
    need("mke2fs", "debugfs", "e2fsck")
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        image = Image(Path(folder, "fs.img"), 8 * MIB)
        os.chown(image.path, 65534, 65534)
        child = os.fork()
        if not child:
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                make_ext4(image.path, 0, image.size, uuid=UUID)
                editor = Ext4Editor(image.path, 0, image.size)
                editor.mkfile("/f", 65536, "sparse")
                editor.prepare("/f")
                pin(editor, "/f", True)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        image.fsck()
        with Ext4Image(image.path) as fs:
            inode = fs.lookup("/f")
            assert inode.immutable
            assert fs.fiemap(inode) == [Extent(0, fs.fiemap(inode)[0].physical, 65536, FIEMAP_EXTENT_LAST)]
