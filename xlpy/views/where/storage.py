"""The middle of the translation: file, partition and namespace, as Dom0 knows them; and back from a file or device."""

from __future__ import annotations

from xlpy.addr import LIMIT, PAGE, Spa
from xlpy.dom0.extents import FIEMAP_EXTENT_UNWRITTEN
from xlpy.dom0.nvdimm.infoblock import BLOCK, PAGE_STRUCT, RESERVED_HEAD
from xlpy.errors import Constraint, Unsafe
from xlpy.typing import TYPE_CHECKING
from xlpy.views.where.answer import Hop, Part, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.dom0.files.block import BlockDevice
    from xlpy.dom0.nvdimm.namespace import Namespace
    from xlpy.host import Host


def spa_of_file(host: Host, path: str, offset: int) -> Spa:
    """The host address of a byte of a file, block device or devdax device of Dom0.

    Raises:
        NotFound: no such path. Constraint: the offset lies behind its end. Unsafe: it lies in a hole, or in an
        extent that was never written.
    """
    found = host.dom0.stat(path)
    if found.kind in ("block", "char"):
        return _spa_of_device(host, path, offset)
    mount, _, inode = host.dom0.file(path)
    _require_inside(path, offset, inode.size)
    extent = host.dom0.image(mount).fiemap(inode, path).holding(offset)
    if extent is not None and not extent.flags & FIEMAP_EXTENT_UNWRITTEN:
        return Spa(host.dom0.device(mount.device).window.start + extent.physical + offset - extent.logical)
    raise Unsafe(
        f"{path}: nothing is stored at offset {offset:#x}, it lies in a hole or was never written",
        code="XLPY-PMEM-UNWRITTEN",
        hint=f"xlpy pmem prepare {path} gives every byte a place",
    )


def next_stored(host: Host, path: str, offset: int) -> int | None:
    """The next offset of a file that lies in an extent which was written; None when there is none, or no file."""
    if host.dom0.stat(path).kind != "file":
        return None
    mount, _, inode = host.dom0.file(path)
    extents = host.dom0.image(mount).fiemap(inode, path)
    written = (one.logical for one in extents if not one.flags & FIEMAP_EXTENT_UNWRITTEN and one.logical > offset)
    return min(written, default=None)


def _spa_of_device(host: Host, path: str, offset: int) -> Spa:
    clean = host.dom0.clean(path)
    dax = host.dom0.dax_device(clean)
    if dax is not None:
        _require_inside(path, offset, dax.size)
        return Spa(dax.data.start + offset)
    device = host.dom0.device(clean)
    _require_inside(path, offset, device.size)
    namespace = host.dom0.namespace_of(device)
    if namespace.mode == "sector":
        from xlpy.views.where.blocks import spa_of

        return spa_of(host, namespace, device.offset + offset)
    return Spa(device.window.start + offset)


def _require_inside(path: str, offset: int, size: int) -> None:
    if offset >= size:
        raise Constraint(f"{path} has {size:#x} bytes, there is none at {offset:#x}", hint="offsets count from 0")


def above(host: Host, spa: Spa, likely: Sequence[str] = ()) -> Part:
    """What Dom0 has at a host physical address of persistent memory, from the file down to the namespace.

    Args:
        likely: paths of files in which the byte may be, tried before all others are searched.
    """
    namespace = next((one for one in host.dom0.namespaces if spa in one.span), None)
    if namespace is None:
        starts = [one.span.start for one in host.dom0.namespaces if one.span.start > spa]
        run = min(starts, default=LIMIT) - spa
        return Part({}, [Hop("dom0", "no namespace", "Dom0's driver")], {"dom0": "not mapped: no namespace"}, run)
    own = Hop("dom0", f"{namespace.dev}+{spa - namespace.span.start:#x}", *_label(host, namespace, spa))
    fields = {"namespace": namespace.dev}
    if namespace.mode == "sector":
        from xlpy.views.where.blocks import sector

        inside, offset = sector(host, namespace, spa)
        upper = Part({}, [], {}, inside.run) if offset is None else on_devices(host, namespace, offset, likely)
        hops = [*upper.hops, *inside.hops, own]
        return Part({**fields, **upper.fields}, hops, {}, min(upper.run, inside.run))
    if spa not in namespace.data:
        part, run = _beside(namespace, spa)
        return Part(fields, [Hop("dom0", part, *_block(namespace)), own], {}, run)
    if namespace.mode == "raw":
        lower = [own]
    else:
        data = f"{namespace.mode} data+{spa - namespace.data.start:#x}"
        lower = [Hop("dom0", data, *_block(namespace)), own]
    if namespace.char:
        at = spa - namespace.data.start
        node = f"/dev/{namespace.char}"
        found = {"device": node, "path": node, "path_offset": at}
        whole = Hop("dom0", f"{node}+{at:#x}", "its namespace")
        return Part({**fields, **found}, [whole, *lower], {}, namespace.data.end - spa)
    upper = on_devices(host, namespace, spa - namespace.data.start, likely)
    run = min(upper.run, namespace.data.end - spa)
    return Part({**fields, **upper.fields}, [*upper.hops, *lower], {}, run)


