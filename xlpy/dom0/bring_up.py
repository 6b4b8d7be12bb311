"""Host initialisation: what an administrator of Dom0 does once, with a partition editor and mkfs.

Namespaces (made by ``nvdimm.provision``) get the partitions, file systems and first files that the description asks
for. Media that have them already are taken as they are.
"""

from __future__ import annotations

from xlpy.addr import MIB, PAGE, Spa, Span, align_up, format_size
from xlpy.dom0.files.partitions import Partition, build_gpt
from xlpy.dom0.kernel import Mount
from xlpy.dom0.nvdimm.uuids import derived, uuid_text
from xlpy.errors import Constraint
from xlpy.inputs import open_plain
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.dom0.ext4.edit import Ext4Editor
    from xlpy.dom0.files.block import BlockDevice
    from xlpy.dom0.nvdimm.memory import HostMemory
    from xlpy.dom0.nvdimm.namespace import Namespace
    from xlpy.hw.hardware import Hardware
    from xlpy.hw.machine import FileSpec, FilesystemSpec, PartitionSpec

_CHUNK = 8 * MIB


def write_table(memory: HostMemory, disk: Namespace, parts: Iterable[PartitionSpec]) -> None:
    """A GPT on a disk that has none yet; nothing when no partitions are asked for."""
    sector = disk.sector_size
    wanted = [Partition(number, one.start, one.size) for number, one in enumerate(parts, 1)]
    if not wanted or any(memory.read(Spa(disk.data.start + sector), 8)):
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
        Constraint: DAX is asked for and impossible, or there is no space. MissingTool: e2fsprogs is not installed.
    """
    from xlpy.dom0.ext4.edit import Ext4Editor
    from xlpy.dom0.ext4.make import EPOCH, make_ext4

    _check_dax(device, spec)
    image, offset = hw.backing(device.window.start)
    size = device.window.size // PAGE * PAGE

    def zero(at: int, length: int) -> None:
        hw.zero(Span(Spa(device.window.start + at), length))

    if hw.read(Spa(device.window.start + 1024 + 0x38), 2) != b"\x53\xef":
        uuid = uuid_text(derived(f"{device.name}{spec.mount}"))
        make_ext4(image, offset, size, uuid=uuid, zero=zero)
        editor = Ext4Editor(image, offset, size, zero=zero, now=EPOCH)
        for file in spec.files:
            inner = file.path.removeprefix(spec.mount)
            editor.mkfile(inner, file.size, file.state, align=file.align, base=device.window.start)
            if file.content:
                _fill(editor, inner, file)
    options = ("ro" if spec.read_only else "rw", "relatime", *(("dax=always",) if spec.dax else ()))
    return Mount(f"/dev/{device.name}", spec.mount, spec.type, options)


def _fill(editor: Ext4Editor, path: str, file: FileSpec) -> None:
    """Store the content of a file of the user's in one that was made; zeros are there already."""
    try:
        with open_plain(file.content) as source:
            at = 0
            while part := source.read(min(_CHUNK, file.size - at)):
                if any(part):
                    editor.write(path, at, part)
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
