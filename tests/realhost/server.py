"""Runs on a real Linux in a guest, under the file system of the machine outside: does what is written to its pipe.

One process for all requests, because starting Python takes seconds there. A request is a line of words: what to do, and
its arguments. An answer to `ask` is told outside as a word and JSON on one line; a request is done when its line comes
back on the other pipe.
"""

import ctypes
import fcntl
import json
import os
import shlex
import sys
import time
from pathlib import Path
from struct import pack, pack_into

from xlpy.cli.main import run
from xlpy.dom0.linux import LinuxDom0
from xlpy.toolstack.backing.resolve import resolve

BLOCK = 4096
COLLAPSE_RANGE = 8
FS_IOC_ENABLE_VERITY = 0x40806685
FS_IOC_ADD_ENCRYPTION_KEY = 0xC0506617
FS_IOC_SET_ENCRYPTION_POLICY = 0x800C6613
BLKROSET = 0x125D


def tell(word, value):
    print(word, json.dumps(value), flush=True)


def fallocate(fd, mode, offset, length):
    call = ctypes.CDLL(None, use_errno=True).fallocate
    if call(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def marker(name, block):
    """4 KiB that say which block of which file they are."""
    return f"{name} block {block} ".encode().ljust(BLOCK, b".")


class Requests:
    """What can be asked for, a method each; arguments are words."""

    def write(self, path, blocks, name=""):
        """A file of that many blocks, each marked with the file's name, or another one."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        for block in range(int(blocks)):
            os.pwrite(fd, marker(name or Path(path).name, block), block * BLOCK)
        os.fsync(fd)
        os.close(fd)

    def pieces(self, path, blocks):
        """The same in as many extents as it has blocks."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        for block in range(2 * int(blocks) - 1):
            os.pwrite(fd, bytes(BLOCK), block * BLOCK)
        for block in range(2 * int(blocks) - 3, 0, -2):
            fallocate(fd, COLLAPSE_RANGE, block * BLOCK, BLOCK)
        os.close(fd)
        self.write(path, blocks)

    def allocate(self, path, blocks):
        """Blocks that were never written."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        fallocate(fd, 0, 0, int(blocks) * BLOCK)
        os.close(fd)

    def verity(self, path):
        """Seal a file."""
        fd = os.open(path, os.O_RDONLY)
        fcntl.ioctl(fd, FS_IOC_ENABLE_VERITY, pack("<III116x", 1, 1, BLOCK))
        os.close(fd)

    def encrypt(self, folder):
        """Encrypt what will be made in an empty folder."""
        fd = os.open(folder, os.O_RDONLY)
        key = bytearray(80 + 64)
        pack_into("<I36xI", key, 0, 2, 64)
        key[80:] = bytes(range(64))
        fcntl.ioctl(fd, FS_IOC_ADD_ENCRYPTION_KEY, key, True)
        fcntl.ioctl(fd, FS_IOC_SET_ENCRYPTION_POLICY, pack("<BBBB4x16s", 2, 1, 4, 0, bytes(key[8:24])))
        os.close(fd)

    def exclusive(self, path):
        """A process that claims a device and stays."""
        if not os.fork():
            os.open(path, os.O_RDONLY | os.O_EXCL)
            Path("/mnt/claimed").touch()
            time.sleep(1000)
        while not Path("/mnt/claimed").exists():
            pass

    def setro(self, path, on):
        fd = os.open(path, os.O_RDONLY)
        fcntl.ioctl(fd, BLKROSET, pack("<I", int(on)))
        os.close(fd)

    def ask(self, name, path, *more):
        """What `xlpy pmem resolve --dom0 linux` says, in a process of its own: exit status and standard output."""
        read, out = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(out, 1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            os._exit(run(["pmem", "resolve", "--dom0", "linux", path, "--json", *more]))
        os.close(out)
        with open(read) as pipe:  # noqa: PTH123 - a descriptor
            text = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        tell("ask", [name, status, json.loads(text) if text else {}])

    def race(self, name, path, command):
        """Resolve, let something happen, hold the file, resolve again: whether the two answers are the same."""
        before = resolve(LinuxDom0(), path).extents
        status = os.system(command + " >/dev/null 2>&1")
        dom0 = LinuxDom0()
        dom0.pin(path, "race")
        try:
            after = resolve(dom0, path).extents
        finally:
            dom0.unpin(path, "race")
        tell("race", [name, status == 0, before == after])

    def held(self, name, path, command):
        """The same with the file held all the time."""
        dom0 = LinuxDom0()
        dom0.pin(path, "held")
        try:
            before = resolve(dom0, path).extents
            status = os.system(command + " >/dev/null 2>&1")
            dom0.check_pinned(path)
            tell("held", [name, status == 0, before == resolve(dom0, path).extents])
        finally:
            dom0.unpin(path, "held")


def main():
    requests = Requests()
    while True:
        with open("/mnt/request") as pipe:  # noqa: PTH123
            lines = pipe.read().splitlines()
        for line in lines:
            word, *arguments = shlex.split(line)
            if word == "end":
                return
            try:
                getattr(requests, word)(*arguments)
            except Exception as error:
                tell("failed", [line, f"{type(error).__name__}: {error}"])
        with open("/mnt/done", "w") as pipe:  # noqa: PTH123
            pipe.write("done\n")


if len(sys.argv) > 1:
    main()
