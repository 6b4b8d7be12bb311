"""Whole commands: start-up, listing, creating, resolving."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from functools import cache
from typing import TYPE_CHECKING

from case import AFTER, Case, Sample, Skip
from files import device
from version import CONFIGS, NEEDED, run

from xlpy.dom0.ext4.edit import Ext4Editor
from xlpy.host import Host
from xlpy.toolstack.backing.resolve import resolve as resolved

if TYPE_CHECKING:
    from pathlib import Path

    from case import Act
    from version import Version

QUICKSTART = str(CONFIGS / "quickstart.cfg")
EXTENTS = 40_000
SBIN = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def click(version: Version) -> Act:
    """What any click program pays."""
    return lambda: run([version.python, "-c", "import click"])


def starting(version: Version, *words: str) -> tuple[Act, Act]:
    """A command that only looks."""
    root = version.host("host")
    return lambda: version.run(*words, root=root), click(version)


def creating(version: Version, root: Path, config: str = QUICKSTART, name: str = "quickstart") -> Act:
    """Create a domain; it is destroyed again after the clock has stopped."""

    def act() -> None:
        version.run("create", "-q", config, root=root)
        AFTER.append(lambda: version.run("destroy", name, root=root))

    return act


def quickstart(version: Version) -> Act:
    """The main job."""
    return creating(version, version.host("host"))


def trying(version: Version) -> tuple[Act, Act]:
    """A dry run without a host."""
    return lambda: version.run("create", "-n", QUICKSTART, root=version.folder / "no"), click(version)


def emulated(version: Version, words: tuple[str, ...]) -> tuple[Act, Act]:
    """The main job beside QEMU's."""
    qemu = needed("qemu-system-x86_64", "qemu-system-x86")
    return quickstart(version), lambda: monitor(qemu, version.folder, words)


def needed(program: str, package: str) -> str:
    """The path of a program. Skip: it is not installed."""
    path = shutil.which(program, path=SBIN)
    if path is None:
        raise Skip(f"{program} is not installed (package {package})")
    return path


def monitor(qemu: str, folder: Path, words: tuple[str, ...]) -> None:
    """Start QEMU with an NVDIMM, wait for the greeting of its monitor, and for its answers.

    The greeting comes from a thread of its own, while the machine is still being made; answers come when it is there.
    """
    path, image = folder / "qmp", folder / "nv.img"
    with image.open("ab") as file:
        file.truncate(64 << 20)
    command = [
        *(qemu, "-accel", "tcg", "-machine", "pc,nvdimm=on", "-m", "512M,slots=2,maxmem=4G", "-display", "none", "-S"),
        *("-object", f"memory-backend-file,id=m1,share=on,mem-path={image},size=64M"),
        *("-device", "nvdimm,memdev=m1,id=nv1", "-qmp", f"unix:{path},server=on,wait=off"),
    ]
    emulator = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with socket.socket(socket.AF_UNIX) as link:
            while True:
                try:
                    link.connect(str(path))
                    break
                except OSError:
                    time.sleep(0.001)
            with link.makefile("rwb", 0) as lines:
                json.loads(lines.readline())
                for word in words:
                    lines.write(json.dumps({"execute": word}).encode())
                    json.loads(lines.readline())["return"]
    finally:
        emulator.kill()
        emulator.wait()
        path.unlink(missing_ok=True)


def vast(version: Version) -> tuple[Act, Act]:
    """A device's size costs nothing."""
    config = version.folder / "vast.cfg"
    config.write_text('name = "vast"\ntype = "hvm"\nmemory = 512\nvcpus = 2\nvnvdimm = [ "/dev/pmem0" ]\n')
    huge = version.host("huge", str(CONFIGS / "machines" / "huge.yaml"))
    return creating(version, huge, str(config), "vast"), quickstart(version)


def probing(version: Version) -> tuple[Act, Act]:
    """A guest's eye, held against making the guest on a second host."""
    root = version.host("probed")
    version.run("create", QUICKSTART, root=root)
    return lambda: version.run("guest", "probe", "quickstart", root=root), quickstart(version)


def peak(version: Version) -> tuple[Act, Act]:
    """The most memory that a process had."""
    root = version.host("peak")

    def most(*words: str) -> Sample:
        env = {**os.environ, "XLPY_ROOT": str(root)}
        done = subprocess.run([sys.executable, "-S", "-c", PEAK, *words], env=env, check=True, capture_output=True)
        return Sample(float(done.stdout) / 1024, float(done.stdout) / 1024)

    def create() -> Sample:
        found = most(version.xlpy, "create", "-q", QUICKSTART)
        version.run("destroy", "quickstart", root=root)
        return found

    return create, lambda: most(version.python, "-c", "import click")


# a process of its own, since a child counts from what its parent had when it began
PEAK = """
import os, sys
quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (1, 2)]
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet), 0)
print(usage.ru_maxrss)
sys.exit(bool(status))
"""


