"""The real Dom0 against a made-up one: sysfs, a mount table and a kernel's answers in a folder."""

import errno
import os
import struct

import pytest

from xlpy.dom0.extents import (
    FIEMAP_EXTENT_LAST,
    FIEMAP_EXTENT_UNWRITTEN,
    FIEMAP_FLAG_SYNC,
    FS_IOC_FIEMAP,
    Extent,
)
from xlpy.dom0.files.statx import Attributes
from xlpy.dom0.kernel import FileState, Mount
from xlpy.dom0.linux import FS_IOC_FSGETXATTR, FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, LinuxDom0
from xlpy.errors import Conflict, Constraint, FormatError, NotFound, Unsafe
from xlpy.store import Store

MOUNTS = """\
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw,errors=continue
22 21 0:20 / /proc rw,nosuid - proc proc rw
30 21 259:0 / {mnt}/pmem0 rw,relatime shared:9 master:2 - ext4 /dev/disk/by-uuid/x rw,dax=always
31 21 259:2 / {mnt}/with\\040space\\134and\\011tab rw - xfs /dev/pmem1p1 rw,attr2,dax=always
32 30 0:99 / {mnt}/pmem0/inner rw - tmpfs tmpfs rw,size=1k
33 21 0:41 /sub {mnt}/btrfs rw - btrfs /dev/vdb rw,subvol=/sub
"""


class Kernel:
    """Answers the ioctls that a file system would get.

    maps: one list of extents for each pass over a file; the last one is used again.
    per_call: extents copied out at most by one call.
    """

    def __init__(self, *maps, per_call=1000, fail=0, xflags=0, flags=0x80000):
        self.maps, self.per_call, self.fail = list(maps) or [[]], per_call, fail
        self.xflags, self.flags = xflags, flags
        self.requests = []

    def __call__(self, fd, request, buffer, mutate):
        assert mutate
        if request == FS_IOC_FSGETXATTR:
            if self.xflags is None:
                raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
            struct.pack_into("<I", buffer, 0, self.xflags)
        elif request == FS_IOC_GETFLAGS:
            struct.pack_into("<I", buffer, 0, self.flags)
        elif request == FS_IOC_SETFLAGS:
            if self.fail:
                raise OSError(self.fail, os.strerror(self.fail))
            self.flags = struct.unpack_from("<I", buffer)[0]
        else:
            assert request == FS_IOC_FIEMAP
            self.fiemap(buffer)

    def fiemap(self, buffer):
        if self.fail:
            raise OSError(self.fail, os.strerror(self.fail))
        start, length, flags, _, capacity, _ = struct.unpack_from("<QQIIII", buffer)
        assert start + length == (1 << 64) - 1
        self.requests.append((start, flags))
        extents = self.maps[0]
        found = [e for e in extents if e.logical + e.length > start][: min(capacity, self.per_call)]
        struct.pack_into("<I", buffer, 20, len(found))
        for number, extent in enumerate(found):
            struct.pack_into("<QQQ16xI12x", buffer, 32 + 56 * number, *extent)
        if (not found or found[-1] == extents[-1]) and len(self.maps) > 1:
            self.maps.pop(0)


@pytest.fixture
def machine(tmp_path):
    """A folder with sysfs and a mount table, of a machine with pmem0 and pmem1p1."""
    disk = tmp_path / "sys/devices/ndbus0/region0/pfn0.0/block/pmem0"
    disk.mkdir(parents=True)
    (disk.parents[1] / "resource").write_text("0x100200000\n")
    (disk.parents[1] / "size").write_text("266338304\n")
    (disk / "device").symlink_to("../../../pfn0.0")
    part = tmp_path / "sys/devices/ndbus0/region1/pfn1.0/block/pmem1/pmem1p1"
    part.mkdir(parents=True)
    (part / "start").write_text("2048\n")
    (tmp_path / "sys/block").mkdir()
    (tmp_path / "sys/block/pmem0").symlink_to("../devices/ndbus0/region0/pfn0.0/block/pmem0")
    (tmp_path / "sys/block/pmem1").symlink_to("../devices/ndbus0/region1/pfn1.0/block/pmem1")
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block/259:0").symlink_to("../../devices/ndbus0/region0/pfn0.0/block/pmem0")
    (tmp_path / "sys/dev/block/259:2").symlink_to("../../devices/ndbus0/region1/pfn1.0/block/pmem1/pmem1p1")
    for folder in ("pmem0/inner", "with space\\and\ttab", "btrfs", "else"):
        (tmp_path / "mnt" / folder).mkdir(parents=True)
        (tmp_path / "mnt" / folder / "file").write_bytes(bytes(8192))
    (tmp_path / "mnt/pmem0/file").write_bytes(bytes(8192))
    (tmp_path / "mountinfo").write_text(MOUNTS.format(mnt=tmp_path / "mnt"))
    return tmp_path


