"""The middle of the way: namespace, partition, file system and file, as Dom0 knows them; and back from a file."""

from __future__ import annotations

from xlpy.addr import LIMIT, Spa, Span
from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN
from xlpy.dom0.nvdimm.infoblock import BLOCK
from xlpy.errors import Constraint, Unsafe, XlpyError
from xlpy.typing import TYPE_CHECKING
from xlpy.views.where.answer import Answer, Hop, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.dom0.ext4.inode import Inode
    from xlpy.dom0.ext4.reader import Ext4Image
    from xlpy.dom0.files.block import BlockDevice
    from xlpy.dom0.kernel import Mount
    from xlpy.dom0.nvdimm.namespace import Namespace
    from xlpy.dom0.xfs.reader import XfsImage
    from xlpy.host import Host


def spa_of_file(host: Host, path: str, offset: int) -> Spa:
    """The host address of a byte of a file or block device of Dom0.

    Raises:
        NotFound: no such path. Constraint: the offset lies behind its end. Unsafe: it lies in a hole, or in an
        extent that was never written.
    """
    found = host.dom0.stat(path)
    if found.kind == "block":
        window = host.dom0.device(host.dom0.clean(path)).window
        _require_inside(path, offset, window.size)
        return Spa(window.start + offset)
    mount, _, inode = host.dom0.file(path)
    _require_inside(path, offset, inode.size)
    for extent in host.dom0.image(mount).fiemap(inode, path):
        if extent.logical <= offset < extent.logical + extent.length:
            if extent.flags & FIEMAP_EXTENT_UNWRITTEN:
                break
            return Spa(host.dom0.device(mount.device).window.start + extent.physical + offset - extent.logical)
    raise Unsafe(
        f"{path}: nothing is stored at offset {offset:#x}, it lies in a hole or was never written",
        code="XLPY-PMEM-UNWRITTEN",
        hint=f"xlpy pmem prepare {path} gives every byte a place",
    )


def _require_inside(path: str, offset: int, size: int) -> None:
    if offset >= size:
        raise Constraint(f"{path} has {size:#x} bytes, there is none at {offset:#x}", hint="offsets count from 0")


def above(host: Host, spa: Spa, likely: Sequence[str] = ()) -> Answer:
    """What Dom0 has at a host physical address of persistent memory.

    Args:
        likely: paths of files in which the byte may be, tried before all others are searched.
    """
    namespace = next((one for one in host.dom0.namespaces if spa in one.span), None)
    if namespace is None:
        starts = [one.span.start for one in host.dom0.namespaces if one.span.start > spa]
        run = min(starts, default=LIMIT) - spa
        return Answer({}, [Hop("dom0", "no namespace", "Dom0's driver")], {}, run)
    hops = [Hop("dom0", f"{namespace.dev}+{spa - namespace.span.start:#x}", *_label(host, namespace, spa))]
    fields = {"namespace": namespace.dev}
    if spa not in namespace.data:
        part, run = _beside(namespace, spa)
        return Answer(fields, [*hops, Hop("dom0", part, *_block(namespace))], {}, run)
    if namespace.mode != "raw":
        hops.append(Hop("dom0", f"{namespace.mode} data+{spa - namespace.data.start:#x}", *_block(namespace)))
    devices = [one for one in host.dom0.devices if one.namespace == namespace.dev and spa in one.window]
    if not devices:
        return Answer(fields, hops, {}, namespace.data.end - spa)
    for device in devices:
        decided = f"partition table of {device.disk}, entry {device.partition}" if device.partition else "its namespace"
        place = _entry(host, namespace, device) if device.partition else None
        hops.append(Hop("dom0", f"/dev/{device.name}+{spa - device.window.start:#x}", decided, place))
    device = devices[-1]
    whole = f"/dev/{device.name}"
    fields["device"] = whole
    run = _until_next(host, device, spa)
    mount = next((one for one in host.dom0.disk_mounts if one.device == whole), None)
    if mount is None:
        return Answer({**fields, "path": whole, "path_offset": spa - device.window.start}, hops, {}, run)
    found = _file(host, mount, device, spa, likely)
    return Answer({**fields, **found.fields}, hops + found.hops, {}, min(run, found.run))


