"""Info blocks: the 4 KiB records on media that say how a namespace is used.

A PFN block (fsdax) or DAX block (devdax) lies 4 KiB into its namespace and says where the data start; a BTT arena block
(sector mode) heads an arena and has a copy at its end. Both end in a Fletcher-64 over all 4096 bytes. They are read on
every command, hence ``struct``. Layouts: Linux ``Documentation/driver-api/nvdimm``, UEFI 2.7 section 6.4 (BTT).
"""

from __future__ import annotations

import errno
from struct import Struct

from xlpy.addr import GIB, KIB, MIB, PAGE, align_down, align_up
from xlpy.dom0.fletcher import seal, sealed
from xlpy.errors import FormatError
from xlpy.records import NamedTuple

BLOCK = 4096
CHECKSUM = 4088
PFN_AT = 4096  # offset of a PFN or DAX block in its namespace

PFN_SIGNATURE = b"NVDIMM_PFN_INFO\0"
DAX_SIGNATURE = b"NVDIMM_DAX_INFO\0"
BTT_SIGNATURE = b"BTT_ARENA_INFO\0\0"

MODE_NONE, MODE_RAM, MODE_PMEM = 0, 1, 2
PAGE_STRUCT = 64  # bytes of a Linux struct page
RESERVED_HEAD = 8 * KIB  # unused first page and the block's own page

NFREE = 256
LOG_SIZE = NFREE * 64
ARENA_MIN, ARENA_MAX = 16 * MIB, 512 * GIB
BTT1_AT, BTT2_AT = 4096, 0  # offset of the first arena: version 1.1, version 2.0

_PFN = Struct("<16s16s16sIHHQQIIIIIH")
_BTT = Struct("<16s16s16sIHHIIIIIIQQQQQ")
_LANE = Struct("<4I48x")


class InfoBlockError(FormatError):
    """An info block is damaged, or describes something this host cannot use.

    ``errno`` is the driver's verdict: ENODEV, the bytes are no block of this kind (the namespace counts as raw); any
    other, they are one, and the device is refused.
    """

    code = "XLPY-PMEM-INFOBLOCK"

    def __init__(self, message: str, errno: int, offset: int | None = None) -> None:
        super().__init__(message, offset=offset)
        self.errno = errno


class PfnBlock(NamedTuple):
    """A PFN or DAX info block. Offsets and sizes in bytes.

    uuid, parent: text-order bytes; ``parent`` is the namespace's label uuid, zeros without labels.
    dataoff: where the data start, from the namespace's start (before ``start_pad``).
    npfns: 4 KiB pages of data.
    mode: whether Linux' page structs live in RAM (1) or here (2).
    page_struct_size: bytes set aside per page; above Linux' 64 the surplus belongs to another owner (``namespace.py``).
    """

    uuid: bytes
    dataoff: int
    npfns: int
    mode: int = MODE_PMEM
    align: int = 2 * MIB
    parent: bytes = bytes(16)
    flags: int = 0
    major: int = 1
    minor: int = 4
    start_pad: int = 0
    end_trunc: int = 0
    page_size: int = PAGE
    page_struct_size: int = PAGE_STRUCT
    signature: bytes = PFN_SIGNATURE

    def build(self) -> bytes:
        """The 4096 bytes as they stand on media."""
        block = bytearray(BLOCK)
        _PFN.pack_into(
            block,
            0,
            self.signature,
            self.uuid,
            self.parent,
            self.flags,
            self.major,
            self.minor,
            self.dataoff,
            self.npfns,
            self.mode,
            self.start_pad,
            self.end_trunc,
            self.align,
            self.page_size,
            self.page_struct_size,
        )
        return seal(block, CHECKSUM)


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
        """The 4096 bytes as they stand on media, at the arena's start and again at ``info2off``."""
        block = bytearray(BLOCK)
        _BTT.pack_into(block, 0, BTT_SIGNATURE, *self)
        return seal(block, CHECKSUM)

    def log(self) -> bytes:
        """The arena's first flog: each lane says that its free block is still free."""
        free = self.external_nlba
        return b"".join(_LANE.pack(i, free + i, free + i, 1) for i in range(self.nfree))


