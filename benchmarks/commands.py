"""Whole commands: start-up, listing, creating, resolving."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from case import AFTER, Case, Skip

from xlpy.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

XLPY = str(Path(sys.executable).with_name("xlpy"))
CONFIGS = Path(__file__).parents[1] / "configs"
EXTENTS = 40_000


def run(*words: str, root: Path | None = None) -> None:
    """One process, quietly."""
    env = {**os.environ, "XLPY_ROOT": str(root)} if root else None
    subprocess.run(words, check=True, capture_output=True, env=env)


def click() -> None:
    """What any click program pays."""
    run(sys.executable, "-c", "import click")


def cases(folder: Path) -> Iterator[Case | Skip]:
    """Start-up first, then the main job."""
    root = folder / "host"
    Host.make(root, None).store.close()
    for words in (["--help"], ["pmem", "list"], ["list"]):
        yield Case(f"xlpy {' '.join(words)}", "import click", 1.5, lambda w=words: run(XLPY, *w, root=root), click)
    quickstart = str(CONFIGS / "quickstart.cfg")
    yield Case(
        "create -n quickstart",
        "import click",
        2.5,
        lambda: run(XLPY, "create", "-n", quickstart, root=folder / "no"),
        click,
    )
    yield Case("create quickstart", "import click", 4, creating(root, quickstart, "quickstart"), click)
    qemu = shutil.which("qemu-system-x86_64")
    if qemu:
        for peer, words in (
            ("QEMU's nvdimm machine to its monitor's answer", ("qmp_capabilities", "query-memory-devices")),
            ("QEMU to its monitor's greeting, no machine yet", ()),
        ):
            yield Case(
                "create quickstart (QEMU)",
                peer,
                3,
                creating(root, quickstart, "quickstart"),
                lambda words=words: monitor(qemu, folder, words),
            )
    else:
        yield Skip("create quickstart (QEMU)", "qemu-system-x86_64 is not installed (package qemu-system-x86)")
    huge = folder / "huge"
    Host.make(huge, CONFIGS / "machines" / "huge.yaml").store.close()
    vast = folder / "vast.cfg"
    vast.write_text('name = "vast"\ntype = "hvm"\nmemory = 512\nvcpus = 2\nvnvdimm = [ "/dev/pmem0" ]\n')
    yield Case(
        "create with a 6 TiB device",
        "create with a 64 MiB file",
        1.2,
        creating(huge, str(vast), "vast"),
        creating(root, quickstart, "quickstart"),
    )
    other = folder / "other"  # a second host, so that the domain of the first can stay
    Host.make(other, None).store.close()
    run(XLPY, "create", quickstart, root=root)
    yield Case(
        "guest probe quickstart",
        "create quickstart",
        2,
        lambda: run(XLPY, "guest", "probe", "quickstart", root=root),
        creating(other, quickstart, "quickstart"),
    )
    yield from exporting(folder, huge)
    yield from extents(folder)


def exporting(folder: Path, huge: Path) -> Iterator[Case]:
    """A file's size costs nothing: a device of 6 TiB, held against a file of 64 MiB."""
    small = folder / "small"
    Host.make(small, None).store.close()
    yield Case(
        "export of a 6 TiB device",
        "export of a 64 MiB file",
        1.1,
        exported(folder, huge, "file=/dev/pmem0"),
        exported(folder, small, "file=/mnt/pmem0/vm1.img"),
    )


def exported(folder: Path, root: Path, entry: str, status: int = 0) -> Callable[[], None]:
    """Export a domain; it is released again after the clock has stopped. status: of the command."""
    config, out = folder / f"{root.name}-export.cfg", folder / f"{root.name}-exported"
    config.write_text(f'name = "vm1"\ntype = "hvm"\nmemory = 512\nvnvdimm = [ "{entry}" ]\n')

    def act() -> None:
        words = (XLPY, "export", str(config), "-o", str(out), "--dom0", "emulated")
        done = subprocess.run(words, capture_output=True, check=False, env={**os.environ, "XLPY_ROOT": str(root)})
        assert done.returncode == status, done.stderr
        if not status:
            AFTER.append(lambda: run(XLPY, "export", "release", str(out / "vm1.json"), root=root))

    return act


def creating(root: Path, config: str, name: str) -> Callable[[], None]:
    """Create a domain; it is destroyed again after the clock has stopped."""

    def act() -> None:
        run(XLPY, "create", "-q", config, root=root)
        AFTER.append(lambda: run(XLPY, "destroy", name, root=root))

    return act


def monitor(qemu: str, folder: Path, words: tuple[str, ...]) -> None:
    """Start QEMU with an NVDIMM, wait for the greeting of its monitor, and for its answers.

    The greeting comes from a thread of its own, while the machine is still being made; answers come when it is there.
    """
    path, image = folder / "qmp", folder / "nv.img"
    with image.open("ab") as file:
        file.truncate(64 << 20)
    emulator = subprocess.Popen(
        [
            *(
                qemu,
                "-accel",
                "tcg",
                "-machine",
                "pc,nvdimm=on",
                "-m",
                "512M,slots=2,maxmem=4G",
                "-display",
                "none",
                "-S",
            ),
            *("-object", f"memory-backend-file,id=m1,share=on,mem-path={image},size=64M"),
            *("-device", "nvdimm,memdev=m1,id=nv1", "-qmp", f"unix:{path},server=on,wait=off"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
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


def extents(folder: Path) -> Iterator[Case | Skip]:
    """A DAX file of 40,000 extents, resolved by us and listed by e2fsprogs."""
    from xlpy.dom0.ext4.edit import Ext4Editor
    from xlpy.toolstack.backing.resolve import resolve as resolved

    root = folder / "scattered"
    host = Host.make(root, None)
    namespace = host.dom0.list_namespaces()[0]
    image, offset = host.hw.backing(namespace["resource"])
    host.hw.sync()
    Ext4Editor(image, offset, namespace["size"]).mkfile("/many.img", EXTENTS * 4096, "fragmented", 1)
    host.store.close()
    debugfs = shutil.which("debugfs", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    name = f"pmem resolve, {EXTENTS} extents"

    def resolve() -> None:
        run(XLPY, "pmem", "resolve", "--json", "/mnt/pmem0/many.img", root=root)

    yield Case(
        f"export, {EXTENTS} extents (refused)",
        name,
        1.5,
        exported(folder, root, "file=/mnt/pmem0/many.img", 6),
        resolve,
    )
    if debugfs:
        target = f"{image}?offset={offset}"
        yield Case(
            name, "debugfs dump_extents", 3, resolve, lambda: run(debugfs, "-R", "dump_extents /many.img", target)
        )
    filefrag = shutil.which("filefrag", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    mount = folder / "mnt"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-o", f"loop,ro,offset={offset},sizelimit={namespace['size']}", str(image), str(mount)],
        capture_output=True,
        check=False,
    )
    if filefrag is None or done.returncode:
        yield Skip(f"{name} (filefrag)", "the image cannot be mounted here")
        return
    opened = Host.open(root)

    def listed() -> None:
        run(filefrag, "-v", str(mount / "many.img"))

    try:
        yield Case(f"{name} (filefrag)", "filefrag -v, mounted", 3, resolve, listed)
        yield Case(
            f"resolve(), {EXTENTS} extents, in this process",
            "filefrag -v, mounted",
            3,
            lambda: resolved(opened.dom0, "/mnt/pmem0/many.img"),
            listed,
        )
    finally:
        subprocess.run(["umount", str(mount)], check=False)
