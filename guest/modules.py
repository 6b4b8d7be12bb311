"""Kernel modules: finding them in a tree, unpacking them, and the order in which they can be loaded."""

from __future__ import annotations

import gzip
import lzma
import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def module_files(tree: Path) -> dict[str, Path]:
    """Every module below a folder by its name in the kernel's spelling, with underscores."""
    found: dict[str, Path] = {}
    for path in sorted(tree.rglob("*.ko*")):
        if re.search(r"\.ko(\.(xz|gz|zst))?$", path.name):
            found.setdefault(path.name.partition(".ko")[0].replace("-", "_"), path)
    return found


def module_bytes(path: Path) -> bytes:
    """The module itself, unpacked when its distribution compressed it (xz Debian and Fedora, zst Arch and Ubuntu)."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        try:
            return subprocess.run(["zstd", "-dcq"], input=data, check=True, capture_output=True).stdout
        except FileNotFoundError:
            raise SystemExit(f"error: {path.name}: zstd is not installed (package zstd)") from None
    return data


def load_order(tree: Path, names: list[str]) -> list[tuple[str, bytes]]:
    """(name, content) of every wanted module, dependencies first. What is not in the tree is taken to be built in."""
    files = module_files(tree)
    done: dict[str, bytes] = {}

    def visit(name: str) -> None:
        path = files.get(name.replace("-", "_"))
        if path is None or name in done:
            return
        data = module_bytes(path)
        depends = re.search(rb"\0depends=([^\0]*)", data)
        for need in depends[1].decode().split(",") if depends else []:
            if need:
                visit(need)
        done.setdefault(name, data)

    for name in names:
        visit(name)
    return list(done.items())
