"""What lies on label areas and media, told in lines: a decoder of its own, so that xlpy's is not its own judge.

Layouts: UEFI 2.7, 13.19 (label areas); Linux drivers/nvdimm/pfn.h and btt.h (info blocks). Checksums are Fletcher-64
and only told as right or wrong, because they cover random UUIDs.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from struct import Struct, unpack_from
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BLOCK = 4096
INDEX = Struct("<16s3sBIQQQQIHHQ")
LABEL = Struct("<16s64sIHHQQQQIB3x16s16s")
PFN = Struct("<16s16s16sIHHQQIIIIIH")
BTT = Struct("<16s16s16sIHHIIIIIIQQQQQ")


def fletcher(data: bytes, at: int) -> bool:
    """Whether the Fletcher-64 of the data, its field at ``at`` counted as zeros, stands in that field."""
    plain = data[:at] + bytes(8) + data[at + 8 :]
    low = high = 0
    for word in unpack_from(f"<{len(plain) // 4}I", plain):
        low = low + word & 0xFFFFFFFF
        high = high + low & 0xFFFFFFFF
    return int.from_bytes(data[at : at + 8], "little") == high << 32 | low


def uuid(data: bytes) -> str:
    """Text of 16 bytes in text order."""
    text = data.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def text(data: bytes) -> str:
    """What stands before the first zero byte."""
    return data.split(b"\0", 1)[0].decode("latin-1")


def sound(data: bytes, at: int) -> str:
    """A word on the checksum."""
    return "checksum ok" if fletcher(data, at) else "checksum wrong"


def label_area(area: bytes) -> Iterator[str]:
    """What a label area says, and whether anything stands where nothing should."""
    if not any(area):
        return
    size = next((n for n in (256, 512) if area[n : n + 15] == b"NAMESPACE_INDEX"), 0)
    if not size:
        yield f"{len(area)} bytes, sha256 {hashlib.sha256(area).hexdigest()[:16]}"
        return
    slot_size = 0
    for at in (0, size):
        block = area[at : at + size]
        signature, _, code, sequence, own, own_size, other, labels, slots, major, minor, _ = INDEX.unpack_from(block)
        free = int.from_bytes(block[72:], "little")
        taken = [slot for slot in range(slots) if not free >> slot & 1]
        beyond = (free >> slots).bit_count()
        slot_size = 128 << code if major * 100 + minor >= 102 else 128
        yield (
            f"index {at:#x}: {text(signature)} {major}.{minor} sequence {sequence} own {own:#x}+{own_size:#x} other "
            f"{other:#x} labels {labels:#x} slots {slots} of {128 << code} used {taken} beyond {beyond} "
            f"{sound(block, 64)}"
        )
    for slot in range((len(area) - 2 * size) // slot_size):
        data = area[2 * size + slot * slot_size :][:slot_size]
        if any(data):
            yield f"slot {slot}: {label(data)}"


def label(data: bytes) -> str:
    """What a label says."""
    name, name_bytes, flags, nlabel, position, cookie, lbasize, dpa, rawsize, slot, align, kind, abstraction = (
        LABEL.unpack(data.ljust(LABEL.size, b"\0")[: LABEL.size])
    )
    said = (
        f"{uuid(name)} {text(name_bytes)!r} flags {flags:#x} {position} of {nlabel} cookie {cookie:#x} "
        f"lbasize {lbasize} dpa {dpa:#x}+{rawsize:#x} slot {slot}"
    )
    if len(data) < 256:
        return said
    rest = "" if not any(data[160:248]) else " and more"
    return f"{said} align {align} type {kind.hex()} as {abstraction.hex()} {sound(data, 248)}{rest}"


def info_block(block: bytes) -> str | None:
    """What an info block says; None when it is none."""
    if block.startswith((b"NVDIMM_PFN_INFO", b"NVDIMM_DAX_INFO")):
        signature, own, parent, flags, major, minor, dataoff, npfns, mode, pad, trunc, align, page, struct = (
            PFN.unpack_from(block)
        )
        return (
            f"{text(signature)} {uuid(own)} of {uuid(parent)} flags {flags} {major}.{minor} dataoff {dataoff:#x} npfns "
            f"{npfns:#x} mode {mode} pad {pad:#x} trunc {trunc:#x} align {align:#x} page {page} struct {struct} "
            f"{sound(block, 4088)}"
        )
    if block.startswith(b"BTT_ARENA_INFO"):
        signature, own, parent, flags, major, minor, *numbers = BTT.unpack_from(block)
        ext, extn, inn, intn, free, size, nextoff, dataoff, mapoff, logoff, info2 = numbers
        return (
            f"{text(signature)} {uuid(own)} of {uuid(parent)} flags {flags} {major}.{minor} external {extn}x{ext} "
            f"internal {intn}x{inn} nfree {free} size {size} next {nextoff:#x} data {dataoff:#x} map {mapoff:#x} "
            f"log {logoff:#x} copy {info2:#x} {sound(block, 4088)}"
        )
    return None


def written(file: str | Path, start: int, end: int) -> list[tuple[int, int]]:
    """The parts of a sparse file that are not holes, between two offsets: (offset, length)."""
    found, at = [], start
    with Path(file).open("rb") as image:
        while at < end:
            try:
                at = os.lseek(image.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            behind = min(os.lseek(image.fileno(), at, os.SEEK_HOLE), end)
            if at < end:
                found.append((at, behind - at))
            at = behind
    return found


def media(read: Callable[[int, int], bytes], extents: Iterable[tuple[int, int]]) -> Iterator[str]:
    """What lies on the persistent memory of a region.

    Args:
        read: gives ``length`` bytes from ``offset`` of the region.
        extents: where anything may be: (offset, length), ascending, in whole blocks.

    The page structs that a kernel keeps behind an info block of mode 2 are its own affair and left out.
    """
    private = 0
    run: list[int] = []
    digest = hashlib.sha256()

    def ended() -> Iterator[str]:
        nonlocal digest
        if run:
            yield f"{run[0]:#x}+{run[1] - run[0]:#x}: sha256 {digest.hexdigest()[:16]}"
            run.clear()
            digest = hashlib.sha256()

    for start, length in extents:
        for at in range(start, start + length, BLOCK):
            block = read(at, BLOCK)
            said = info_block(block) if any(block) else None
            if said or not any(block) or at < private:
                yield from ended()
            if said:
                yield f"{at:#x}: {said}"
                if block.startswith((b"NVDIMM_PFN", b"NVDIMM_DAX")) and PFN.unpack_from(block)[8] == 2:
                    private = at - BLOCK + PFN.unpack_from(block)[6]
            elif any(block) and at >= private:
                if run and run[1] == at:
                    run[1] = at + BLOCK
                else:
                    yield from ended()
                    run[:] = [at, at + BLOCK]
                digest.update(block)
    yield from ended()
