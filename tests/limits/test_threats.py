"""Every file and test that docs/threats.md and docs/limits.md name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("threats.md", "limits.md")


def named(text):
    """Paths in backquotes; one without a folder stands beside the last one that has one."""
    folder = ""
    for line in text.splitlines():
        for path in re.findall(r"`([\w/]+(?:\.py|/))`", line):
            if "/" in path.rstrip("/"):
                folder = path.rstrip("/").rpartition("/")[0] if path.endswith(".py") else path.rstrip("/")
                yield path if path.startswith(("xlpy/", "tests/")) else f"xlpy/{path}"
            else:
                yield f"{folder}/{path}"


@pytest.mark.parametrize("page", PAGES)
def test_what_is_named_is_there(page):
    paths = list(named((ROOT / "docs" / page).read_text()))
    assert len(paths) > 1
    assert [path for path in paths if not (ROOT / path).exists()] == []