def dom0(machine, kernel=None, **more):
    return LinuxDom0(sysfs=str(machine / "sys"), mountinfo=str(machine / "mountinfo"), ioctl=kernel or Kernel(), **more)


# --- files, mounts, sysfs ------------------------------------------------------------------------------------------


def test_stat(machine):
    found = dom0(machine).stat(str(machine / "mnt/pmem0/file"))
    real = os.stat(machine / "mnt/pmem0/file")  # noqa: PTH116
    assert found == ("file", 8192, (os.major(real.st_dev), os.minor(real.st_dev)), real.st_ino, 1)


@pytest.mark.parametrize("kind", ["dir", "fifo", "symlink", "char"])
def test_kinds(machine, kind):
    path = machine / "thing"
    expected = kind
    if kind == "dir":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        path.symlink_to("mnt/pmem0/file")
        expected = "file"
    else:
        path = "/dev/null"
    found = dom0(machine).stat(str(path))
    assert found.kind == expected
    if kind == "char":
        assert found.device == (1, 3)


def test_nothing_there(machine):
    for use in (dom0(machine).stat, dom0(machine).mount_of, dom0(machine).fiemap):
        for path in ("nothing", "mnt/pmem0/file/below"):
            with pytest.raises(NotFound):
                use(str(machine / path))


def test_mounts(machine):
    """Devices get the kernel's name where there is one, text is unescaped, options of mount and file system joined."""
    mnt = machine / "mnt"
    assert dom0(machine).mounts() == [
        Mount("/dev/root", "/", "ext4", ("rw", "relatime", "errors=continue")),
        Mount("proc", "/proc", "proc", ("rw", "nosuid")),
        Mount("/dev/pmem0", f"{mnt}/pmem0", "ext4", ("rw", "relatime", "dax=always")),
        Mount("/dev/pmem1p1", f"{mnt}/with space\\and\ttab", "xfs", ("rw", "attr2", "dax=always")),
        Mount("tmpfs", f"{mnt}/pmem0/inner", "tmpfs", ("rw", "size=1k")),
        Mount("/dev/vdb", f"{mnt}/btrfs", "btrfs", ("rw", "subvol=/sub")),
    ]


@pytest.mark.parametrize(
    ("path", "device"),
    [
        ("mnt/pmem0/file", "/dev/pmem0"),
        ("mnt/pmem0", "/dev/pmem0"),
        ("mnt/pmem0/../pmem0/file", "/dev/pmem0"),
        ("mnt/pmem0/inner/file", "tmpfs"),
        ("mnt/with space\\and\ttab/file", "/dev/pmem1p1"),
        ("mnt/else/file", "/dev/root"),
        ("mnt/link", "/dev/pmem0"),
    ],
)
def test_mount_of(machine, monkeypatch, path, device):
    (machine / "mnt/link").symlink_to("pmem0/file")
    monkeypatch.setattr("os.major", lambda _: 0)  # nothing here lies on the devices of the table
    monkeypatch.setattr("os.minor", lambda _: 0)
    assert dom0(machine).mount_of(str(machine / path)).device == device


def test_mount_over_a_mount(machine, monkeypatch):
    """The later one hides the earlier; the device number decides where the table alone does not tell."""
    with (machine / "mountinfo").open("a") as table:
        table.write(f"40 30 8:1 / {machine}/mnt/pmem0 rw - ext4 /dev/sda1 rw\n")
    path = str(machine / "mnt/pmem0/file")
    monkeypatch.setattr("os.minor", lambda _: 0)
    monkeypatch.setattr("os.major", lambda _: 99)
    assert dom0(machine).mount_of(path).device == "/dev/sda1"
    monkeypatch.setattr("os.major", lambda _: 259)
    assert dom0(machine).mount_of(path).device == "/dev/pmem0"


@pytest.mark.parametrize("line", ["nonsense", "1 2 x:y / / rw - ext4 /dev/x rw", "1 2 8:1 / /mnt rw"])
def test_a_mount_table_that_is_none(machine, line):
    (machine / "mountinfo").write_text(line + "\n")
    with pytest.raises(FormatError, match="mount table"):
        dom0(machine).mounts()


