"""Who has a file or device open on this machine: processes and what the kernel lists of locks and leases (proc(5))."""

from __future__ import annotations

import os
import re
import stat as modes
from contextlib import suppress
from pathlib import Path

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK = re.compile(
    r"\d+: (?:-> )?(LEASE|DELEG|FLOCK|POSIX|OFDLCK)\s+\S+\s+\S+\s+(-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) "
)


class Target:
    """A file (by device and inode) or a block device (by its own number), whatever its names are."""

    def __init__(self, path: str) -> None:
        found = Path(path).stat()
        self.block = modes.S_ISBLK(found.st_mode)
        self.device = found.st_rdev if self.block else found.st_dev
        self.inode = found.st_ino

    def is_(self, found: os.stat_result) -> bool:
        """Whether a descriptor stands for it."""
        if self.block:
            return modes.S_ISBLK(found.st_mode) and found.st_rdev == self.device
        return (found.st_dev, found.st_ino) == (self.device, self.inode)

    def listed(self, major: int, minor: int, inode: int) -> bool:
        """Whether a line of ``/proc/locks`` or ``/proc/PID/maps`` means it; these have the file system's device."""
        return not self.block and (os.makedev(major, minor), inode) == (self.device, self.inode)


def users(path: str, proc: str = "/proc") -> list[str]:
    """Who has a file or device open or mapped, or a lease or lock on it, other than this process.

    Args:
        path: of the file or device; nothing there: nobody.
        proc: where proc is mounted.

    Returns:
        texts such as ``process 17 (vi) has it open``, each process once. Processes that may not be looked at (without
        root) are not seen.
    """
    try:
        target = Target(path)
    except OSError:
        return []
    found: dict[int, str] = {}
    for pid in sorted(int(entry.name) for entry in Path(proc).iterdir() if entry.name.isdigit()):
        if pid == os.getpid():
            continue
        what = "open" if _opens(Path(proc, str(pid)), target) else "mapped" if _maps(proc, pid, target) else None
        if what:
            found[pid] = f"process {pid} ({_name(proc, pid)}) has it {what}"
    leases = [text for pid, text in _locks(proc, target) if pid not in found and pid != os.getpid()]
    return [*found.values(), *leases]


def _opens(folder: Path, target: Target) -> bool:
    with suppress(OSError):  # it has ended, or is another user's
        for entry in (folder / "fd").iterdir():
            with suppress(OSError):
                if target.is_(entry.stat()):
                    return True
    return False


def _maps(proc: str, pid: int, target: Target) -> bool:
    """Whether a process has the file mapped, perhaps after closing it."""
    with suppress(OSError, ValueError):
        for line in Path(proc, str(pid), "maps").read_text(errors="replace").splitlines():
            fields = line.split(maxsplit=5)
            major, _, minor = fields[3].partition(":")
            if target.listed(int(major, 16), int(minor, 16), int(fields[4])):
                return True
    return False


def _locks(proc: str, target: Target) -> Iterator[tuple[int, str]]:
    with suppress(OSError):
        for line in Path(proc, "locks").read_text().splitlines():
            match = _LOCK.match(line)
            if match and target.listed(int(match[3], 16), int(match[4], 16), int(match[5])):
                pid = int(match[2])
                kind = "lease" if match[1] in ("LEASE", "DELEG") else "lock"
                who = f"process {pid} ({_name(proc, pid)})" if pid > 0 else "the kernel or another machine"
                yield pid, f"{who} holds a {kind} on it"


def _name(proc: str, pid: int) -> str:
    with suppress(OSError):
        return Path(proc, str(pid), "comm").read_text(errors="replace").strip()
    return "ended"
