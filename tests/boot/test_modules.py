"""Memory modules of a running emulator that cannot be had: what is left of them."""

from __future__ import annotations

import errno

import pytest

from xlpy.addr import GIB, MIB
from xlpy.boot import modules
from xlpy.boot.plan import GuestNvdimm, Means, Stretch, plan_memory
from xlpy.errors import Constraint

PMEM = 20 * GIB


class Emulator:
    """One that takes no module when it is told to refuse."""

    def __init__(self):
        self.refuses = False
        self.plugged = []

    def plug(self, slot, one):
        if self.refuses:
            raise Constraint("not today")
        self.plugged.append((slot, one.path.name))


@pytest.fixture
def media(tmp_path):
    path = tmp_path / "set0.media"
    path.write_bytes(b"content")
    with path.open("r+b") as file:
        file.truncate(256 * MIB)
    return path


def fails(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["copy_out", "plug"])
def test_what_cannot_be_plugged_in_is_not_staged(tmp_path, media, monkeypatch, step):
    """Else the stage file of what comes into the slot later would go to the media of what failed."""
    first = GuestNvdimm("vnvdimm0", PMEM, MIB, (Stretch(media, 0, MIB),))
    failed = GuestNvdimm("vnvdimm1", PMEM + GIB, MIB, (Stretch(media, 64 * MIB, MIB),))
    other = failed._replace(stretches=(Stretch(media, 128 * MIB, MIB),))
    means = Means(tmp_path, has_offset=True, stage_all=True)
    plan = plan_memory(tmp_path / "ram", 504 * MIB, 0, [first], means)
    emulator, kept, notes = Emulator(), [], []
    made = modules.Modules(plan, [first], means, emulator, lambda *now: kept.append(now), notes.append)
    emulator.refuses = step == "plug"
    with monkeypatch.context() as patch:
        if step == "copy_out":
            patch.setattr(modules, "copy_out", fails)
        made.follow([first, failed])
    assert len(notes) == 1
    assert made.staged == kept[-1][0] == (first,)
    assert not list(tmp_path.glob("vnvdimm1*"))
    emulator.refuses = False
    made.follow([first])
    made.follow([first, other])
    assert made.staged == kept[-1][0] == (first, other)
    assert emulator.plugged == [(2, "vnvdimm1.stage")]
