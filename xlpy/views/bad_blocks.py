"""The location of memory errors that Dom0 knows of: device, partition and file.

Offsets and lengths are sectors of 512 bytes, in ndctl's words, counted from the start of what they are told of.
"""

from __future__ import annotations

from xlpy.addr import Spa, Span
from xlpy.dom0.nvdimm.badrange import sectors
from xlpy.errors import XlpyError
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from xlpy.dom0.kernel import Mount
    from xlpy.host import Host


def described(bad: Iterable[Span[Spa]], start: int) -> dict[str, Any]:
    """The keys of ``ndctl list -M`` for bad memory of something that starts at an address; none without any."""
    rows = [{"offset": first, "length": count} for first, count in sectors(bad, start)]
    return {"badblock_count": sum(row["length"] for row in rows), "badblocks": rows} if rows else {}


def inside(host: Host, data: Span[Spa], disk: str | None) -> dict[str, Any]:
    """What is bad of a namespace's data, and of the partitions and files on it.

    Args:
        host: whose.
        data: where the data lie.
        disk: the name of the block device that shows them, or None.

    Returns:
        ``badblock_count`` and ``badblocks``; then ``bad_partitions`` and ``bad_files``, lists of objects with ``path``
        and the same two keys. Keys without content are left out.
    """
    bad = host.dom0.bad.overlapping(data)
    found = described(bad, data.start)
    if not bad or disk is None:
        return found
    devices = [one for one in host.dom0.devices if one.disk == disk]
    parts = [
        {"path": f"/dev/{one.name}", **told}
        for one in devices
        if one.partition and (told := described(_cut(bad, one.window), one.window.start))
    ]
    names = {f"/dev/{one.name}" for one in devices}
    mounts = [mount for mount in host.dom0.disk_mounts if mount.device in names]
    files = [item for mount in mounts for item in _files(host, mount, bad)]
    return found | ({"bad_partitions": parts} if parts else {}) | ({"bad_files": files} if files else {})


def _cut(bad: Sequence[Span[Spa]], window: Span[Spa]) -> list[Span[Spa]]:
    return [part for one in bad if (part := one.intersect(window)) is not None]


def _files(host: Host, mount: Mount, bad: Sequence[Span[Spa]]) -> Iterator[dict[str, Any]]:
    """The files on a mount that have some of it; a file system that cannot be read has none."""
    try:
        window = host.dom0.device(mount.device).window
        hits = _cut(bad, window)
        for path, inode in host.dom0.files(mount) if hits else ():
            pieces: list[Span[Spa]] = []
            for extent in host.dom0.image(mount).fiemap(inode, path):
                home = Span(Spa(window.start + extent.physical), extent.length)
                pieces += [Span(Spa(part.start - home.start + extent.logical), part.size) for part in _cut(hits, home)]
            if pieces:
                yield {"path": path, **described(sorted(pieces), 0)}
    except XlpyError:
        return
