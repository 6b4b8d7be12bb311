"""Power cuts: recording a guest, building crash images, checking them."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from case import AFTER, Case, Skip
from version import CONFIGS, TREE

from xlpy.powercut.check import Check
from xlpy.powercut.events import TraceEvent, encode
from xlpy.powercut.explore import Exploration, ExploreOptions
from xlpy.powercut.history import History
from xlpy.powercut.image import Image, copy_sparse
from xlpy.powercut.subject import StateSource, working_folder
from xlpy.powercut.trace import Trace, TracedDevice, TraceHeader, Window, write_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from version import Version

    Act = Callable[[], object]

GPA = 1 << 32
SIZE = 64 << 20
STATES = 1000


def images(version: Version) -> tuple[Act, Act]:
    """1,000 crash images of 100 lines each, in the last 64 MiB of a namespace of 6 TiB, and of one of 64 MiB."""

    def setting(size: int) -> Act:
        path = version.folder / f"base-{size}"
        with path.open("wb") as file:
            file.truncate(size)
        image = Image(version.folder / f"image-{size}", path, 0, size)
        chooser = random.Random(1)
        states = [
            {size - chooser.randrange(1, SIZE // 64) * 64: chooser.randbytes(64) for _ in range(100)} for _ in range(50)
        ]
        durable = History().now()

        def act() -> None:
            for number in range(STATES):
                image.set(durable, states[number % len(states)])

        return act

    return setting(6 << 40), setting(SIZE)


@cache
def filesystem(folder: Path) -> Path:
    """An ext4 of 64 MiB with a file of 16 MiB, on which e2fsck finds nothing."""
    path = folder / "ext4"
    with path.open("wb") as file:
        file.truncate(SIZE)
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", path], check=True, env=env)
    (folder / "data").write_bytes(bytes(range(256)) * (1 << 16))
    subprocess.run(
        ["debugfs", "-w", "-R", f"write {folder / 'data'} data", path], check=True, env=env, capture_output=True
    )
    return path


def checked(version: Version) -> tuple[Act, Act]:
    """1,000 states that e2fsck checks, and e2fsck on as many images in the same place (it syncs what it is given)."""
    e2fsck = shutil.which("e2fsck") or shutil.which("e2fsck", path="/usr/sbin:/sbin")
    if e2fsck is None:
        raise Skip("e2fsck is not installed (package e2fsprogs)")
    count = 20 if version.quick else STATES
    base = filesystem(version.folder)
    folder = version.folder / "trace"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(base, folder / "base")
    start = base.read_bytes().index(bytes(range(256)))  # where the file's data lie
    events = []
    for number in range(count - 1):
        at = GPA + start + number * 64
        events += [
            TraceEvent("store", 0, at, number.to_bytes(8, "big")),
            TraceEvent("clwb", 0, at),
            TraceEvent("sfence", 0),
        ]
    (folder / "events.gz").write_bytes(gzip.compress(encode(events)))
    window = Window("vnvdimm0", GPA, SIZE, 0, "/mnt/pmem0/vm1.img", [[GPA, SIZE]])
    write_header(folder, TraceHeader("vm1", [window], [TracedDevice("pmem0", "raw", GPA, SIZE)], complete=True))
    check = Check((e2fsck, "-fn", "{image}"))

    def explore() -> None:
        exploration = Exploration(
            Trace(folder), ExploreOptions(check, strategies=("all-lo", "all-hi")), lambda _result: None
        )
        summary = exploration.run()
        exploration.log.unlink()
        assert (summary.distinct, summary.failed) == (count, 0), summary

    def plain() -> None:
        with tempfile.TemporaryDirectory(dir=working_folder(StateSource(str(folder), 0, SIZE))) as home:
            image = Path(home) / "image"
            copy_sparse(base, 0, SIZE, image)
            with image.open("r+b", buffering=0) as file:
                for number in range(count):
                    os.pwrite(file.fileno(), number.to_bytes(8, "big"), start)
                    subprocess.run([e2fsck, "-fn", image], check=True, capture_output=True)

    return explore, plain


def recording(version: Version) -> tuple[Act, Act]:
    """A boot of Debian 13's kernel that makes an ext4 on its vNVDIMM and renames a file, recorded and not."""
    script = TREE / "examples" / "powercut" / "rename.sh"
    words = [sys.executable, TREE / "guest" / "kit.py", "--suite", "trixie", "--qemu", "--script", script]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Skip(done.stderr.strip()[-200:])
    parts = dict(line.replace("'", "").split("=", 1) for line in done.stdout.splitlines())
    root = version.host("record")
    version.run("create", "-q", str(CONFIGS / "quickstart.cfg"), root=root)
    command = ["boot", "quickstart", "--kernel", parts["KERNEL"], "--initrd", parts["INITRD"]]
    command += ["--append", "quiet maxcpus=1", "--qemu", os.environ.get("XLPY_QEMU") or parts["QEMU"]]

    def record() -> None:
        folder = tempfile.mkdtemp(dir=version.folder)
        AFTER.append(lambda: shutil.rmtree(folder))
        version.run(*command, "--record", folder, root=root)

    return record, lambda: version.run(*command, root=root)


def writing(version: Version) -> tuple[Act, Act]:
    """``mem write`` of some bytes to a vNVDIMM, all of it made durable, and to RAM."""
    root = version.host("write")
    version.run("create", "-q", str(CONFIGS / "quickstart.cfg"), root=root)
    return tuple(  # type: ignore[return-value]
        lambda gpa=gpa: version.run("mem", "write", "quickstart", gpa, "--hex", "00" * 64, root=root)
        for gpa in ("0x500001000", "0x100000")
    )


CASES = [
    Case("1,000 crash images of 6 TiB", "of 64 MiB", 1.2, images),
    Case("1,000 states checked by e2fsck", "e2fsck 1,000 times", 1.3, checked, runs=3, slow=True),
    Case("mem write to a vNVDIMM", "mem write to RAM", 1.1, writing),
    Case("boot --record", "boot", 2.5, recording, runs=2, slow=True, quick=False),
]
