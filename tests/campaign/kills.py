"""Kills at system calls: the next command finds a host on which the killed one is done, or not done."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from campaign import syscalls
from campaign.figures import CONFIGS, UUID
from campaign.states import copy, differences, snapshot, stable, whole

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from campaign.figures import Figures
    from campaign.states import State

CREATE = ("create", "-q", "quickstart.cfg", UUID)
ATTACH = ("nvdimm-attach", "quickstart", "file=/mnt/pmem0/vm2.img")
# what is done before, and what is killed
COMMANDS = {
    "create": ([], CREATE),
    "destroy": ([CREATE], ("destroy", "quickstart")),
    "attach": ([CREATE], ATTACH),
    "detach": ([CREATE, ATTACH], ("nvdimm-detach", "-f", "quickstart", "1")),
    "reboot": ([CREATE], ("reboot", "quickstart")),
    "rename": ([CREATE], ("rename", "quickstart", "other")),
    "config-update": ([CREATE], ("config-update", "quickstart", "quickstart.cfg", "memory=128")),
    "mkfile": ([], ("pmem", "mkfile", "1M", "/mnt/pmem0/deep/new.img")),
    "restart": ([CREATE], ("host", "reset", "--keep-media")),
    "reset": ([CREATE], ("host", "reset", "--machine", "machines/interleaved.yaml")),
}


class Subject:
    """A command that is killed again and again, and the states before and after it."""

    def __init__(self, name: str, folder: Path, figures: Figures) -> None:
        self.name, self.figures = name, figures
        self.root, self.spare = folder / name, folder / f"{name}.spare"
        first, self.words = COMMANDS[name]
        for line in (("pmem", "mkfile", "1M", "/mnt/pmem0/vm2.img"), *first):
            figures.xlpy(self.root, *line)
        copy(self.root, self.spare)
        self.before = stable(snapshot(self.root))
        self.points = self.traced().points
        self.done = stable(snapshot(self.root))

    def traced(self, kill_at: int | None = None, *words: str) -> syscalls.Run:
        """Run the command, or another, and kill it at a point."""
        env = {"XLPY_ROOT": str(self.root), "PYTHONDONTWRITEBYTECODE": "1", "E2FSPROGS_FAKE_TIME": "1700000000"}
        return syscalls.run([sys.executable, "-m", "xlpy", *(words or self.words)], env, kill_at, CONFIGS)

    def judge(self, what: str) -> None:
        """After a kill: one command, and then all is well."""
        found = self.figures.xlpy(self.root, "list")
        if found.status:
            self.figures.find(f"{what}: list ended with {found.status}: {found.err}")
            return
        after: State = stable(snapshot(self.root))
        undone, made = differences(self.before, after), differences(self.done, after)
        if undone and made:
            self.figures.find(f"{what}: neither as before ({undone[:9]}) nor as after ({made[:9]})")
        self.figures.count("not done" if not undone else "done")
        for wrong in whole(self.root):
            self.figures.find(f"{what}: {wrong}")


def run(rng: random.Random, folder: Path, figures: Figures) -> None:
    """Kill commands at points in random order, each point once before any comes twice; every fifth time, twice."""
    if not syscalls.can_trace():
        print("kills: ptrace is not allowed here, or this is no x86-64: left out")
        return
    subjects: dict[str, Subject] = {}
    todo: list[tuple[str, int]] = []
    while figures.time_left:
        if not todo:
            for name in COMMANDS:
                if name not in subjects:
                    subjects[name] = Subject(name, folder, figures)
                    figures.count("points", len(subjects[name].points))
                todo += [(name, at) for at in range(len(subjects[name].points))]
            rng.shuffle(todo)
            figures.count("rounds")
        name, at = todo.pop()
        subject = subjects[name]
        copy(subject.spare, subject.root)
        killed = subject.traced(at)
        if killed.status == 0:
            continue
        what = f"{name} killed at {at} of {len(subject.points)} ({killed.points[-1]})"
        figures.count("kills")
        if rng.randrange(5) == 0:
            again = rng.randrange(12)
            subject.traced(again, "list")
            figures.count("second kills")
            what += f", then list at {again}"
        subject.judge(what)
