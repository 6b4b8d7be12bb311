"""Reading and writing devices and DAX files as programs in Dom0 do, memory errors included (Linux 6.1, ``pmem`` and
``dax``).

A read of bad memory fails with EIO: blocks with known errors are not touched, others are found by the machine check
that they cause. A write of whole blocks clears them: sectors of a device, pages of a file. Part of a block cannot be
written.
"""

from __future__ import annotations

import errno

from xlpy.addr import PAGE, SECTOR, Spa, Span, align_down, align_up
from xlpy.contexts import suppress
from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN
from xlpy.dom0.files.edits import refuse_read_only
from xlpy.errors import Conflict, Constraint, HypercallError, Unsafe, XlpyError
from xlpy.events import media_errors
from xlpy.hypervisor.mca import RESET
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.host import Host


def read(host: Host, path: str, offset: int, length: int) -> bytes:
    """Bytes of a device or file, cut at its end.

    Raises:
        NotFound: no such path. Unsafe: bad memory (XLPY-PMEM-EIO), or it lies in no memory of its own (sector mode).
    """
    size, spans, unit = _place(host, path, offset, None)
    spans = _cut(spans, max(0, min(length, size - offset)))
    for span in spans:
        known = host.dom0.bad.overlapping(_blocks(span, unit))
        if known:
            raise _eio(path, known[0])
        hit = host.hw.poison.overlapping(span)
        if hit:
            _consume(host, hit[0].start)
            raise _eio(path, hit[0])
    return b"".join(host.hw.read(span.start, span.size) for span in spans)


def write(host: Host, path: str, offset: int, data: bytes, dry_run: bool = False) -> int:
    """Store bytes in a device or file, inside of ``Host.change``; nothing grows.

    Returns:
        bytes that were bad and are not any more.

    Raises:
        NotFound: no such path. Unsafe: as for ``read``, part of a block that holds an error, or a hole. Constraint:
        beyond the end. Conflict: a file system on the device is mounted, or a domain has the file.
    """
    size, spans, unit = _place(host, path, offset, len(data))
    if offset + len(data) > size:
        raise Constraint(
            f"{path}: [{offset:#x}, {offset + len(data):#x}) ends beyond its {size:#x} bytes", code="XLPY-PMEM-RANGE"
        )
    _refuse_used(host, path)
    at = offset
    for span in spans:
        if any(not span.covers(_blocks(one, unit)) for one in host.dom0.bad.overlapping(_blocks(span, unit))):
            raise Unsafe(
                f"{path}: Input/output error: part of a block of {unit} bytes that holds an error cannot be written",
                code="XLPY-PMEM-EIO",
                hint=f"write whole blocks: from {align_down(at, unit):#x} on, multiples of {unit} bytes",
            )
        at += span.size
    bad = [one for span in spans for one in host.dom0.bad.overlapping(span)]
    if dry_run:
        return sum(one.size for one in bad)
    cleared = sum(media_errors.clear(host, _blocks(one, unit)) for one in bad)
    before = b"".join(host.hw.read(span.start, span.size) for span in spans)
    try:
        _store(host, spans, data)
    except XlpyError:
        with suppress(XlpyError):
            _store(host, spans, before)
        raise
    return cleared


def _store(host: Host, spans: Sequence[Span[Spa]], data: bytes) -> None:
    at = 0
    for span in spans:
        host.hw.write(span.start, data[at : at + span.size])
        at += span.size


def _place(host: Host, path: str, offset: int, length: int | None) -> tuple[int, list[Span[Spa]], int]:
    """Size of a device or file, where its bytes from ``offset`` on lie, and the unit in which it is written."""
    dom0, kind = host.dom0, host.dom0.stat(path).kind
    if kind in ("block", "char"):
        clean = dom0.clean(path)
        if kind == "block" and dom0.namespace_of(dom0.device(clean)).mode == "sector":
            raise Unsafe(
                f"{path} is in sector mode (BTT): its blocks move with every write",
                code="XLPY-PMEM-SECTOR",
                hint="make the namespace fsdax or raw",
            )
        window = dom0.device_window(clean)
        rest = max(window.size - offset, 0)
        return window.size, [Span(Spa(window.start + offset), rest if length is None else min(length, rest))], SECTOR
    mount, _, inode = dom0.file(path)
    start = dom0.device(mount.device).window.start
    end = inode.size if length is None else min(offset + length, inode.size)
    spans, at = [], offset
    for extent in dom0.image(mount).fiemap(inode, path):
        if extent.logical + extent.length <= at or at >= end:
            continue
        if extent.logical > at or extent.flags & FIEMAP_EXTENT_UNWRITTEN:
            break
        stop = min(extent.logical + extent.length, end)
        spans.append(Span(Spa(start + extent.physical + at - extent.logical), stop - at))
        at = stop
    if at < end:
        raise Unsafe(
            f"{path}: nothing is stored at {at:#x}, it is a hole or was never written",
            code="XLPY-PMEM-UNWRITTEN",
            hint=f"xlpy pmem prepare {path}",
        )
    return inode.size, spans, PAGE


def _cut(spans: Sequence[Span[Spa]], length: int) -> list[Span[Spa]]:
    """The first ``length`` bytes."""
    found = []
    for span in spans:
        found.append(Span(span.start, min(span.size, length)))
        length -= found[-1].size
    return [span for span in found if span.size]


def _blocks(span: Span[Spa], unit: int) -> Span[Spa]:
    """The whole blocks that a span touches."""
    return Span.between(Spa(align_down(span.start, unit)), Spa(align_up(span.end, unit)))


def _consume(host: Host, spa: Spa) -> None:
    """Dom0 reads bad memory: a machine check for Xen, which reports it to everyone affected."""
    with host.change("a machine check in Dom0"):
        outcome = host.xen.mca.report(spa, action_required=True)
        if outcome.verdict != RESET:
            media_errors.raise_notification(host)
    if outcome.verdict == RESET:
        from xlpy.events.machine_checks import bring_down

        bring_down(host)
        raise HypercallError(f"Xen has panicked, the host is down: {outcome.why}", errno.EIO, hint="xlpy host power on")


def _eio(path: str, bad: Span[Spa]) -> Unsafe:
    return Unsafe(
        f"{path}: Input/output error: the host memory at {bad} is bad",
        code="XLPY-PMEM-EIO",
        hint="xlpy pmem list shows what is bad; writing whole blocks clears it (xlpy pmem write)",
    )


def _refuse_used(host: Host, path: str) -> None:
    """Conflict: the bytes belong to a file system or to a domain."""
    dom0, clean = host.dom0, host.dom0.clean(path)
    owner = dom0.holder(clean)
    if owner is not None:
        raise Conflict(
            f"{path}: Operation not permitted: {owner} holds it", code="XLPY-PMEM-PINNED", hint="end the domain first"
        )
    if dom0.stat(path).kind == "file":
        refuse_read_only(path, dom0.mount_of(path))
        return
    window = dom0.device_window(clean)
    busy = next((one for one in dom0.disk_mounts if dom0.device(one.device).window.overlaps(window)), None)
    if busy is not None:
        raise Conflict(
            f"{path} is in use: {busy.device} is mounted on {busy.mountpoint}",
            code="XLPY-PMEM-MOUNTED",
            hint="write to a file on it",
        )
    domid = host.xen.pmem.owner_of(window)
    if domid is not None:
        raise Conflict(f"{path} is in use: domain {domid} has a part of it", code="XLPY-PMEM-BUSY")
