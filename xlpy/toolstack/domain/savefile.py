"""The file of a saved domain: a header, and the RAM that was ever written.

Layout: the line ``xlpy saved domain 3``; the length of a JSON header (64 bits), the header, its digest (BLAKE2b, 32
bytes); pieces of RAM, each with guest address (64 bits), length and CRC-32 (32 bits each) in front, the CRC-32 of the
bytes and then the address; a piece of length 0 whose address is the number of pieces. Numbers are little endian.
Nothing follows.
"""

from __future__ import annotations

import _struct as struct
import errno
import os

from xlpy import limits
from xlpy.contexts import contextmanager
from xlpy.digest import blake2b
from xlpy.errors import ConfigError, StateError, file_error
from xlpy.inputs import open_plain
from xlpy.jsontext import decode, encode
from xlpy.outputs import replacing
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO, Self

VERSION = 3
FAMILY = b"xlpy saved domain "
MAGIC = FAMILY + b"%d\n" % VERSION
WORD, PIECE = struct.Struct("<Q"), struct.Struct("<QII")
DIGEST = 32
CHUNK = 1 << 20  # bytes of RAM in a piece, at most
WINDOW = 16 * CHUNK  # that are mapped at a time
AHEAD = 4  # pieces that are read and not yet checked


class RamRun(NamedTuple):
    """RAM that lies together: guest address, descriptor of the file it is in, offset there, bytes."""

    gpa: int
    fd: int
    offset: int
    length: int


class Saved(NamedTuple):
    """What a file of a saved domain says, but for its RAM.

    header: see ``saving``. at: offset of the first piece of RAM.
    """

    path: str
    header: dict[str, Any]
    at: int


def write(path: str, header: dict[str, Any], ram: Iterable[RamRun]) -> None:
    """Write a file; nothing is left when that fails. Errors as ``replacing``."""
    with replacing(path) as file:
        _write(file.fileno(), header, ram)


def _write(fd: int, header: dict[str, Any], ram: Iterable[RamRun]) -> None:
    text = encode(header).encode()
    _put(fd, MAGIC + WORD.pack(len(text)), text, blake2b(text, digest_size=DIGEST).digest())
    count = 0
    with Checksums() as checksums:
        for run in ram:
            for skip, data, check in _views(run, checksums):
                with data:
                    _put(fd, PIECE.pack(run.gpa + skip, len(data), sealed(run.gpa + skip, check)), data)
                count += 1
    _put(fd, PIECE.pack(count, 0, 0))


def sealed(gpa: int, check: int) -> int:
    """The checksum of a piece: that of its bytes, continued over its address, so that it comes to no other place."""
    from zlib import crc32  # three times as fast as binascii's

    return crc32(WORD.pack(gpa), check)


class Checksums:
    """CRC-32 of pieces, in a thread of its own: they take as long as reading and writing, which goes on meanwhile."""

    def __init__(self) -> None:
        from _queue import SimpleQueue
        from _thread import start_new_thread

        self._pieces: SimpleQueue[memoryview | None] = SimpleQueue()
        self._found: SimpleQueue[int] = SimpleQueue()
        start_new_thread(self._work, ())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._pieces.put(None)

    def add(self, piece: memoryview) -> None:
        """One more; its bytes stay as they are until its checksum is there."""
        self._pieces.put(piece)

    def next(self) -> int:
        """The checksum of the first piece whose checksum was not given yet."""
        return self._found.get()

    def _work(self) -> None:
        from zlib import crc32  # three times as fast as binascii's

        while True:
            piece = self._pieces.get()
            if piece is None:
                return
            found = crc32(piece)
            del piece
            self._found.put(found)


def _views(run: RamRun, checksums: Checksums) -> Iterator[tuple[int, memoryview, int]]:
    """How far into a run, the bytes, and their checksum: of a mapping, because a copy would cost as much as that.

    It is of blocks that are there (``data_runs``), and ends when no view of it is left.
    """
    from mmap import ALLOCATIONGRANULARITY, MAP_POPULATE, MAP_SHARED, PROT_READ, mmap

    at, end = run.offset, run.offset + run.length
    while at < end:
        first = at // ALLOCATIONGRANULARITY * ALLOCATIONGRANULARITY
        stop = min(first + WINDOW, end)
        if os.fstat(run.fd).st_size < stop:
            raise OSError(errno.EIO, "the domain's RAM file is shorter than it was")
        whole = memoryview(mmap(run.fd, stop - first, MAP_SHARED | MAP_POPULATE, PROT_READ, offset=first))
        bounds = [(start, min(start + CHUNK, stop)) for start in range(at, stop, CHUNK)]
        views = [whole[start - first : end - first] for start, end in bounds]
        for view in views:
            checksums.add(view)
        for (start, _), view in zip(bounds, views, strict=True):
            yield start - run.offset, view, checksums.next()
        at = stop


