"""Who uses a device or file of this machine, against a made-up sysfs and proc."""

from __future__ import annotations

import errno
import os

import pytest

from xlpy.dom0.files.statx import STATX_ATTR_DAX, attributes, decode
from xlpy.dom0.files.users import LinuxUsers
from xlpy.dom0.kernel import Mount


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """pmem0 with a partition, pmem1; paths below it stand for their nodes."""
    disk = tmp_path / "sys/devices/block/pmem0"
    for folder, number in ((disk, "259:0"), (disk / "pmem0p1", "259:1"), (disk.parent / "pmem1", "259:2")):
        folder.mkdir(parents=True)
        (folder / "dev").write_text(f"{number}\n")
        (folder / "holders").mkdir()
    (disk / "pmem0p1/partition").write_text("1\n")
    links = tmp_path / "sys/class/block"
    links.mkdir(parents=True)
    (links / "pmem0").symlink_to(disk)
    (links / "pmem0p1").symlink_to(disk / "pmem0p1")
    (links / "pmem1").symlink_to(disk.parent / "pmem1")
    (tmp_path / "proc/self/ns").mkdir(parents=True)
    (tmp_path / "proc/self/ns/mnt").symlink_to("mnt:[1]")
    (tmp_path / "proc/swaps").write_text("Filename\tType\tSize\tUsed\tPriority\n")
    nodes = {str(tmp_path / "dev" / name): number for name, number in (("pmem0", 0), ("pmem0p1", 1), ("pmem1", 2))}
    monkeypatch.setattr(
        "xlpy.dom0.files.users._identity", lambda path: ((259, nodes[path]), None) if path in nodes else (None, None)
    )
    return tmp_path


def users(machine, name, mounts=()):
    found = LinuxUsers(str(machine / "sys"), str(machine / "proc"), mounts)
    return found.of_device(str(machine / "dev" / name), name)


def test_no_users(machine):
    for name in ("pmem0", "pmem0p1", "pmem1"):
        assert users(machine, name) == []


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [("dm", "vg0-root", "(device mapper: vg0-root)"), ("md", "raid1", "(raid1)"), ("", "", "")],
)
def test_what_is_built_on_a_partition_uses_its_disk(machine, kind, value, said):
    holder = machine / "sys/devices/block/pmem0/pmem0p1/holders/above0"
    holder.mkdir()
    if kind:
        (holder / kind).mkdir()
        (holder / kind / {"dm": "name", "md": "level"}[kind]).write_text(f"{value}\n")
    expected = [f"held by above0 {said}".strip()]
    assert users(machine, "pmem0p1") == expected
    assert users(machine, "pmem0") == expected
    assert users(machine, "pmem1") == []


def test_swap_space(machine):
    path = machine / "dev/pmem1"
    (machine / "proc/swaps").write_text(f"Filename Type Size\n{path}  partition 1 0 -2\n/none\\040such file 1 0 -2\n")
    assert users(machine, "pmem1") == [f"active swap space ({path})"]
    assert users(machine, "pmem0") == []


def test_loop_devices(machine):
    for number, backing in enumerate((machine / "dev/pmem0p1", "/gone (deleted)")):
        folder = machine / f"sys/block/loop{number}/loop"
        folder.mkdir(parents=True)
        (folder / "backing_file").write_text(f"{backing}\n")
    assert users(machine, "pmem0") == ["used by the loop device loop0"]
    assert users(machine, "pmem1") == []


def test_log_and_realtime_devices(machine):
    mount = Mount("/dev/sda", "/data", "xfs", ("rw", f"logdev={machine}/dev/pmem1", f"rtdev={machine}/dev/pmem0p1"))
    assert users(machine, "pmem1", [mount]) == ["the log device of the file system on /data"]
    assert users(machine, "pmem0", [mount]) == ["the realtime device of the file system on /data"]


@pytest.mark.parametrize(("journal", "used"), [("pmem1", True), ("pmem1-8", False), ("pmem10", False)])
def test_an_external_journal_is_named_after_its_device(machine, journal, used):
    (machine / "proc/fs/jbd2" / journal).mkdir(parents=True)
    assert bool(users(machine, "pmem1")) == used


def test_mounts_in_other_namespaces(machine):
    for pid, namespace, line in (
        (7, "mnt:[1]", "259:2 / /own"),
        (9, "mnt:[2]", "259:1 / /there"),
        (12, "mnt:[2]", "x"),
    ):
        folder = machine / "proc" / str(pid)
        (folder / "ns").mkdir(parents=True)
        (folder / "ns/mnt").symlink_to(namespace)
        (folder / "mountinfo").write_text(f"30 1 {line} rw - ext4 /dev/x rw\n")
    assert users(machine, "pmem1") == []  # its own mounts are looked at elsewhere
    assert users(machine, "pmem0") == ["mounted on /there in the mount namespace of process 9"]


@pytest.mark.parametrize(("number", "used"), [(errno.EBUSY, True), (errno.EACCES, False), (errno.ENOENT, False)])
def test_an_exclusive_open_has_the_last_word(machine, monkeypatch, number, used):
    def refuse(path, flags):
        assert flags & os.O_EXCL
        raise OSError(number, "")

    monkeypatch.setattr("os.open", refuse)
    assert users(machine, "pmem1") == ["opened exclusively by something that does not show itself"] * used


def test_files_by_identity(tmp_path):
    """A loop device keeps its file when that is renamed; names do not count."""
    file, link, other = tmp_path / "file", tmp_path / "link", tmp_path / "other"
    file.write_bytes(b"x")
    link.hardlink_to(file)
    other.write_bytes(b"y")
    loop = tmp_path / "sys/block/loop3/loop"
    loop.mkdir(parents=True)
    (loop / "backing_file").write_text(f"{link}\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/swaps").write_text(f"Filename Type\n{other} file 1 0 -2\n")
    found = LinuxUsers(str(tmp_path / "sys"), str(tmp_path / "proc"), [])
    assert found.of_file(str(file)) == ["used by the loop device loop3"]
    assert found.of_file(str(other)) == [f"an active swap file ({other})"]


def test_statx_of_this_machine(tmp_path):
    (tmp_path / "file").touch()
    found = attributes(str(tmp_path / "file"))
    if found is None:
        pytest.skip("the C library has no statx")
    assert found.bits & ~found.known == 0
    with pytest.raises(FileNotFoundError):
        attributes(str(tmp_path / "none"))


def test_where_attributes_stand_in_statx():
    raw = bytearray(256)
    raw[8:16] = STATX_ATTR_DAX.to_bytes(8, "little")
    raw[56:64] = (STATX_ATTR_DAX | 4).to_bytes(8, "little")
    assert decode(bytes(raw)) == (STATX_ATTR_DAX, STATX_ATTR_DAX | 4)
