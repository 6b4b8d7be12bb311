"""The emulated Dom0's view of its devices and files, read-only: paths, mounts, sysfs, fiemap.

Block devices and file systems lie on the emulated machine's media. Paths such as ``/dev/pmem0`` and ``/mnt/pmem0``
exist in this host only, and never on the machine that runs it.
"""

from __future__ import annotations

from xlpy.addr import PAGE, Spa
from xlpy.dom0.files.block import BlockDevice
from xlpy.dom0.files.buses import Buses, DriverMemory
from xlpy.dom0.kernel import FileStat, FileState, Mount
from xlpy.dom0.nvdimm.namespace import Namespace, revalidate
from xlpy.errors import NotFound, Unsafe
from xlpy.functions import cached_property
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.addr import Span
    from xlpy.dom0.ext4.inode import Inode
    from xlpy.dom0.ext4.reader import Ext4Image
    from xlpy.dom0.extents import Extents
    from xlpy.dom0.files.sysfs import Sysfs
    from xlpy.dom0.files.usage import Use
    from xlpy.dom0.xfs.reader import XfsImage
    from xlpy.hw.hardware import Hardware
    from xlpy.store import Store

ROOT_MOUNTS = (
    Mount("rootfs", "/", "rootfs", ("rw",)),
    Mount("devtmpfs", "/dev", "devtmpfs", ("rw", "nosuid")),
    Mount("sysfs", "/sys", "sysfs", ("rw", "nosuid", "nodev", "noexec", "relatime")),
)
_ANONYMOUS = {"/": (0, 2), "/dev": (0, 6), "/sys": (0, 22)}  # device numbers of file systems without a disk


