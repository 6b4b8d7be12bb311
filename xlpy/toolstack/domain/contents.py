"""A summary of a vNVDIMM's contents: enough to detect later whether and where they have changed.

The content is hashed in pieces, so that a difference has a place; pieces of zeros are left out, so that the cost
follows what was ever written. Labels are kept as they are, because they have to follow the content to another file.
"""

from __future__ import annotations

import errno
import os
from binascii import a2b_base64, b2a_base64

from xlpy.addr import MIB, PAGE, Spa, format_size
from xlpy.digest import blake2b
from xlpy.errors import Constraint
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.hw.hardware import Hardware

PIECES = 4096  # of one vNVDIMM, at most
CHUNK = MIB
DIGEST = 16
LABELS_MOST = 8 * MIB  # bytes of labels that are kept: a label area of 128 KiB is usual
_ZEROS = bytes(CHUNK)


class Content(NamedTuple):
    """One vNVDIMM.

    path: as configured. size: bytes. extents: ``[spa, length]`` pairs in guest order. piece: bytes of a piece of it.
    pieces: digests of those that are not all zeros, by number. labels: pages of the label area that are not all zeros
    (base64), by offset.
    """

    path: str
    size: int
    extents: list[list[int]]
    piece: int
    pieces: dict[str, str]
    labels: dict[str, str]


def look(hw: Hardware, path: str, extents: Sequence[Sequence[int]], label: str) -> Content:
    """Look at a vNVDIMM.

    Args:
        hw: whose media it is on.
        path: as configured.
        extents: ``[spa, length]`` pairs in guest order.
        label: file of its label area, or empty.

    Raises:
        Constraint: it has more labels than can be kept.
    """
    rows = [[int(spa), length] for spa, length in extents]
    size = sum(length for _, length in rows)
    piece = max(MIB, 1 << (max(size // PIECES, 1) - 1).bit_length())
    return Content(path, size, rows, piece, dict(_digests(hw, rows, piece)), _labels(label))


def _digests(hw: Hardware, extents: Sequence[Sequence[int]], piece: int) -> Iterator[tuple[str, str]]:
    """(number, digest) of the pieces that are not all zeros."""
    number, digest = -1, None
    for offset, data in pages(hw, extents):
        if offset // piece != number:
            if digest is not None:
                yield str(number), digest.hexdigest()
            number, digest = offset // piece, blake2b(digest_size=DIGEST)
        assert digest is not None
        digest.update((offset % piece).to_bytes(8, "little"))
        digest.update(data)
    if digest is not None:
        yield str(number), digest.hexdigest()


def pages(hw: Hardware, extents: Sequence[Sequence[int]]) -> Iterator[tuple[int, memoryview]]:
    """(offset in the vNVDIMM, bytes) of the pages that are not all zeros; they hold until the next is asked for."""
    first, buffer = 0, memoryview(bytearray(CHUNK))
    for spa, length in extents:
        at = spa
        while at < spa + length:
            stop = min(spa + length, hw.region_at(Spa(at)).span.end)
            path, offset = hw.locate_file(Spa(at))
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                for start, size in data_runs(fd, offset, stop - at):
                    low, high = start // PAGE * PAGE, -(-(start + size) // PAGE) * PAGE
                    for chunk in range(low, high, CHUNK):
                        data = buffer[: os.preadv(fd, [buffer[: min(CHUNK, high - chunk)]], chunk)]
                        if data == _ZEROS[: len(data)]:
                            continue
                        for page in range(0, len(data), PAGE):
                            if data[page : page + PAGE] != _ZEROS[:PAGE]:
                                yield first + at - spa + chunk + page - offset, data[page : page + PAGE]
            finally:
                os.close(fd)
            at = stop
        first += length


def data_runs(fd: int, offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Offset and length of what is no hole in a stretch of a file."""
    end = offset + length
    while offset < end:
        try:
            offset = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        if offset >= end:
            return
        stop = min(os.lseek(fd, offset, os.SEEK_HOLE), end)
        yield offset, stop - offset
        offset = stop


def _labels(path: str) -> dict[str, str]:
    if not path:
        return {}
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    pages: dict[str, str] = {}
    try:
        for start, size in data_runs(fd, 0, os.fstat(fd).st_size):
            for at in range(start // PAGE * PAGE, start + size, PAGE):
                data = os.pread(fd, PAGE, at)
                if data.strip(b"\0"):
                    pages[str(at)] = b2a_base64(data, newline=False).decode()
                    if len(pages) * PAGE > LABELS_MOST:
                        raise Constraint(
                            f"{path}: more than {format_size(LABELS_MOST)} of labels cannot be kept",
                            hint="a label area needs 128K",
                        )
    finally:
        os.close(fd)
    return pages


def write_labels(path: str, size: int, labels: dict[str, str]) -> None:
    """Make a label area with the labels that another one had. OSError: it cannot be written."""
    from xlpy.devicemodel.labels import LabelStore

    store = LabelStore(path, size)
    for offset, text in labels.items():
        store.write(int(offset), a2b_base64(text))


def differences(then: Content, now: Content, moved: bool = False) -> list[str]:
    """What has changed, a line each.

    Args:
        then, now: the same vNVDIMM.
        moved: it may lie elsewhere.
    """
    found = []
    if then.size != now.size:
        found.append(f"size: {format_size(then.size)} then, {format_size(now.size)} now")
    elif not moved and then.extents != now.extents:
        found.append(f"extents: {_extents(then)} then, {_extents(now)} now")
    if then.size == now.size and then.pieces != now.pieces:
        keys = then.pieces.keys() | now.pieces.keys()
        other = sorted(int(key) for key in keys if then.pieces.get(key) != now.pieces.get(key))
        total = -(-then.size // then.piece)
        found.append(
            f"content: {len(other)} of {total} pieces of {format_size(then.piece)} differ,"
            f" the first at {other[0] * then.piece:#x}"
        )
    if then.labels != now.labels:
        found.append("labels: not the same")
    return found


def _extents(one: Content) -> str:
    spa, length = one.extents[0]
    more = f" and {len(one.extents) - 1} more" if len(one.extents) > 1 else ""
    return f"{spa:#x}+{format_size(length)}{more}"


def from_json(fields: dict[str, Any]) -> Content:
    """What was kept. TypeError, ValueError, KeyError: it is none."""
    content = Content(**fields)
    if content.piece < 1 or content.size < 1:
        raise ValueError("a piece or a size is less than 1")
    return content
