"""`xlpy host mount` and `umount`: what the DIMMs of a set need before they go, and after they came back."""

from __future__ import annotations

import pytest

FILE = "/mnt/pmem0/vm1.img"


def test_a_set_with_a_file_system_goes_and_comes_back(xlpy, configs, host_root):
    assert "(xlpy host umount /mnt/pmem0)" in xlpy("host", "unplug", "set0", status=5).err
    xlpy("host", "umount", "/mnt/pmem0", "-n")
    xlpy("pmem", "write", FILE, "4K", "--hex", "4142")
    xlpy("host", "umount", "/mnt/pmem0")
    assert "no such file" in xlpy("pmem", "resolve", FILE, status=4).err
    xlpy("host", "unplug", "set0")
    xlpy("host", "plug", host_root / "unplugged" / "set0.yaml")
    xlpy("host", "mount", "/dev/pmem0", "/mnt/pmem0", "-n")
    shown = xlpy("host", "mount", "/dev/pmem0", "/mnt/pmem0", "--json").json
    assert shown["options"] == ["rw", "relatime", "dax=always"]
    xlpy("create", "-q", configs / "quickstart.cfg")
    assert "AB" in xlpy("mem", "read", "quickstart", "0x500001000", "2").out


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("mount /dev/pmem0 /mnt/other", 5, "/dev/pmem0: already mounted or busy: mount /mnt/pmem0"),
        ("mount /dev/pmem1 /mnt/pmem0", 5, "a file system is mounted there already"),
        ("mount /dev/pmem1 /mnt/other", 6, "no ext4 or XFS is on it"),
        ("mount /dev/pmem1 other", 4, "not an absolute path in the emulated host"),
        ("mount /dev/pmem1 /", 6, "an absolute path below / is required"),
        ("mount /dev/pmem7 /mnt/other", 4, "no such device in the emulated host"),
        ("umount /mnt/other", 4, "mounted are: /mnt/pmem0"),
    ],
)
def test_what_is_refused(xlpy, line, status, said):
    assert said in xlpy("host", *line.split(), status=status).err


def test_what_a_domain_uses_stays_mounted(xlpy, configs):
    xlpy("create", "-q", configs / "quickstart.cfg")
    assert "target is busy: domain 1" in xlpy("host", "umount", "/dev/pmem0", status=5).err
    xlpy("destroy", "quickstart")
    xlpy("host", "umount", "/dev/pmem0")
    xlpy("host", "mount", "/dev/pmem0", "/mnt/pmem0", "--no-dax", "--read-only")
    assert "is mounted without DAX" in xlpy("create", "-n", configs / "quickstart.cfg", status=7).err
