"""From a path in a configuration to host physical extents (vNVDIMM design, section 4.2.3).

All of it is toolstack and Dom0 kernel work: sysfs says where a pmem device lies, fiemap says where a file lies on its
device, and what cannot be mapped safely is refused with the reason and a suggested fix. Xen sees only the numbers.
"""

from __future__ import annotations

from _operator import gt
from itertools import chain, pairwise

from xlpy.addr import PAGE, SECTOR, Spa, Span, align_up
from xlpy.columns import Column, records
from xlpy.dom0.extents import FIEMAP_EXTENT_LAST, SAY_NOTHING, MapPart
from xlpy.errors import Conflict, Constraint, NotFound, Unsafe
from xlpy.functions import cached_property
from xlpy.records import NamedTuple
from xlpy.toolstack.backing.refusals import read_only_backing, refuse_page_cache, refuse_used
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xlpy.dom0.extents import Extents
    from xlpy.dom0.kernel import Dom0, Mount

_UNFIT = 0xFFFFFFFF & ~SAY_NOTHING
_KINDS = {"dir": "directory", "char": "character device that is not devdax"}


class Piece(NamedTuple):
    """One extent of a backing: ``logical`` offset in the file or device, its SPA, bytes, and fiemap flags."""

    logical: int
    spa: Spa
    length: int
    flags: int


class Resolved:
    """What a path stands for.

    Args:
        path: as written.
        kind: ``device``, ``partition``, ``devdax`` or ``file``.
        device: the pmem disk, such as ``pmem0``, or the devdax device.
        size: usable bytes.
        pieces: columns of them in parts: logical offsets, places, lengths, flags. There may be tens of thousands.
        base: the SPA from which places count.
    """

    def __init__(
        self, path: str, kind: str, device: str, size: int, pieces: Sequence[Sequence[Column]], base: int = 0
    ) -> None:
        self.path, self.kind, self.device, self.size = path, kind, device, size
        self._pieces, self._base = pieces, base

    @property
    def parts(self) -> Iterator[Sequence[Column]]:
        """Columns of the pieces in parts: logical offsets, SPAs, lengths, flags."""
        return ((logical, place + self._base, *more) for logical, place, *more in self._pieces)

    @cached_property
    def extents(self) -> tuple[Piece, ...]:
        """Pieces in logical order that cover ``[0, size)`` without a hole."""
        return tuple(piece for columns in self.parts for piece in records(Piece, columns))

    @property
    def first(self) -> Span[Spa]:
        """The span of the first piece."""
        _, starts, lengths, _ = next(self.parts)
        return Span(Spa(starts.first), lengths.first)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """SPA and length of each piece."""
        return chain.from_iterable(zip(starts, lengths, strict=True) for _, starts, lengths, _ in self.parts)

    @cached_property
    def spans(self) -> tuple[Span[Spa], ...]:
        """The extents as SPA spans in logical order, neighbours joined."""
        joined: list[tuple[int, int]] = []
        for start, length in self.pairs():
            if joined and sum(joined[-1]) == start:
                joined[-1] = (joined[-1][0], joined[-1][1] + length)
            else:
                joined.append((start, length))
        return tuple(Span(Spa(start), length) for start, length in joined)


def resolve(dom0: Dom0, path: str, read_only: bool = False) -> Resolved:
    """Find the host physical extents behind a pmem device, a partition of one, or a file on a DAX file system.

    Args:
        dom0: the kernel that is asked: the emulated one, or the one of this machine.
        path: absolute path inside that kernel's view.
        read_only: the guest will not write; otherwise a read-only device or mount is refused.

    Returns:
        page-aligned extents that cover the backing without a hole.

    Raises:
        NotFound: no such path. Conflict: something in Dom0 uses the device or file. Unsafe: it cannot be mapped
        without losing data. Constraint: its size is not a whole number of pages.
    """
    if not path.startswith("/"):
        raise NotFound(f"{path}: a vNVDIMM needs an absolute path", hint="write for example file=/dev/pmem0")
    found = dom0.stat(path)
    if found.kind == "block":
        return _device(dom0, path, dom0.block_device_name(*found.device), read_only)
    if found.kind == "file":
        return _file(dom0, path, found.size, read_only)
    if found.kind == "char":
        from xlpy.toolstack.backing import devdax

        dax = devdax.find(dom0, path, found.device, read_only)
        if dax is not None:
            return _memory(path, dax.name, dax.spans)
    raise Unsafe(
        f"{path} is a {_KINDS.get(found.kind, found.kind)}: a vNVDIMM needs a pmem device or a regular file on a DAX "
        "file system",
        code="XLPY-PMEM-KIND",
        hint="xlpy pmem list shows the devices",
    )


