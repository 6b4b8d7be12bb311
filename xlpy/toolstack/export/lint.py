"""Whether a backing can be mapped, with all problems, not only the first, and a suggested fix for each.

The reasons are those of ``resolve``. What only root may know is told as such and does not count: without a host
physical address, a device is taken to begin where its namespace is aligned to.
"""

from __future__ import annotations

from xlpy.addr import MIB, PAGE, SECTOR, Spa, Span
from xlpy.columns import Column
from xlpy.devicemodel.placement import superpage_skew
from xlpy.dom0.ext4.reader import Ext4Image
from xlpy.dom0.image import ImageFile
from xlpy.errors import UsageError, XlpyError
from xlpy.hypervisor.p2m import entries
from xlpy.records import NamedTuple
from xlpy.toolstack.backing import poison
from xlpy.toolstack.backing.resolve import (
    Resolved,
    check_size,
    checked_extents,
    device_checks,
    file_checks,
    resolve,
    window,
)
from xlpy.toolstack.export.limits import MOST_ENTRIES
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.dom0.ext4.inode import Inode
    from xlpy.dom0.kernel import Dom0
    from xlpy.dom0.xfs.reader import XfsImage

ACCESS = "XLPY-LINUX-ACCESS"  # what only root may see
OFFSET = "?offset="
XFS = b"XFSB"  # at the start of one
EMULATED = ("xlpy pmem prepare", "copy the content into a file made by: xlpy pmem mkfile")  # hints for our own Dom0
_ALIGN = 2 * MIB  # what ndctl aligns an fsdax namespace to


class BackingFinding(NamedTuple):
    """One reason against a backing. code: stable; hint: what would make it fit, or None."""

    code: str
    message: str
    hint: str | None


