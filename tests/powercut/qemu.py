"""A QEMU that can record, for tests of real guests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from xlpy.powercut import record

ROOT = Path(__file__).parents[2]


@cache
def newer_qemu():
    """XLPY_QEMU, the one on PATH, or the one that the guest kit unpacks; else a skip."""
    for name in (os.environ.get("XLPY_QEMU", ""), "qemu-system-x86_64"):
        if name and (path := shutil.which(name)):
            version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            if tuple(map(int, version.split("version ")[1].split(".")[:2])) >= record.OLDEST:
                return path
    words = [sys.executable, str(ROOT / "guest" / "kit.py"), "--suite", "trixie", "--qemu"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = [line.removeprefix("QEMU=") for line in done.stdout.splitlines() if line.startswith("QEMU=")]
    if not found:
        pytest.skip(f"no QEMU that can record: {done.stderr.strip()[-200:]}")
    return found[0].strip("'\"")
