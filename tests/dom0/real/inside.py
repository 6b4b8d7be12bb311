"""Runs on the real Dom0, in the guest: makes files, asks xlpy about them, tells a word and JSON on each line."""

import ctypes
import errno
import json
import os
import sys
from pathlib import Path

from xlpy.cli.main import run
from xlpy.dom0.linux import LinuxDom0

BLOCK = 4096
KEEP_SIZE, COLLAPSE_RANGE = 1, 8
DAX, PLAIN = Path("/mnt/dax"), Path("/mnt/plain")


def tell(word, value):
    print(word, json.dumps(value), flush=True)


def fallocate(fd, mode, offset, length):
    call = ctypes.CDLL(None, use_errno=True).fallocate
    if call(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def marker(name, block):
    """4 KiB that say which block of which file they are."""
    return f"{name} block {block} ".encode().ljust(BLOCK, b".")


def write(path, blocks):
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    for block in blocks:
        os.pwrite(fd, marker(path.name, block), block * BLOCK)
    return fd


def make():
    """Every state that blocks of a file can be in, as far as ext4 has them."""
    write(DAX / "written", range(64))
    fallocate(write(DAX / "unwritten", ()), 0, 0, 64 * BLOCK)
    fd = os.open(DAX / "half", os.O_RDWR | os.O_CREAT)
    fallocate(fd, 0, 0, 64 * BLOCK)
    write(DAX / "half", range(32))
    os.ftruncate(write(DAX / "sparse", [*range(4), *range(8, 12)]), 16 * BLOCK)
    os.truncate(os.open(DAX / "hole", os.O_RDWR | os.O_CREAT), 16 * BLOCK)
    fallocate(write(DAX / "beyond", range(8)), KEEP_SIZE, 8 * BLOCK, 8 * BLOCK)
    write(DAX / "empty", ())
    os.pwrite(write(DAX / "odd", ()), b"x" * 5000, 0)
    # Every second block taken out of a file leaves one that is whole, in as many extents as it has blocks.
    fd = write(DAX / "pieces", range(999))
    for block in range(997, 0, -2):
        fallocate(fd, COLLAPSE_RANGE, block * BLOCK, BLOCK)
    for block in range(500):
        os.pwrite(fd, marker("pieces", block), block * BLOCK)
    (DAX / "link").symlink_to("written")
    write(PLAIN / "file", range(4))
    os.sync()


def ask(path):
    """What `xlpy pmem resolve --dom0 linux` says, in a process of its own: exit status and standard output."""
    read, out = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(out, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os._exit(run(["pmem", "resolve", "--dom0", "linux", path, "--json"]))
    os.close(out)
    with open(read) as pipe:  # noqa: PTH123 - a descriptor
        document = json.load(pipe)
    tell("resolve", [path, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), document])


def hold(dom0):
    """A file that a domain holds cannot lose its blocks."""
    path = DAX / "written"
    dom0.pin(str(path), "vm1")
    for change in (lambda: os.truncate(path, 0), path.unlink):
        try:
            change()
        except OSError as error:
            tell("held", errno.errorcode[error.errno])
    dom0.check_pinned(str(path))
    dom0.unpin(str(path), "vm1")


def main():
    dom0 = LinuxDom0()
    if sys.argv[1] == "free":  # what can be had when it is not mounted any more
        ask("/dev/pmem0.1")
        return
    make()
    for place in (
        "/sys/bus/nd/devices/region0/resource",
        *(f"/sys/block/pmem0{n}/device/resource" for n in ("", ".1")),
    ):
        tell("sysfs", [place, dom0.sysfs(place)])
    for path in sorted(DAX.iterdir()):
        if path.is_file():
            tell("fiemap", [path.name, [list(extent) for extent in dom0.fiemap(str(path))]])
            ask(str(path))
    devices = ("pmem0", "pmem0p1", "pmem0p2", "pmem0p3", "pmem0.1", "pmem0.2s", "null")
    for path in (*(f"/dev/{name}" for name in devices), str(PLAIN / "file"), str(DAX), str(DAX / "none"), __file__):
        ask(path)
    hold(dom0)


main()
