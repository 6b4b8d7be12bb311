"""Crash images: one working file that is changed from state to state, at the cost of the lines that differ.

The file begins as a sparse copy of the memory before the run. It holds one block device of the guest, or everything.
"""

from __future__ import annotations

import os

from xlpy.digest import blake2b
from xlpy.errors import file_error
from xlpy.hw.sparse import copy
from xlpy.powercut.opened import Writers
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from xlpy.powercut.history import Durable, Pieces


def copy_sparse(source: Path, offset: int, size: int, target: Path, name: str | None = None) -> None:
    """Make ``target`` a sparse copy of ``size`` bytes from ``offset`` on. HostTrouble: the disk is full.

    Args:
        name: what messages call it; None: its path.
    """
    with source.open("rb") as read, open(target, "wb", opener=private) as write:
        try:
            write.truncate(size)
            copy(read.fileno(), offset, size, write.fileno())
        except OSError as error:
            raise file_error(error, name or target) from error


class Image:
    """A working image.

    Args:
        path: the file, made here. source, offset, size: the memory before the run. name: what messages call it.
    """

    _durable: Durable | None
    _forced: dict[int, bytes]  # what of it differs from the source
    _kept: Mapping[int, bytes]  # what was kept on top of it

    def __init__(self, path: Path, source: Path, offset: int, size: int, name: str | None = None) -> None:
        self.path, self._name = path, name
        self._source, self._offset, self._size = source, offset, size
        self._stamp: tuple[int, int, int] | None = None
        self.rebuilt = 0
        self._before = source.open("rb")
        self._make()

    def _make(self) -> None:
        """A fresh copy of the memory before the run."""
        self.path.unlink(missing_ok=True)
        copy_sparse(self._source, self._offset, self._size, self.path, self._name)
        self._writers, self._file = Writers(self.path), self.path.open("r+b", buffering=0)
        self._durable, self._forced, self._kept = None, {}, {}

    def close(self) -> None:
        """Let go of the files."""
        self._before.close()
        self._release()

    def _release(self) -> None:
        self._writers.close()
        self._file.close()

    def set(self, durable: Durable, kept: Mapping[int, bytes]) -> None:
        """Make it one state: what was durable, and what is kept beside that.

        When a check has opened the file for writing, or put another in its place, it is made anew first.
        """
        if self._stamp is not None and (self._writers.seen() or self._seen() != self._stamp):
            self._release()
            self._make()
            self.rebuilt += 1
        gone = {at: len(data) for at, data in self._kept.items()}
        if durable.follows(self._durable):
            new = dict(durable.since(self._durable or durable))
        else:
            gone |= {at: len(data) for at, data in self._forced.items()}
            new, self._forced = durable.whole(), {}
        self._forced.update(new)
        before, file = self._before.fileno(), self._file.fileno()
        changes = {
            at: self._forced.get(at) or os.pread(before, size, self._offset + at)
            for at, size in gone.items()
            if at not in kept
        }
        changes |= new
        changes |= {at: data for at, data in kept.items() if at in new or self._kept.get(at) != data}
        try:
            for at, data in joined(changes):
                os.pwrite(file, data, at)
        except OSError as error:
            raise file_error(error, self._name or self.path) from error
        self._durable, self._kept = durable, dict(kept)
        self._stamp = self._seen()

    def _seen(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def joined(lines: Pieces) -> Iterable[tuple[int, bytes]]:
    """Pieces that follow each other as one write."""
    run, start = bytearray(), 0
    for at in sorted(lines):
        if run and at == start + len(run):
            run += lines[at]
            continue
        if run:
            yield start, bytes(run)
        run, start = bytearray(lines[at]), at
    if run:
        yield start, bytes(run)


class Digest:
    """A number that depends on the content of all lines, and is kept up to date line by line."""

    def __init__(self) -> None:
        self._parts: dict[int, int] = {}
        self.value = 0

    def put(self, at: int, data: bytes) -> None:
        """A line has this content now."""
        part = _part(at, data)
        self.value ^= self._parts.get(at, 0) ^ part
        self._parts[at] = part

    def with_lines(self, lines: Iterable[tuple[int, bytes]]) -> int:
        """The number if some lines had another content."""
        value = self.value
        for at, data in lines:
            value ^= self._parts.get(at, 0) ^ _part(at, data)
        return value


def _part(at: int, data: bytes) -> int:
    return int.from_bytes(blake2b(at.to_bytes(8, "little") + data, digest_size=16).digest(), "little")
