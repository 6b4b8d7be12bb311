"""The mailbox: one 4 KiB page through which the guest's AML asks the device model.

| offset | size | field | |
|---|---|---|---|
| 0 | 4 | doorbell | not 0: a request waits; written last by AML (1), and last by the device model (0) |
| 4 | 4 | handle | 0 the root device, else that of a vNVDIMM |
| 8 | 4 | revision | ``_DSM`` Arg1 |
| 12 | 4 | function | ``_DSM`` Arg2 |
| 16 | 4 | length | bytes of ``data``: of the input, then of the output |
| 20 | 16 | uuid | ``_DSM`` Arg0 |
| 36 | 4 | reserved | so that the data can be accessed in units of 8 bytes |
| 40 | 4056 | data | the input, then the output |

Input and output share their bytes, which makes room for the longest label transfer: 4056 less the 8 bytes of offset and
length. The page works in two worlds. In the model it is MMIO: each access traps, and writing the doorbell is answered
before the write ends. Under an emulator it is RAM that another process watches (``serve``); AML sleeps until the
doorbell is 0. A guest may write to the page at any time; so a request is copied once, and only the copy is judged.
"""

from __future__ import annotations

from _struct import Struct
from _thread import allocate_lock

from xlpy.addr import PAGE
from xlpy.private import folder, private
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DOORBELL, HANDLE, REVISION, FUNCTION, LENGTH, UUID, DATA = 0, 4, 8, 12, 16, 20, 40
DATA_SIZE = PAGE - DATA
IDLE, RING = 0, 1

_WORD = Struct("<I")
_REQUEST = Struct("<5I16s")
_barrier = allocate_lock()


class Request(NamedTuple):
    """One question. ``length`` is what the guest claims; ``data`` has at most ``DATA_SIZE`` bytes of it."""

    handle: int
    revision: int
    function: int
    uuid: bytes
    length: int
    data: bytes


def serve(page: memoryview, answer: Callable[[Request], bytes]) -> bool:
    """Answer the request that waits in the page, if one does.

    Args:
        page: the page's 4096 bytes, shared with the guest.
        answer: gives the output for a request, at most ``DATA_SIZE`` bytes.

    Returns:
        whether there was one.
    """
    if _WORD.unpack_from(page, DOORBELL)[0] == IDLE:
        return False
    # A lock taken and left keeps the processor from reading the request before the doorbell, or writing the doorbell
    # before the answer.
    with _barrier:
        copy = bytes(page)
    _, handle, revision, function, length, uuid = _REQUEST.unpack_from(copy)
    data = copy[DATA : DATA + min(length, DATA_SIZE)]
    output = answer(Request(handle, revision, function, uuid, length, data))
    with _barrier:
        page[DATA : DATA + len(output)] = output
        _WORD.pack_into(page, LENGTH, len(output))
    with _barrier:
        _WORD.pack_into(page, DOORBELL, IDLE)
    return True


def kept_page(home: str) -> memoryview:
    """The page as MMIO has it, in a file below ``home`` so that each command finds what the last one left.

    Where nothing can be written the page lasts as long as the process.

    Raises:
        Constraint: it cannot be made there: no space left on the device, a limit, permissions.
    """
    import mmap
    import os

    from xlpy.hw.media import READ_ONLY, trouble

    path = os.path.join(home, "mailbox")
    try:
        folder(home)
        fd = private(path, os.O_RDWR | os.O_CREAT)
        try:
            kept = os.pread(fd, PAGE, 0)
            os.pwrite(fd, kept.ljust(PAGE, b"\0"), 0)  # it has its block then: a mapped hole could not be filled
            return memoryview(mmap.mmap(fd, PAGE))
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in READ_ONLY:
            return memoryview(mmap.mmap(-1, PAGE))
        raise trouble(path, error, PAGE) from error


class Port:
    """The page as MMIO.

    Args:
        page: its 4096 bytes.
        answer: as for ``serve``.
    """

    def __init__(self, page: memoryview, answer: Callable[[Request], bytes]) -> None:
        self._page = page
        self._answer = answer

    def read(self, offset: int, size: int) -> int:
        """A trapped read of ``size`` bytes inside the page."""
        return int.from_bytes(self._page[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """A trapped write; one that touches the doorbell and leaves it set is answered at once."""
        self._page[offset : offset + size] = value.to_bytes(size, "little")
        if offset < HANDLE:
            serve(self._page, self._answer)
