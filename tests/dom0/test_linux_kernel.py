"""The real Dom0 on the machine that runs the tests: whatever file system temporary files are on."""

import os
import re
import subprocess

import pytest
from dom0.ext4.images import need, tool

from xlpy.dom0.extents import FIEMAP_EXTENT_LAST, FIEMAP_EXTENT_UNWRITTEN, flag_names
from xlpy.dom0.linux import LinuxDom0
from xlpy.errors import Unsafe

BLOCK = 4096


@pytest.fixture
def path(tmp_path):
    """A file; the test is skipped where the kernel has no FIEMAP for it."""
    made = tmp_path / "file"
    made.write_bytes(b"x" * 10)
    try:
        LinuxDom0().fiemap(str(made))
    except Unsafe as error:
        pytest.skip(error.message)
    return made


def filefrag(path):
    """(logical, length, flags as words) of each row, in blocks of 4096 bytes."""
    need("filefrag")
    text = tool("filefrag", "-v", "-b4096", path).stdout
    rows = re.findall(r"^ *\d+: +(\d+)\.\. +\d+: +(\d+)\.\. +\d+: +(\d+):(?: +\d+:)? *(\S*)", text, re.M)
    return [(int(a), int(p), int(n), set(w.split(",")) - {"", "eof", "merged"}) for a, p, n, w in rows]


def write(path, blocks, data=b"y"):
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    for block in blocks:
        os.pwrite(fd, data * BLOCK, block * BLOCK)
    os.close(fd)


def test_equal_to_filefrag(path):
    write(path, [*range(8), *range(20, 60, 3)])
    found = LinuxDom0().fiemap(str(path))
    told = [(e.logical // BLOCK, e.physical // BLOCK, e.length // BLOCK, set(flag_names(e.flags))) for e in found]
    joined = found.merged()
    assert found == joined
    assert sum(n for _, _, n, _ in told) == sum(n for _, _, n, _ in filefrag(path))
    if len(told) == len(filefrag(path)):  # the kernel may split what we merge
        assert told == filefrag(path)
    assert found[-1].flags & FIEMAP_EXTENT_LAST


def test_sync_makes_delayed_allocation_real(path):
    write(path, range(16))
    assert not any(flag_names(e.flags) != ("last",) for e in LinuxDom0().fiemap(str(path))[-1:])


def test_allocated_and_not_written(path):
    os.truncate(path, 0)
    fd = os.open(path, os.O_RDWR)
    try:
        os.posix_fallocate(fd, 0, 16 * BLOCK)
    except OSError as error:
        pytest.skip(f"no fallocate here: {error.strerror}")
    finally:
        os.close(fd)
    found = LinuxDom0().fiemap(str(path))
    if not found[-1].flags & FIEMAP_EXTENT_UNWRITTEN:
        pytest.skip("this file system has no unwritten extents")
    assert sum(e.length for e in found) == 16 * BLOCK
    write(path, range(16))
    assert not any(e.flags & FIEMAP_EXTENT_UNWRITTEN for e in LinuxDom0().fiemap(str(path)))


def test_more_extents_than_fit_one_call(path, monkeypatch):
    monkeypatch.setattr("xlpy.dom0.linux.CAPACITY", 7)
    write(path, range(0, 200, 2))
    found = LinuxDom0().fiemap(str(path))
    monkeypatch.undo()
    assert found == LinuxDom0().fiemap(str(path))


def test_no_fiemap():
    with pytest.raises(Unsafe) as caught:
        LinuxDom0().fiemap("/proc/cpuinfo")
    assert caught.value.code == "XLPY-PMEM-FIEMAP"


def test_the_mount_of_temporary_files(tmp_path):
    one = LinuxDom0()
    need("findmnt")
    expected = tool("findmnt", "-n", "-o", "TARGET,FSTYPE", "-T", tmp_path).stdout.split()
    mount = one.mount_of(str(tmp_path))
    assert [mount.mountpoint, mount.fstype] == expected


def has(program):
    return subprocess.run(["sh", "-c", f"command -v {program}"], capture_output=True, check=False).returncode == 0


def test_pin_on_this_kernel(path):
    one = LinuxDom0()
    try:
        one.pin(str(path), "vm1")
    except Unsafe as error:
        pytest.skip(f"{error.message}; {error.hint}")
    try:
        for change in (lambda: os.truncate(path, 1), path.unlink, lambda: path.rename(path.with_suffix(".x"))):
            with pytest.raises(PermissionError):
                change()
        one.check_pinned(str(path))
    finally:
        one.unpin(str(path), "vm1")
    path.unlink()
