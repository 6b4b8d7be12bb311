"""The subject of a check: an image of one block device, or of all vNVDIMMs and their label areas.

A subject goes from state to state. Several of them do so side by side, on one machine or on many.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from xlpy.held import hold, sweep
from xlpy.limits import IMAGE_IN_MEMORY
from xlpy.powercut.image import Image
from xlpy.powercut.trace import LABELS, Trace
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xlpy.powercut.history import Durable


MEMORY = Path("/dev/shm")
PREFIX = "xlpy-image-"  # of folders with images
SPARE = 4  # times the image that must be free: other jobs and other people use it too


class StateSource(NamedTuple):
    """What states are made of. trace: its folder. start, size: the part of its ``base`` that matters, in bytes.

    domain: whether a domain is wanted, with all its vNVDIMMs and their labels; else it is one block device.
    """

    trace: str
    start: int
    size: int
    domain: bool = False


def source_of(trace: Trace, device: str | None, *, domain: bool) -> StateSource:
    """The source of a check.

    Args:
        device: the block device that ``{image}`` is, None for the first.
    """
    path = str(trace.path.absolute())
    if domain:
        return StateSource(
            path, 0, sum(window.size + window.label_size for window in trace.header.windows), domain=True
        )
    chosen = trace.device(device)
    start = trace.offset(chosen.gpa)
    assert start is not None, "a device lies in a window"
    return StateSource(path, start, chosen.size)


def place(trace: Trace, source: StateSource, line: int) -> int | None:
    """The offset of a line of the model in the source; None outside of it."""
    at = trace.offset(line)
    size = 8 if line >= LABELS else 64
    if at is None or not source.start <= at <= source.start + source.size - size:
        return None
    return at - source.start


def cut_to_size(line: int, data: bytes) -> bytes:
    """The bytes of a line that are in memory: of one of a label area, a unit."""
    return data[:8] if line >= LABELS else data


def working_folder(source: StateSource, memory: Path = MEMORY) -> Path:
    """Where an image is by default: in memory when it is small and there is room, else beside the trace.

    Checkers sync what they look at; on a disk that takes longer than the check itself.
    """
    if not source.domain and source.size <= IMAGE_IN_MEMORY and os.access(memory, os.W_OK | os.X_OK):
        room = os.statvfs(memory)
        if room.f_bavail * room.f_frsize >= SPARE * source.size:
            return memory
    return Path(source.trace)


class Subject:
    """An image that is brought from state to state.

    Args:
        source: what it is made of. folder: where its files go, see ``working_folder``; they go away with it.

    Attributes:
        values: what stands for the placeholders of a check, by name. variables: of its environment.
    """

    def __init__(self, source: StateSource, folder: Path | None) -> None:
        self.trace = Trace(Path(source.trace))
        self.source = source
        place = folder or working_folder(source)
        sweep(place, PREFIX)
        self.home = TemporaryDirectory(prefix=PREFIX, dir=place)
        self.folder = Path(self.home.name)
        self._lock = hold(self.folder)
        self.image = Image(self.folder / "image", self.trace.base, source.start, source.size)
        self.values = {"image": str(self.image.path)}
        self.variables: dict[str, str] = {}

    def set(self, durable: Durable, kept: Mapping[int, bytes]) -> None:
        """Make it one state, see ``Image.set``."""
        self.image.set(durable, kept)

    def close(self) -> None:
        """Remove its files."""
        self.image.close()
        self.home.cleanup()
        os.close(self._lock)
