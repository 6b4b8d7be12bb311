"""The file system's part of the translation: names, inode, extents and blocks, each with the location of its bytes."""

from __future__ import annotations

from xlpy.addr import Spa
from xlpy.errors import XlpyError
from xlpy.typing import TYPE_CHECKING, Any
from xlpy.views.where.answer import Hop, Part, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.dom0.ext4.inode import Inode
    from xlpy.dom0.ext4.reader import Ext4Image
    from xlpy.dom0.files.block import BlockDevice
    from xlpy.dom0.kernel import Mount
    from xlpy.dom0.xfs.reader import XfsImage
    from xlpy.host import Host


def on(host: Host, mount: Mount, device: BlockDevice, at: int, likely: Sequence[str]) -> Part:
    """What a byte of a file system belongs to.

    Args:
        mount: where it is mounted. device: that it lies on. at: offset of the byte on the device.
        likely: paths of files in which the byte may be, tried before all others are searched.
    """
    image = host.dom0.image(mount)
    base = device.window.start
    number, group, start = at // image.block_size, "", base + 1024
    if mount.fstype == "xfs":
        number, group, start = *_in_group(image, number), base
    block = Hop("dom0", f"block {number} of {mount.mountpoint}{group}", "superblock", Place("spa", Spa(start)))
    end = device.window.size  # of what lies together, when no file has it
    for path, inner, inode in _candidates(host, mount, image, likely):
        try:
            extents = image.fiemap(inode, path)
        except XlpyError:  # an inline or damaged file has no place here
            continue
        for number, extent in enumerate(extents):
            if extent.physical <= at < extent.physical + extent.length:
                offset = extent.logical + at - extent.physical
                hops = [
                    *_names(mount, image, inner, offset, base),
                    *_down(image, inode, offset, f"extent {number} of {len(extents)}", base),
                    block,
                ]
                fields = {"path": path, "path_offset": offset, "inode": inode.number}
                return Part(fields, hops, {}, extent.physical + extent.length - at)
            if extent.physical > at:
                end = min(end, extent.physical)
    unowned = Hop("dom0", "no file: free, or file system metadata", "extent trees of all files")
    return Part({}, [unowned, block], {}, end - at)


def _candidates(
    host: Host, mount: Mount, image: Ext4Image | XfsImage, likely: Sequence[str]
) -> Iterator[tuple[str, str, Inode]]:
    """Files of a file system, the likely ones first; the others are read only on demand."""
    for path in likely:
        try:
            where, inner, inode = host.dom0.file(path)
        except XlpyError:
            continue
        if where == mount:
            yield host.dom0.clean(path), inner, inode
    todo = ["/"]
    while todo:
        folder = todo.pop()
        for name, number in image.listdir(image.lookup(folder), folder).items():
            inode = image.inode(number)
            inner = f"{folder.rstrip('/')}/{name}"
            if inode.kind == "dir":
                todo.append(inner)
            elif inode.kind == "file":
                yield f"{mount.mountpoint}{inner}", inner, inode


def _in_group(image: Any, block: int) -> tuple[int, str]:  # noqa: ANN401 - an XfsImage
    """The number that XFS gives a block, and its allocation group in words."""
    superblock = image.superblock
    group, within = divmod(block, superblock.ag_blocks)
    return group << superblock.ag_block_log | within, f" (allocation group {group}, block {within})"


def _names(mount: Mount, image: Ext4Image | XfsImage, inner: str, offset: int, base: int) -> Iterator[Hop]:
    """A hop for each directory entry on the way to a file, symbolic links included."""
    todo, folders, shown = inner.split("/")[::-1], [image.lookup("/")], mount.mountpoint.rstrip("/")
    while todo:
        name = todo.pop()
        if name == "..":
            folders.pop()
        if name in ("", ".", ".."):
            continue
        number, place = image.entry(folders[-1], name)
        inode = image.inode(number)
        decided = f"directory entry of inode {number}, in directory inode {folders[-1].number}"
        shown = f"{shown}/{name}"
        link = f" -> {image.readlink(inode, shown)}" if inode.kind == "symlink" else ""
        suffix = f"+{offset:#x}" if inode.kind == "file" else link
        yield Hop("dom0", shown + suffix, decided, Place("spa", Spa(base + place)))
        if link:
            todo += link.removeprefix(" -> ").split("/")[::-1]
            shown = shown.rpartition("/")[0]
        else:
            folders.append(inode)


def _down(image: Ext4Image | XfsImage, inode: Inode, offset: int, extent: str, base: int) -> Iterator[Hop]:
    """The inode, and the entries of its extent tree down to the extent."""
    where = image.inode_bytes(inode.number)[1]
    yield Hop("dom0", f"inode {inode.number}", "inode table", Place("spa", Spa(base + where)))
    *above, last = image.extent_places(inode, offset)
    for level, place in zip(range(len(above), 0, -1), above, strict=True):
        decided = f"inode {inode.number}, its extent tree, level {level}"
        yield Hop("dom0", f"file block {offset // image.block_size}", decided, Place("spa", Spa(base + place)))
    yield Hop("dom0", extent, f"inode {inode.number}, its extent tree", Place("spa", Spa(base + last)))