def test_sysfs(machine):
    one = dom0(machine)
    assert one.sysfs("/sys/block/pmem0/device/resource") == "0x100200000"
    assert one.sysfs("/sys/block/pmem0/device/size") == "266338304"
    assert one.sysfs("/sys/block/pmem1/pmem1p1/start") == "2048"
    assert one.block_device_name(259, 0) == "pmem0"
    assert one.block_device_name(259, 2) == "pmem1p1"
    with pytest.raises(NotFound):
        one.block_device_name(259, 3)
    for path in ("/sys/block/pmem7/size", "/sys/block/pmem0", "/sys/block/pmem0/device/size/x", "/proc/meminfo"):
        with pytest.raises(NotFound):
            one.sysfs(path)


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENXIO, NotFound), (errno.EACCES, Constraint), (errno.EIO, Constraint)]
)
def test_attributes_that_cannot_be_read(machine, monkeypatch, number, error):
    """A value that does not exist yet is ENXIO; ``resource`` may be read by root only."""

    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pathlib.Path.open", fail)
    with pytest.raises(error) as caught:
        dom0(machine).sysfs("/sys/block/pmem0/device/resource")
    assert (caught.value.hint == "run as root") == (number == errno.EACCES)


# --- fiemap --------------------------------------------------------------------------------------------------------

A = Extent(0, 1 << 20, 4096, 0)
B = Extent(4096, 5 << 20, 4096, 0)
LAST = Extent(8192, 9 << 20, 4096, FIEMAP_EXTENT_LAST)


def fiemap(machine, kernel, **more):
    return dom0(machine, kernel).fiemap(str(machine / "mnt/pmem0/file"), **more)


@pytest.mark.parametrize("per_call", [1, 2, 3, 1000])
def test_calls_until_the_last_extent(machine, per_call):
    kernel = Kernel([A, B, LAST], per_call=per_call)
    assert fiemap(machine, kernel) == [A, B, LAST]
    calls = -(-3 // per_call)
    assert len(kernel.requests) == 2 * calls  # the map is read twice
    assert {flags for _, flags in kernel.requests} == {FIEMAP_FLAG_SYNC}
    assert kernel.requests[:calls] == [(4096 * per_call * i, FIEMAP_FLAG_SYNC) for i in range(calls)]


def test_without_sync(machine):
    kernel = Kernel([LAST])
    fiemap(machine, kernel, sync=False)
    assert {flags for _, flags in kernel.requests} == {0}


def test_a_file_without_extents(machine):
    assert fiemap(machine, Kernel([])) == []


def test_a_map_without_a_last_flag_ends_with_an_empty_answer(machine):
    assert fiemap(machine, Kernel([A, B])) == [A, B]


def test_split_or_merged_makes_no_difference(machine):
    """A kernel may answer neighbours one by one at first, and as one when it has them in its cache."""
    split = [Extent(0, 1 << 20, 4096, 0), Extent(4096, (1 << 20) + 4096, 4096, FIEMAP_EXTENT_LAST)]
    whole = [Extent(0, 1 << 20, 8192, FIEMAP_EXTENT_LAST)]
    assert fiemap(machine, Kernel(split, whole)) == whole


def test_a_file_that_settles(machine):
    unwritten = LAST._replace(flags=FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_UNWRITTEN)
    assert fiemap(machine, Kernel([A, unwritten], [A, B, LAST], [A, B, LAST])) == [A, B, LAST]


def test_a_file_that_never_rests(machine):
    moving = [[Extent(0, place << 12, 4096, FIEMAP_EXTENT_LAST)] for place in range(1, 20)]
    with pytest.raises(Unsafe, match="change while they are read") as caught:
        fiemap(machine, Kernel(*moving))
    assert caught.value.code == "XLPY-PMEM-MOVING"


def test_a_kernel_that_turns_in_circles(machine):
    class Circle(Kernel):
        def fiemap(self, buffer):
            struct.pack_into("<I", buffer, 20, 1)
            struct.pack_into("<QQQ16xI12x", buffer, 32, *A)

    with pytest.raises(FormatError, match="does not advance"):
        fiemap(machine, Circle())


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EOPNOTSUPP, "cannot tell where the data lies"),
        (errno.ENOTTY, "cannot tell where the data lies"),
        (errno.EBADR, "failed"),
        (errno.EIO, "failed"),
    ],
)
def test_a_file_system_that_cannot_answer(machine, number, text):
    with pytest.raises(Unsafe, match=text) as caught:
        fiemap(machine, Kernel(fail=number))
    assert caught.value.code == "XLPY-PMEM-FIEMAP"


