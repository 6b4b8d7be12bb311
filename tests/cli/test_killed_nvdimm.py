"""A command that changes the host's NVDIMMs and is killed is done or not done: media, labels, devices, what Xen knows.

As ``test_killed.py``, whose sentence on points holds here. ``XLPY_KILLS=all`` uses every point of every command, a
number so many.
"""

from __future__ import annotations

import os
import time

import pytest
from campaign.figures import Figures
from campaign.kills import NVDIMM_COMMANDS, Subject
from campaign.states import copy
from campaign.syscalls import can_trace

ASKED = os.environ.get("XLPY_KILLS", "")
EVERY = ASKED == "all"
FEW = ("plug", "plug again", "ndctl create", "ndctl reconfigure", "ndctl destroy")
SPREAD = int(ASKED) if ASKED.isdigit() else 2  # points of each command

pytestmark = pytest.mark.skipif(not can_trace(), reason="ptrace is not allowed here, or this is no x86-64")


@pytest.mark.parametrize("name", NVDIMM_COMMANDS if ASKED else FEW)
def test_killed_at_a_system_call(name, tmp_path, capsys):
    figures = Figures("kills", time.monotonic())
    subject = Subject(name, tmp_path, figures)
    count = len(subject.points)
    points = range(count) if EVERY else sorted({count * (2 * i + 1) // (2 * SPREAD) for i in range(SPREAD)})
    for at in points:
        copy(subject.spare, subject.root)
        killed = subject.traced(at)
        if killed.status:  # else there was a point less than in the first run
            assert killed.status == -9
            subject.judge(f"killed at {at} of {count} ({killed.points[-1]})")
    assert figures.findings == []
    assert figures.counts["not done"]
    with capsys.disabled():
        print(f"\n{name}: {count} points, {len(points)} used, {figures.counts['done']} times it was done", end=" ")
