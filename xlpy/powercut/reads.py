"""States that need no check, because the check would read the same bytes as in an earlier state.

A check that is deterministic does on two states the same, up to the first byte that it reads and in which they differ.
So when a state holds, in all places that a check has read of another one, what that one held, its verdict is the same.
What a check reads is known from outside: of a program on an image by strace, of a guest by the recorder in QEMU, which
sees every load. Whatever cannot be followed (a mapping, a descriptor from elsewhere, a system call that is not
known) counts as reading everything, and then nothing is saved. Jaaru (Gorjiara, Xu, Demsky, ASPLOS 2021) and Vinter
(Kalbfleisch and others, USENIX ATC 2022) prune by what recovery reads too.
"""

from __future__ import annotations

import re
import shutil
from _bisect import bisect_right

from xlpy.addr import LINE
from xlpy.errors import MissingTool
from xlpy.limits import STRACE_LOG
from xlpy.powercut.history import standing
from xlpy.powercut.image import Digest
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from xlpy.powercut.check import Verdict
    from xlpy.powercut.history import Durable

    Ranges = tuple[tuple[int, int], ...]  # (first, end) offsets in the image, ascending and apart

MOST_SETS = 64  # different ways through a check that are remembered
_SILENT = frozenset(
    (  # system calls that take a descriptor or a path and read nothing of the content
        *("open", "openat", "openat2", "creat", "close", "fstat", "stat", "lstat", "newfstatat", "statx", "access"),
        *("faccessat", "faccessat2", "fcntl", "flock", "fsync", "fdatasync", "sync_file_range", "fadvise64", "write"),
        *("pwrite64", "writev", "pwritev", "ftruncate", "fallocate", "lseek", "chmod", "fchmod", "chown", "fchown"),
        *(
            "utimensat",
            "readlink",
            "readlinkat",
            "execve",
            "getxattr",
            "lgetxattr",
            "fgetxattr",
            "unlink",
            "poll",
            "ppoll",
        ),
    )
)
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?)(?:<.*>)?.*$")
_NOISE = re.compile(r"^\d+ +(?:---|\+\+\+) ")


def strace() -> str:
    """The path of strace. MissingTool: it is not installed."""
    path = shutil.which("strace")
    if path is None:
        raise MissingTool("strace", "strace")
    return path


def strace_words(program: str, image: Path, log: Path) -> list[str]:
    """The words before a command that write down what it does with an image."""
    return [program, "-f", "-qq", "-y", "-s", "0", "-e", "trace=%desc,%file,%memory", "-P", str(image), "-o", str(log)]


def reads_of(log: Path, size: int) -> Ranges | None:
    """What a command has read of an image.

    Args:
        log: what strace wrote. size: of the image, in bytes.

    Returns:
        the ranges; None: it cannot be told.
    """
    found: list[tuple[int, int]] = []
    places: dict[tuple[str, str], list[int]] = {}  # by process and descriptor, where it reads next; duplicates share it
    if log.stat().st_size > STRACE_LOG:
        return None
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if _NOISE.match(line):
            continue
        call = _CALL.match(line)
        if call is None:
            return None
        process, name, arguments, answer = call.groups()
        result = int(answer, 0) if answer != "?" else -1
        descriptor = arguments.partition("<")[0]
        key = (process, descriptor)
        if result < 0:
            continue
        if name in ("open", "openat", "openat2", "creat"):
            places[process, str(result)] = [0]
        elif name == "lseek":
            places.setdefault(key, [0])[0] = result
        elif name in ("dup", "dup2", "dup3"):
            if key not in places:
                return None
            places[process, str(result)] = places[key]
        elif name == "pread64":
            offset = int(arguments.rpartition(", ")[2])
            found.append((offset, offset + result))
        elif name == "read":
            if key not in places:
                return None
            found.append((places[key][0], places[key][0] + result))
            places[key][0] += result
        elif name == "close":
            places.pop(key, None)
        elif name in ("write", "writev") and key in places:
            places[key][0] += result
        elif name not in _SILENT:
            return None
    return merged((max(first, 0), min(end, size)) for first, end in found)


def reads_of_guest(log: Path, offset: Mapping[int, tuple[int, int]]) -> Ranges:
    """What a guest has loaded from persistent memory.

    Args:
        log: what the recorder wrote: an address and a length in each line, in hex.
        offset: by guest address of a vNVDIMM, its size and where it lies in the image.
    """
    found = []
    for line in log.read_text(encoding="ascii").splitlines():
        gpa, length = (int(word, 16) for word in line.split())
        for start, (size, at) in offset.items():
            if start <= gpa < start + size:
                found.append((gpa - start + at, gpa - start + at + length))
    return merged(found)


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges in ascending order, whole lines, those that touch made one."""
    made: list[tuple[int, int]] = []
    for first, end in sorted((a - a % LINE, -(-b // LINE) * LINE) for a, b in ranges if a < b):
        if made and first <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end))
        else:
            made.append((first, end))
    return tuple(made)


class _Way:
    """One set of places that a check has read, and its verdicts by what they held."""

    def __init__(self, ranges: Ranges) -> None:
        self._starts = [first for first, _ in ranges]
        self._ends = [end for _, end in ranges]
        self._digest, self._point = Digest(), standing({})
        self.verdicts: dict[int, Verdict] = {}

    def _reads(self, at: int) -> bool:
        found = bisect_right(self._starts, at) - 1
        return found >= 0 and at < self._ends[found]

    def key(self, durable: Durable, kept: Mapping[int, bytes]) -> int:
        """A number for what a state holds in these places."""
        if not durable.follows(self._point):
            self._digest, self._point = Digest(), durable
            pieces: Iterable[tuple[int, bytes]] = durable.whole().items()
        else:
            pieces, self._point = durable.since(self._point), durable
        for at, data in pieces:
            if self._reads(at):
                self._digest.put(at, data)
        return self._digest.with_lines((at, data) for at, data in kept.items() if self._reads(at))


class Pruner:
    """What checks have read, and found."""

    def __init__(self) -> None:
        self._ways: dict[Ranges, _Way] = {}

    def verdict(self, durable: Durable, kept: Mapping[int, bytes]) -> Verdict | None:
        """The verdict that a state must have; None: it is to be checked."""
        for way in self._ways.values():
            found = way.verdicts.get(way.key(durable, kept))
            if found is not None:
                return found
        return None

    def learn(self, durable: Durable, kept: Mapping[int, bytes], ranges: Ranges, verdict: Verdict) -> None:
        """A state was checked. A check that was stopped has no result."""
        if verdict.status is None or (ranges not in self._ways and len(self._ways) >= MOST_SETS):
            return
        way = self._ways.setdefault(ranges, _Way(ranges))
        way.verdicts[way.key(durable, kept)] = verdict