def window(dom0: Dom0, path: str, name: str) -> tuple[str, str, Span[Spa]]:
    """(kind, disk, SPA span) of a pmem block device or partition by its kernel name."""
    named = _named(name)
    if named is None:
        raise Unsafe(
            f"{path} lies on {name}, which is not an NVDIMM: its blocks have no host physical address",
            code="XLPY-PMEM-NOT-PMEM",
            hint="use /dev/pmemN, a partition of it, or a file on a file system directly on one (no LVM, loop or RAID)",
        )
    disk, sector, part = named
    base = f"/sys/block/{disk}"
    try:
        start = int(dom0.sysfs(f"{base}/device/resource"), 0)
        size = int(dom0.sysfs(f"{base}/device/size"), 0)
    except NotFound as error:
        if sector:
            raise Unsafe(
                f"{path}: {disk} is in sector mode (BTT): its blocks move with every write",
                code="XLPY-PMEM-SECTOR",
                hint="make the namespace fsdax: ndctl create-namespace -f -e NAMESPACE -m fsdax",
            ) from error
        raise
    window = Span(Spa(start), size)
    if part is None:
        return "device", disk, window
    first = int(dom0.sysfs(f"{base}/{name}/start")) * SECTOR
    length = int(dom0.sysfs(f"{base}/{name}/size")) * SECTOR
    if first + length > size:
        raise Unsafe(
            f"{path}: partition {name} ends at {first + length:#x}, beyond its disk of {size:#x} bytes",
            code="XLPY-PMEM-RANGE",
            hint="repair the partition table",
        )
    return "partition", disk, Span(Spa(start + first), length)


def _named(name: str) -> tuple[str, bool, str | None] | None:
    """The disk, whether it is in sector mode, and the partition that ``pmemN``, ``pmemN.Ms`` or ``pmemNpP`` means."""
    body, is_part, part = name.removeprefix("pmem").partition("p")
    numbers = body.removesuffix("s").split(".")
    wanted = [*numbers, part] if is_part else numbers
    if not name.startswith("pmem") or len(numbers) > 2 or not all(map(str.isdecimal, wanted)):
        return None
    return f"pmem{body}", body.endswith("s"), part if is_part else None


def _device(dom0: Dom0, path: str, name: str, read_only: bool) -> Resolved:
    kind, disk, span = window(dom0, path, name)
    for check in device_checks(dom0, path, name, span, read_only):
        check()
    whole = [Column.of([number]) for number in (0, span.start, span.size, FIEMAP_EXTENT_LAST)]
    return Resolved(path, kind, disk, span.size, [whole])


def device_checks(dom0: Dom0, path: str, name: str, span: Span[Spa], read_only: bool) -> Iterator[Callable[[], object]]:
    """What a pmem device or partition must fulfil: each is called, and raises what ``resolve`` does.

    Args:
        dom0: the kernel. path: of the device. name: the kernel's for it. span: its memory.
        read_only: the guest will not write.
    """

    def writable() -> None:
        if not read_only and dom0.sysfs(f"/sys/class/block/{name}/ro") != "0":
            raise read_only_backing(path, f"{name} is a read-only device", f"blockdev --setrw /dev/{name}")

    def aligned() -> None:
        if span.start % PAGE or span.size % PAGE:
            raise Unsafe(
                f"{path} covers {span}, which does not begin and end on 4 KiB pages",
                code="XLPY-PMEM-UNALIGNED",
                hint="align the partition to 4096 bytes (8 sectors)",
            )

    yield lambda: _refuse_mounted(dom0, path, name)
    yield lambda: refuse_used(path, dom0.device_users(path, name))
    yield writable
    yield aligned
    yield lambda: check_size(path, span.size)


def _refuse_mounted(dom0: Dom0, path: str, name: str) -> None:
    disk, _, part = _named(name) or (name, False, None)
    for mount in dom0.mounts():
        mounted = mount.device.rpartition("/")[2]
        if mounted in (name, disk) or (part is None and mounted.startswith(f"{disk}p")):
            raise Conflict(
                f"{path} is in use: {mount.device} is mounted on {mount.mountpoint} in Dom0",
                code="XLPY-PMEM-MOUNTED",
                hint=f"give the domain a file on it (file={mount.mountpoint}/NAME), or another device",
            )