class BackingReport(NamedTuple):
    """What was found out about a backing.

    kind: ``device``, ``partition``, ``file``, ``devdax``, ``image``, or empty. size: bytes, or None. extents: how many.
    pages: entries of 1 GiB, 2 MiB and 4 KiB with which a guest's table could map it, or None. findings: reasons
    against it. advice: what would be better. unknown: what this user may not see.
    """

    path: str
    kind: str = ""
    size: int | None = None
    extents: int | None = None
    pages: dict[str, int] | None = None
    findings: tuple[BackingFinding, ...] = ()
    advice: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class _Notes:
    """Collects what checks raise. real: whether files are those of a real machine."""

    def __init__(self, real: bool) -> None:
        self._real = real
        self.findings: list[BackingFinding] = []
        self.unknown: list[str] = []

    def ask(self, check: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the check gives
        """The result of a check, or None when it raises."""
        try:
            return check()
        except XlpyError as error:
            if error.code == ACCESS:
                self.unknown.append(str(error))
            else:
                hint = error.hint
                if hint and self._real and hint.startswith(EMULATED):
                    hint = "cp --sparse=never FILE NEW writes every block of a new file; give the guest that one"
                self.findings += [BackingFinding(error.code, text, hint) for text in (str(error), *error.details)]
        return None


def lint(dom0: Dom0, path: str, read_only: bool = False, real: bool = True) -> list[BackingReport]:
    """Look at a backing, or at every file of an image.

    Args:
        dom0: the kernel that is asked.
        path: of a device or file; or ``IMAGE?offset=N``, of an ext4 or XFS that begins N bytes into a file,
            perhaps with ``:/PATH`` of one file in it behind.
        read_only: the guest will not write.
        real: it is a real machine's kernel: what would help is said in its words.

    Returns:
        one report; of an image one for each file.

    Raises:
        UsageError: an offset that is none.
    """
    if OFFSET in path:
        return list(_image(path))
    notes = _Notes(real)
    found = notes.ask(lambda: dom0.stat(path))
    if found is None:
        return [BackingReport(path, findings=tuple(notes.findings), unknown=tuple(notes.unknown))]
    if found.kind == "block":
        return [_device(dom0, path, found.device, read_only, notes)]
    if found.kind == "file":
        return [_file(dom0, path, found.size, read_only, notes)]
    whole = notes.ask(lambda: resolve(dom0, path, read_only))
    return [_report(path, "devdax" if whole else "", whole, notes)]


def _device(dom0: Dom0, path: str, number: tuple[int, int], read_only: bool, notes: _Notes) -> BackingReport:
    name = notes.ask(lambda: dom0.block_device_name(*number))
    if name is None:
        return BackingReport(path, findings=tuple(notes.findings))
    placed = _placed(dom0, path, name, notes)
    if placed is None:
        return BackingReport(path, findings=tuple(notes.findings), unknown=tuple(notes.unknown))
    kind, disk, span = placed
    for check in device_checks(dom0, path, name, span, read_only):
        notes.ask(check)
    whole = Resolved(path, kind, disk, span.size, [[Column.of([n]) for n in (0, span.start, span.size, 0)]])
    notes.ask(lambda: poison.refuse(whole, poison.poisoned(dom0, whole)))
    return _report(path, kind, whole, notes)


def _file(dom0: Dom0, path: str, size: int, read_only: bool, notes: _Notes) -> BackingReport:
    mount = notes.ask(lambda: dom0.mount_of(path))
    whole = None
    if mount is not None:
        placed = _placed(dom0, path, mount.device.rpartition("/")[2], notes)
        for check in file_checks(dom0, path, size, mount, read_only):
            notes.ask(check)
        extents = notes.ask(lambda: dom0.fiemap(path))
        disk, span = (placed[1], placed[2]) if placed else ("", Span(Spa(0), 1 << 62))
        if extents is not None and size:
            parts = notes.ask(lambda: checked_extents(path, size, span, extents))
            whole = parts and Resolved(path, "file", disk, size, parts, span.start)
        if whole is not None and disk:
            notes.ask(lambda: poison.refuse(whole, poison.poisoned(dom0, whole)))
    return _report(path, "file", whole, notes)._replace(size=size)


def _placed(dom0: Dom0, path: str, name: str, notes: _Notes) -> tuple[str, str, Span[Spa]] | None:
    """As ``window``; where only root may know the address, one that is aligned like the real one."""
    before = len(notes.unknown)
    found: tuple[str, str, Span[Spa]] | None = notes.ask(lambda: window(dom0, path, name))
    if found is not None or len(notes.unknown) == before:
        return found
    size = notes.ask(lambda: int(dom0.sysfs(f"/sys/class/block/{name}/size")) * SECTOR)
    if size is None:
        return None
    part = _number(dom0, f"/sys/class/block/{name}/partition", 0)
    disk = name.rpartition("p")[0] if part else name
    align = _number(dom0, f"/sys/block/{disk}/device/align", _ALIGN)
    start = _number(dom0, f"/sys/class/block/{name}/start", 0) * SECTOR if part else 0
    return "partition" if part else "device", disk, Span(Spa(align + start), size)


def _number(dom0: Dom0, path: str, otherwise: int) -> int:
    try:
        return int(dom0.sysfs(path), 0)
    except (XlpyError, ValueError):
        return otherwise


def _report(path: str, kind: str, whole: Resolved | None, notes: _Notes) -> BackingReport:
    findings, unknown = tuple(notes.findings), tuple(notes.unknown)
    if whole is None:
        return BackingReport(path, kind, findings=findings, unknown=unknown)
    pages = page_sizes(whole)
    return BackingReport(
        path, kind, whole.size, len(whole.extents), pages, findings, tuple(_advice(whole, pages)), unknown
    )


def page_sizes(whole: Resolved) -> dict[str, int]:
    """How many entries of each size map a backing, in a guest that gives it the best address for it."""
    gpa, small, large, huge = superpage_skew(whole.spans), 0, 0, 0
    for span in whole.spans:
        found = entries(gpa // PAGE, span.start // PAGE, span.size // PAGE)
        small, large, huge = small + found.small, large + found.large, huge + found.huge
        gpa += span.size
    return {"1G": huge, "2M": large, "4K": small}


def _advice(whole: Resolved, pages: dict[str, int]) -> Iterator[str]:
    if whole.size >= 4 * MIB and pages["4K"] * PAGE > whole.size // 2:
        yield (
            f"more than half of it can be mapped by 4 KiB pages only ({pages['4K']} of them): "
            "2 MiB pages need extents that begin and end on 2 MiB of the device; "
            "mke2fs -E stride=512,stripe_width=512 or mkfs.xfs -d su=2m,sw=1, then fallocate and write it on an empty"
            " file system"
        )
    if len(whole.spans) > MOST_ENTRIES:
        yield f"{len(whole.spans)} extents: xlpy export takes {MOST_ENTRIES} at most; copy it to an emptier file system"


# -- images -----------------------------------------------------------------------------------------------------------


def _image(path: str) -> Iterator[BackingReport]:
    name, _, rest = path.partition(OFFSET)
    number, colon, inner = rest.partition(":")
    try:
        offset = int(number, 0)
        if offset < 0:
            raise ValueError(number)
    except ValueError:
        raise UsageError(f"{path}: {number!r} is no offset in bytes", hint="IMAGE?offset=0:/PATH") from None
    notes = _Notes(real=True)
    image: Ext4Image | XfsImage | None = notes.ask(lambda: _opened(name, offset))
    if image is None:
        yield BackingReport(path, "image", findings=tuple(notes.findings))
        return
    try:
        if colon:
            inode = notes.ask(lambda: image.lookup(inner))
            if inode is None:
                yield BackingReport(path, findings=tuple(notes.findings))
            else:
                yield _inside(image, path, inner, inode)
            return
        for found, inode in image.walk():
            yield _inside(image, f"{path}:{found}", found, inode)
    finally:
        image.close()


def _opened(name: str, offset: int) -> Ext4Image | XfsImage:
    """The file system at an offset of a file. NotFound, FormatError, Unsafe: there is none that can be read."""
    if _is_xfs(name, offset):
        from xlpy.dom0.xfs.reader import XfsImage

        return XfsImage(name, offset)
    return Ext4Image(name, offset, guarded=False)


def _is_xfs(name: str, offset: int) -> bool:
    """Whether the magic number of an XFS is there."""
    file = ImageFile(name, offset, None)
    try:
        return file.size >= len(XFS) and file.read(0, len(XFS)) == XFS
    finally:
        file.close()


def _inside(image: Ext4Image | XfsImage, path: str, inner: str, inode: Inode) -> BackingReport:
    notes = _Notes(real=True)
    whole = None
    if inode.kind != "file":
        notes.findings.append(BackingFinding("XLPY-PMEM-KIND", f"{path} is a {inode.kind}, not a regular file", None))
        return BackingReport(path, "", findings=tuple(notes.findings))
    notes.ask(lambda: check_size(path, inode.size))
    extents = notes.ask(lambda: image.fiemap(inode, inner))
    if extents is not None and inode.size:
        device = Span(Spa(_ALIGN), image.superblock.blocks * image.block_size)
        columns = notes.ask(lambda: checked_extents(path, inode.size, device, extents))
        whole = columns and Resolved(path, "image", "", inode.size, columns)
    return _report(path, "image", whole, notes)._replace(size=inode.size)
