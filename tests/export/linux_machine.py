"""A machine with NVDIMMs, made of files: sysfs, proc, a mount table, and a kernel that answers ioctls by inode."""

from __future__ import annotations

import errno
import os
import struct

from xlpy.dom0.extents import FIEMAP_EXTENT_LAST, FS_IOC_FIEMAP
from xlpy.dom0.files.statx import STATX_ATTR_DAX, Attributes
from xlpy.dom0.linux import FS_IMMUTABLE_FL, FS_IOC_FSGETXATTR, FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, LinuxDom0
from xlpy.toolstack.export.linux import LinuxMachine

RESOURCE, SIZE = 0x1_4000_0000, 1 << 30
MIB = 1 << 20


class Kernel:
    """Answers ioctls of files. flags, extents: by inode; refuses: errno of SETFLAGS, knows: whether it has flags."""

    def __init__(self):
        self.flags, self.extents = {}, {}
        self.refuses, self.knows = 0, True

    def __call__(self, fd, request, buffer, _mutate):
        inode = os.fstat(fd).st_ino
        if request == FS_IOC_FSGETXATTR:
            struct.pack_into("<I", buffer, 0, 0)
        elif request in (FS_IOC_GETFLAGS, FS_IOC_SETFLAGS) and not self.knows:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        elif request == FS_IOC_GETFLAGS:
            struct.pack_into("<I", buffer, 0, self.flags.get(inode, 0x80000))
        elif request == FS_IOC_SETFLAGS:
            if self.refuses:
                raise OSError(self.refuses, os.strerror(self.refuses))
            self.flags[inode] = struct.unpack_from("<I", buffer)[0]
        elif request == FS_IOC_FIEMAP:
            rows = self.extents[inode]
            struct.pack_into("<I", buffer, 20, len(rows))
            for at, (logical, physical, length) in enumerate(rows):
                flags = FIEMAP_EXTENT_LAST if at == len(rows) - 1 else 0
                struct.pack_into("<QQQ16xI12x", buffer, 32 + at * 56, logical, physical, length, flags)
        else:
            raise OSError(errno.EINVAL, "unexpected ioctl")

    def immutable(self, path):
        return bool(self.flags.get(path.stat().st_ino, 0) & FS_IMMUTABLE_FL)


class Box:
    """The machine.

    Attributes:
        mnt: where the DAX file system is. kernel: see above. sys, proc: the folders. machine: the export's view of it.
    """

    def __init__(self, root):
        self.root, self.kernel = root, Kernel()
        self.sys, self.proc, self.mnt = root / "sys", root / "proc", root / "mnt"
        for folder in (self.proc, self.mnt):
            folder.mkdir(parents=True)
        region = self.sys / "devices/ndbus0/region0"
        self.region, namespace = region, region / "pfn0.0"
        self.write(namespace / "resource", f"{RESOURCE:#x}")
        self.write(namespace / "size", SIZE)
        self.write(namespace / "uuid", "b1c2d3e4-0000-4000-8000-000000000001")
        self.write(region / "persistence_domain", "memory_controller")
        self.write(region / "mappings", 1)
        self.write(region / "mapping0", "nmem0,0,1073741824,0")
        self.dimm = self.sys / "bus/nd/devices/nmem0/nfit"
        self.write(self.dimm / "flags", "")
        disk = self.sys / "block/pmem0"
        self.disk = disk
        self.write(disk / "badblocks", "")
        self.write(disk / "size", SIZE // 512)
        self.write(disk / "ro", 0)
        (disk / "device").symlink_to(namespace)
        (self.sys / "class/block").mkdir(parents=True)
        (self.sys / "class/block/pmem0").symlink_to(disk)
        (self.sys / "dev/block").mkdir(parents=True)
        (self.sys / "dev/block/259:0").symlink_to("../../block/pmem0")
        self.write(self.proc / "cpuinfo", "address sizes\t: 46 bits physical, 48 bits virtual")
        self.mounts = root / "mountinfo"
        self.write(self.mounts, f"30 1 259:0 / {self.mnt} rw,relatime - ext4 /dev/pmem0 rw,dax=always")
        self.machine = LinuxMachine(str(root / "register"), self.dom0(), str(self.sys), str(self.proc))

    def dom0(self):
        return LinuxDom0(
            sysfs=str(self.sys),
            mountinfo=str(self.mounts),
            proc=str(self.proc),
            ioctl=self.kernel,
            statx=lambda _path: Attributes(STATX_ATTR_DAX, STATX_ATTR_DAX),
        )

    @staticmethod
    def write(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def file(self, name, *extents, size=None):
        """A file on the file system: extents as (physical offset, bytes), one after another."""
        path = self.mnt / name
        length = sum(length for _, length in extents)
        with path.open("wb") as file:
            file.truncate(length if size is None else size)
        at, rows = 0, []
        for physical, step in extents:
            rows.append((at, physical, step))
            at += step
        self.kernel.extents[path.stat().st_ino] = rows
        return path

    def dom0_of_xen(self, version="4.17", control=True):
        """Xen runs below."""
        major, minor = version.split(".")
        self.write(self.sys / "hypervisor/type", "xen")
        self.write(self.sys / "hypervisor/version/major", major)
        self.write(self.sys / "hypervisor/version/minor", minor)
        self.write(self.proc / "xen/capabilities", "control_d" if control else "")
