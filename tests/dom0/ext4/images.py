"""ext4 images for tests, made on the fly, and the foreign programs that judge them."""

import os
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from programs import need as need_programs

from xlpy.dom0.ext4.tools import find_program
from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN, Extent, Extents

MIB = 1 << 20
UUID = "11111111-2222-3333-4444-555555555555"


def need(*programs):
    """Skip the test when a program is not installed."""
    need_programs(*programs)


def tool(program, *args, script=None, ok=(0,)):
    done = subprocess.run(
        [find_program(program), *map(str, args)], input=script, capture_output=True, text=True, check=False
    )
    assert done.returncode in ok, (program, done.stdout[-2000:], done.stderr[-2000:])
    return done


class Image:
    """An image file with a file system at ``offset``."""

    def __init__(self, path, size=32 * MIB, offset=0):
        self.path, self.size, self.offset = path, size, offset
        with Path(path).open("wb") as file:
            file.truncate(offset + size)

    @property
    def device(self):
        return f"{self.path}?offset={self.offset}"

    def mke2fs(self, *args, block=4096, features=""):
        need("mke2fs", "debugfs", "e2fsck")
        features = ["-O", features] if features else []
        where = ["-E", f"offset={self.offset},lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-U", UUID]
        command = ["-q", "-F", "-t", "ext4", "-b", block, *features, *args, *where, self.path, self.size // block]
        done = subprocess.run([find_program("mke2fs"), *map(str, command)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"this mke2fs cannot make it: {done.stderr.strip().splitlines()[-1:]}")
        return self

    def debugfs(self, *commands):
        """Standard output; commands that fail are an error here."""
        done = tool("debugfs", "-w", "-f", "-", self.device, script="\n".join(commands) + "\n", ok=(0, 1))
        errors = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("debugfs 1.")]
        assert not errors, errors[:3]
        return done.stdout

    def fsck(self):
        """e2fsck must find nothing to complain about."""
        done = tool("e2fsck", "-fn", self.device, ok=range(256))
        assert done.returncode == 0, done.stdout

    def extents(self, path, block=4096):
        """What debugfs sees, merged."""
        rows = re.findall(
            r"^ *(\d+)/ *(\d+) +\d+/ *\d+ +(\d+) *- *(\d+) +(\d+) *- *(\d+) +(\d+)(?: (Uninit))?",
            self.debugfs(f'dump_extents -l "{path}"'),
            re.M,
        )
        found = [
            Extent(int(a) * block, int(p) * block, int(n) * block, FIEMAP_EXTENT_UNWRITTEN if u else 0)
            for _, _, a, _, p, _, n, u in rows
        ]
        return Extents.of(found).merged()

    def cat(self, path):
        return subprocess.run(
            [find_program("debugfs"), "-R", f'cat "{path}"', self.device], capture_output=True, check=True
        ).stdout

    def dumpe2fs(self):
        """What dumpe2fs prints; that of 1.47.2 knows no ``?offset=``, as the other programs do, so it gets a copy."""
        need("dumpe2fs")
        copy = Path(self.path).with_suffix(".copy")
        tool("dd", f"if={self.path}", f"of={copy}", f"skip={self.offset}", "iflag=skip_bytes", "bs=64K", "conv=sparse")
        os.truncate(copy, self.size)
        return tool("dumpe2fs", copy).stdout

    def free_blocks(self):
        return int(re.search(r"^Free blocks: +(\d+)", self.debugfs("stats -h"), re.M)[1])

    def poke(self, offset, data):
        """Overwrite bytes of the device."""
        with Path(self.path).open("r+b") as file:
            file.seek(self.offset + offset)
            file.write(data)

    def peek(self, offset, length):
        with Path(self.path).open("rb") as file:
            file.seek(self.offset + offset)
            return file.read(length)

    def flip(self, offset):
        self.poke(offset, bytes([self.peek(offset, 1)[0] ^ 0x40]))


@contextmanager
def mounted(image, folder, options="ro,noload"):
    """The folder on which the kernel of this machine has mounted an image."""
    if os.geteuid():
        pytest.skip("mounting needs root")
    folder.mkdir()
    where = f"loop,{options},offset={image.offset},sizelimit={image.size}"
    done = subprocess.run(["mount", "-o", where, image.path, folder], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
