"""The caches in front of the machine's persistent memory, as far as something in them may be lost.

A store is visible everywhere at once, because caches are coherent: the media files hold it. What is kept here is what a
power failure may undo: by cache line, the bytes before its first store that is not safe yet, and the stores since.
Nothing is kept, and no file is there, as long as every store was written back and fenced, which ``mem write`` does.
"""

from __future__ import annotations

import os

from xlpy.addr import LINE
from xlpy.errors import StateError
from xlpy.hw.media import trouble
from xlpy.hw.persistency import CpuStore, Line, Persistency
from xlpy.jsontext import decode, encode
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CORE = 0  # one hardware thread is modelled here; traces of guests have as many as there are


class Caches:
    """The caches of one machine.

    Args:
        path: the file in which they outlive a command.
        read: ``read(spa, length)`` gives bytes of host memory.
        persistence: what survives a power failure, in Linux' words: ``none``, ``memory_controller``, ``cpu_cache``.
    """

    def __init__(self, path: str, read: Callable[[int, int], bytes], persistence: str) -> None:
        self._path = path
        self._model = Persistency(read, caches_survive=persistence == "cpu_cache", queue_survives=persistence != "none")
        self._load()

    @staticmethod
    def exist(path: str) -> bool:
        """Whether anything may be lost: there is a file."""
        return os.path.exists(path)

    # -- what the guest does ------------------------------------------------------------------------------------------

    def store(self, spa: int, data: bytes) -> None:
        """A store that is not written back; to be told of before the bytes are in memory."""
        self._model.store(CORE, spa, data)
        self._model.drain(CORE)
        self._save()

    def write_back(self, spa: int, length: int, instruction: str = "clwb") -> int:
        """Write back the lines of a range. Those of CLWB and CLFLUSHOPT are durable after the next fence.

        Returns:
            how many lines had something to write back.
        """
        count = 0
        for line in range(spa - spa % LINE, spa + length, LINE):
            count += line in self._model.lines
            (self._model.clflush if instruction == "clflush" else self._model.clwb)(CORE, line)
        self._model.drain(CORE)
        self._save()
        return count

    def fence(self, *, drain: bool = False) -> None:
        """SFENCE; with ``drain``, also write a flush hint address of each DIMM, as a deep flush does."""
        self._model.mfence(CORE)
        if drain:
            self._model.drain_queue()
        self._save()

    # -- what is there, and what a failure leaves ---------------------------------------------------------------------

    @property
    def lines(self) -> Mapping[int, Line]:
        """The lines that may lose something, by host address."""
        return self._model.open_lines()

    def contents(self, choose: Callable[[int, Line], int]) -> Iterator[tuple[int, bytes]]:
        """(host address, 64 bytes) of every line after a failure.

        Args:
            choose: how many stores of a line are left, between ``durable`` and all.
        """
        return self._model.image({address: choose(address, line) for address, line in self._model.lines.items()})

    def clear(self) -> None:
        """Everything has reached the media: hardware may write lines back whenever it wants to."""
        self._model.lines.clear()
        self._save()

    # -- the file -----------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        try:
            with open(self._path, "rb") as file:
                saved: dict[str, Any] = decode(file.read().decode())
            for address, (base, stores, durable) in saved["lines"].items():
                line = self._model.lines[int(address, 16)] = Line(bytes.fromhex(base))
                line.stores = [CpuStore(at, bytes.fromhex(data), order) for at, data, order in stores]
                line.durable = durable
            self._model.restore(saved["waiting"], saved["queued"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StateError(
                f"{self._path}: what the caches hold cannot be read: {error}",
                hint="remove the file: everything then counts as written back",
            ) from error

    def _save(self) -> None:
        """Keep what may be lost, or nothing."""
        self._model.settle()
        try:
            if not self._model.lines:
                if os.path.exists(self._path):
                    os.unlink(self._path)
                return
            lines = {
                f"{address:x}": [
                    line.base.hex(),
                    [[s.offset, s.data.hex(), s.order] for s in line.stores],
                    line.durable,
                ]
                for address, line in self._model.lines.items()
            }
            waiting, queued = self._model.waiting()
            fresh = f"{self._path}.new"
            with open(fresh, "w", encoding="utf-8", opener=private) as file:
                file.write(encode({"lines": lines, "waiting": waiting, "queued": queued}))
            os.replace(fresh, self._path)
        except OSError as error:
            raise trouble(self._path, error) from error
