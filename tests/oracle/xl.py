"""The real ``xl create -n`` as a judge, kept alive without a hypervisor by ``xl_stub.c``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import programs

XL = Path("/usr/lib/xen-4.17/bin/xl")
STUB = Path(__file__).with_name("xl_stub.c")
CPUS, NODES = 8, 2


class Verdict(NamedTuple):
    """What xl said: its exit status, the document or None, and its messages."""

    status: int
    document: dict | None
    messages: str


def missing() -> str | None:
    """Why there can be no judge here, or None."""
    if not XL.exists():
        return f"{XL} is not installed (package xen-utils-4.17)"
    if not shutil.which("gcc"):
        return "gcc is not installed (package gcc)"
    if not Path("/usr/include/xenctrl.h").exists():
        return "the headers of libxenctrl are not installed (package libxen-dev)"
    return None


needs_xl = programs.needs_other("xl", missing() is None, "xen-utils-4.17", missing())


@cache
def stub(directory: Path) -> Path:
    """The compiled stand-in."""
    library = directory / "xl_stub.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, STUB], check=True)
    return library


class Unpacked(NamedTuple):
    """An xl that is not installed: its packages lie in a folder, and it runs with their libraries."""

    version: str
    tree: Path

    @property
    def words(self) -> list[str | Path]:
        """The start of a command line."""
        loader, libraries = self.tree / "lib64/ld-linux-x86-64.so.2", self.tree / "usr/lib/x86_64-linux-gnu"
        return [loader, "--library-path", libraries, self.tree / f"usr/lib/xen-{self.version}/bin/xl"]

    def stub(self, directory: Path) -> Path:
        """The stand-in, compiled for it."""
        library = directory / f"xl_stub_{self.version}.so"
        headers = self.tree / "usr/include"
        names = [headers / name for name in ("xenctrl.h", "xenstore.h")]
        assert all(name.exists() for name in names)
        if not library.exists():
            kept = directory / f"include-{self.version}"
            kept.mkdir()
            for name in headers.glob("xen*"):
                (kept / name.name).symlink_to(name)
            words = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-I", kept, "-o", library, STUB]
            subprocess.run(words, check=True)
        return library


INSTALLED: list[str | Path] = [XL]


def create(library: Path, config: Path, extra=(), cpus: int = CPUS, nodes: int = NODES, xl=None) -> Verdict:
    """Ask ``xl create -n CONFIG EXTRA...``, the installed xl or an unpacked one."""
    minor = xl.version.partition(".")[2] if xl else "17"
    done = subprocess.run(
        [*(xl.words if xl else INSTALLED), "create", "-n", config, *extra],
        env={
            "LD_PRELOAD": str(library),
            "PATH": os.environ.get("PATH", ""),
            "XL_STUB_CPUS": str(cpus),
            "XL_STUB_NODES": str(nodes),
            "XL_STUB_MINOR": minor,
        },
        capture_output=True,
        timeout=20,
        check=False,
    )
    text = done.stdout.decode("utf-8", "surrogateescape")
    document = json.loads(text) if done.returncode == 0 and text.strip() else None
    return Verdict(done.returncode, document, done.stderr.decode("utf-8", "replace"))
