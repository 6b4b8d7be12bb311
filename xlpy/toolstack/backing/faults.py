"""Why the extents of a file cannot be mapped: the reason, the first offset, and a suggested fix."""

from __future__ import annotations

from itertools import pairwise

from xlpy.addr import PAGE
from xlpy.dom0.extents import (
    FIEMAP_EXTENT_DATA_ENCRYPTED,
    FIEMAP_EXTENT_DATA_INLINE,
    FIEMAP_EXTENT_DATA_TAIL,
    FIEMAP_EXTENT_DELALLOC,
    FIEMAP_EXTENT_ENCODED,
    FIEMAP_EXTENT_NOT_ALIGNED,
    FIEMAP_EXTENT_SHARED,
    FIEMAP_EXTENT_UNKNOWN,
    FIEMAP_EXTENT_UNWRITTEN,
    SAY_NOTHING,
)
from xlpy.errors import Unsafe
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.addr import Spa, Span
    from xlpy.dom0.extents import Extent, Extents

# flag -> (code, what the extent is, why it cannot be mapped, whether `pmem prepare` corrects it)
_REFUSED: tuple[tuple[int, str, str, str, bool], ...] = (
    (FIEMAP_EXTENT_DATA_INLINE, "INLINE", "inline", "the data lies inside metadata, not in pages of its own", False),
    (FIEMAP_EXTENT_DATA_TAIL, "TAIL", "tail-packed", "the block is shared with other files", False),
    (FIEMAP_EXTENT_NOT_ALIGNED, "UNALIGNED", "not block aligned", "only whole pages can be mapped", False),
    (
        FIEMAP_EXTENT_DATA_ENCRYPTED,
        "ENCODED",
        "encrypted",
        "the bytes on the media are not the bytes of the file",
        False,
    ),
    (FIEMAP_EXTENT_ENCODED, "ENCODED", "encoded", "the bytes on the media are not the bytes of the file", False),
    (FIEMAP_EXTENT_DELALLOC, "DELALLOC", "not allocated yet (delayed)", "it has no address", False),
    (FIEMAP_EXTENT_UNKNOWN, "UNKNOWN", "of unknown location", "it has no address", False),
    (
        FIEMAP_EXTENT_UNWRITTEN,
        "UNWRITTEN",
        "unwritten",
        "what the guest stores there would never show in the file, and stale bytes would show in the guest",
        True,
    ),
    (FIEMAP_EXTENT_SHARED, "SHARED", "shared (reflink)", "a store would change the other file too", False),
)


def fault(path: str, size: int, window: Span[Spa], extents: Extents) -> Unsafe:
    """Why extents cannot be mapped."""
    refused = _refused(path, [extent for extent in extents if extent.logical < size])
    if refused:
        return refused
    point, used = 0, []
    for extent in extents:
        if extent.logical >= size:
            if point < size:
                break
            continue
        if extent.logical % PAGE or extent.physical % PAGE or extent.length % PAGE:
            return _unsafe(path, extent, "UNALIGNED", "not aligned to 4096 bytes", "only whole pages can be mapped")
        if extent.logical < point or not extent.length:
            return _unsafe(
                path, extent, "ORDER", "out of order or overlapping", "the map of the file contradicts itself"
            )
        if extent.logical > point:
            return _hole(path, point, extent.logical)
        length = min(extent.length, size - extent.logical)
        if extent.physical + length > window.size:
            return _unsafe(
                path, extent, "RANGE", f"beyond its device ({window.size:#x} bytes)", "it is not persistent memory"
            )
        used.append((window.start + extent.physical, length))
        point = extent.logical + length
    if point < size:
        return _hole(path, point, size)
    used.sort()
    twice = next(b for (a, length), (b, _) in pairwise(used) if a + length > b)
    return Unsafe(
        f"{path}: two of its extents use the same host memory at {twice:#x}", code="XLPY-PMEM-SHARED", hint="e2fsck"
    )


def _refused(path: str, extents: Sequence[Extent]) -> Unsafe | None:
    bad = [extent for extent in extents if extent.flags & ~SAY_NOTHING]
    if not bad:
        return None
    for flag, code, what, why, fixable in _REFUSED:
        hit = [extent for extent in bad if extent.flags & flag]
        if hit:
            return _unsafe(path, hit[0], code, what, why, sum(e.length for e in hit), len(hit), fixable)
    return _unsafe(path, bad[0], "UNKNOWN", f"flagged {bad[0].flags:#x}", "the meaning is unknown")


def _unsafe(
    path: str,
    extent: Extent,
    code: str,
    what: str,
    why: str,
    total: int | None = None,
    count: int = 1,
    fixable: bool = False,
) -> Unsafe:
    amount = "" if total is None else f" ({count} extent{'s' * (count != 1)}, {total} bytes in all)"
    return Unsafe(
        f"{path}: the extent at {extent.logical:#x} is {what}{amount}: {why}",
        code=f"XLPY-PMEM-{code}",
        hint=f"xlpy pmem prepare {path}"
        if fixable
        else "copy the content into a file made by: xlpy pmem mkfile SIZE PATH",
    )


def _hole(path: str, start: int, end: int) -> Unsafe:
    return Unsafe(
        f"{path}: nothing is allocated from {start:#x} to {end:#x} (a hole): there is no memory to map",
        code="XLPY-PMEM-HOLE",
        hint=f"xlpy pmem prepare {path}",
    )
