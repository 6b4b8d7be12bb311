"""From host memory back to a name: the device, partition or file of Dom0 with exactly these extents."""

from __future__ import annotations

from xlpy.errors import XlpyError
from xlpy.toolstack.backing.resolve import resolve, window
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from xlpy.addr import Spa, Span
    from xlpy.dom0.kernel import Dom0, Mount


def devices(dom0: Dom0, names: Iterable[str]) -> Iterator[tuple[str, str, Span[Spa]]]:
    """Kernel name, kind and host memory of each block device that has an address; the others are passed over."""
    for name in names:
        try:
            kind, _, span = window(dom0, f"/dev/{name}", name)
        except XlpyError:
            continue
        yield name, kind, span


def daxes(dom0: Dom0, names: Iterable[str]) -> Iterator[tuple[str, tuple[Span[Spa], ...]]]:
    """Name and host memory of each devdax device that can be exported; the others are passed over."""
    for name in names:
        try:
            yield name, resolve(dom0, f"/dev/{name}").spans
        except XlpyError:
            continue


def devdax(dom0: Dom0, names: Iterable[str], spans: Sequence[Span[Spa]]) -> tuple[str, str] | None:
    """Path and kind of the devdax device that is exactly this host memory."""
    return next(((f"/dev/{name}", "devdax") for name, whole in daxes(dom0, names) if whole == tuple(spans)), None)


def locate(
    dom0: Dom0,
    names: Iterable[str],
    spans: Sequence[Span[Spa]],
    files: Callable[[Mount, int], Iterable[str]],
) -> tuple[str, str] | None:
    """Path and kind of what is exactly this host memory.

    Args:
        dom0: the kernel that is asked.
        names: of its pmem devices and partitions.
        spans: the memory, in file order.
        files: every file of a size on a mount.
    """
    wanted = tuple(spans)
    size = sum(span.size for span in wanted)
    for name, kind, whole in devices(dom0, names):
        if wanted == (whole,):
            return f"/dev/{name}", kind
        if not all(whole.covers(span) for span in wanted):
            continue
        for mount in dom0.mounts():
            if mount.device != f"/dev/{name}":
                continue
            for path in files(mount, size):
                try:
                    if resolve(dom0, path).spans == wanted:
                        return path, "file"
                except XlpyError:
                    continue
    return None