def exporting(version: Version) -> tuple[Act, Act]:
    """A file's size costs nothing: a device of 6 TiB, held against a file of 64 MiB."""
    huge = version.host("huge", str(CONFIGS / "machines" / "huge.yaml"))
    return (
        exported(version, huge, "file=/dev/pmem0"),
        exported(version, version.host("small"), "file=/mnt/pmem0/vm1.img"),
    )


def exported(version: Version, root: Path, entry: str, status: int = 0) -> Act:
    """Export a domain; it is released again after the clock has stopped. status: of the command."""
    config, out = version.folder / f"{root.name}-export.cfg", version.folder / f"{root.name}-exported"
    config.write_text(f'name = "vm1"\ntype = "hvm"\nmemory = 512\nvnvdimm = [ "{entry}" ]\n')

    def act() -> None:
        run([version.xlpy, "export", str(config), "-o", str(out), "--dom0", "emulated"], root, status)
        if not status:
            AFTER.append(lambda: version.run("export", "release", str(out / "vm1.json"), root=root))

    return act


# -- 40,000 extents ------------------------------------------------------------------------------------------------


@cache
def scattered(version: Version) -> Path:
    """A host with a DAX file of so many extents."""
    root = version.host("scattered")
    Ext4Editor(*device(version, root)).mkfile("/many.img", EXTENTS * 4096, "fragmented", 1)
    return root


def resolving(version: Version) -> Act:
    """The extents of the file, found by us."""
    root = scattered(version)
    return lambda: version.run("pmem", "resolve", "--json", "/mnt/pmem0/many.img", root=root)


def refusing(version: Version) -> tuple[Act, Act]:
    """An export that would need more lines than a Xen takes."""
    return exported(version, scattered(version), "file=/mnt/pmem0/many.img", 6), resolving(version)


def dumping(version: Version) -> tuple[Act, Act]:
    """The extents, listed by e2fsprogs."""
    image, offset, _ = device(version, scattered(version))
    words = [needed("debugfs", "e2fsprogs"), "-R", "dump_extents /many.img", f"{image}?offset={offset}"]
    return resolving(version), lambda: run(words)


def mapping(version: Version, inside: bool = False) -> tuple[Act, Act]:
    """The extents, told by the kernel of a mounted file system."""
    filefrag, root = needed("filefrag", "e2fsprogs"), scattered(version)
    mount = mounted(version, root)
    ours = resolving(version)
    if inside:
        dom0 = Host.open(root).dom0
        ours = lambda: resolved(dom0, "/mnt/pmem0/many.img")  # noqa: E731
    return ours, lambda: run([filefrag, "-v", str(mount / "many.img")])


@cache
def mounted(version: Version, root: Path) -> Path:
    """The file system of a host, mounted until the end. Skip: it cannot be mounted here."""
    image, offset, size = device(version, root)
    mount = version.folder / "mnt"
    mount.mkdir()
    words = ["mount", "-o", f"loop,ro,offset={offset},sizelimit={size}", image, str(mount)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        raise Skip("the image cannot be mounted here")
    NEEDED.callback(subprocess.run, ["umount", str(mount)], check=False)
    return mount


ANSWER, GREETING = ("qmp_capabilities", "query-memory-devices"), ()

CASES = [
    Case(
        "create quickstart",
        "QEMU's nvdimm machine to its monitor's answer",
        1,
        lambda version: emulated(version, ANSWER),
        1,
    ),
    Case("list", "import click", 0.5, lambda version: starting(version, "list"), 2),
    Case("pmem list", "import click", 0.5, lambda version: starting(version, "pmem", "list"), 2),
    Case(f"pmem resolve, {EXTENTS} extents", "debugfs dump_extents", 1.8, dumping, 3),
    Case("guest probe quickstart", "create quickstart", 1, probing, 4),
    Case("peak memory of create", "import click", 1.2, peak, 15, unit="MiB", runs=5),
    Case("--help", "import click", 1.5, lambda version: starting(version, "--help")),
    Case("create -n quickstart", "import click", 2.5, trying),
    Case("create quickstart", "import click", 4, lambda version: (quickstart(version), click(version))),
    Case(
        "create quickstart",
        "QEMU to its monitor's greeting, no machine yet",
        3,
        lambda version: emulated(version, GREETING),
    ),
    Case("create with a 6 TiB device", "create with a 64 MiB file", 1.2, vast),
    Case("export of a 6 TiB device", "export of a 64 MiB file", 1.1, exporting),
    Case(f"export, {EXTENTS} extents (refused)", "pmem resolve of the same", 1.5, refusing),
    Case(f"pmem resolve, {EXTENTS} extents", "filefrag -v, mounted", 3, mapping),
    Case(
        f"resolve(), {EXTENTS} extents, in this process",
        "filefrag -v, mounted",
        3,
        lambda version: mapping(version, inside=True),
    ),
]
