"""Making an XFS for DAX with its first files: by mkfs.xfs from a protofile, on a sparse file in memory.

mkfs.xfs takes a whole device or file, and no place inside one. So it works beside the media, and what it stored is
copied to them. Files are allocated by mkfs.xfs without content (``r`` in the protofile, which is in its sources and not
in its manual, 6.1.0). It leaves them empty, with unwritten blocks beyond their end; here their inodes get their sizes,
and as written what is to be written. So a file of any size costs no copy of its zeros.
"""

from __future__ import annotations

import _struct as struct
import errno
import os

from xlpy.addr import MIB, PAGE
from xlpy.dom0.ext4.tools import find_program, run
from xlpy.dom0.xfs.fork import RECORD, UNWRITTEN
from xlpy.dom0.xfs.inode import CHECKSUM, FLAGS_AT, FORK, PREALLOCATED, SIZE_AT, parse_inode
from xlpy.dom0.xfs.reader import XfsImage
from xlpy.dom0.xfs.superblock import checksum
from xlpy.errors import Constraint, FormatError
from xlpy.hw.sparse import written
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SMALLEST = 300 * MIB
_LOG = 64 * MIB  # the smallest that mkfs.xfs takes from 5.19 on
_GROUP = 1 << 40  # bytes of the largest allocation group
_CHUNK = 1 << 16


class NewFile(NamedTuple):
    """A file to start with.

    path: in the file system, such as ``/vm1.img``. size: bytes. state: ``written`` or ``unwritten``. align: its first
    byte lies on a multiple of so many bytes of host memory.
    """

    path: str
    size: int
    state: str = "written"
    align: int = PAGE


