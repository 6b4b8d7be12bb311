"""Outside programs that judge: where they are, which package has them, and which were asked.

``need`` is the one way to them. What it handed out, and what it missed, is summed up at the end of a run.
"""

from __future__ import annotations

import shutil

import pytest

PACKAGES = {
    "acpiexec": "acpica-tools",
    "acpixtract": "acpica-tools",
    "bash": "bash",
    "cc": "gcc",
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "debugfs": "e2fsprogs",
    "dumpe2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "filefrag": "e2fsprogs",
    "findmnt": "util-linux",
    "fish": "fish",
    "groff": "groff",
    "iasl": "acpica-tools",
    "jq": "jq",
    "mke2fs": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "qemu-system-x86_64": "qemu-system-x86",
    "readelf": "binutils",
    "setpriv": "util-linux",
    "sfdisk": "fdisk",
    "strace": "strace",
    "xfs_db": "xfsprogs",
    "xfs_repair": "xfsprogs",
    "zsh": "zsh",
}
asked: set[str] = set()
missed: dict[str, str] = {}


def find(name):
    """The path of a program, or None."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def need(*names):
    """The path of the first of these programs; the test is skipped when one of them is not installed."""
    for name in names:
        if find(name) is None:
            _skip(name, f"{name} is not installed (package {PACKAGES[name]})")
        asked.add(name)
    return find(names[0])


def _skip(name, reason):
    missed[name] = reason
    raise pytest.skip.Exception(reason, _use_item_location=True)  # or the report would name this file


def needs(*names):
    """A mark for tests that need these programs."""
    return pytest.mark.needs(*names)


def needs_other(name, there, package, why=""):
    """A mark for tests that need a judge that is no program: a library, headers.

    Args:
        name: what it is called.
        there: whether it is.
        package: which has it.
        why: what is missing of it, when that is not clear.
    """
    return pytest.mark.needs_other(name, "" if there else why or f"{name} is not installed (package {package})")


def check(item):
    """Skip a test whose marks ask for what is not there."""
    for mark in item.iter_markers("needs"):
        need(*mark.args)
    for mark in item.iter_markers("needs_other"):
        name, reason = mark.args
        if reason:
            _skip(name, reason)
        asked.add(name)
