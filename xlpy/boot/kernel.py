"""The files that are booted, with a check that they are bootable before anything is started."""

from __future__ import annotations

from _struct import unpack_from

from xlpy.errors import Constraint
from xlpy.inputs import open_plain
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = 0x264  # of the Linux x86 boot protocol, up to init_size
_MAGIC, _VERSION, _FLAGS, _PREF_ADDRESS, _INIT_SIZE = 0x202, 0x206, 0x211, 0x258, 0x260
_WITH_INIT_SIZE = 0x20A  # protocol 2.10
_LOADED_HIGH = 1


def check_kernel(path: Path) -> int:
    """Make sure that a file is a bzImage.

    Returns:
        the first guest address after what the kernel needs to unpack itself.

    Raises:
        Constraint: no bzImage of boot protocol 2.10 (Linux 2.6.31) or later. Others as ``read_file``.
    """
    head = _head(path, "kernel", _HEADER)
    if len(head) < _HEADER or head[_MAGIC : _MAGIC + 4] != b"HdrS":
        raise Constraint(
            f"{path} is not a bzImage: {_what(head)}",
            code="XLPY-BOOT-KERNEL",
            hint="give an x86 Linux kernel, such as /boot/vmlinuz-*; guest/kit.py fetches one",
        )
    (version,) = unpack_from("<H", head, _VERSION)
    if version < _WITH_INIT_SIZE or not head[_FLAGS] & _LOADED_HIGH:
        raise Constraint(
            f"{path} has boot protocol {version >> 8}.{version & 0xFF:02}, required 2.10 and loading above 1 MiB",
            code="XLPY-BOOT-KERNEL",
            hint="give a newer kernel",
        )
    start, size = *unpack_from("<Q", head, _PREF_ADDRESS), *unpack_from("<I", head, _INIT_SIZE)
    return int(start + size)


def check_initrd(path: Path) -> int:
    """Make sure that an initrd can be read; its size. Errors as ``read_file``."""
    _head(path, "initrd", 1)
    return path.stat().st_size


def _head(path: Path, what: str, size: int) -> bytes:
    with open_plain(path, f"{what} {path}", nonempty=True) as file:
        return file.read(size)


def _what(head: bytes) -> str:
    if head.startswith(b"\x7fELF"):
        return "an ELF file (vmlinux); the bzImage is arch/x86/boot/bzImage of the same build"
    return f"it begins with {head[:8]!r} and has no boot protocol header"