def _check(data: bytes | memoryview, signatures: tuple[bytes, ...], name: str) -> bytes:
    block = bytes(data)
    if len(block) != BLOCK:
        raise InfoBlockError(f"{name} info block: {len(block)} bytes found, {BLOCK} required", errno.ENODEV)
    if block[:16] not in signatures:
        raise InfoBlockError(
            f"{name} info block: signature {block[:16]!r} found, {signatures[0]!r} required", errno.ENODEV, 0
        )
    stored, computed = sealed(block, CHECKSUM)
    if stored != computed:
        raise InfoBlockError(
            f"{name} info block: checksum {stored:#018x} found, {computed:#018x} required", errno.ENODEV, CHECKSUM
        )
    return block


def parse_pfn(data: bytes | memoryview) -> PfnBlock:
    """Read a PFN or DAX block; fields that its version lacks get the values the driver assumes.

    Raises:
        InfoBlockError: ENODEV: wrong size, signature or checksum.
    """
    block = _check(data, (PFN_SIGNATURE, DAX_SIGNATURE), "PFN")
    signature, uuid, parent, flags, major, minor, dataoff, npfns, mode, pad, trunc, align, page, struct_size = (
        _PFN.unpack_from(block)
    )
    if minor < 1:
        pad = trunc = 0
    if minor < 2:
        align = 1 << max(dataoff.bit_length() - 1, 0)
    if minor < 4:
        page, struct_size = PAGE, PAGE_STRUCT
    return PfnBlock(
        uuid, dataoff, npfns, mode, align, parent, flags, major, minor, pad, trunc, page, struct_size, signature
    )


def validate_pfn(block: PfnBlock, start: int, size: int, parent: bytes = bytes(16)) -> None:
    """Whether the driver would enable the block in the namespace of ``size`` bytes at host address ``start``.

    Raises:
        InfoBlockError: ENODEV: made for another namespace; ENXIO: unknown mode; EOPNOTSUPP: page size, page struct
            size, alignment or data offset that this host cannot serve.
    """

    def refuse(number: int, text: str) -> InfoBlockError:
        return InfoBlockError(f"PFN info block: {text}", number)

    if block.parent != parent:
        raise refuse(errno.ENODEV, f"parent uuid {block.parent.hex()} found, the namespace's is {parent.hex()}")
    if block.mode not in (MODE_RAM, MODE_PMEM):
        raise refuse(errno.ENXIO, f"mode {block.mode} found, 1 (page structs in RAM) or 2 (on media) required")
    if block.mode == MODE_PMEM and (block.page_size != PAGE or block.page_struct_size < PAGE_STRUCT):
        raise refuse(
            errno.EOPNOTSUPP,
            f"page size {block.page_size} and page struct size {block.page_struct_size} found,"
            f" {PAGE} and at least {PAGE_STRUCT} required",
        )
    if block.align < PAGE or block.align & (block.align - 1) or block.align > size:
        raise refuse(
            errno.EOPNOTSUPP,
            f"alignment {block.align:#x} found, a power of two from {PAGE} to the namespace's {size:#x} required",
        )
    if block.start_pad + block.dataoff + block.end_trunc >= size:
        raise refuse(
            errno.EOPNOTSUPP, f"data offset {block.dataoff:#x} leaves no data in a namespace of {size:#x} bytes"
        )
    data = start + block.start_pad + block.dataoff
    if data % block.align:
        raise refuse(errno.EOPNOTSUPP, f"data start {data:#x} is not a multiple of the alignment {block.align:#x}")


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
    block = _check(data, (BTT_SIGNATURE,), "BTT")
    btt = BttBlock(*_BTT.unpack_from(block)[1:])
    if btt.parent != parent:
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
