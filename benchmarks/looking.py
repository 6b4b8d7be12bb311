"""Looking at a host, keeping a domain in a file, many commands in one process, hosts for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from case import AFTER, Case, Skip
from commands import EXTENTS, QUICKSTART, resolving, scattered, starting
from version import run

if TYPE_CHECKING:
    from pathlib import Path

    from case import Act
    from version import Version

RAM = 256 << 20  # bytes that the guest has written
LINES = 100


def asking(version: Version) -> tuple[Act, Act]:
    """Where a byte lives, held against the shortest listing."""
    root = version.host("asked")
    version.run("create", QUICKSTART, root=root)
    where = ("whereis", "gpa", "quickstart", "0x500001000")
    return lambda: version.run(*where, root=root), lambda: version.run("list", root=root)


def drawing(version: Version) -> tuple[Act, Act]:
    """The page of many extents, held against listing them."""
    root, page = scattered(version), str(version.folder / "map.html")
    config = version.folder / "many.cfg"
    config.write_text('name = "many"\ntype = "hvm"\nmemory = 64\nvnvdimm = [ "file=/mnt/pmem0/many.img" ]\n')
    version.run("create", "-q", str(config), root=root)
    return lambda: version.run("map", "--html", page, root=root), resolving(version)


def scripted(version: Version) -> tuple[Act, Act]:
    """Many command lines in one process, held against one command."""
    script, one = version.folder / "lines", starting(version, "list")[0]
    script.write_text("list\n" * LINES)
    root = version.host("host")
    return lambda: version.run("run", str(script), root=root), one


FIXTURE = """
import shutil, sys
from pathlib import Path
try:
    from xlpy.testhosts import fresh
except ImportError:
    from xlpy.host import Host
    from xlpy.pytest_plugin import _copy_host, _made
    def fresh(machine, root):
        _copy_host(_made(machine), root)
        return Host.open(root)
target = Path(sys.argv[1])
shutil.rmtree(target, ignore_errors=True)
for _ in range(10):
    fresh(None, target).close()
    shutil.rmtree(target)
"""


def fixture(version: Version) -> tuple[Act, Act]:
    """Ten fresh hosts for tests, copied, held against ten that are made."""
    copy, made = str(version.folder / "copied"), version.folder / "fresh"
    environment = {**os.environ, "XDG_CACHE_HOME": str(version.folder / "cache")}

    def copies() -> None:
        subprocess.run([version.python, "-c", FIXTURE, copy], check=True, env=environment, capture_output=True)

    try:
        copies()  # the host that is copied is made once, for all tests ever
    except subprocess.CalledProcessError:
        raise Skip(f"{version.python} has no pytest, which this version needs to copy a host") from None

    def makes() -> None:
        for _ in range(10):
            version.run("host", "init", root=made)
            shutil.rmtree(made)

    return copies, makes


def _written(version: Version) -> tuple[Path, Path]:
    """A host with a domain whose guest has written RAM, and the file that this RAM is in."""
    root, content = version.host("saved"), version.folder / "content"
    if not content.exists():
        content.write_bytes(os.urandom(RAM))
        version.run("create", "-q", QUICKSTART, "memory=512", root=root)
        version.run("mem", "write", "quickstart", "16M", "--file", str(content), root=root)
    return root, content


def _ram(root: Path) -> Path:
    return max((root / "domains").rglob("ram"), key=lambda path: path.stat().st_blocks)


def copying(version: Version, root: Path) -> Act:
    """cp of the RAM file."""
    target = version.folder / "copy"

    def act() -> None:
        run(["cp", "--sparse=always", str(_ram(root)), str(target)])
        AFTER.append(target.unlink)

    return act


def saving(version: Version) -> tuple[Act, Act]:
    """Save a domain that goes on."""
    (root, _), file = _written(version), version.folder / "domain.save"

    def act() -> None:
        version.run("save", "-c", "quickstart", str(file), root=root)
        AFTER.append(file.unlink)

    return act, copying(version, root)


def restoring(version: Version) -> tuple[Act, Act]:
    """Bring a domain back."""
    (root, _), file = _written(version), version.folder / "kept.save"
    twin = version.folder / "twin"
    if not file.exists():
        version.run("save", "-c", "quickstart", str(file), root=root)
        run(["cp", "-a", "--sparse=always", str(root), str(twin)])
        version.run("destroy", "quickstart", root=twin)

    def act() -> None:
        version.run("restore", str(file), root=twin)
        AFTER.append(lambda: version.run("destroy", "quickstart", root=twin))

    return act, copying(version, root)


CASES = [
    Case("whereis gpa", "list", 1.1, asking),
    Case(f"map --html, {EXTENTS} extents", "pmem resolve --json of the same", 2, drawing),
    Case(f"run with {LINES} times list", "list", 4, scripted),
    Case("a host for a test (fixture xlpy_host), ten", "host init, ten", 0.15, fixture, runs=6),
    Case(f"save, {RAM >> 20} MiB of RAM", "cp --sparse=always of the RAM file", 2, saving, runs=6),
    Case(f"restore, {RAM >> 20} MiB of RAM", "cp --sparse=always of the RAM file", 2, restoring, runs=6),
]
