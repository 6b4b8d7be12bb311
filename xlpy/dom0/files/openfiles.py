"""Who has files or devices open on this machine: processes, and what the kernel lists of locks and leases (proc(5)).

One pass over proc serves all files that are asked for: a machine has thousands of descriptors.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from pathlib import Path

from xlpy.contexts import suppress
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Key = tuple[int, int]  # device and inode of a file; number and -1 of a block device

_LOCK = re.compile(r"\d+: (?:-> )?(LEASE|DELEG|FLOCK|POSIX|OFDLCK)\s+\S+\s+\S+\s+(-?\d+) ([0-9a-f]+:[0-9a-f]+):(\d+) ")


def users(paths: Iterable[str], proc: str = "/proc") -> dict[str, list[str]]:
    """Who has files or devices open or mapped, or a lease or lock on them, other than this process.

    Args:
        paths: of files and devices; what does not exist is not used.
        proc: where proc is mounted.

    Returns:
        for each path texts such as ``process 17 (vi) has it open``, each process once. Processes that may not be
        looked at (without root) are not seen.
    """
    found: dict[str, list[str]] = {path: [] for path in paths}
    wanted: dict[Key, list[str]] = {}
    for path, texts in found.items():
        with suppress(OSError):
            wanted[_key(os.stat(path))] = texts  # noqa: PTH116
    seen: set[tuple[int, Key]] = set()
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdigit()):  # noqa: PTH208
        if pid == os.getpid():
            continue
        for what, keys in (("open", _opened(proc, pid)), ("mapped", _mapped(proc, pid, wanted))):
            for key in wanted.keys() & set(keys):
                if (pid, key) not in seen:
                    seen.add((pid, key))
                    wanted[key].append(f"process {pid} ({_name(proc, pid)}) has it {what}")
    for pid, key, kind in _locks(proc):
        if key in wanted and (pid, key) not in seen and pid != os.getpid():
            who = f"process {pid} ({_name(proc, pid)})" if pid > 0 else "the kernel or another machine"
            wanted[key].append(f"{who} holds a {kind} on it")
    return found


def is_opened_by_kernel(path: str) -> bool:
    """Whether a regular file is open although no descriptor shows it: an NFS server's, a loop device's, swap.

    The kernel grants a write lease only to the one opener of a file (fcntl(2), F_SETLEASE). Where leases are not
    possible the answer is no.
    """
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            return error.errno == errno.EAGAIN
        finally:
            os.close(fd)
    return False


def _key(found: os.stat_result) -> Key:
    """What a file is, whatever its names are."""
    return (found.st_rdev, -1) if stat.S_ISBLK(found.st_mode) else (found.st_dev, found.st_ino)


def _opened(proc: str, pid: int) -> Iterator[Key]:
    with suppress(OSError), os.scandir(f"{proc}/{pid}/fd") as entries:  # it has ended, or is another user's
        for entry in entries:
            with suppress(OSError):
                yield _key(entry.stat())


def _mapped(proc: str, pid: int, wanted: dict[Key, list[str]]) -> Iterator[Key]:
    """What a process has mapped, perhaps after closing it; only lines with an inode that is wanted are looked at."""
    inodes = {str(inode) for _, inode in wanted if inode >= 0}
    with suppress(OSError, ValueError), open(f"{proc}/{pid}/maps", errors="replace") as file:  # noqa: PTH123
        for line in file:
            fields = line.split(maxsplit=5)
            if len(fields) > 4 and fields[4] in inodes:
                yield _listed(fields[3], fields[4])


def _listed(device: str, inode: str) -> Key:
    """What proc calls ``MAJOR:MINOR`` in hexadecimal, and an inode."""
    major, _, minor = device.partition(":")
    return os.makedev(int(major, 16), int(minor, 16)), int(inode)


def _locks(proc: str) -> Iterator[tuple[int, Key, str]]:
    with suppress(OSError):
        for line in Path(proc, "locks").read_text().splitlines():
            match = _LOCK.match(line)
            if match:
                kind = "lease" if match[1] in ("LEASE", "DELEG") else "lock"
                yield int(match[2]), _listed(match[3], match[4]), kind


def _name(proc: str, pid: int) -> str:
    with suppress(OSError):
        return Path(proc, str(pid), "comm").read_text(errors="replace").strip()
    return "ended"
