"""Label storage of a vNVDIMM: a file beside the backing, outside its data, so that labels never hide existing data.

The file belongs to the backing and outlives the domain. It is made by the first write; until then the area reads as
zeros. A write is in place and on stable storage before it is reported as done, and that is all a label area promises,
in hardware as here: a write that is cut short by a crash may be torn. Nothing is lost by that, because software that
writes labels writes the index block that is not current, and a torn one fails its checksum (UEFI 2.7, 13.19).
"""

from __future__ import annotations

import os

from xlpy.errors import Conflict, Constraint
from xlpy.hw.media import watchers
from xlpy.private import private


class LabelStore:
    """One label area.

    Args:
        path: its file.
        size: of the area in bytes.
    """

    def __init__(self, path: str, size: int) -> None:
        self.path = path
        self.size = size

    def check(self) -> None:
        """Refuse a file that holds an area of another size, or cannot hold one.

        Raises:
            Conflict: there is an area of another size; using it would lose labels.
            Constraint: the file cannot be opened, or its folder is missing.
        """
        try:
            found = os.path.getsize(self.path)
        except FileNotFoundError:
            folder = os.path.dirname(self.path)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise Constraint(
                    f"{self.path}: labels cannot be kept there: {folder} is missing or read-only"
                ) from None
            return
        except OSError as error:
            raise Constraint(f"{self.path}: labels cannot be kept there: {error.strerror}") from error
        if found not in (0, self.size):
            raise Conflict(
                f"{self.path}: the label area of this backing has {found} bytes, {self.size} are asked for",
                code="XLPY-LABEL-SIZE",
                hint=f"write label_size={found}, or remove the file to lose its labels",
            )

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``; OSError when the file fails or is too short."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return bytes(length)
        try:
            data = os.pread(fd, length, offset)
            if len(data) != length and os.fstat(fd).st_size:
                raise OSError(f"{self.path}: too short")
        finally:
            os.close(fd)
        return data.ljust(length, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        """Put ``data`` at ``offset``; on return it is durable. OSError when the file fails."""
        fd = private(self.path, os.O_RDWR | os.O_CREAT)
        try:
            size = os.fstat(fd).st_size
            if size != self.size:
                if size:
                    raise OSError(f"{self.path}: {size} bytes, {self.size} are required")
                self._make(fd)
            for told in watchers:
                told(self.path, offset, bytes(data))
            while data:
                done = os.pwrite(fd, data, offset)
                data, offset = data[done:], offset + done
            os.fsync(fd)
        finally:
            os.close(fd)

    def _make(self, fd: int) -> None:
        """Give a new file its size, and its name in the folder; a file left empty by a crash counts as new."""
        os.ftruncate(fd, self.size)
        folder = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