def on_devices(host: Host, namespace: Namespace, at: int, likely: Sequence[str] = ()) -> Part:
    """What the block devices of a namespace have at an offset of the disk: a file, a partition, or the disk."""
    every = [one for one in host.dom0.devices if one.namespace == namespace.dev]
    devices = [one for one in every if one.offset <= at < one.offset + one.size]
    if not devices or namespace.problem:
        return Part({}, [], {}, LIMIT)
    hops = []
    for one in reversed(devices):
        decided = f"partition table of {one.disk}, entry {one.partition}" if one.partition else "its namespace"
        place = _entry(host, one) if one.partition else None
        hops.append(Hop("dom0", f"/dev/{one.name}+{at - one.offset:#x}", decided, place))
    device = devices[-1]
    whole, offset = f"/dev/{device.name}", at - device.offset
    run = min([device.offset + device.size, *(one.offset for one in every if one.offset > at)]) - at
    fields = {"device": whole}
    mount = next((one for one in host.dom0.disk_mounts if one.device == whole), None)
    if mount is None:
        return Part({**fields, "path": whole, "path_offset": offset}, hops, {}, run)
    from xlpy.views.where.files import on

    found = on(host, mount, device, offset, likely)
    return Part({**fields, **found.fields}, [*found.hops, *hops], {}, min(run, found.run))


def _label(host: Host, namespace: Namespace, spa: Spa) -> tuple[str, Place | None]:
    """What defines the namespace, and the location of its label on the DIMM that has the byte."""
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


def _entry(host: Host, device: BlockDevice) -> Place | None:
    """The location of a partition's entry: in the GPT, or in the master boot record."""
    from xlpy.dom0.files.partitions import entry_at

    disk = f"/dev/{device.disk}"
    found = entry_at(lambda at, length: host.dom0.cat(disk, at, length), device.partition, device.sector)
    return None if found is None else Place("spa", _spa_of_device(host, disk, found))


def _block(namespace: Namespace) -> tuple[str, Place | None]:
    if namespace.seal is None:
        return "no info block", None
    kind = "DAX" if namespace.mode == "devdax" else "PFN"
    return f"{kind} info block ({namespace.mode}, {BLOCK} bytes)", Place("spa", namespace.seal[0])


def _beside(namespace: Namespace, spa: Spa) -> tuple[str, int]:
    """What a byte outside the data of a namespace belongs to, and how far that goes."""
    start, edges = namespace.span.start, []
    if namespace.seal:
        edges += [("the unused first page", namespace.seal[0]), ("the info block", namespace.seal[0] + BLOCK)]
    if namespace.map == "dev":
        pages = (namespace.span.size - RESERVED_HEAD) // PAGE
        edges.append(("Linux' page structs (map=dev)", start + RESERVED_HEAD + PAGE_STRUCT * pages))
    if namespace.reserve:
        edges += [
            ("padding", namespace.reserve.start),
            ("the reserve for Xen's page structures", namespace.reserve.end),
        ]
    edges += [("padding before the data", namespace.data.start), ("behind the data, cut off", namespace.span.end)]
    for (what, end), begin in zip(edges, [start, *(end for _, end in edges)], strict=False):
        if begin <= spa < end:
            return f"{what}+{spa - begin:#x}", end - spa
    return "beside the data", 1
