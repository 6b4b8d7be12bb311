"""The configuration language, in this process."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from case import Case, Skip

from xlpy.toolstack.config.xlcfg import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEGABYTE = 1 << 20


def cases(folder: Path) -> Iterator[Case | Skip]:
    """A megabyte of settings, and a thousand files."""
    import time

    from xlpy.toolstack.config.lint import check_files

    line = b"key%06d = [ \"value\", 12, 'other' ]  # a comment\n"
    text = b"".join(line % at for at in range(MEGABYTE // len(line % 0)))
    library = _library()
    if library is None:
        yield Skip("parse 1 MB of xl.cfg", "libxlutil.so.4.17 is not installed (package libxen-dev)")
    else:
        report = _report(folder)

        def theirs() -> None:
            config = library.xlu_cfg_init(report, b"bench")
            library.xlu_cfg_readdata(config, text, len(text))
            library.xlu_cfg_destroy(config)

        yield Case("parse 1 MB of xl.cfg", "libxlutil", 10, lambda: parse(text, "bench"), theirs)
    files = []
    for at in range(1000):
        path = folder / f"{at}.cfg"
        path.write_text(
            f'name = "d{at}"\ntype = "hvm"\nmemory = 512\nvcpus = 2\ndisk = [ "/dev/vg/d{at},raw,xvda,rw" ]\n'
        )
        files.append(path)
    yield Case("config check of 1000 files", "1 s", 1, lambda: list(check_files(files)), lambda: time.sleep(1), runs=3)


def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libxlutil.so.4.17")
    except OSError:
        return None
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
