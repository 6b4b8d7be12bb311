"""The interface of Dom0's kernel to the toolstack: the emulated kernel, or that of this machine."""

from __future__ import annotations

from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from xlpy.dom0.extents import Extents


class FileStat(NamedTuple):
    """The part of stat(2) that matters here.

    kind: ``file``, ``dir``, ``block``, ``char``, ``fifo``, ``socket``.
    size: bytes (0 for block devices: ask sysfs).
    device: (major, minor) of the block device itself when kind is ``block``, else of the file system it lies on.
    inode, links: identity, and number of names; 0 links means deleted.
    """

    kind: str
    size: int
    device: tuple[int, int]
    inode: int
    links: int


class Mount(NamedTuple):
    """One line of the mount table: ``device`` such as ``/dev/pmem0``, and the options of mount and file system."""

    device: str
    mountpoint: str
    fstype: str
    options: tuple[str, ...]

    @property
    def read_only(self) -> bool:
        """Whether it is mounted with ro."""
        return "ro" in self.options

    @property
    def frozen(self) -> bool:
        """Whether no command changes it: it is mounted with ro, or an XFS, which is only read here."""
        return self.read_only or self.fstype == "xfs"


class FileState(NamedTuple):
    """How a kernel treats the pages of a file.

    dax: whether loads and stores reach the media (STATX_ATTR_DAX); None: the kernel cannot tell.
    why: for a file that is not mapped so although its mount is: ``verity``, ``encrypted``, ``journal`` (its data are
    journalled), or empty.
    """

    dax: bool | None
    why: str = ""


class Dom0(Protocol):
    """The system calls and sysfs files by which xl finds the address of a backing (vNVDIMM design, section 4.2.3)."""

    def stat(self, path: str) -> FileStat:
        """stat(2), following symbolic links. NotFound when there is nothing."""
        ...

    def mounts(self) -> list[Mount]:
        """The mount table, in the order of mounting."""
        ...

    def mount_of(self, path: str) -> Mount:
        """The mount of ``path``. NotFound when there is no such path."""
        ...

    def sysfs(self, path: str) -> str:
        """The stripped text of a file below ``/sys``. NotFound when it does not exist or has no value."""
        ...

    def block_device_name(self, major: int, minor: int) -> str:
        """The kernel's name of a block device, such as ``pmem0`` or ``pmem0p1``. NotFound when there is none."""
        ...

    def file_state(self, path: str) -> FileState:
        """How the kernel treats a regular file. NotFound when there is none."""
        ...

    def device_users(self, path: str, name: str) -> list[str]:
        """What uses a block device, as phrases that follow "it is", beside mounts that ``mounts`` shows.

        Args:
            path: of its node. name: the kernel's name. A disk is used by what uses one of its partitions.
        """
        ...

    def file_users(self, path: str) -> list[str]:
        """What uses a regular file as a device: loop devices, swap space. As ``device_users``."""
        ...

    def fiemap(self, path: str, sync: bool = True) -> Extents:
        """All extents of a regular file in logical order, the last one flagged LAST.

        Args:
            path: the file.
            sync: write it back first (FIEMAP_FLAG_SYNC), so that delayed allocations become real.

        Raises:
            NotFound: no such file. Unsafe: the file system cannot tell, or the map changes while it is read.
        """
        ...

    def pin(self, path: str, owner: str) -> None:
        """Hold a file for ``owner``: no truncation, unlinking or moving of blocks until ``unpin``.

        Raises:
            Conflict: another owner holds it. Unsafe: the file system cannot hold it.
        """
        ...

    def unpin(self, path: str, owner: str) -> None:
        """Give up the hold of ``owner``; no error when there is none (it may have ended with the file)."""
        ...

    def check_pinned(self, path: str) -> None:
        """Raise Unsafe when a pinned file has changed its size or its extents since ``pin``."""
        ...