def _put(fd: int, *parts: bytes | memoryview) -> None:
    """Write all of some parts."""
    total = sum(map(len, parts))
    done = os.writev(fd, parts)
    if done < total:
        rest = memoryview(b"".join(parts))
        while done < total:
            done += os.write(fd, rest[done:])


def read(path: str) -> Saved:
    """Read the header, and see that the file ends as it was written.

    Raises:
        ConfigError: it is no file of a saved domain. StateError: it is damaged, or of another version. Others as
            ``read_file``.
    """
    try:
        with open_plain(path, nonempty=True) as file:
            _check_version(path, file.readline(64))
            (length,) = WORD.unpack(_exactly(path, file, WORD.size))
            if length > limits.SAVED_HEADER:
                raise odd(path)
            text = _exactly(path, file, length)
            if _exactly(path, file, DIGEST) != blake2b(text, digest_size=DIGEST).digest():
                raise _damaged(path, "its header is not as it was written")
            header, at = decode(text.decode()), file.tell()
            if not isinstance(header, dict) or not isinstance(header.get("record"), dict):
                raise odd(path)
            file.seek(-PIECE.size, os.SEEK_END)
            if file.tell() < at or PIECE.unpack(file.read(PIECE.size))[1:] != (0, 0):
                raise _damaged(path, "its end is missing")
            return Saved(path, header, at)
    except OSError as error:
        raise file_error(error, path) from None
    except (ValueError, RecursionError):
        raise odd(path) from None


def _check_version(path: str, line: bytes) -> None:
    number = line.removeprefix(FAMILY).removesuffix(b"\n")
    if not line.startswith(FAMILY) or not number.isdigit():
        raise ConfigError(f"{path} is no file of a saved domain", hint="xlpy save DOMAIN FILE makes one")
    if int(number) != VERSION:
        kind = "newer" if int(number) > VERSION else "older"
        raise StateError(
            f"{path} is of version {int(number)}, this xlpy reads version {VERSION}",
            hint=f"restore it with the {kind} xlpy that wrote it",
        )


def pieces(saved: Saved) -> Iterator[tuple[int, memoryview]]:
    """The RAM: guest address and bytes, which hold until the next is asked for.

    Raises:
        StateError: a piece is not as it was written.
    """
    waiting: list[tuple[int, memoryview, int]] = []
    count = 0
    with open_plain(saved.path) as file, Checksums() as checksums:
        file.seek(saved.at)
        for piece in _unchecked(saved.path, file):
            waiting.append(piece)
            checksums.add(piece[1])
            while len(waiting) > AHEAD or (waiting and not piece[1]):
                gpa, data, check = waiting.pop(0)
                found = checksums.next()
                if (sealed(gpa, found) if data else found) != check:
                    raise _damaged(saved.path, f"the RAM from {gpa:#x} on is not as it was written")
                if data:
                    yield gpa, data
                    count += 1
                elif gpa != count or file.read(1):
                    raise _damaged(saved.path, f"{count} pieces of RAM were found, {gpa} were written")


def _unchecked(path: str, file: BinaryIO) -> Iterator[tuple[int, memoryview, int]]:
    """Guest address, bytes and checksum of each piece, and of the end, which has no bytes.

    The bytes hold until ``AHEAD`` more have been asked for.
    """
    buffers, count, length = [memoryview(bytearray(CHUNK)) for _ in range(AHEAD + 1)], 0, CHUNK
    while length:
        gpa, length, check = PIECE.unpack(_exactly(path, file, PIECE.size))
        data = buffers[count % len(buffers)][:length]
        if length > CHUNK or file.readinto(data) < length:  # type: ignore[attr-defined]
            raise odd(path)
        yield gpa, data, check
        count += 1


def _exactly(path: str, file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) < length:
        raise _damaged(path, "it ends too early")
    return data


def _damaged(path: str, why: str) -> StateError:
    return StateError(f"{path} is damaged: {why}", hint="save the domain again, or take another copy of the file")


def odd(path: str) -> StateError:
    """The error for a file whose parts are whole, and are none that ``save`` writes."""
    return StateError(f"{path} is whole, but not as xlpy save writes it", hint="save the domain again")


@contextmanager
def well_formed(path: str) -> Iterator[None]:
    """What is done with a header: it may be somebody's invention, with anything in the place of anything.

    Raises:
        StateError: something in it is not of the kind that ``save`` writes.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise odd(path) from error