class Vfs(Buses):
    """What ``kernel.Dom0`` asks for, as far as nothing is changed.

    Args:
        hw: the machine.
        store: the host's state; its table ``dom0`` holds what was found at boot.

    Every use of a device raises Unsafe (XLPY-PMEM-INFOBLOCK) while its namespace is disabled.
    """

    def __init__(self, hw: Hardware, store: Store) -> None:
        super().__init__(hw, store)
        self._open_images: dict[str, Ext4Image | XfsImage] = {}

    # --- what was found at boot ---------------------------------------------------------------------------------

    @cached_property
    def namespaces(self) -> tuple[Namespace, ...]:
        """All that have a size, each info block just checked."""
        media = DriverMemory(self.hw)
        return tuple(revalidate(media, Namespace.load(values)) for values in self._load("namespaces"))

    @cached_property
    def devices(self) -> tuple[BlockDevice, ...]:
        """All block devices, those of disabled namespaces included."""
        return tuple(BlockDevice.load(values) for values in self._load("devices"))

    @cached_property
    def _sysfs(self) -> Sysfs:
        from xlpy.dom0.files.sysfs import Sysfs

        alive = {one.dev for one in self.namespaces if one.disk}
        devices = [device for device in self.devices if device.namespace in alive]
        return Sysfs(self.bus, self.namespaces, devices, lambda: self.bad, self.uses, lambda: self.nd)

    @property
    def uses(self) -> list[Use]:
        """What device mapper, swapping and loop devices use."""
        rows = self.table.get("uses")
        if not rows:
            return []
        from xlpy.dom0.files.usage import load_use

        return [load_use(values) for values in rows]

    def _disk_of(self, use: Use) -> str:
        return next(device.disk for device in self.devices if device.name == use.device)

    # --- paths ---------------------------------------------------------------------------------------------------

    @cached_property
    def disk_mounts(self) -> tuple[Mount, ...]:
        """The mounts of file systems on pmem devices."""
        return tuple(Mount(d, m, t, tuple(options)) for d, m, t, options in self._load("mounts"))

    def put_mounts(self, mounts: Iterable[Mount]) -> None:
        """Let these be the mounts of file systems on pmem devices."""
        self.table.put("mounts", [list(one) for one in mounts])
        self.__dict__.pop("disk_mounts", None)

    def mounts(self) -> list[Mount]:
        """As ``kernel.Dom0.mounts``."""
        return [*ROOT_MOUNTS, *self.disk_mounts]

    def place(self, path: str) -> tuple[Mount, str]:
        """The mount that a path leads to, and the rest of the path inside it. ``..`` is followed as a kernel does."""
        if not path.startswith("/"):
            raise NotFound(f"{path}: not an absolute path in the emulated host", hint="write for example /dev/pmem0")
        parts: list[str] = []
        for part in path.split("/"):
            if part == "..":
                self._enter("/" + "/".join(parts))
                del parts[-1:]
            elif part not in ("", "."):
                parts.append(part)
        clean = "/" + "/".join(parts)
        if path.endswith(("/", "/.")) and parts and self.stat(clean).kind != "dir":
            raise NotFound(f"{path}: {clean} is not a directory")
        mount = max(
            (m for m in self.mounts() if clean == m.mountpoint or clean.startswith(m.mountpoint.rstrip("/") + "/")),
            key=lambda m: len(m.mountpoint),
        )
        return mount, clean[len(mount.mountpoint.rstrip("/")) :] or "/"

    def _enter(self, path: str) -> None:
        """Check that ``path/..`` is what is written left of it: a directory, and not behind a symbolic link."""
        mount, inner = self.place(path)
        if mount in self.disk_mounts and inner != "/":
            inode = self._lookup(path, mount, inner, follow=False)
            if inode.kind == "symlink":
                raise Unsafe(
                    f"{path}/.. leads through a symbolic link",
                    code="XLPY-EXT4-SYMLINK",
                    hint="give the path of the file itself",
                )
        if self.stat(path).kind != "dir":
            raise NotFound(f"{path} is not a directory")

    def _lookup(self, path: str, mount: Mount, inner: str, follow: bool = True) -> Inode:
        """A file by its path inside a mount; NotFound names the whole path."""
        try:
            return self.image(mount).lookup(inner, follow=follow)
        except NotFound as error:
            raise NotFound(
                f"{path}: no such file on {mount.mountpoint}",
                hint="list it in the machine description"
                if mount.fstype == "xfs"
                else f"xlpy pmem mkfile SIZE {path} makes one",
            ) from error

    def stat(self, path: str) -> FileStat:
        """As ``kernel.Dom0.stat``."""
        mount, inner = self.place(path)
        if mount in self.disk_mounts:
            inode = self._lookup(path, mount, inner)
            return FileStat(inode.kind, inode.size, self.device(mount.device).number, inode.number, inode.links)
        number = _ANONYMOUS[mount.mountpoint]
        if mount.mountpoint == "/dev" and inner != "/":
            for use in self.uses:
                if use.dev and f"/dev{inner}" in use.nodes:
                    return FileStat("block", 0, use.number, 200 + use.number[1], 1)
            dax = self.dax_device(f"/dev{inner}")
            if dax is not None:
                return FileStat("char", 0, dax.number, 300 + dax.number[1], 1)
            device = self.device(f"/dev{inner}")
            return FileStat("block", 0, device.number, 100 + device.number[1], 1)
        if mount.mountpoint == "/sys":
            if not self._sysfs.is_dir(f"/sys{inner}"):
                self._sysfs.read(f"/sys{inner}")
                return FileStat("file", PAGE, number, 2, 1)
        elif inner != "/" and not any(m.mountpoint.startswith(f"{inner}/") for m in self.mounts()):
            raise NotFound(
                f"{path}: no such file in the emulated host",
                hint="it has /dev/pmem* and: " + ", ".join(m.mountpoint for m in self.disk_mounts),
            )
        return FileStat("dir", 0, number, 1, 2)

    def mount_of(self, path: str) -> Mount:
        """As ``kernel.Dom0.mount_of``."""
        self.stat(path)
        return self.place(path)[0]

    def sysfs(self, path: str) -> str:
        """As ``kernel.Dom0.sysfs``."""
        return self._sysfs.read(path).strip()

    def block_device_name(self, major: int, minor: int) -> str:
        """As ``kernel.Dom0.block_device_name``."""
        for device in self.devices:
            if device.number == (major, minor):
                return device.name
        for use in self.uses:
            if use.dev and use.number == (major, minor):
                return use.dev
        raise NotFound(f"no block device has the number {major}:{minor}")

    def dax_device(self, path: str) -> Namespace | None:
        """The namespace of a devdax device by the path of its node; None when it is no such path."""
        return next((one for one in self.namespaces if one.char and path == f"/dev/{one.char}"), None)

    def device_window(self, path: str) -> Span[Spa]:
        """Where the bytes of a device lie in host memory, by the path of its node; errors as ``device``."""
        dax = self.dax_device(path)
        return self.device(path).window if dax is None else dax.data

    def namespace_of(self, device: BlockDevice) -> Namespace:
        """The namespace that a block device shows."""
        return next(one for one in self.namespaces if one.dev == device.namespace)

    def device(self, path: str) -> BlockDevice:
        """The block device at ``/dev/NAME``; Unsafe while its namespace is disabled."""
        for device in self.devices:
            if path == f"/dev/{device.name}":
                namespace = self.namespace_of(device)
                if namespace.problem:
                    raise Unsafe(
                        f"{path}: {namespace.dev} is disabled: {namespace.problem}",
                        code="XLPY-PMEM-INFOBLOCK",
                        hint="the data behind it are untouched; restore the info block, or: xlpy host reset",
                    )
                return device
        names = ", ".join(f"/dev/{device.name}" for device in self.devices)
        raise NotFound(f"{path}: no such device in the emulated host", hint=f"it has {names or 'none'}")

    def image(self, mount: Mount) -> Ext4Image | XfsImage:
        """The file system on a mount."""
        device = self.device(mount.device)
        if mount.mountpoint not in self._open_images:
            image, offset = self.hw.locate_file(device.window.start)
            self._open_images[mount.mountpoint] = _open(mount.fstype, image, offset, device.window.size)
        return self._open_images[mount.mountpoint]

    def opened(self, mount: Mount) -> Ext4Image | XfsImage | None:
        """The file system on a mount, if something of it has been read."""
        return self._open_images.get(mount.mountpoint)

    def located(self, mount: Mount) -> tuple[str, int, int]:
        """Image, offset and size of a file system."""
        window = self.window(mount)
        return *self.hw.locate_file(window.start), window.size

    def window(self, mount: Mount) -> Span[Spa]:
        """The address of the device of a mount, be it disabled or not."""
        return next(device.window for device in self.devices if mount.device == f"/dev/{device.name}")

    def file(self, path: str) -> tuple[Mount, str, Inode]:
        """The mount, path inside it, and inode of a regular file."""
        mount, inner = self.place(path)
        if mount not in self.disk_mounts:
            self.stat(path)
            raise Unsafe(
                f"{path} does not lie on a file system of a pmem device",
                code="XLPY-PMEM-NOT-PMEM",
                hint="use a file below: " + ", ".join(m.mountpoint for m in self.disk_mounts),
            )
        inode = self._lookup(path, mount, inner)
        if inode.kind != "file":
            raise Unsafe(f"{path} is a {inode.kind}, not a regular file", code="XLPY-PMEM-KIND")
        return mount, inner, inode

    def file_state(self, path: str) -> FileState:
        """As ``kernel.Dom0.file_state``: the mount decides, and flags of the inode, as Linux' ext4 has it."""
        from xlpy.dom0.ext4.inode import DAX_FL, ENCRYPT_FL, JOURNAL_DATA_FL, VERITY_FL

        mount, _, inode = self.file(path)
        for flag, why in ((VERITY_FL, "verity"), (ENCRYPT_FL, "encrypted"), (JOURNAL_DATA_FL, "journal")):
            if inode.flags & flag:
                return FileState(False, why)
        return FileState("dax=always" in mount.options or bool(inode.flags & DAX_FL))

    def device_users(self, path: str, name: str) -> list[str]:
        """As ``kernel.Dom0.device_users``."""
        if self.dax_device(self.clean(path)) is not None:
            return []
        window = self.device(self.clean(path)).window
        by_name = {device.name: device.window for device in self.devices}
        del name
        return [use.phrase for use in self.uses if not use.inode and by_name[use.device].overlaps(window)]

    def file_users(self, path: str) -> list[str]:
        """As ``kernel.Dom0.file_users``."""
        mount, _, inode = self.file(path)
        uses = self.uses
        if not uses:
            return []
        device = self.device(mount.device).name
        return [use.phrase for use in uses if (use.device, use.inode) == (device, inode.number)]

    def fiemap(self, path: str, sync: bool = True) -> Extents:
        """As ``kernel.Dom0.fiemap``. Nothing is ever cached here, so ``sync`` makes no difference."""
        mount, _, inode = self.file(path)
        return self.image(mount).fiemap(inode, path)

    def cat(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file or block device, cut at its end."""
        kind = self.stat(path).kind
        if kind in ("block", "char"):
            clean = self.clean(path)
            if kind == "block":
                device = self.device(clean)
                namespace = self.namespace_of(device)
                if namespace.mode == "sector":
                    from xlpy.dom0.nvdimm.sectors import Sectors

                    end = device.size if length is None else min(offset + length, device.size)
                    return Sectors(self.hw.read, namespace).read(device.offset + offset, max(end - offset, 0))
            window = self.device_window(clean)
            end = window.size if length is None else min(offset + length, window.size)
            return self.hw.read(Spa(window.start + offset), max(end - offset, 0))
        mount, _, inode = self.file(path)
        return self.image(mount).read_file(inode, offset, inode.size if length is None else length, path)

    def clean(self, path: str) -> str:
        """The path without ``.``, ``..`` and double slashes."""
        mount, inner = self.place(path)
        return f"{mount.mountpoint.rstrip('/')}{inner}" if inner != "/" else mount.mountpoint

    # --- when something has changed ------------------------------------------------------------------------------

    def _changed(self) -> None:
        for name in ("namespaces", "devices", "_sysfs"):
            self.__dict__.pop(name, None)

    def reread(self) -> None:
        """As ``Buses.reread``, for file systems and mounts too."""
        for image in self._open_images.values():
            image.close()
        self._open_images.clear()
        super().reread()
        self.__dict__.pop("disk_mounts", None)
        self._changed()


def _open(kind: str, path: str, offset: int, size: int) -> Ext4Image | XfsImage:
    if kind == "xfs":
        from xlpy.dom0.xfs.reader import XfsImage

        return XfsImage(path, offset, size)
    from xlpy.dom0.ext4.reader import Ext4Image

    return Ext4Image(path, offset, size)
