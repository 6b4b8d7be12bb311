"""The real Dom0: the same questions, answered by the Linux kernel this process runs on.

Nothing here needs an NVDIMM to be tested: sysfs, the mount table and the ioctl can be put in from outside.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat as modes
from pathlib import Path

from xlpy.contexts import suppress
from xlpy.dom0.extents import (
    FIEMAP_EXTENT_LAST,
    FIEMAP_FLAG_SYNC,
    FIEMAP_MAX_OFFSET,
    FS_IOC_FIEMAP,
    Extents,
    decode_reply,
    encode_request,
)
from xlpy.dom0.kernel import FileStat, FileState, Mount
from xlpy.errors import Conflict, Constraint, FormatError, NotFound, Unsafe
from xlpy.typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xlpy.dom0.extents import Extent
    from xlpy.dom0.files.statx import Attributes
    from xlpy.dom0.files.users import LinuxUsers
    from xlpy.table import Table

T = TypeVar("T")

FS_IOC_GETFLAGS = 0x80086601
FS_IOC_SETFLAGS = 0x40086602
FS_IOC_FSGETXATTR = 0x801C581F
FS_IMMUTABLE_FL = 0x10
FS_JOURNAL_DATA_FL = 0x4000
FS_XFLAG_REALTIME = 0x1

CAPACITY = 1000  # extents in one call: 56 kB
ATTEMPTS = 5

_KINDS = {
    modes.S_IFREG: "file",
    modes.S_IFDIR: "dir",
    modes.S_IFBLK: "block",
    modes.S_IFCHR: "char",
    modes.S_IFIFO: "fifo",
    modes.S_IFSOCK: "socket",
    modes.S_IFLNK: "symlink",
}
_NO_VALUE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.ENODEV)


class LinuxDom0:
    """Implements ``kernel.Dom0``.

    Args:
        sysfs: where sysfs is mounted.
        mountinfo: the mount table, as proc(5) describes ``/proc/self/mountinfo``.
        proc: where proc is mounted.
        ioctl: ``ioctl(fd, request, buffer, True)`` as of ``fcntl``.
        statx: the attributes of a file, as ``statx.attributes``.
        pins: where holds are recorded; None keeps them for the life of this object.
    """

    def __init__(
        self,
        *,
        sysfs: str = "/sys",
        mountinfo: str = "/proc/self/mountinfo",
        proc: str = "/proc",
        ioctl: Callable[[int, int, bytearray, bool], Any] = fcntl.ioctl,
        statx: Callable[[str], Attributes | None] | None = None,
        pins: Table | None = None,
    ) -> None:
        self._sysfs = sysfs
        self._mountinfo = mountinfo
        self._proc = proc
        self._ioctl = ioctl
        self._statx = statx
        self._table = pins
        self._held: dict[str, Any] = {}

    def stat(self, path: str) -> FileStat:
        """As ``kernel.Dom0.stat``."""
        found = _try(path, lambda: Path(path).stat())
        kind = _KINDS.get(modes.S_IFMT(found.st_mode), "unknown")
        number = found.st_rdev if kind in ("block", "char") else found.st_dev
        device = (os.major(number), os.minor(number))
        return FileStat(kind, found.st_size, device, found.st_ino, found.st_nlink)

    def mounts(self) -> list[Mount]:
        """As ``kernel.Dom0.mounts``. Devices have the kernel's names, not the alias they were mounted by."""
        return [mount for _, mount in self._mounts()]

    def _mounts(self) -> Iterator[tuple[tuple[int, int], Mount]]:
        def read() -> str:
            with Path(self._mountinfo).open(encoding="utf-8", errors="surrogateescape") as file:
                return file.read()

        for line in _try(self._mountinfo, read).splitlines():
            left, _, right = line.partition(" - ")
            fields, tail = left.split(" "), right.split(" ")
            if len(fields) < 6 or len(tail) < 3 or not re.fullmatch(r"\d+:\d+", fields[2]):
                raise FormatError(f"{self._mountinfo}: not a line of the mount table: {line!r}")
            major, minor = map(int, fields[2].split(":"))
            device = _unescape(tail[1])
            if major:  # 0: no block device behind it
                with suppress(NotFound):
                    device = "/dev/" + self.block_device_name(major, minor)
            options = dict.fromkeys((*fields[5].split(","), *tail[2].split(",")))
            yield (major, minor), Mount(device, _unescape(fields[4]), tail[0], tuple(options))

    def mount_of(self, path: str) -> Mount:
        """As ``kernel.Dom0.mount_of``. Of several mounts on one place, the one the kernel reaches is meant."""
        found = _try(path, lambda: Path(path).stat())
        number = (os.major(found.st_dev), os.minor(found.st_dev))
        real = os.path.realpath(path)
        fitting = [
            (device == number, len(mount.mountpoint), order, mount)
            for order, (device, mount) in enumerate(self._mounts())
            if mount.mountpoint == "/" or real == mount.mountpoint or real.startswith(mount.mountpoint + "/")
        ]
        if not fitting:
            raise NotFound(f"{path}: its mount is not in {self._mountinfo}")
        return max(fitting)[3]

    def sysfs(self, path: str) -> str:
        """As ``kernel.Dom0.sysfs``.

        Raises:
            NotFound: no such file, or it has no value. Constraint: only root may read it.
        """
        if not path.startswith("/sys/"):
            raise NotFound(f"{path} is not below /sys")
        place = self._sysfs + path[len("/sys") :]

        def read() -> str:
            with Path(place).open(encoding="ascii", errors="replace") as file:
                return file.read().strip()

        return _try(path, read)

    def block_device_name(self, major: int, minor: int) -> str:
        """As ``kernel.Dom0.block_device_name``."""
        link = Path(self._sysfs, "dev", "block", f"{major}:{minor}")
        return _try(f"block device {major}:{minor}", link.readlink).name

    def file_state(self, path: str) -> FileState:
        """As ``kernel.Dom0.file_state``: by statx, regardless of the mount."""
        from xlpy.dom0.files import statx

        found = _try(path, lambda: (self._statx or statx.attributes)(path))
        if found is None:
            return FileState(None)
        if found.bits & statx.STATX_ATTR_VERITY:
            return FileState(False, "verity")
        if found.bits & statx.STATX_ATTR_ENCRYPTED:
            return FileState(False, "encrypted")
        if found.bits & statx.STATX_ATTR_DAX:
            return FileState(True)
        if not found.known & statx.STATX_ATTR_DAX:
            return FileState(None)
        return FileState(False, "journal" if self._flags(path) & FS_JOURNAL_DATA_FL else "")

    def _flags(self, path: str) -> int:
        """The flags of chattr(1); 0 on a file system without them."""
        fd = self._open(path)
        buffer = bytearray(8)
        try:
            self._ioctl(fd, FS_IOC_GETFLAGS, buffer, True)
        except OSError:
            return 0
        finally:
            os.close(fd)
        return int.from_bytes(buffer[:4], "little")

    def device_users(self, path: str, name: str) -> list[str]:
        """As ``kernel.Dom0.device_users``; the device is opened exclusively for a moment."""
        if not Path(self._sysfs, "class", "block", name).exists():
            return self._users().of_character_device(path)
        return self._users().of_device(path, name)

    def file_users(self, path: str) -> list[str]:
        """As ``kernel.Dom0.file_users``."""
        return _try(path, lambda: self._users().of_file(path))

    def _users(self) -> LinuxUsers:
        from xlpy.dom0.files.users import LinuxUsers

        return LinuxUsers(self._sysfs, self._proc, self.mounts())

    def fiemap(self, path: str, sync: bool = True) -> Extents:
        """As ``kernel.Dom0.fiemap``: the map is read until it is the same twice; neighbours are merged."""
        fd = self._open(path)
        try:
            flags = FIEMAP_FLAG_SYNC if sync else 0
            before = self._map(fd, path, flags)
            for _ in range(ATTEMPTS):
                after = self._map(fd, path, flags)
                if after == before:
                    return after
                before = after
        finally:
            os.close(fd)
        raise Unsafe(
            f"{path}: its extents change while they are read",
            code="XLPY-PMEM-MOVING",
            hint="stop whatever writes to it",
        )

    def _open(self, path: str) -> int:
        found = self.stat(path)
        if found.kind != "file":
            raise Unsafe(f"{path} is a {found.kind}, not a regular file", code="XLPY-PMEM-KIND")
        return _try(path, lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))

    def _map(self, fd: int, path: str, flags: int) -> Extents:
        """One pass over the whole file."""
        self._refuse_realtime(fd, path)
        found: list[Extent] = []
        start = 0
        while True:
            buffer = encode_request(start, FIEMAP_MAX_OFFSET - start, flags, CAPACITY)
            try:
                self._ioctl(fd, FS_IOC_FIEMAP, buffer, True)
            except OSError as error:
                raise _refused(path, error) from error
            extents = decode_reply(buffer)[1]
            found += extents
            if not extents or extents[-1].flags & FIEMAP_EXTENT_LAST:
                return Extents.of(found).merged()
            end = extents[-1].logical + extents[-1].length
            if end <= start:
                raise FormatError(f"{path}: the kernel's map of extents does not advance beyond {start:#x}")
            start = end

    def _refuse_realtime(self, fd: int, path: str) -> None:
        """An XFS file in the realtime section: its offsets are those of another device than the mounted one."""
        buffer = bytearray(28)
        try:
            self._ioctl(fd, FS_IOC_FSGETXATTR, buffer, True)
        except OSError:
            return  # a file system that does not know the call has no realtime section
        if buffer[0] & FS_XFLAG_REALTIME:
            raise Unsafe(
                f"{path} lies in the realtime section of its file system: its extents are on another device",
                code="XLPY-PMEM-REALTIME",
                hint="clear the flag on a new file (xfs_io -c 'chattr -r') and copy the content there",
            )

    # --- pins ------------------------------------------------------------------------------------------------------

    def pin(self, path: str, owner: str) -> None:
        """As ``kernel.Dom0.pin``: by the immutable flag, which needs CAP_LINUX_IMMUTABLE."""
        from xlpy.dom0.files.pins import digest

        found, extents = self.stat(path), self.fiemap(path)
        record = self._get(path)
        if record and record["owner"] != owner:
            raise Conflict(
                f"{path} is held by {record['owner']}",
                code="XLPY-PMEM-PINNED",
                hint="a file backs one domain at a time: end that domain first",
            )
        before = self.set_immutable(path, True)
        was = record["immutable"] if record else before
        self._put(path, {"owner": owner, "immutable": was, "look": _look(found), "extents": digest(extents)})

    def unpin(self, path: str, owner: str) -> None:
        """As ``kernel.Dom0.unpin``; a flag that was set before ``pin`` stays."""
        record = self._get(path)
        if not record or record["owner"] != owner:
            return
        if not record["immutable"]:
            with suppress(NotFound):
                self.set_immutable(path, False)
        if self._table is None:
            del self._held[path]
        else:
            self._table.delete(path)

    def check_pinned(self, path: str) -> None:
        """As ``kernel.Dom0.check_pinned``. NotFound when the path is not held."""
        from xlpy.dom0.files.pins import digest

        record = self._get(path)
        if not record:
            raise NotFound(f"{path} is not held by any domain")
        if _look(self.stat(path)) != record["look"] or digest(self.fiemap(path)) != record["extents"]:
            raise Unsafe(
                f"{path} is not the file, or does not have the size or the blocks, that {record['owner']} was given",
                code="XLPY-PMEM-MOVED",
                hint="the guest may be writing into blocks of other files: destroy it, then check the file system",
            )

    def immutable(self, path: str) -> bool | None:
        """Whether a file has the immutable flag; None where its file system knows no flags."""
        fd = self._open(path)
        try:
            buffer = bytearray(8)
            self._ioctl(fd, FS_IOC_GETFLAGS, buffer, True)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EOPNOTSUPP):
                return None
            raise _pinless(path, error, on=True) from error
        finally:
            os.close(fd)
        return bool(buffer[0] & FS_IMMUTABLE_FL)

    def set_immutable(self, path: str, on: bool) -> bool:
        """Set or clear the flag; returns what it was. Unsafe: it cannot be."""
        fd = self._open(path)
        try:
            buffer = bytearray(8)
            self._ioctl(fd, FS_IOC_GETFLAGS, buffer, True)
            was = bool(buffer[0] & FS_IMMUTABLE_FL)
            if was != on:
                buffer[0] ^= FS_IMMUTABLE_FL
                self._ioctl(fd, FS_IOC_SETFLAGS, buffer, True)
        except OSError as error:
            raise _pinless(path, error, on=on) from error
        finally:
            os.close(fd)
        return was

    def _get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return self._held.get(path) if self._table is None else self._table.get(path)

    def _put(self, path: str, record: dict[str, Any]) -> None:
        if self._table is None:
            self._held[path] = record
        else:
            self._table.put(path, record)


