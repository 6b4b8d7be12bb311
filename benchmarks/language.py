"""The configuration language, in this process."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from case import BEFORE, Case, Sample, Skip, nothing

from xlpy.toolstack.config.xlcfg import parse

if TYPE_CHECKING:
    from pathlib import Path

    from case import Act
    from version import Version

MEGABYTE = 1 << 20


def parsing(version: Version) -> tuple[Act, Act]:
    """A megabyte of settings, held against Xen's own parser."""
    line = b"key%06d = [ \"value\", 12, 'other' ]  # a comment\n"
    text = b"".join(line % at for at in range(MEGABYTE // len(line % 0)))
    library = _library()
    report = _report(version.folder)

    def theirs() -> None:
        config = library.xlu_cfg_init(report, b"bench")
        library.xlu_cfg_readdata(config, text, len(text))
        library.xlu_cfg_destroy(config)

    return lambda: parse(text, "bench"), theirs


def checking(version: Version) -> tuple[Act, Act]:
    """A thousand files, in one process."""
    folder = version.folder / "configurations"
    folder.mkdir()
    for at in range(100 if version.quick else 1000):
        (folder / f"{at}.cfg").write_text(
            f'name = "d{at}"\ntype = "hvm"\nmemory = 512\nvcpus = 2\ndisk = [ "/dev/vg/d{at},raw,xvda,rw" ]\n'
        )
    return lambda: Sample(*version.work("check", folder)["times"][0]), nothing


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libxlutil.so.4.17")
    except OSError:
        raise Skip("libxlutil.so.4.17 is not installed (package libxen-dev)") from None
    library.xlu_cfg_init.restype = ctypes.c_void_p
    library.xlu_cfg_init.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.xlu_cfg_readdata.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    library.xlu_cfg_destroy.argtypes = [ctypes.c_void_p]
    return library


def _report(folder: Path) -> int:
    """A C stream for the library's messages."""
    libc = ctypes.CDLL(None)
    libc.fdopen.restype = ctypes.c_void_p
    libc.fdopen.argtypes = [ctypes.c_int, ctypes.c_char_p]
    fd = os.open(folder / "report", os.O_RDWR | os.O_CREAT)
    return int(libc.fdopen(fd, b"w"))


CASES = [
    Case("config check of 1,000 files", BEFORE, 0.7, checking, 12, runs=5),
    Case("parse 1 MB of xl.cfg", "libxlutil", 10, parsing),
]