def _label(host: Host, namespace: Namespace, spa: Spa) -> tuple[str, Place | None]:
    """What makes the namespace, and where its label lies on the DIMM that has the byte."""
    if not namespace.label:
        return "no label: the region is one namespace", None
    from xlpy.dom0.nvdimm.labels import read_area

    dimm, _ = host.hw.locate(spa)
    area = read_area(dimm.label_size, lambda at, length: host.hw.labels_read(dimm.id, at, length))
    wanted = bytes.fromhex(namespace.label.replace("-", ""))
    for label in area.labels if area.head else ():
        if label.uuid == wanted and area.head is not None:
            at = 2 * area.head.size + label.slot * area.head.label_size
            place = Place("file", at, str(host.hw.beside("hw", "labels", dimm.id)))
            return f"label {label.slot} of {dimm.id}, uuid {namespace.label}", place
    return "its labels", None


def _entry(host: Host, namespace: Namespace, device: BlockDevice) -> Place | None:
    """Where the entry of a partition lies: in the GPT, or in the master boot record."""
    from xlpy.dom0.files.partitions import entry_at

    start = namespace.data.start

    def read(at: int, length: int) -> bytes:
        return host.hw.read(Spa(start + at), length)

    found = entry_at(read, device.partition, device.sector)
    return None if found is None else Place("spa", start + found)


def _until_next(host: Host, device: BlockDevice, spa: Spa) -> int:
    """Bytes up to the end of a device, or to the next partition on it."""
    starts = [one.window.start for one in host.dom0.devices if one.window.start > spa]
    return min([device.window.end, *starts]) - spa


def _block(namespace: Namespace) -> tuple[str, Place | None]:
    if namespace.seal is None:
        return "no info block: raw", None
    kind = "BTT info block" if namespace.mode == "sector" else f"PFN info block ({namespace.mode}, {BLOCK} bytes)"
    return kind, Place("spa", namespace.seal[0])


def _beside(namespace: Namespace, spa: Spa) -> tuple[str, int]:
    """What a byte outside the data of a namespace belongs to, and how far that goes."""
    if namespace.reserve and spa in namespace.reserve:
        return f"the reserve for Xen's page structures+{spa - namespace.reserve.start:#x}", namespace.reserve.end - spa
    if namespace.seal and spa in Span(Spa(namespace.seal[0]), BLOCK):
        return "the info block", namespace.seal[0] + BLOCK - spa
    edges = [namespace.data.start, namespace.span.end]
    edges += [namespace.reserve.start] if namespace.reserve else []
    edges += [Spa(namespace.seal[0])] if namespace.seal else []
    return "beside the data: page structures or padding", min(edge for edge in edges if edge > spa) - spa


def _file(host: Host, mount: Mount, device: BlockDevice, spa: Spa, likely: Sequence[str]) -> Answer:
    """The file that a block of a file system belongs to."""
    image = host.dom0.image(mount)
    at = spa - device.window.start
    block = Hop(
        "dom0",
        f"block {at // image.block_size} of {mount.mountpoint}",
        "superblock",
        Place("spa", device.window.start + (0 if mount.fstype == "xfs" else 1024)),
    )
    end = device.window.size  # of what lies together, when no file has it
    for path, inode in _candidates(host, mount, image, likely):
        try:
            extents = image.fiemap(inode, path)
        except XlpyError:  # an inline or damaged file has no place here
            continue
        for number, extent in enumerate(extents):
            if extent.physical <= at < extent.physical + extent.length:
                place = Place("spa", device.window.start + image.inode_bytes(inode.number)[1])
                offset = extent.logical + at - extent.physical
                hops = [
                    Hop("dom0", f"{path}+{offset:#x}", f"directory entry of inode {inode.number}"),
                    Hop("dom0", f"extent {number} of {len(extents)}", f"inode {inode.number}, its extent tree", place),
                ]
                fields = {"path": path, "path_offset": offset, "inode": inode.number}
                return Answer(fields, [block, *hops], {}, extent.physical + extent.length - at)
            if extent.physical > at:
                end = min(end, extent.physical)
    return Answer(
        {}, [block, Hop("dom0", "no file: free, or the file system's own", "extent trees of all files")], {}, end - at
    )


def _candidates(
    host: Host, mount: Mount, image: Ext4Image | XfsImage, likely: Sequence[str]
) -> Iterator[tuple[str, Inode]]:
    """Files of a file system, the likely ones first; the others only when somebody asks for more."""
    for path in likely:
        try:
            where, _, inode = host.dom0.file(path)
        except XlpyError:
            continue
        if where == mount:
            yield host.dom0.clean(path), inode
    todo = ["/"]
    while todo:
        folder = todo.pop()
        for name, number in image.listdir(image.lookup(folder), folder).items():
            inode = image.inode(number)
            inner = f"{folder.rstrip('/')}/{name}"
            if inode.kind == "dir":
                todo.append(inner)
            elif inode.kind == "file":
                yield f"{mount.mountpoint}{inner}", inode
