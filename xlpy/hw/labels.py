"""The label storage of one DIMM: a small area outside the address space, reached by offset."""

from __future__ import annotations

from xlpy.errors import Constraint, NotFound
from xlpy.hw.media import Media
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os


class LabelArea:
    """The label area of a DIMM.

    Args:
        dimm: id of the DIMM, for messages.
        path: the file that holds the area.
        size: bytes, 0 when the DIMM has none.
    """

    __slots__ = ("_dimm", "_media", "size")

    def __init__(self, dimm: str, path: str | os.PathLike[str], size: int) -> None:
        self._dimm = dimm
        self._media = Media(path, size)
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes at ``offset``.

        Raises:
            NotFound: the DIMM has no label area.
            Constraint: the range leaves the area.
        """
        self._check(offset, length)
        return self._media.read(offset, length)

    def write(self, offset: int, data: bytes) -> None:
        """Store ``data`` at ``offset``; errors as ``read``."""
        self._check(offset, len(data))
        self._media.write(offset, data)

    def _check(self, offset: int, length: int) -> None:
        if not self.size:
            raise NotFound(f"{self._dimm} has no label area", hint="give it one with label_size: 128K")
        if offset < 0 or length < 0 or offset + length > self.size:
            raise Constraint(
                f"[{offset:#x}, {offset + length:#x}) leaves the label area of {self._dimm}, {self.size:#x} bytes"
            )

    def sync(self) -> None:
        """Write what was stored to the disk."""
        self._media.sync()

    def close(self) -> None:
        """Let go of the file."""
        self._media.close()
