"""Where the bytes of a domain's RAM are: two sparse files in the domain's directory.

``ram`` holds low RAM at offset = guest address and, right behind its end, RAM from 4 GiB up: the file that an emulator
wants as its memory. ``hole`` holds what firmware puts into the hole below 4 GiB, at offset = guest address. A page
keeps its place when the guest moves it to another frame. The files are mapped when they are first touched.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from xlpy.addr import PAGE, PAGE_SHIFT
from xlpy.errors import Constraint, StateError
from xlpy.firmware.layout import FOUR_GIB, HOLE_START
from xlpy.hypervisor.linear import LinearMap

if TYPE_CHECKING:
    from pathlib import Path

RAM_FILE, HOLE_FILE = 0, 1
FILES = ("ram", "hole")
_HOLE, _HIGH = HOLE_START >> PAGE_SHIFT, FOUR_GIB >> PAGE_SHIFT


class RamFiles:
    """The RAM files of one domain.

    Args:
        home: the domain's directory; made when there is RAM.
        saved: what ``to_json`` gave, or None.

    Attributes:
        frames: machine frame to page number in a file, tagged with the file.
    """

    def __init__(self, home: Path, saved: dict[str, Any] | None) -> None:
        self.home = home
        self.frames = LinearMap().load(saved["frames"] if saved else [])
        self._high: int | None = saved["high"] if saved else None  # file page of guest address 4 GiB
        self._maps: list[memoryview | None] = [None, None]

    def to_json(self) -> dict[str, Any]:
        """The state, for the constructor."""
        return {"frames": self.frames.dump(), "high": self._high}

    def path(self, file: int) -> Path:
        """The path of RAM_FILE or HOLE_FILE."""
        return self.home / FILES[file]

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
        self._grow(file, (page + count) * PAGE)
        self.frames.add(mfn, mfn + count, page, file)

    def forget(self, mfn: int, count: int) -> None:
        """Scrub pages that go back to the heap; their blocks go back to the file system."""
        from xlpy.hw.media import Media

        for piece in self.frames.take(mfn, mfn + count):
            path = self.path(piece.tag)
            media = Media(path, path.stat().st_size)
            media.zero(piece.base * PAGE, piece.size * PAGE)
            media.close()

    def view(self, mfn: int, count: int) -> memoryview:
        """The bytes of up to ``count`` pages from ``mfn`` on, as far as they lie together in one file."""
        piece = self.frames.at(mfn)
        if piece is None:
            raise StateError(f"frame {mfn:#x} is a domain's RAM and has no place in {self.home}")
        page = piece.base + mfn - piece.start
        end = page + min(count, piece.end - mfn)
        return self._mapped(piece.tag, end * PAGE)[page * PAGE : end * PAGE]

    def _mapped(self, file: int, size: int) -> memoryview:
        view = self._maps[file]
        if view is None or len(view) < size:
            import mmap

            try:
                fd = os.open(self.path(file), os.O_RDWR | os.O_CLOEXEC)
                try:
                    view = self._maps[file] = memoryview(mmap.mmap(fd, 0))
                finally:
                    os.close(fd)
            except (OSError, ValueError) as error:
                raise StateError(f"{self.path(file)}: {error}", hint="destroy the domain: its RAM is lost") from error
            if len(view) < size:
                raise StateError(f"{self.path(file)}: {len(view)} bytes, {size} are required")
        return view

    def _grow(self, file: int, size: int) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path(file), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(fd).st_size < size:
                    os.ftruncate(fd, size)
            finally:
                os.close(fd)
        except OSError as error:
            raise Constraint(
                f"{self.path(file)} ({size} bytes): {error.strerror}",
                hint="free some space, or use another file system with --root",
            ) from error

    def _end(self, file: int) -> int:
        return max((piece.base + piece.size for piece in self.frames if piece.tag == file), default=0)

    def _taken(self, file: int, page: int, count: int) -> bool:
        return any(
            piece.tag == file and piece.base < page + count and page < piece.base + piece.size for piece in self.frames
        )