def _memory(path: str, name: str, spans: Sequence[Span[Spa]]) -> Resolved:
    """A devdax device, which is its ranges one after another."""
    starts, sizes = [span.start for span in spans], [span.size for span in spans]
    size, count = sum(sizes), len(spans)
    check_size(path, size)
    flags = [0] * (count - 1) + [FIEMAP_EXTENT_LAST]
    offsets = [sum(sizes[:at]) for at in range(count)]
    return Resolved(path, "devdax", name, size, [[Column.of(column) for column in (offsets, starts, sizes, flags)]])


def _file(dom0: Dom0, path: str, size: int, read_only: bool) -> Resolved:
    mount = dom0.mount_of(path)
    _, disk, span = window(dom0, path, mount.device.rpartition("/")[2])
    for check in file_checks(dom0, path, size, mount, read_only):
        check()
    return Resolved(path, "file", disk, size, checked_extents(path, size, span, dom0.fiemap(path)), span.start)


def file_checks(dom0: Dom0, path: str, size: int, mount: Mount, read_only: bool) -> Iterator[Callable[[], object]]:
    """What a file must fulfil beside its extents: each is called, and raises what ``resolve`` does."""

    def writable() -> None:
        if mount.read_only and not read_only:
            raise read_only_backing(
                path, f"{mount.mountpoint} is mounted read-only", f"mount -o remount,rw {mount.mountpoint}"
            )

    yield lambda: refuse_page_cache(path, mount, dom0.file_state(path))
    yield lambda: refuse_used(path, dom0.file_users(path))
    yield writable
    yield lambda: check_size(path, size)


def check_size(path: str, size: int) -> None:
    if size == 0 or size % PAGE:
        raise Constraint(
            f"{path} has {size} bytes; a vNVDIMM needs a whole number of 4096-byte pages, at least one",
            code="XLPY-PMEM-SIZE",
            hint=f"make it {max(align_up(size, PAGE), PAGE)} bytes",
        )


def checked_extents(path: str, size: int, window: Span[Spa], extents: Extents) -> Sequence[Sequence[Column]]:
    """The extents as columns of pieces of ``[0, size)``, each proved safe to map; in parts, places as in ``extents``.

    Those of a part are looked at together, column by column; one by one only when something is wrong, to say what.
    """
    parts, point = [], 0
    for part in extents.parts:
        beyond = point >= size
        if part.logical.any_below(size) if beyond else part.logical.first != point:
            raise _fault(path, size, window, extents)
        if beyond:
            continue  # blocks kept beyond the end are not the file's
        cut = part.logical.last >= size
        if cut:
            inside = part.logical.below(size).ones()
            part = MapPart(*(column.head(inside) for column in part.columns))
        ordered = part.gapless and part.logical.last < size and (part.end >= size or not cut)
        bits = (part.physical | part.length) & PAGE - 1 | part.flags & _UNFIT
        if not ordered or bits.any() or part.any_empty:
            raise _fault(path, size, window, extents)
        point = part.end
        parts.append(part if point <= size else part.ending(part.length.last - (point - size), part.flags.last))
    if point < size or any(part.bounds[1] > window.size for part in parts) or _overlap(parts):
        raise _fault(path, size, window, extents)
    return [part.columns for part in parts]


def _fault(path: str, size: int, window: Span[Spa], extents: Extents) -> Unsafe:
    from xlpy.toolstack.backing.faults import fault

    return fault(path, size, window, extents)


def _overlap(parts: Sequence[MapPart]) -> bool:
    """Whether two ranges meet. Those that rise or fall throughout do not; others are sorted, and compared in pages."""
    if all(part.rising for part in parts) and all(a.bounds[1] <= b.bounds[0] for a, b in pairwise(parts)):
        return False
    if all(part.falling for part in parts) and all(a.bounds[0] >= b.bounds[1] for a, b in pairwise(parts)):
        return False
    starts = sorted(start for part in parts for start in part.physical // PAGE)
    ends = sorted(end for part in parts for end in part.ends // PAGE)
    return any(map(gt, ends, starts[1:]))
