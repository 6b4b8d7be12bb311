"""Info blocks: the 4 KiB records on media that say how a namespace is used.

A PFN block (fsdax) or DAX block (devdax) lies 4 KiB into its namespace and says where the data start; BTT blocks
(sector mode) are in ``btt``. All end in a Fletcher-64 over all 4096 bytes. They are read on every command, hence
``struct``. Layouts: Linux ``Documentation/driver-api/nvdimm``.
"""

from __future__ import annotations

import errno
from _struct import Struct

from xlpy.addr import GIB, KIB, MIB, PAGE
from xlpy.dom0.nvdimm import DAX_SIGNATURE, PFN_SIGNATURE
from xlpy.dom0.nvdimm.fletcher import seal, sealed
from xlpy.errors import FormatError
from xlpy.records import NamedTuple

BLOCK = 4096
CHECKSUM = 4088
PFN_AT = 4096  # offset of a PFN or DAX block in its namespace

ALIGNMENTS = (PAGE, 2 * MIB, GIB)  # of data that x86 can map

MODE_NONE, MODE_RAM, MODE_PMEM = 0, 1, 2
PAGE_STRUCT = 64  # bytes of a Linux struct page
SUBSECTION = 2 * MIB  # granularity in which Linux adds page structs
RESERVED_HEAD = 8 * KIB  # unused first page and the block's own page


_PFN = Struct("<16s16s16sIHHQQIIIIIH")


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
        """The 4096 bytes as stored on media."""
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


def check(data: bytes | memoryview, signatures: tuple[bytes, ...], name: str) -> bytes:
    """The bytes of a block of kind ``name``. InfoBlockError (ENODEV): wrong size, signature or checksum."""
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
    block = check(data, (PFN_SIGNATURE, DAX_SIGNATURE), "PFN")
    signature, uuid, parent, flags, major, minor, dataoff, npfns, mode, pad, trunc, align, page, struct_size = (
        _PFN.unpack_from(block)
    )
    if minor < 1:
        pad = trunc = 0
    if minor < 2 or not align:
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
    if block.mode == MODE_PMEM and (block.page_size > PAGE or block.page_struct_size < PAGE_STRUCT):
        raise refuse(
            errno.EOPNOTSUPP,
            f"page size {block.page_size} and page struct size {block.page_struct_size} found,"
            f" at most {PAGE} and at least {PAGE_STRUCT} required",
        )
    if block.signature == DAX_SIGNATURE and block.align not in ALIGNMENTS:
        raise refuse(errno.EOPNOTSUPP, f"alignment {block.align:#x} found, one of 4K, 2M and 1G required")
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
    if data % block.align or block.dataoff % PAGE:
        raise refuse(errno.EOPNOTSUPP, f"data start {data:#x} is not a multiple of the alignment {block.align:#x}")
    for what, edge in (("start", start + block.start_pad), ("end", start + size - block.end_trunc)):
        if edge % SUBSECTION:
            raise refuse(errno.EOPNOTSUPP, f"resource {what} misaligned: {edge:#x} is not a multiple of 2M")
