"""Many files on a host's file system at once, by debugfs and not by xlpy, whose way it is to make them one by one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING

from xlpy.dom0.ext4.reader import Ext4Image
from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from version import Version

BLOCK, FOLDER = 4096, 100  # bytes of a block; files in one folder


@cache
def device(version: Version, root: Path) -> tuple[str, int, int]:
    """The image that holds a host's first namespace, and its offset and size there."""

    def told(*words: str) -> dict:
        env = {**os.environ, "XLPY_ROOT": str(root)}
        return json.loads(
            subprocess.run([version.xlpy, *words, "--json"], env=env, check=True, capture_output=True).stdout
        )

    namespace, machine = told("pmem", "list")["items"][0], told("host", "show")
    region = machine["regions"][0]
    return region["media"], namespace["resource"] - region["spa"], namespace["size"]


def debugfs(version: Version, root: Path, commands: Iterable[str]) -> None:
    """Run commands on a host's file system."""
    program = shutil.which("debugfs", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        raise FileNotFoundError(2, "not installed", "debugfs")
    image, offset, _ = device(version, root)
    text = "".join(f"{command}\n" for command in commands)
    words = [program, "-w", "-f", "-", f"{image}?offset={offset}"]
    subprocess.run(words, input=text.encode(), check=True, capture_output=True)


def written(version: Version, root: Path, names: Sequence[str], size: int) -> None:
    """Files whose blocks are allocated and written, at the root of the file system."""
    last = size // BLOCK - 1
    steps = ("write /dev/null {0}", "sif {0} mode 0100644", f"sif {{0}} size {size}", f"fallocate {{0}} 0 {last}")
    debugfs(version, root, (step.format(name) for name in names for step in steps))
    commands = []
    with Ext4Image(*device(version, root)) as fs:
        for name in names:
            inode = fs.lookup(f"/{name}")
            commands.append(f"extent_open <{inode.number}>")
            for extent in fs.tree(inode):
                assert extent.flags & FIEMAP_EXTENT_UNWRITTEN
                start, count, block = extent.logical // BLOCK, extent.length // BLOCK, extent.physical // BLOCK
                commands += [f"goto_block {start}", f"replace_node {start} {count} {block}"]
            commands.append("extent_close")
    debugfs(version, root, commands)


def many(version: Version, root: Path, count: int) -> None:
    """Empty files, a hundred to a folder."""
    commands = []
    for at in range(count):
        if at % FOLDER == 0:
            commands += ["cd /", f"mkdir many{at // FOLDER}", f"cd many{at // FOLDER}"]
        commands += [f"write /dev/null {at}", f"sif {at} mode 0100644"]
    debugfs(version, root, commands)
