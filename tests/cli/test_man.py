"""Man pages can be made for every command, and are sound roff."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from programs import need

from xlpy.cli.tree import TREE

TOOL = Path(__file__).parents[2] / "tools" / "man.py"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """All pages, by command."""
    pytest.importorskip("click_man", reason="click-man is not installed (dev group)")
    spec = importlib.util.spec_from_file_location("tools_man", TOOL)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    sys.modules["tools_man"] = module
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("man")
    return {path.stem: path for path in module.write(folder)}


def test_every_command_has_one(pages):
    commands = {f"{branch} {name}".strip().replace(" ", "-") for branch, names in TREE.items() for name in names}
    assert set(pages) == {"xlpy", *(f"xlpy-{command}" for command in commands)}


def test_what_a_page_says(pages):
    text = pages["xlpy-nvdimm-detach"].read_text()
    assert text.startswith('.TH "XLPY NVDIMM-DETACH" "1" ')
    for part in (".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", "\\e_SB.NVDR.NVnn._EJ0", "\\-\\-force", "Example:"):
        assert part in text
    assert "\b" not in text


def test_no_page_has_an_error(pages):
    need("groff")
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-Z", *pages.values()], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
