"""Every shell script here passes, run as its user would: with an ``xlpy`` on the PATH. Status 77 means skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SKIPPED = 77


@pytest.fixture
def environment(tmp_path):
    """An environment in which ``xlpy`` is the installed one, or else this source tree's."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("XLPY_")}
    installed = Path(sys.executable).parent / "xlpy"
    if installed.exists():
        env["PATH"] = f"{installed.parent}:{env['PATH']}"
    elif shutil.which("xlpy") is None:
        program = tmp_path / "xlpy"
        program.write_text(f'#!/bin/sh\nPYTHONPATH={HERE.parents[1]} exec {sys.executable} -m xlpy "$@"\n')
        program.chmod(0o755)
        env["PATH"] = f"{tmp_path}:{env['PATH']}"
    return env


@pytest.mark.parametrize("script", sorted(path.name for path in HERE.glob("*.sh")))
def test_script(script, environment):
    done = subprocess.run(
        ["bash", HERE / script], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode == SKIPPED:
        pytest.skip(done.stderr.strip() or done.stdout.strip())
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