def _pinless(path: str, error: OSError, *, on: bool) -> Unsafe:
    return Unsafe(
        f"{path}: its blocks cannot be held in place: {error.strerror} (chattr {'+' if on else '-'}i)",
        code="XLPY-PMEM-PIN",
        hint="run as root, on a file system with the immutable flag (ext4, XFS)",
    )


def _look(found: FileStat) -> list[int]:
    """What must not change while a file is held."""
    return [*found.device, found.inode, found.size]


def _unescape(text: str) -> str:
    """The mount table writes space, tab, newline and backslash as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _try(path: str, call: Callable[[], T]) -> T:
    """The result of a system call, or what its failure means."""
    try:
        return call()
    except OSError as error:
        if error.errno in _NO_VALUE:
            raise NotFound(f"{path}: {error.strerror}") from error
        raise Constraint(
            f"{path}: {error.strerror}",
            code="XLPY-LINUX-ACCESS",
            hint="run as root" if error.errno in (errno.EACCES, errno.EPERM) else None,
        ) from error


def _refused(path: str, error: OSError) -> Unsafe:
    if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL):
        return Unsafe(
            f"{path}: its file system cannot tell where the data lies ({error.strerror})",
            code="XLPY-PMEM-FIEMAP",
            hint="use a file on ext4 or XFS, mounted with -o dax from a pmem device",
        )
    return Unsafe(f"{path}: reading its extents failed: {error.strerror}", code="XLPY-PMEM-FIEMAP")
