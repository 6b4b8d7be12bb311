"""Staging: a scattered vNVDIMM as one file for the emulator, and back.

Holes stay holes in both directions: only what media or guest have written is copied. Copying back is idempotent, so
that a run which was killed can be finished by a later command.
"""

from __future__ import annotations

import os

from xlpy.addr import PAGE
from xlpy.hw.sparse import copy, written
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from xlpy.boot.plan import GuestNvdimm, Stretch


def copy_out(device: GuestNvdimm, path: Path) -> None:
    """Make ``path`` hold the vNVDIMM's bytes in guest order. It has its name only once it is complete.

    Raises:
        OSError: a file; nothing is left behind then.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        with open(fresh, "wb", opener=private) as out:
            out.truncate(device.size)
            start = 0
            for stretch in device.stretches:
                copy_stretch(stretch, out.fileno(), start)
                start += stretch.length
        fresh.rename(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def copy_stretch(stretch: Stretch, fd: int, start: int) -> None:
    """Write the bytes of a stretch to ``fd`` from offset ``start`` on, where nothing but a hole is."""
    with stretch.path.open("rb") as source:
        copy(source.fileno(), stretch.offset, stretch.length, fd, start)


def copy_back(device: GuestNvdimm, path: Path) -> int:
    """Write what the guest changed to the media.

    Returns:
        how many bytes were written, in whole pages.
    """
    changed, start = 0, 0
    with path.open("rb") as stage:
        for stretch in device.stretches:
            with stretch.path.open("r+b", buffering=0) as media:
                for at, data in written(stage.fileno(), start, stretch.length):
                    changed += _update(media.fileno(), stretch.offset + at - start, data)
                # where the stage has become a hole, the media must read as zeros too
                for at, old in written(media.fileno(), stretch.offset, stretch.length):
                    now = os.pread(stage.fileno(), len(old), start + at - stretch.offset)
                    changed += _update(media.fileno(), at, now)
                os.fsync(media.fileno())
            start += stretch.length
    return changed


def bring_back(device: GuestNvdimm, folder: Path) -> int:
    """End the staging of a vNVDIMM; how many bytes of the media were written: none when it is read-only."""
    path = device.stage_file(folder)
    changed = 0 if device.read_only else copy_back(device, path)
    path.unlink()
    return changed


def _update(fd: int, offset: int, data: bytes) -> int:
    """Write the pages of ``data`` that differ from what is there."""
    old = os.pread(fd, len(data), offset)
    if old == data:
        return 0
    changed = 0
    for at in range(0, len(data), PAGE):
        page = data[at : at + PAGE]
        if old[at : at + PAGE] != page:
            os.pwrite(fd, page, offset + at)
            changed += len(page)
    return changed
