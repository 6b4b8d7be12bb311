"""Sector mode: BTT arenas (UEFI 2.7, section 6.4). A block heads each arena and has a copy at its end."""

from __future__ import annotations

import errno
from _struct import Struct

from xlpy.addr import GIB, MIB, PAGE, align_down, align_up
from xlpy.dom0.nvdimm import BTT_SIGNATURE
from xlpy.dom0.nvdimm.fletcher import seal
from xlpy.dom0.nvdimm.infoblock import BLOCK, CHECKSUM, InfoBlockError, check
from xlpy.records import NamedTuple

NFREE = 256
LOG_SIZE = NFREE * 64
ARENA_MIN, ARENA_MAX = 16 * MIB, 512 * GIB
BTT1_AT, BTT2_AT = 4096, 0  # offset of the first arena: version 1.1, version 2.0

_BTT = Struct("<16s16s16sIHHIIIIIIQQQQQ")
_LANE = Struct("<4I48x")


class BttBlock(NamedTuple):
    """A BTT arena info block. Offsets in bytes from the arena's start; ``lba`` sizes in bytes, counts in blocks."""

    uuid: bytes
    parent: bytes
    flags: int
    major: int
    minor: int
    external_lbasize: int
    external_nlba: int
    internal_lbasize: int
    internal_nlba: int
    nfree: int
    infosize: int
    nextoff: int
    dataoff: int
    mapoff: int
    logoff: int
    info2off: int

    def build(self) -> bytes:
        """The 4096 bytes as stored on media, at the arena's start and again at ``info2off``."""
        block = bytearray(BLOCK)
        _BTT.pack_into(block, 0, BTT_SIGNATURE, *self)
        return seal(block, CHECKSUM)

    def log(self) -> bytes:
        """The arena's first flog: each lane says that its free block is still free."""
        free = self.external_nlba
        return b"".join(_LANE.pack(i, free + i, free + i, 1) for i in range(self.nfree))


def btt_block(
    arena: int,
    lbasize: int,
    uuid: bytes,
    *,
    parent: bytes = bytes(16),
    version: tuple[int, int] = (1, 1),
    nextoff: int = 0,
) -> BttBlock:
    """The block of one arena.

    Args:
        arena: its size in bytes, 16 MiB to 512 GiB.
        lbasize: sector size seen from outside, in bytes.
        uuid: text-order bytes.
        parent: the namespace's label uuid, zeros without labels.
        version: (1, 1) without labels or with labels of format 1.1, else (2, 0).
        nextoff: where the next arena starts from this one's start; 0 in the last.
    """
    internal = align_up(lbasize, 64)
    available = align_down(arena, PAGE) - 2 * BLOCK - LOG_SIZE
    internal_nlba = (available - PAGE) // (internal + 4)
    external_nlba = internal_nlba - NFREE
    map_size = align_up(external_nlba * 4, PAGE)
    mapoff = BLOCK + available - map_size
    logoff = mapoff + map_size
    return BttBlock(
        uuid,
        parent,
        0,
        *version,
        lbasize,
        external_nlba,
        internal,
        internal_nlba,
        NFREE,
        BLOCK,
        nextoff,
        BLOCK,
        mapoff,
        logoff,
        logoff + LOG_SIZE,
    )


def parse_btt(data: bytes | memoryview, parent: bytes = bytes(16)) -> BttBlock:
    """Read a BTT arena block.

    Raises:
        InfoBlockError: ENODEV: wrong size, signature, checksum or parent uuid; ENXIO: no sectors, or wrong offsets.
    """
    block = check(data, (BTT_SIGNATURE,), "BTT")
    btt = BttBlock(*_BTT.unpack_from(block)[1:])
    if btt.parent not in (bytes(16), parent):
        raise InfoBlockError(
            f"BTT info block: parent uuid {btt.parent.hex()} found, the namespace's is {parent.hex()}", errno.ENODEV
        )
    if not btt.external_lbasize or not btt.external_nlba:
        raise InfoBlockError("BTT info block: an arena without sectors", errno.ENXIO)
    if not btt.dataoff < btt.mapoff < btt.logoff < btt.info2off:
        raise InfoBlockError(
            f"BTT info block: data {btt.dataoff:#x}, map {btt.mapoff:#x}, log {btt.logoff:#x} and copy"
            f" {btt.info2off:#x} are not in this order",
            errno.ENXIO,
        )
    return btt
