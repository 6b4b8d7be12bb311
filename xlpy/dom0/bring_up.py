"""Host initialisation: what an administrator of Dom0 does once, with a partition editor and mkfs.

Namespaces (made by ``nvdimm.provision``) get the partitions, file systems and first files that the description asks
for. Media that have them already are taken as they are.
"""

from __future__ import annotations

from xlpy.addr import MIB, PAGE, Spa, Span, align_up, format_size
from xlpy.dom0.files import BOOT_SECTOR, BOOT_SIGNATURE
from xlpy.dom0.files.partitions import Partition, build_gpt
from xlpy.dom0.kernel import Mount
from xlpy.errors import Constraint
from xlpy.functions import partial
from xlpy.inputs import open_plain
from xlpy.typing import TYPE_CHECKING
from xlpy.uuids import derived, uuid_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from xlpy.dom0.extents import Extents
    from xlpy.dom0.files.block import BlockDevice
    from xlpy.dom0.nvdimm.memory import HostMemory
    from xlpy.dom0.nvdimm.namespace import Namespace
    from xlpy.hw.hardware import Hardware
    from xlpy.hw.machine import FileSpec, FilesystemSpec, PartitionSpec

_CHUNK = 8 * MIB


def write_table(memory: HostMemory, disk: Namespace, parts: Iterable[PartitionSpec]) -> None:
    """A GPT on a disk that has no table yet; nothing when no partitions are asked for."""
    sector = disk.sector_size
    wanted = [Partition(number, one.start, one.size) for number, one in enumerate(parts, 1)]
    boot = memory.read(disk.data.start, BOOT_SECTOR)
    if not wanted or boot.endswith(BOOT_SIGNATURE) or any(memory.read(Spa(disk.data.start + sector), 8)):
        return
    table = align_up(128 * 128, sector) + 2 * sector
    for part in wanted:
        if (
            part.start % sector
            or part.size % sector
            or part.start < table
            or part.start + part.size > disk.data.size - table
        ):
            raise Constraint(
                f"{disk.disk}: partition {part.number} at {part.start:#x} of {format_size(part.size)} must consist of"
                f" {sector}-byte blocks from {table:#x} to {disk.data.size - table:#x}",
                hint="the device is smaller than its region: its structures are at the front",
            )
    for at, data in build_gpt(disk.data.size, wanted, derived(f"{disk.disk}:{disk.uuid}"), sector):
        memory.write(Spa(disk.data.start + at), data)


def make_filesystem(hw: Hardware, device: BlockDevice, spec: FilesystemSpec) -> Mount:
    """A file system with its first files on a device, unless one is there; its mount.

    Raises:
        Constraint: DAX is asked for and impossible, there is no space, or another file system is there. MissingTool:
            e2fsprogs or xfsprogs is not installed.
    """
    _check_dax(device, spec)
    there = filesystem_on(hw, device)
    if there not in ("", spec.type):
        raise Constraint(
            f"{spec.mount}: {device.name} holds a file system of type {there}, the description asks for {spec.type}",
            hint=f"write type: {there}, or start with other media: xlpy host reset",
        )
    if not there:
        (_make_xfs if spec.type == "xfs" else _make_ext4)(hw, device, spec)
    options = ("ro" if spec.read_only else "rw", "relatime", *(("dax=always",) if spec.dax else ()))
    return Mount(f"/dev/{device.name}", spec.mount, spec.type, options)


def filesystem_on(hw: Hardware, device: BlockDevice) -> str:
    """The type of the file system on a device; empty for none that is known."""
    start = device.window.start
    if hw.read(Spa(start + 1024 + 0x38), 2) == b"\x53\xef":
        return "ext4"
    return "xfs" if hw.read(start, 4) == b"XFSB" else ""


def _make_ext4(hw: Hardware, device: BlockDevice, spec: FilesystemSpec) -> None:
    from xlpy.dom0.ext4.edit import Ext4Editor
    from xlpy.dom0.ext4.make import EPOCH, make_ext4

    image, offset = hw.backing(device.window.start)
    size = device.window.size // PAGE * PAGE

    def zero(at: int, length: int) -> None:
        hw.zero(Span(Spa(device.window.start + at), length))

    uuid = uuid_text(derived(f"{device.name}{spec.mount}"))
    make_ext4(image, offset, size, uuid=uuid, zero=zero)
    editor = Ext4Editor(image, offset, size, zero=zero, now=EPOCH)
    for file in spec.files:
        inner = file.path.removeprefix(spec.mount)
        editor.mkfile(inner, file.size, file.state, align=file.align, base=device.window.start)
        if file.content:
            _fill(partial(editor.write, inner), file)


def _make_xfs(hw: Hardware, device: BlockDevice, spec: FilesystemSpec) -> None:
    from xlpy.dom0.ext4.make import EPOCH
    from xlpy.dom0.image import written_places
    from xlpy.dom0.xfs.make import NewFile, make_xfs
    from xlpy.dom0.xfs.reader import XfsImage

    start, size = device.window.start, device.window.size // PAGE * PAGE
    files = [NewFile(file.path.removeprefix(spec.mount), file.size, file.state, file.align) for file in spec.files]

    def zero(at: int, length: int) -> None:
        hw.zero(Span(Spa(start + at), length))

    def write(at: int, data: bytes) -> None:
        hw.write(Spa(start + at), data)

    uuid = uuid_text(derived(f"{device.name}{spec.mount}"))
    make_xfs(size, files, uuid=uuid, epoch=EPOCH, base=start, zero=zero, write=write)
    image = XfsImage(*hw.locate_file(start), size)
    for file in spec.files:
        if file.content:
            extents = image.fiemap(image.lookup(file.path.removeprefix(spec.mount)))

            def store(at: int, data: bytes, extents: Extents = extents) -> None:
                for first, last, place in written_places(extents, at, at + len(data)):
                    write(place, data[first - at : last - at])

            _fill(store, file)
    image.close()


def _fill(write: Callable[[int, bytes], None], file: FileSpec) -> None:
    """Store the content of a file of the user's in one that was made; zeros are there already."""
    try:
        with open_plain(file.content) as source:
            at = 0
            while part := source.read(min(_CHUNK, file.size - at)):
                if any(part):
                    write(at, part)
                at += len(part)
    except OSError as error:
        raise Constraint(f"{file.path}: its content {file.content}: {error.strerror}") from error


def _check_dax(device: BlockDevice, spec: FilesystemSpec) -> None:
    if spec.block_size != PAGE:
        raise Constraint(
            f"{spec.mount}: a block size of {spec.block_size} is not supported, file systems here have {PAGE}-byte"
            " blocks (EXT4-fs: unsupported blocksize for DAX)",
            hint="leave block_size out",
        )
    if spec.dax and not device.dax:
        raise Constraint(
            f"{spec.mount}: DAX unsupported by block device {device.name}", hint="use an fsdax namespace, or dax: false"
        )
    if device.window.start % PAGE:
        raise Constraint(
            f"{spec.mount}: {device.name}: error: unaligned partition for dax, it starts at {device.offset:#x}",
            hint="start partitions on multiples of 4K",
        )
