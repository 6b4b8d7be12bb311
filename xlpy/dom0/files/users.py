"""The users of a block device or file of the machine that this process runs on, as far as its kernel reports them.

The mount table shows file systems by the device that they were mounted from, and nothing else. What is built on a
device (device mapper, md), swaps on it, reads it through a loop device, keeps a journal or a realtime section on it, or
has mounted it in another mount namespace stands elsewhere; whatever claims a device exclusively makes an exclusive open
fail, which is the last word.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from xlpy.contexts import suppress
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xlpy.dom0.kernel import Mount

Number = tuple[int, int]

_LOG_OPTIONS = {"logdev": "log device", "rtdev": "realtime device"}  # of XFS


class LinuxUsers:
    """Looks users up in sysfs and proc.

    Args:
        sysfs, proc: where those file systems are mounted.
        mounts: the mount table of this process.
    """

    def __init__(self, sysfs: str, proc: str, mounts: Iterable[Mount]) -> None:
        self._sysfs, self._proc = Path(sysfs), Path(proc)
        self._mounts = list(mounts)

    def of_device(self, path: str, name: str) -> list[str]:
        """What uses a block device, each as a sentence's end ("is ..."); empty when nothing does.

        Args:
            path: of its node, for the exclusive open.
            name: the kernel's name of a disk or partition. What uses a part of a disk uses the disk, and the other way
                round.
        """
        devices = self._related(name)
        found = [
            *(f"held by {holder}" for folder in devices.values() for holder in self._holders(folder)),
            *(f"active swap space ({what})" for what, number, _ in self._swaps() if number in devices),
            *(f"used by {loop}" for loop, number, _ in self._loops() if number in devices),
            *self._log_devices(devices),
            *self._journals(devices),
            *self._elsewhere(devices),
        ]
        return found or self._claimed(path)

    def of_file(self, path: str) -> list[str]:
        """What uses a regular file beside opening it, as ``of_device``."""
        stat = Path(path).stat()
        identity = (stat.st_dev, stat.st_ino)
        return [
            *(f"an active swap file ({what})" for what, _, file in self._swaps() if file == identity),
            *(f"used by {loop}" for loop, _, file in self._loops() if file == identity),
        ]

    def of_character_device(self, path: str) -> list[str]:
        """Which other processes have a device open or mapped, as ``of_device``."""
        from xlpy.dom0.files.openfiles import users

        return [f"in use: {who}" for who in users([path], str(self._proc))[path]]

    def _related(self, name: str) -> dict[Number, Path]:
        """The device, its disk or its partitions: sysfs folders by device number."""
        folder = (self._sysfs / "class" / "block" / name).resolve()
        inside = (folder / "partition").exists()
        others = [folder.parent] if inside else [part.parent for part in sorted(folder.glob("*/partition"))]
        numbered = [(_number(_text(one / "dev")), one) for one in (folder, *others)]
        return {number: one for number, one in numbered if number}

    def _holders(self, folder: Path) -> Iterator[str]:
        """Devices that are built on one."""
        with suppress(FileNotFoundError):
            for holder in sorted((folder / "holders").iterdir()):
                mapped, level = _text(holder / "dm" / "name"), _text(holder / "md" / "level")
                named = f" (device mapper: {mapped})" if mapped else f" ({level})" if level else ""
                yield f"{holder.name}{named}"

    def _swaps(self) -> Iterator[tuple[str, Number | None, tuple[int, int] | None]]:
        """(path, device number, file identity) of each active swap space."""
        for line in _text(self._proc / "swaps").splitlines()[1:]:
            path = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[0])
            yield path, *_identity(path)

    def _loops(self) -> Iterator[tuple[str, Number | None, tuple[int, int] | None]]:
        """(words, device number, file identity) of each loop device's backing."""
        for backing in sorted(self._sysfs.glob("block/loop*/loop/backing_file")):
            loop, path = backing.parent.parent.name, _text(backing)
            yield f"the loop device {loop}", *_identity(path)

    def _log_devices(self, devices: dict[Number, Path]) -> Iterator[str]:
        """Log and realtime devices of mounted XFS file systems."""
        for mount in self._mounts:
            for option in mount.options:
                key, _, path = option.partition("=")
                if key in _LOG_OPTIONS and _identity(path)[0] in devices:
                    yield f"the {_LOG_OPTIONS[key]} of the file system on {mount.mountpoint}"

    def _journals(self, devices: dict[Number, Path]) -> Iterator[str]:
        """Journals of mounted ext4 file systems; an internal one is named DEVICE-INODE."""
        with suppress(FileNotFoundError):
            journals = {one.name for one in (self._proc / "fs" / "jbd2").iterdir()}
            if any(folder.name in journals for folder in devices.values()):
                yield "the external journal of a mounted ext4 file system"

    def _elsewhere(self, devices: dict[Number, Path]) -> Iterator[str]:
        """Mounts in the mount namespaces of other processes."""
        seen = {_namespace(self._proc / "self")}
        for process in sorted(self._proc.glob("[0-9]*"), key=lambda one: int(one.name)):
            namespace = _namespace(process)
            if namespace is None or namespace in seen:
                continue
            seen.add(namespace)
            for line in _text(process / "mountinfo").splitlines():
                fields = line.split(" ")
                if len(fields) > 4 and _number(fields[2]) in devices:
                    yield f"mounted on {fields[4]} in the mount namespace of process {process.name}"

    def _claimed(self, path: str) -> list[str]:
        """Whether an otherwise invisible user holds the device: tried by an exclusive open."""
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.EBUSY:
                return ["opened exclusively by something that does not show itself"]
        return []


def _identity(path: str) -> tuple[Number | None, tuple[int, int] | None]:
    """What a path names: (device number of a block device, None), or (None, identity of a file); nothing: neither."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None, None
    if found.st_rdev:
        return (os.major(found.st_rdev), os.minor(found.st_rdev)), None
    return None, (found.st_dev, found.st_ino)


def _namespace(process: Path) -> str | None:
    try:
        return str((process / "ns" / "mnt").readlink())
    except OSError:  # it has ended, or it is a kernel thread that we may not look at
        return None


def _number(text: str) -> Number | None:
    major, colon, minor = text.strip().partition(":")
    return (int(major), int(minor)) if colon and major.isdigit() and minor.isdigit() else None


def _text(path: Path) -> str:
    """The text of a file without the newline at its end; empty when it cannot be read."""
    try:
        return path.read_text(errors="surrogateescape").rstrip("\n")
    except OSError:
        return ""
