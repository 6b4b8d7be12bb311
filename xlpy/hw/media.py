"""One memory file: the bytes of a region or of the host's RAM, sparse on disk.

Reads and writes are system calls, so that a full disk is an error and not a signal; ``view`` maps the same bytes. Both
see each other at once: they share the page cache.
"""

from __future__ import annotations

import errno
import os

from xlpy.errors import HostTrouble, StateError
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FS_IOC_UNRESVSP64 = 0x4030582B  # linux/falloc.h; takes a struct space_resv: type, whence, start, length, ...
_CHUNK = 1 << 20
_STORE = 128 << 10  # bytes stored at a time: a page cache of larger blocks takes memory that was not in use lately

watchers: list[Callable[[str, int, bytes], None]] = []  # called with (file, offset, data) before each store


class Media:
    """A memory file that exists already; opened and mapped on first use.

    Args:
        path: the file.
        size: its length in bytes.
    """

    __slots__ = ("_fd", "_refused", "_view", "path", "size")

    def __init__(self, path: str | os.PathLike[str], size: int) -> None:
        self.path = path
        self.size = size
        self._fd = -1
        self._refused: OSError | None = None  # why the file can only be read
        self._view: memoryview | None = None

    @staticmethod
    def create(path: str | os.PathLike[str], size: int) -> None:
        """Make the file, all zeros and without blocks.

        Raises:
            Constraint: the file system cannot hold it.
        """
        try:
            with open(path, "xb", opener=private) as file:
                file.truncate(size)
        except OSError as error:
            raise trouble(path, error, size) from error

    @property
    def fd(self) -> int:
        """The open file.

        Raises:
            StateError: it is missing, or not as long as it was made.
        """
        if self._fd < 0:
            try:
                try:
                    fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
                except OSError as error:
                    if error.errno not in READ_ONLY:
                        raise
                    fd, self._refused = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC), error
            except FileNotFoundError as error:
                raise StateError(f"{self.path}: the media file is missing", hint=_AGAIN) from error
            except OSError as error:
                raise trouble(self.path, error, self.size) from error
            if (length := os.fstat(fd).st_size) != self.size:
                os.close(fd)
                raise StateError(f"{self.path}: {length} bytes long, {self.size} are required", hint=_AGAIN)
            self._fd = fd
        return self._fd

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``; the caller stays inside the file."""
        fd, parts, done = self.fd, [], 0
        try:
            while done < length:  # one call returns at most 2 GiB
                part = os.pread(fd, length - done, offset + done)
                if not part:
                    raise StateError(f"{self.path}: ends at {offset + done}, {self.size} are required", hint=_AGAIN)
                parts.append(part)
                done += len(part)
        except OSError as error:
            raise trouble(self.path, error, self.size) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Store ``data`` from ``offset`` on.

        Raises:
            Constraint: no space left on the device.
        """
        rest, fd = memoryview(data), self.fd
        if self._refused:
            raise trouble(self.path, self._refused, self.size)
        for told in watchers:
            told(os.fspath(self.path), offset, bytes(rest))
        try:
            while rest:
                done = os.pwrite(fd, rest[:_STORE], offset)
                rest, offset = rest[done:], offset + done
        except OSError as error:
            raise trouble(self.path, error, self.size) from error

    def solid(self, offset: int, length: int) -> bool:
        """Whether a range has blocks throughout: touching a hole through a mapping kills when the disk is full."""
        return os.lseek(self.fd, offset, os.SEEK_HOLE) >= offset + length

    def runs(self, offset: int, length: int) -> Iterator[tuple[int, int, bool]]:
        """(offset, length, whether it has blocks) of the parts of a range, in order, none longer than 1 MiB solid."""
        end = offset + length
        while offset < end:
            try:
                start = min(os.lseek(self.fd, offset, os.SEEK_DATA), end)
            except OSError:  # ENXIO: no data up to the end
                start = end
            if start > offset:
                yield offset, start - offset, False
            stop = min(os.lseek(self.fd, start, os.SEEK_HOLE), end) if start < end else end
            while start < stop:
                step = min(stop - start, _CHUNK)
                yield start, step, True
                start += step
            offset = stop

    def fill(self, offset: int, length: int) -> None:
        """Give a range blocks throughout. Constraint: no space left on the device."""
        try:
            if length and not self.solid(offset, length):
                os.posix_fallocate(self.fd, offset, length)
        except OSError as error:
            raise trouble(self.path, error, self.size) from error

    def view(self) -> memoryview:
        """All bytes of the file, writable and shared with every other mapping of it.

        Only what is ``solid`` may be touched through it.
        """
        if self._view is None:
            import mmap

            try:
                fd = self.fd
                access = mmap.ACCESS_READ if self._refused else mmap.ACCESS_WRITE
                self._view = memoryview(mmap.mmap(fd, self.size, access=access))
            except OSError as error:
                raise trouble(self.path, error, self.size) from error
        return self._view

    def zero(self, offset: int, length: int) -> None:
        """Make ``length`` bytes zero and give their blocks back; without a file system that can, write zeros."""
        for told in watchers:
            told(os.fspath(self.path), offset, bytes(length))
        if not punch(self.fd, offset, length):
            self._write_zeros(offset, length)

    def _write_zeros(self, offset: int, length: int) -> None:
        end = offset + length
        while offset < end:
            try:  # holes are zero already
                offset = os.lseek(self.fd, offset, os.SEEK_DATA)
                stop = min(os.lseek(self.fd, offset, os.SEEK_HOLE), end)
            except OSError:  # ENXIO: no data up to the end
                return
            while offset < stop:
                step = min(stop - offset, _CHUNK)
                self.write(offset, bytes(step))
                offset += step

    def sync(self) -> None:
        """Write what was stored or stored through a view to the disk."""
        if self._fd >= 0:
            os.fsync(self._fd)

    def close(self) -> None:
        """Let go of the file. Views that were handed out stay valid until they are dropped."""
        self._view = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        """It is not used any longer."""
        self.close()


READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)  # on opening for writes
_AGAIN = "start the host anew with: xlpy host reset"


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether something has this name; an error as ``trouble`` says it."""
    try:
        return os.path.exists(path)
    except OSError as error:
        raise trouble(path, error) from error


def trouble(path: str | os.PathLike[str], error: OSError, size: int | None = None) -> HostTrouble:
    """What an OSError on a file of the host means, with the way out."""
    hints = {
        errno.EFBIG: "the file system or ulimit -f forbids files that large; use another with --root, or a smaller set",
        errno.EINVAL: "the file system cannot hold a file that large; use another with --root, or a smaller set",
        errno.EMFILE: "the process may open too few files (ulimit -n); 64 are enough",
        errno.ENOSPC: "free some space, or use another file system with --root",
        errno.ENOMEM: "the address space is full (ulimit -v), or the set is too large to be mapped",
    }
    hint = hints.get(error.errno or 0, "choose another state directory with --root or XLPY_ROOT")
    of = "" if size is None else f" ({size} bytes)"
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return HostTrouble(f"{path}{of}: {error.strerror}", code="XLPY-NO-SPACE" if full else None, hint=hint)


def punch(fd: int, offset: int, length: int) -> bool:
    """Make a hole in a file, as fallocate(2) does with FALLOC_FL_PUNCH_HOLE; False when it cannot be done here.

    By the ioctl that means the same, because calling the C library would take ctypes, and 4 ms to import that.
    """
    import _struct as struct
    import fcntl

    try:
        fcntl.ioctl(fd, FS_IOC_UNRESVSP64, struct.pack("hhqqiI16x", 0, os.SEEK_SET, offset, length, 0, 0))
    except OSError:
        return False
    return True
