"""Disks of a configuration: their numbers, their backends, and whether their files exist (``libxl``)."""

from __future__ import annotations

import os
import stat

from xlpy.errors import ConfigError
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LETTERS = r"(xvd|hd|sd)([a-z]+)([0-9]*)"
_NUMBERED = r"d([0-9]+)(?:p([0-9]+))?"
_EXTENDED = 1 << 28  # disks and partitions beyond what Linux's majors can say (Xen docs, vbd-interface)
XVD_MAJOR, SCSI_MAJOR, IDE_MAJORS = 202, 8, (3, 22)


def vdev_number(vdev: str) -> int | None:
    """The number of a virtual device such as ``xvda``, ``hdc1``, ``d0p0`` or ``51712``; None when it is none."""
    if vdev.isascii() and vdev.isdigit():
        return int(vdev) if len(vdev) < 10 else None
    import re

    if found := re.fullmatch(_NUMBERED, vdev):
        return _xvd(int(found[1]), int(found[2] or 0))
    found = re.fullmatch(_LETTERS, vdev)
    if found is None or len(found[2]) > 4 or len(found[3]) > 3:
        return None
    disk = 0
    for letter in found[2]:
        disk = disk * 26 + ord(letter) - ord("a") + 1
    disk, partition = disk - 1, int(found[3] or 0)
    if found[1] == "xvd":
        return _xvd(disk, partition)
    if found[1] == "hd":
        return IDE_MAJORS[disk >> 1] << 8 | (disk & 1) << 6 | partition if disk < 4 and partition < 64 else None
    return SCSI_MAJOR << 8 | disk << 4 | partition if disk < 16 and partition < 16 else None


def _xvd(disk: int, partition: int) -> int | None:
    if disk < 16 and partition < 16:
        return XVD_MAJOR << 8 | disk << 4 | partition
    return _EXTENDED | disk << 8 | partition if disk < 1 << 20 and partition < 256 else None


def number_of(disk: Mapping[str, Any]) -> int:
    """The number of a disk's virtual device. ConfigError: it has none."""
    number = vdev_number(disk["vdev"])
    if number is None:
        raise ConfigError(
            f"Invalid or unsupported virtual disk identifier {disk['vdev']}", hint="for example xvda, hdc or sdb1"
        )
    return number


def backend_of(disk: Mapping[str, Any]) -> str:
    """Who serves a disk: ``phy`` (a block device, or a raw file through a loop device) or ``qdisk`` (QEMU)."""
    wanted: str | None = disk.get("backend")
    if wanted and wanted != "unknown":
        return wanted
    return "phy" if (disk.get("format") or "raw") == "raw" and disk.get("pdev_path") else "qdisk"


def check_disk(disk: Mapping[str, Any], exists: Callable[[str], bool]) -> None:
    """Whether a disk can be served.

    Args:
        disk: in libxl's structure.
        exists: tells whether Dom0 has a path that this machine has not.

    Raises:
        ConfigError: its file is not there, is a directory, or its virtual device is none.
    """
    number_of(disk)
    path = disk.get("pdev_path")
    elsewhere = disk.get("backend_domid") or disk.get("backend_domname")
    if not path or disk.get("script") or elsewhere or disk.get("format") == "empty":
        return
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - pathlib takes 6 ms to import
    except OSError as error:
        if exists(path):
            return
        raise ConfigError(
            f"Disk vdev={disk['vdev']} failed to stat: {path}: {error.strerror}", hint="check the path of the disk"
        ) from None
    if stat.S_ISDIR(mode):
        raise ConfigError(f"Disk vdev={disk['vdev']}: {path}: Is a directory", hint="name a file or a block device")
