"""Copies of state directories, in this process: a program for each would cost more than the copy."""

from __future__ import annotations

import os


def copy_tree(source, target) -> None:
    """Copy a folder with what is in it: rights and times stay, holes stay holes.

    Args:
        source: a folder; it has folders and files, no links.
        target: must not be there yet.
    """
    os.mkdir(target, 0o700)  # noqa: PTH102
    with os.scandir(source) as found:
        for one in found:
            there = os.path.join(target, one.name)  # noqa: PTH118
            (copy_tree if one.is_dir(follow_symlinks=False) else _copy_file)(one.path, there)
    kept = os.stat(source)  # noqa: PTH116
    os.chmod(target, kept.st_mode & 0o7777)  # noqa: PTH101
    os.utime(target, ns=(kept.st_atime_ns, kept.st_mtime_ns))


def _copy_file(source: str, target: str) -> None:
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        kept = os.fstat(fd)
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.ftruncate(out, kept.st_size)
            at = 0
            while (at := _data(fd, at)) < kept.st_size:
                end = os.lseek(fd, at, os.SEEK_HOLE)
                while at < end:
                    at += os.copy_file_range(fd, out, end - at, at, at)
            os.fchmod(out, kept.st_mode & 0o7777)
            os.utime(out, ns=(kept.st_atime_ns, kept.st_mtime_ns))
        finally:
            os.close(out)
    finally:
        os.close(fd)


def _data(fd: int, at: int) -> int:
    """Where the next data begin, or the end of the file."""
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError:  # ENXIO: only a hole is left
        return os.fstat(fd).st_size
