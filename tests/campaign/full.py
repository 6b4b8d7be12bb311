"""Full disks: a host on a file system of its own, from too small to large enough, and filled up at every step."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from campaign.states import whole

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from campaign.figures import Figures

KIB = 1 << 10
STEPS = (
    ("list",),
    ("create", "-q", "quickstart.cfg"),
    ("guest", "probe", "quickstart"),
    ("acpi", "eval", "quickstart", r"\_SB.NVDR.NV00._LSI"),
    ("acpi", "eval", "quickstart", r"\_SB.NVDR.NV00._LSW", "0", "4", "str:kept"),
    ("nvdimm-attach", "quickstart", "file=/dev/pmem1"),
    ("pmem", "mkfile", "64K", "/mnt/pmem0/new.img"),
    ("mem", "write", "quickstart", "0x500000000", "--hex", "00112233"),
    ("reboot", "quickstart"),
    ("nvdimm-detach", "-f", "quickstart", "1"),
)


@contextlib.contextmanager
def mounted(where: Path, size: int) -> Iterator[None]:
    """A tmpfs of a size. OSError: it is not allowed."""
    where.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "campaign", str(where)], capture_output=True, check=False
    )
    if done.returncode:
        raise PermissionError(done.stderr.decode())
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(where)], check=False)


def fill(where: Path) -> Path:
    """Take all the space that is left; the file that has it."""
    path = where / "filler"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for piece in (1 << 16, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(fd, b"x" * piece)
    finally:
        os.close(fd)
    return path


def run(rng: random.Random, folder: Path, figures: Figures) -> None:
    """Grow the disk; on each size go some steps, fill it up, and go on."""
    size = 64 * KIB
    while figures.time_left:
        try:
            with mounted(folder / "disk", size):
                attempt(folder / "disk", size, rng.randrange(len(STEPS) + 1), figures)
        except PermissionError as error:
            print(f"full: no tmpfs can be mounted here ({str(error).strip()}): left out")
            return
        figures.count("disks")
        size += rng.choice([4, 12, 32, 64]) * KIB
        if size > 3 << 20:
            size = 64 * KIB
            figures.count("rounds")


def attempt(disk: Path, size: int, full_from: int, figures: Figures) -> None:
    """All steps on one disk, which is filled up before one of them.

    Args:
        disk: where it is mounted. size: its bytes, for messages. full_from: the step.
        figures: what is found goes there.
    """
    root = disk / "host"
    what = f"{size // KIB} KiB, full from step {full_from} on"
    filler = None
    made = False
    for number, step in enumerate(STEPS):
        if number == full_from:
            filler = fill(disk)
        made |= figures.xlpy(root, *step).status == 0
    filler = filler or fill(disk)
    if made:
        for words in (("list",), ("list", "--json")):
            found = figures.xlpy(root, *words)
            if found.status:
                figures.find(f"{what}: {' '.join(words)} on a full disk ended with {found.status}: {found.err}")
        if "quickstart" in figures.xlpy(root, "list").out:
            found = figures.xlpy(root, "destroy", "quickstart")
            figures.count("destroyed on a full disk", not found.status)
            if found.status:
                figures.find(f"{what}: destroy on a full disk ended with {found.status}: {found.err}")
    filler.unlink()
    if made:
        found = figures.xlpy(root, "list")
        if found.status:
            figures.find(f"{what}: list with space again ended with {found.status}: {found.err}")
        for wrong in whole(root):
            figures.find(f"{what}: {wrong}")
