"""What a host is, so that two states of it can be compared."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from typing import TYPE_CHECKING, Any

from copying import copy_tree

if TYPE_CHECKING:
    from pathlib import Path

State = dict[str, Any]  # records, and files with their size and a digest of their content

PIECE = 1 << 16
ZEROS = bytes(PIECE)


def snapshot(root: Path) -> State:
    """Everything that a host is, but for its log, and for counters that only ever grow."""
    with sqlite3.connect(root / "state.db") as db:
        rows = db.execute("SELECT room, key, value FROM records").fetchall()
    db.close()
    left_out = ("xen.console", "dom0.edits", "hw.undo")
    found = {f"{room}/{key}": json.loads(value) for room, key, value in rows if room not in left_out}
    del found["xen/last_domid"]
    if "xen/pmem" in found:
        del found["xen/pmem"]["sequence"]
        if not any(found["xen/pmem"].values()):  # nothing was ever reported, or nothing is left of it
            del found["xen/pmem"]
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        lasting = (
            not name.startswith(("state.db", "lock", "reserve", "last-failure", "domains/frames", "hw/holds"))
            and path.suffix != ".lock"
        )
        if path.is_file() and lasting:
            found[name] = (path.stat().st_size, content(path))
    return found


def content(path: Path) -> str:
    """A digest of what a sparse file holds; whether zeros are a hole or not makes no difference."""
    digest, end = hashlib.blake2b(), 0
    with path.open("rb") as file:
        while True:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:
                return digest.hexdigest()
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            for at in range(start - start % PIECE, end, PIECE):
                data = os.pread(file.fileno(), PIECE, at)
                if data != ZEROS[: len(data)]:
                    digest.update(str(at).encode() + data)
            end += -end % PIECE


def differences(before: State, after: State) -> list[str]:
    """The names of what is not the same."""
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def copy(source: Path, target: Path) -> None:
    """Make one state directory equal to another; holes stay holes."""
    shutil.rmtree(target, ignore_errors=True)
    copy_tree(source, target)


def stable(state: State) -> State:
    """Without what depends on the clock, and on how many changes xenstore has seen."""
    passing = ("xenstore/generation", "libxl/booted")
    found = {key: value for key, value in state.items() if "start_time" not in key and key not in passing}
    for key, value in found.items():
        if key.startswith("xenstore/"):
            del value[2:]
        elif isinstance(value, dict):
            value.pop("started", None)
    return found


def whole(root: Path) -> list[str]:
    """What e2fsck finds wrong with the file systems of a host, and files that a command should have removed."""
    left = [
        str(path.relative_to(root))
        for pattern in ("unclean", "next", "replacing", "making*", "hw/media/*.edit-*")
        for path in root.glob(pattern)
    ]
    for lock in root.glob("hw/media/*.ext4-*.lock"):
        image, _, offset = lock.name.removesuffix(".lock").rpartition(".ext4-")
        device = f"{lock.parent / image}?offset={int(offset, 16)}"
        found = subprocess.run(["/sbin/e2fsck", "-fn", device], capture_output=True, text=True, check=False)
        if found.returncode:
            left.append(f"{image}: {found.stdout}")
    return left