def test_a_realtime_file(machine):
    with pytest.raises(Unsafe, match="realtime"):
        fiemap(machine, Kernel([LAST], xflags=1))
    assert fiemap(machine, Kernel([LAST], xflags=None)) == [LAST]


@pytest.mark.parametrize("path", ["mnt/pmem0", "fifo", "/dev/null"])
def test_what_is_no_file_is_not_even_opened(machine, path):
    os.mkfifo(machine / "fifo")
    with pytest.raises(Unsafe, match="not a regular file"):
        dom0(machine).fiemap(str(machine / path))


# --- pins ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "table"])
def pins(request):
    return None if request.param == "memory" else Store(None).table("pins")


def test_pin(machine, pins):
    kernel, path = Kernel([A, LAST]), str(machine / "mnt/pmem0/file")
    one = dom0(machine, kernel, pins=pins)
    with pytest.raises(NotFound):
        one.check_pinned(path)
    one.pin(path, "vm1")
    assert kernel.flags == 0x80010
    one.pin(path, "vm1")
    one.check_pinned(path)
    with pytest.raises(Conflict, match="vm1"):
        one.pin(path, "vm2")
    one.unpin(path, "vm2")
    assert kernel.flags == 0x80010
    one.unpin(path, "vm1")
    assert kernel.flags == 0x80000
    one.unpin(path, "vm1")
    one.pin(path, "vm2")


def test_a_flag_that_was_there_before_stays(machine):
    kernel, path = Kernel([LAST], flags=0x80010), str(machine / "mnt/pmem0/file")
    one = dom0(machine, kernel)
    one.pin(path, "vm1")
    one.pin(path, "vm1")
    one.unpin(path, "vm1")
    assert kernel.flags == 0x80010


@pytest.mark.parametrize("what", ["size", "extents", "inode"])
def test_a_pinned_file_that_changed_anyway(machine, what):
    kernel, path = Kernel([A, LAST]), machine / "mnt/pmem0/file"
    one = dom0(machine, kernel)
    one.pin(str(path), "vm1")
    if what == "size":
        path.write_bytes(bytes(4096))
    elif what == "extents":
        kernel.maps = [[A, B, LAST]]
    else:
        (path.parent / "new").write_bytes(bytes(8192))
        (path.parent / "new").rename(path)
    with pytest.raises(Unsafe, match="vm1") as caught:
        one.check_pinned(str(path))
    assert caught.value.code == "XLPY-PMEM-MOVED"


def test_a_pin_that_is_not_permitted(machine):
    class Refusing(Kernel):
        def fiemap(self, buffer):
            self.fail, keep = 0, self.fail
            super().fiemap(buffer)
            self.fail = keep

    one = dom0(machine, Refusing([LAST], fail=errno.EPERM))
    with pytest.raises(Unsafe, match=r"chattr \+i") as caught:
        one.pin(str(machine / "mnt/pmem0/file"), "vm1")
    assert "root" in caught.value.hint
    with pytest.raises(NotFound):
        one.check_pinned(str(machine / "mnt/pmem0/file"))


def test_a_pinned_file_that_is_gone(machine):
    path = machine / "mnt/pmem0/file"
    one = dom0(machine, Kernel([LAST]))
    one.pin(str(path), "vm1")
    path.unlink()
    one.unpin(str(path), "vm1")
    with pytest.raises(NotFound):
        one.check_pinned(str(path))


# --- how files are accessed ------------------------------------------------------------------------------------------

DAX, VERITY, ENCRYPTED = 0x200000, 0x100000, 0x800


@pytest.mark.parametrize(
    ("told", "flags", "expected"),
    [
        (Attributes(DAX, DAX), 0, FileState(True)),
        (Attributes(0, DAX), 0, FileState(False)),
        (Attributes(0, DAX), 0x4000, FileState(False, "journal")),
        (Attributes(DAX | VERITY, DAX), 0, FileState(False, "verity")),
        (Attributes(DAX | ENCRYPTED, DAX), 0, FileState(False, "encrypted")),
        (Attributes(0, 0x70), 0, FileState(None)),
        (None, 0, FileState(None)),
    ],
)
def test_statx_shows_whether_a_file_has_dax(machine, told, flags, expected):
    one = dom0(machine, Kernel(flags=flags), statx=lambda path: told)
    assert one.file_state(str(machine / "mnt/pmem0/file")) == expected


def test_no_file_has_no_state(machine):
    with pytest.raises(NotFound):
        dom0(machine).file_state(str(machine / "mnt/none"))
