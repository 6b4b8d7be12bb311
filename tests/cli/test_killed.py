"""A command that is killed is done or not done: the next command finds the host before it, or after it.

The command is killed at system calls that change something; between two of them nothing changes that a later command
could see. All of those points are counted and some are used, spread evenly; the campaign (``tests/campaign``) uses all.
"""

from __future__ import annotations

import time

import pytest
from campaign.figures import Figures
from campaign.kills import COMMANDS, Subject
from campaign.states import copy
from campaign.syscalls import can_trace

SPREAD = 7  # points of each command

pytestmark = pytest.mark.skipif(not can_trace(), reason="ptrace is not allowed here, or this is no x86-64")


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_a_system_call(name, tmp_path, capsys):
    figures = Figures("kills", time.monotonic())
    subject = Subject(name, tmp_path, figures)
    count = len(subject.points)
    for at in sorted({count * i // SPREAD for i in range(SPREAD)} | {count - 1}):
        copy(subject.spare, subject.root)
        killed = subject.traced(at)
        if killed.status:  # else there was a point less than in the first run
            assert killed.status == -9
            subject.judge(f"killed at {at} of {count} ({killed.points[-1]})")
    assert figures.findings == []
    used = figures.counts["done"] + figures.counts["not done"]
    assert used >= SPREAD - 1
    assert figures.counts["not done"]
    with capsys.disabled():
        print(f"\n{name}: {count} points, {used} used, {figures.counts['done']} times it was done", end=" ")
