"""A full disk: commands say so and end in order; listing works, and a domain can be ended."""

from __future__ import annotations

import contextlib
import random
import time

import pytest
from campaign import full
from campaign.figures import Figures


@pytest.fixture
def disk(tmp_path):
    """Mount a small file system."""
    with contextlib.ExitStack() as mounts:

        def mount(size):
            try:
                mounts.enter_context(full.mounted(tmp_path / "disk", size))
            except PermissionError as error:
                pytest.skip(f"no tmpfs can be mounted here: {error}")
            return tmp_path / "disk"

        yield mount


@pytest.mark.parametrize(("size", "step"), [(1 << 20, 2), (2 << 20, 7)])
def test_filled_up_after_some_steps(disk, size, step):
    """No command is ended by a signal, none has a traceback, whatever there is no room for."""
    figures = Figures("full", time.monotonic())
    full.attempt(disk(size), size, step, figures)
    assert figures.findings == []


def test_what_a_guest_is_asked_on_a_full_disk(disk):
    where = disk(2 << 20)
    figures = Figures("full", time.monotonic())
    root = where / "host"
    assert figures.xlpy(root, "create", "-q", "quickstart.cfg").status == 0
    filler = full.fill(where)
    for words in (
        ("guest", "probe", "quickstart"),
        ("acpi", "eval", "quickstart", r"\_SB.NVDR.NV00._LSI"),
        ("acpi", "eval", "quickstart", r"\_SB.NVDR.NV00._LSW", "0", "4", "str:kept"),
        ("pmem", "mkfile", "64K", "/mnt/pmem0/new.img"),
        ("create", "-q", "device.cfg"),
    ):
        found = figures.xlpy(root, *words)
        assert found.status == 6, words
        assert "No space left" in found.err or "no space left" in found.err, found.err
    assert "quickstart" in figures.xlpy(root, "list").out
    assert figures.xlpy(root, "destroy", "quickstart").status == 0
    filler.unlink()
    assert figures.xlpy(root, "create", "-q", "quickstart.cfg").status == 0
    assert figures.xlpy(root, "guest", "probe", "quickstart").status == 0
    assert figures.findings == []
    assert full.whole(root) == []


def test_growing_sizes(disk, tmp_path):
    """From no room at all on: what is refused leaves nothing, and what is made can be ended."""
    rng = random.Random(1)
    figures = Figures("full", time.monotonic())
    for size in (64 << 10, 512 << 10, 704 << 10):
        full.attempt(disk(size), size, rng.randrange(len(full.STEPS)), figures)
    assert figures.findings == []
    assert figures.statuses[6]
    assert figures.statuses[0]
