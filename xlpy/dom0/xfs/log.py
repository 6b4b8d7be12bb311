"""Whether the log of an XFS is empty: otherwise it has newer metadata, and that on the media is out of date."""

from __future__ import annotations

import _struct as struct

from xlpy.addr import SECTOR
from xlpy.errors import Unsafe
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.dom0.xfs.superblock import XfsSuperblock

_HEADER = 0xFEEDBABE
_HEADER_ROOM = 32768  # bytes of a record for which one header sector is enough
_UNMOUNT = 0x20
_LONGEST = (256 * 1024 + 8 * SECTOR) // SECTOR  # sectors of one record and its headers


def require_empty(superblock: XfsSuperblock, read: Callable[[int, int], bytes]) -> None:
    """Check that the last record in the log is the one that unmounting writes (xfs_log_recover.c, Linux 6.1).

    Its cost grows with the logarithm of the log's size.

    Args:
        read: ``read(offset, length)`` of the device.

    Raises:
        Unsafe: it is another one.
    """
    start = superblock.place(superblock.log_start, superblock.log_blocks)
    count = superblock.log_blocks * superblock.block_size // SECTOR

    def sector(at: int) -> bytes:
        return read(start + at % count * SECTOR, SECTOR)

    if not _empty(sector, count):
        raise Unsafe(
            "the file system was not unmounted cleanly: newer metadata waits in its log",
            code="XLPY-XFS-LOG",
            hint="replay it: mount and unmount the file system",
        )


def _empty(sector: Callable[[int], bytes], count: int) -> bool:
    def cycle(at: int) -> int:
        first, second = struct.unpack_from(">II", sector(at))
        return int(second if first == _HEADER else first)

    newest = cycle(0)
    if newest == 0:
        return True  # never written at all
    low, head = 0, count  # sectors before the head have the newest cycle, those from it on an older one
    if cycle(count - 1) != newest:
        while head - low > 1:
            middle = (low + head) // 2
            low, head = (middle, head) if cycle(middle) == newest else (low, middle)
    for back in range(1, min(_LONGEST, count) + 1):
        raw = sector(head - back)
        if struct.unpack_from(">I", raw)[0] == _HEADER:
            (length,) = struct.unpack_from(">I", raw, 12)
            (operations,) = struct.unpack_from(">I", raw, 40)
            (size,) = struct.unpack_from(">I", raw, 320)
            headers = max(-(-size // _HEADER_ROOM), 1)
            flags = sector(head - back + headers)[9]
            return operations == 1 and bool(flags & _UNMOUNT) and headers + -(-length // SECTOR) == back
    return False
