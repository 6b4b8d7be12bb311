"""The real ``xl create -n`` as a judge, kept alive without a hypervisor by ``xl_stub.c``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

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
        return f"{XL} is not installed (Debian: xen-utils-4.17)"
    if not shutil.which("gcc"):
        return "gcc is not installed"
    if not Path("/usr/include/xenctrl.h").exists():
        return "the headers of libxenctrl are not installed (Debian: libxen-dev)"
    return None


needs_xl = pytest.mark.skipif(missing() is not None, reason=missing() or "")


@cache
def stub(directory: Path) -> Path:
    """The compiled stand-in."""
    library = directory / "xl_stub.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, STUB], check=True)
    return library


def create(library: Path, config: Path, extra=(), cpus: int = CPUS, nodes: int = NODES) -> Verdict:
    """Ask ``xl create -n CONFIG EXTRA...``."""
    done = subprocess.run(
        [XL, "create", "-n", config, *extra],
        env={
            "LD_PRELOAD": str(library),
            "PATH": os.environ.get("PATH", ""),
            "XL_STUB_CPUS": str(cpus),
            "XL_STUB_NODES": str(nodes),
        },
        capture_output=True,
        timeout=20,
        check=False,
    )
    text = done.stdout.decode("utf-8", "surrogateescape")
    document = json.loads(text) if done.returncode == 0 and text.strip() else None
    return Verdict(done.returncode, document, done.stderr.decode("utf-8", "replace"))
