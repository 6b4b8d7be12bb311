"""What the protocol ``kernel.Dom0`` promises, asked of the emulated Dom0 and of this machine's kernel."""

import os
from typing import NamedTuple

import pytest

from xlpy.dom0.extents import FIEMAP_EXTENT_LAST
from xlpy.dom0.kernel import Dom0
from xlpy.dom0.linux import LinuxDom0
from xlpy.errors import Conflict, NotFound, Unsafe

SIZE = 1 << 20


class World(NamedTuple):
    """A Dom0, and what there is in it.

    file: a regular file of ``SIZE`` bytes, all written. folder: what it lies in.
    """

    dom0: Dom0
    file: str
    folder: str

    @property
    def missing(self):
        return f"{self.folder}/missing"


@pytest.fixture(params=["emulated", "linux"])
def world(request, tmp_path):
    if request.param == "emulated":
        host = request.getfixturevalue("host")
        with host.change("test"):
            host.dom0.mkfile("/mnt/pmem0/conformance", SIZE)
            yield World(host.dom0, "/mnt/pmem0/conformance", "/mnt/pmem0")
        return
    path = tmp_path / "conformance"
    path.write_bytes(os.urandom(SIZE))
    yield World(LinuxDom0(), str(path), str(tmp_path))


def test_stat(world):
    found = world.dom0.stat(world.file)
    assert (found.kind, found.size, found.links) == ("file", SIZE, 1)
    assert world.dom0.stat(world.folder).kind == "dir"
    assert found.device == world.dom0.stat(world.folder).device


@pytest.mark.parametrize("question", ["stat", "mount_of", "fiemap", "file_state", "file_users"])
def test_what_is_not_there(world, question):
    with pytest.raises(NotFound) as told:
        getattr(world.dom0, question)(world.missing)
    assert "missing" in told.value.message


def test_mounts(world):
    mount = world.dom0.mount_of(world.file)
    assert mount in world.dom0.mounts()
    assert world.file.startswith(mount.mountpoint)
    assert mount.fstype
    assert mount == world.dom0.mount_of(world.folder)


@pytest.mark.parametrize("path", ["/sys/block/no-such-device/size", "/sys/block"])
def test_what_sysfs_does_not_have(world, path):
    with pytest.raises(NotFound):
        world.dom0.sysfs(path)


def test_an_unknown_device_number(world):
    with pytest.raises(NotFound):
        world.dom0.block_device_name(511, 1048575)


def test_fiemap(world):
    try:
        extents = list(world.dom0.fiemap(world.file))
    except Unsafe as error:
        pytest.skip(f"the file system of temporary files: {error.message}")
    assert [one.logical for one in extents] == sorted(one.logical for one in extents)
    at = 0
    for one in extents:
        assert one.logical == at
        at += one.length
    assert at == SIZE
    assert [bool(one.flags & FIEMAP_EXTENT_LAST) for one in extents] == [False] * (len(extents) - 1) + [True]


def test_a_file_that_is_not_used(world):
    assert world.dom0.file_users(world.file) == []
    assert world.dom0.file_state(world.file).why == ""


def test_holds(world):
    try:
        world.dom0.pin(world.file, "one")
    except Unsafe as error:
        pytest.skip(f"files cannot be held here: {error.message}")
    try:
        world.dom0.check_pinned(world.file)
        world.dom0.pin(world.file, "one")  # once more by the same owner
        with pytest.raises(Conflict, match="one"):
            world.dom0.pin(world.file, "two")
    finally:
        world.dom0.unpin(world.file, "one")
    world.dom0.unpin(world.file, "one")
    with pytest.raises(NotFound):
        world.dom0.check_pinned(world.file)
    world.dom0.pin(world.file, "two")
    world.dom0.unpin(world.file, "two")