def make_xfs(
    size: int,
    files: Sequence[NewFile],
    *,
    uuid: str,
    epoch: int,
    base: int,
    zero: Callable[[int, int], None],
    write: Callable[[int, bytes], None],
) -> None:
    """Make a file system on a device; what was there before is gone.

    Args:
        size: bytes of the device.
        files: to make in it; the content of those that are written is zeros.
        uuid: UUID text of the file system.
        epoch: seconds since 1970 for the time stamps, where mkfs.xfs can be told (SOURCE_DATE_EPOCH).
        base: host address of the device, for alignments.
        zero, write: of the device: ``zero(offset, length)``, ``write(offset, data)``.

    Raises:
        Constraint: the device is too small, there is no space, or a file is asked for that mkfs.xfs cannot make.
        MissingTool: no mkfs.xfs. FormatError: mkfs.xfs failed.
    """
    if size < SMALLEST:
        raise Constraint(
            f"an XFS needs 300 MiB ({SMALLEST} bytes), and newer mkfs.xfs make none below; found {size} bytes",
            hint="make the namespace or partition larger, or: type: ext4",
        )
    proto = "\n".join(["/dev/null", "0 0", "d--755 0 0", *_lines(_tree(files)), "$", ""])
    find_program("mkfs.xfs")  # before anything is lost
    scratch = os.memfd_create("xfs")
    try:
        try:
            os.ftruncate(scratch, size)
            _mkfs(scratch, proto, uuid, max(4, -(-size // _GROUP)), epoch)
            for file in files:
                _settle(scratch, file, base)
            zero(0, size)
            for at, data in written(scratch, 0, size, _CHUNK):
                if any(data):
                    write(at, data)
        except OSError as error:
            raise Constraint(f"no XFS can be made in memory: {error.strerror}", hint="free some memory") from error
    finally:
        os.close(scratch)


def _mkfs(scratch: int, proto: str, uuid: str, groups: int, epoch: int) -> None:
    """Run mkfs.xfs: 4 KiB blocks, no shared extents, files on multiples of 2 MiB."""
    source = os.memfd_create("protofile")
    try:
        os.pwrite(source, os.fsencode(proto), 0)
        image = f"/proc/self/fd/{scratch}"
        args = ["-q", "-f", "-p", f"/proc/self/fd/{source}", "-b", f"size={PAGE}", "-i", "size=512"]
        args += ["-s", f"size={PAGE}"]  # as mkfs.xfs does on a pmem device
        args += ["-m", f"crc=1,reflink=0,rmapbt=0,uuid={uuid}", "-d", f"agcount={groups},su=2m,sw=1"]
        args += ["-l", f"size={_LOG},su=32k", image]
        environment = {"SOURCE_DATE_EPOCH": str(epoch), "DETERMINISTIC_SEED": "1"}
        status, _, errors = run(scratch, "mkfs.xfs", *args, image=image, environment=environment, inherited=(source,))
    finally:
        os.close(source)
    if status == 0:
        return
    found = [line for line in errors.splitlines() if line.strip() and not line.startswith(("/*", "Usage"))]
    if any("no space" in line.lower() or os.strerror(errno.ENOSPC) in line for line in found):
        raise Constraint(
            "no space left in the file system for its files", hint="make the namespace or partition larger"
        )
    raise FormatError(f"mkfs.xfs failed with status {status}", details=found[:6], code="XLPY-XFS-MKFS")


def _tree(files: Iterable[NewFile]) -> dict[str, Any]:
    """Folders as dictionaries of what is in them."""
    tree: dict[str, Any] = {}
    for file in files:
        *folders, name = file.path.strip("/").split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
            if isinstance(place, NewFile):
                raise Constraint(f"{file.path}: {place.path} is a file, not a directory")
        if name in place:
            raise Constraint(f"{file.path}: it is a directory of another file")
        place[name] = file
        if file.state not in ("written", "unwritten"):
            raise Constraint(
                f"{file.path}: mkfs.xfs makes no {file.state} files",
                hint="state: written or unwritten, or a file system of type: ext4",
            )
        odd = next((one for one in (*folders, name) if one.split() != [one] or one[0] in "$:"), None)
        if odd is not None:
            raise Constraint(
                f"{file.path}: a protofile of mkfs.xfs cannot have the name {odd!r}",
                hint="use a name without spaces that does not start with $ or :",
            )
    return tree


def _lines(tree: dict[str, Any]) -> Iterator[str]:
    """The lines of a protofile (mkfs.xfs(8)) for what is in a folder."""
    for name, inside in tree.items():
        if isinstance(inside, NewFile):
            yield f"{name} r--600 0 0 {inside.size}"
        else:
            yield f"{name} d--755 0 0"
            yield from _lines(inside)
            yield "$"


def _settle(scratch: int, file: NewFile, base: int) -> None:
    """Give a file that mkfs.xfs has allocated its size, and make its blocks written ones."""
    image = XfsImage(f"/proc/self/fd/{scratch}")
    try:
        inode = image.lookup(file.path)
        extents = image.fiemap(inode)
        raw, place = image.inode_bytes(inode.number)
    finally:
        image.close()
    core = parse_inode(image.superblock, inode.number, raw, place)
    mapped = sum(extent.length for extent in extents)
    if mapped < file.size or core.format != "extents":
        raise Constraint(
            f"{file.path}: mkfs.xfs made it in {len(extents)} extents of {mapped} bytes in all;"
            f" {file.size} bytes in a list inside the inode are required",
            hint="make the file smaller, or the namespace larger",
        )
    if (base + extents[0].physical) % file.align:
        raise Constraint(
            f"{file.path}: it lies at host address {base + extents[0].physical:#x}, which is no multiple of"
            f" {file.align:#x}",
            hint="on XFS files lie on multiples of 2M of the device; start partitions on multiples of 2M",
        )
    new = bytearray(raw)
    struct.pack_into(">Q", new, SIZE_AT, file.size)
    if file.state == "written":
        (flags,) = struct.unpack_from(">H", raw, FLAGS_AT)
        struct.pack_into(">H", new, FLAGS_AT, flags & ~PREALLOCATED)
        for at in range(FORK, FORK + core.extents * RECORD.size, RECORD.size):
            high, low = RECORD.unpack_from(raw, at)
            RECORD.pack_into(new, at, high & ~UNWRITTEN, low)
    struct.pack_into("<I", new, CHECKSUM, checksum(bytes(new), CHECKSUM))
    os.pwrite(scratch, new, place)
