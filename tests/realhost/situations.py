"""Every situation that a backing can be in on a real host: what xlpy must say of it, and why.

One list for the tests, the campaign and the table in docs/real-hosts.md.
"""

from typing import NamedTuple


class Situation(NamedTuple):
    """One row.

    name: as guest.sh asks it. group: of guest.sh. what: in words. status, code: the verdict; ("", 0) is accepted.
    why: the reason in a few words. content: what the bytes at the resolved addresses are marked with. absent: kernels
    that cannot be put into it.
    """

    name: str
    group: str
    what: str
    status: int = 0
    code: str = ""
    why: str = ""
    content: str = ""
    absent: tuple[str, ...] = ()


class Race(NamedTuple):
    """What happens to a file between resolving and mapping. free, held: (it could be done, the extents are the same)
    while nobody holds the file and while it is held; None where it was not tried."""

    name: str
    group: str
    what: str
    free: list[bool] | None
    held: list[bool] | None = None
    absent: tuple[str, ...] = ()


KERNELS = {"": "6.1", "trixie": "6.12", "sid": "7.2"}  # by suite

USED, RO = "XLPY-PMEM-IN-USE", "XLPY-PMEM-READ-ONLY"
CACHE = "XLPY-PMEM-NOT-DAX"

SITUATIONS = (
    Situation("free", "uses", "a device that nothing uses"),
    Situation("dm", "uses", "partition under device mapper (LVM)", 5, USED, "holders in sysfs"),
    Situation("dm-disk", "uses", "whole disk, a partition of it under device mapper", 5, USED, "holders in sysfs"),
    Situation("beside-dm", "uses", "the other partition of that disk"),
    Situation("on-dm", "uses", "the mapped device itself", 7, "XLPY-PMEM-NOT-PMEM", "no address of its own"),
    Situation("swap", "uses", "active swap space", 5, USED, "/proc/swaps"),
    Situation("loop", "uses", "device behind a loop device", 5, USED, "backing_file in sysfs"),
    Situation("exclusive", "uses", "device that a process opened exclusively", 5, USED, "an exclusive open fails"),
    Situation("namespace", "uses", "device mounted in another mount namespace", 5, USED, "/proc/PID/mountinfo"),
    Situation("journal", "uses", "external journal of a mounted ext4", 5, USED, "/proc/fs/jbd2"),
    Situation("mounted", "uses", "mounted device", 5, "XLPY-PMEM-MOUNTED", "the mount table"),
    Situation("loop-file", "uses", "file behind a loop device", 5, USED, "backing_file in sysfs"),
    Situation("no-loop-file", "uses", "the same file afterwards", content="loopfile"),
    Situation("ro-device", "uses", "read-only block device", 7, RO, "a guest's stores would change it"),
    Situation("ro-device-for-a-reader", "uses", "the same with mode=ro"),
    Situation("ro-mount", "uses", "file on a read-only mount", 7, RO, "a guest's stores would change it"),
    Situation("ro-mount-for-a-reader", "uses", "the same with mode=ro", content="file"),
    Situation("always", "dax", "ext4, dax=always", content="file"),
    Situation("journal-data", "dax", "the same, chattr +j", 7, "XLPY-PMEM-JOURNAL", "statx: no DAX"),
    Situation("verity", "dax", "the same, sealed by fs-verity", 7, "XLPY-PMEM-VERITY", "statx: no DAX"),
    Situation("encrypted", "dax", "the same, encrypted by fscrypt", 7, "XLPY-PMEM-ENCODED", "statx: no DAX"),
    Situation("inode-without", "dax", "ext4, dax=inode", 7, CACHE, "statx: no DAX"),
    Situation("inode-with", "dax", "the same, chattr +x inherited", content="file"),
    Situation("plain-without", "dax", "ext4, no dax option", 7, CACHE, "statx: no DAX"),
    Situation("plain-with", "dax", "the same, chattr +x inherited", content="file"),
    Situation("never-with", "dax", "ext4, dax=never, chattr +x inherited", 7, CACHE, "statx: no DAX"),
    Situation("mbr", "names", "ext4 in an MBR partition, 100 extents", content="file"),
    Situation("gpt", "names", "ext4 in a GPT partition, 100 extents", content="file"),
    Situation("symlink", "names", "symbolic link", content="file"),
    Situation("hardlink", "names", "hard link", content="file"),
    Situation("bind", "names", "bind mount of a directory", content="below"),
    Situation("bind-file", "names", "bind mount of a file", content="file"),
    Situation("over-a-mount", "names", "bind mount over another mount", content="file"),
    *(
        Situation(f"ext4-{name}", "features", f"ext4: {what}", content=f"ext4-{name}")
        for name, what in (
            ("default", "what mke2fs makes"),
            ("nojournal", "no journal"),
            ("noextents", "indirect blocks instead of extents"),
            ("bigalloc", "bigalloc, clusters of 64 KiB"),
            ("plain128", "inodes of 128 bytes, no checksums"),
            ("csumseed", "metadata_csum_seed"),
            ("orphan", "orphan_file"),
        )
    ),
    Situation("ext2", "features", "ext2 by the ext4 driver, dax", content="file"),
    Situation("small-blocks", "features", "ext4 with 1 KiB blocks (-o dax fails)", 7, CACHE, "statx: no DAX"),
    Situation("xfs-log", "xfs", "log device of a mounted XFS", 5, USED, "logdev= in the mount table"),
    Situation("xfs-realtime", "xfs", "realtime device of a mounted XFS", 5, USED, "rtdev= in the mount table"),
    Situation("xfs-old", "xfs", "XFS without reflink and rmapbt, external log", content="xfs-old"),
    Situation(
        "xfs-realtime-file", "xfs", "file in the realtime section", 7, "XLPY-PMEM-REALTIME", "lies on another device"
    ),
    Situation("xfs", "xfs", "XFS as mkfs.xfs makes it, dax=always", content="xfs"),
    Situation("xfs-unwritten", "xfs", "the same, fallocated", 7, "XLPY-PMEM-UNWRITTEN", "FIEMAP 0x800"),
    Situation("xfs-extsize", "xfs", "the same, extent size hint of 1 MiB", content="xfs-extsize"),
    Situation("xfs-shared", "xfs", "the same, reflinked", 7, "XLPY-PMEM-SHARED", "FIEMAP 0x2000"),
    Situation("xfs-clone", "xfs", "its clone", 7, "XLPY-PMEM-SHARED", "FIEMAP 0x2000"),
    Situation("xfs-unshared", "xfs", "the clone after unsharing", content="xfs-unshared"),
    Situation("xfs-moved", "xfs", "XFS, after xfs_fsr", content="scattered"),
    Situation("xfs-inode-without", "xfs", "XFS, dax=inode", 7, CACHE, "statx: no DAX"),
    Situation("xfs-inode", "xfs", "the same, chattr +x inherited", content="xfs-inode"),
    Situation("scattered", "races", "ext4, 100 extents, after an attempt of e4defrag", content="scattered"),
    Situation("devdax", "other", "/dev/daxN.M (devdax)"),
    Situation("system-ram", "other", "the same as system RAM (kmem)", 5, USED, "the driver is kmem"),
    Situation("sector", "other", "sector mode (BTT)", 7, "XLPY-PMEM-SECTOR", "blocks move"),
    Situation("raw", "other", "raw mode"),
    Situation("virtio-pmem", "regions", "virtio-pmem region"),
    Situation("virtio-pmem-file", "regions", "file on it", content="virtio-pmem-file"),
    Situation("e820", "regions", "e820 type 12 region (memmap=)"),
    Situation("e820-file", "regions", "file on it", content="e820-file"),
)

RACES = (
    Race("nothing", "races", "nothing", [True, True]),
    Race("truncate", "races", "ext4: the file is truncated", [True, False], [False, True]),
    Race("replaced", "races", "ext4: another file takes its name", [True, False]),
    Race("e4defrag", "races", "ext4: e4defrag (a DAX file is not moved)", [False, True], [False, True]),
    Race("xfs_fsr", "xfs", "XFS: xfs_fsr moves it", [True, False]),
)
