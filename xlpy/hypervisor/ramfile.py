"""Where the bytes of a domain's RAM are: two sparse files in the domain's directory.

``ram`` holds low RAM at offset = guest address and, right behind its end, RAM from 4 GiB up: the file that an emulator
wants as its memory. ``hole`` holds what firmware puts into the hole below 4 GiB, at offset = guest address. A page
keeps its place when the guest moves it to another frame.
"""

from __future__ import annotations

import os

from xlpy.addr import PAGE, PAGE_SHIFT
from xlpy.contexts import suppress
from xlpy.errors import StateError, XlpyError
from xlpy.firmware.layout import FOUR_GIB, HOLE_START
from xlpy.hw.media import Media, trouble
from xlpy.hypervisor.linear import LinearMap
from xlpy.private import folder
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RAM_FILE, HOLE_FILE = 0, 1
FILES = ("ram", "hole")
_HOLE, _HIGH = HOLE_START >> PAGE_SHIFT, FOUR_GIB >> PAGE_SHIFT


class RamFiles:
    """The RAM files of one domain.

    Args:
        home: the domain's directory; made when there is RAM.
        kept: gives what ``to_json`` gave last, or None.

    Attributes:
        frames: machine frame to page number in a file, tagged with the file.
    """

    def __init__(self, home: str, kept: Callable[[], dict[str, Any] | None]) -> None:
        self.home = home
        self._kept = kept
        self._leaving: list[tuple[int, int, int]] = []  # file, page, count: given back, and not scrubbed yet
        saved = kept()
        self.frames = LinearMap().load(saved["frames"] if saved else [])
        self._high: int | None = saved["high"] if saved else None  # file page of guest address 4 GiB
        self._open: dict[int, Media] = {}
        self._fresh: set[int] = set()  # files that were made here, and are zeros where no page has its place

    def to_json(self) -> dict[str, Any]:
        """The state, for the constructor."""
        return {"frames": self.frames.dump(), "high": self._high}

    def path(self, file: int) -> Path:
        """The path of RAM_FILE or HOLE_FILE."""
        from pathlib import Path

        return Path(self.name(file))

    def name(self, file: int) -> str:
        """The same as text."""
        return os.path.join(self.home, FILES[file])

    def place(self, gfn: int, mfn: int, count: int) -> None:
        """Give pages that are new at ``gfn`` a place in a file, and make the file long enough.

        Raises:
            Constraint: the file system cannot hold the file.
        """
        file, page = RAM_FILE, gfn
        if gfn >= _HIGH:
            if self._high is None:
                self._high = self._end(RAM_FILE)
            page = self._high + gfn - _HIGH
        elif gfn >= _HOLE:
            file = HOLE_FILE
        if self._taken(file, page, count):  # a page that was populated here is at another gfn now, bytes and all
            file, page = HOLE_FILE, max(self._end(HOLE_FILE), _HIGH)
        before = self._grow(file, (page + count) * PAGE)
        if before > page * PAGE and file not in self._fresh:
            self._media(file).zero(page * PAGE, count * PAGE)  # a killed process may not have come to scrubbing it
        self.frames.add(mfn, mfn + count, page, file)

    def forget(self, mfn: int, count: int) -> None:
        """Pages go back to the heap; nothing takes their place before ``scrub``."""
        self._fresh.clear()
        for piece in self.frames.take(mfn, mfn + count):
            self._leaving.append((piece.tag, piece.base, piece.size))

    def scrub(self) -> None:
        """Scrub the pages that were given back, once that is committed; the file system has their blocks then."""
        leaving, self._leaving = self._leaving, []
        saved = self._kept()
        if saved is None:  # the domain is gone, and its files with it
            return
        frames = LinearMap().load(saved["frames"])
        for file, page, count in leaving:
            used = [(piece.base, piece.base + piece.size) for piece in frames if piece.tag == file]
            for start, end in _without(page, page + count, used):
                with suppress(XlpyError):  # they are scrubbed before they are given to anybody in any case
                    self._media(file).zero(start * PAGE, (end - start) * PAGE)

    def find(self, mfn: int, count: int) -> tuple[Media, int, int]:
        """Where up to ``count`` pages from ``mfn`` on are, as far as they lie together.

        Returns:
            file, offset and length in bytes.

        Raises:
            StateError: the file is not there, or too short.
        """
        piece = self.frames.at(mfn)
        if piece is None:
            raise StateError(f"frame {mfn:#x} is a domain's RAM and has no place in {self.home}", hint=_LOST)
        size = min(count, piece.end - mfn) * PAGE
        return self._media(piece.tag), (piece.base + mfn - piece.start) * PAGE, size

    def _media(self, file: int) -> Media:
        if file not in self._open:
            path = self.name(file)
            try:
                size = os.path.getsize(path)
            except OSError as error:
                raise StateError(f"{path}: {error.strerror}", hint=_LOST) from error
            if size < (needed := self._end(file) * PAGE):
                raise StateError(f"{path}: {size} bytes long, {needed} are required", hint=_LOST)
            self._open[file] = Media(path, size)
        return self._open[file]

    def _grow(self, file: int, size: int) -> int:
        """Make a file at least so long, in bytes; how long it was."""
        path, before = self.name(file), 0
        try:
            if file in self._open or os.path.exists(path):
                before = self._media(file).size
                if before < size:
                    os.truncate(path, size)
                    self._open.pop(file).close()
            else:
                folder(self.home)
                size = max(size, FOUR_GIB if file == HOLE_FILE else 0)
                Media.create(path, size)
                self._fresh.add(file)
            if before < size:
                self._open[file] = Media(path, size)
        except OSError as error:
            raise trouble(path, error, size) from error
        return before

    def _end(self, file: int) -> int:
        return max([end for _, end in self._places(file)], default=0)

    def _taken(self, file: int, page: int, count: int) -> bool:
        return any(start < page + count and page < end for start, end in self._places(file))

    def _places(self, file: int) -> list[tuple[int, int]]:
        """The pages of a file that a domain owns, or owned before this transaction."""
        frames = self.frames
        rows = zip(frames.starts, frames.ends, frames.bases, frames.tags, strict=True)
        there = [(base, base + end - start) for start, end, base, tag in rows if tag == file]
        return there + [(base, base + size) for tag, base, size in self._leaving if tag == file]


def _without(start: int, end: int, used: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What is left of ``[start, end)`` without some ranges."""
    for first, last in sorted(used):
        if start < min(first, end):
            yield start, min(first, end)
        start = max(start, last)
    if start < end:
        yield start, end


_LOST = "the domain's RAM is lost: destroy the domain"
