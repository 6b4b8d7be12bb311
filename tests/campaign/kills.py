"""Kills at system calls: the next command finds a host on which the killed one is done, or not done."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from campaign import syscalls
from campaign.figures import CONFIGS, UUID
from campaign.states import copy, differences, snapshot, stable, whole

from xlpy.host import Host

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from campaign.figures import Figures
    from campaign.states import State

FILE = ("pmem", "mkfile", "1M", "/mnt/pmem0/vm2.img")
CREATE = ("create", "-q", "quickstart.cfg", UUID)
ATTACH = ("nvdimm-attach", "quickstart", "file=/mnt/pmem0/vm2.img")
# what is done before, and what is killed; {root} is the state directory
COMMANDS = {
    "create": ([FILE], CREATE),
    "destroy": ([FILE, CREATE], ("destroy", "quickstart")),
    "attach": ([FILE, CREATE], ATTACH),
    "detach": ([FILE, CREATE, ATTACH], ("nvdimm-detach", "-f", "quickstart", "1")),
    "reboot": ([FILE, CREATE], ("reboot", "quickstart")),
    "rename": ([FILE, CREATE], ("rename", "quickstart", "other")),
    "config-update": ([FILE, CREATE], ("config-update", "quickstart", "quickstart.cfg", "memory=128")),
    "mkfile": ([FILE], ("pmem", "mkfile", "1M", "/mnt/pmem0/deep/new.img")),
    "restart": ([FILE, CREATE], ("host", "reset", "--keep-media")),
    "reset": ([FILE, CREATE], ("host", "reset", "--machine", "machines/interleaved.yaml")),
}

PLUG = ("host", "plug", "plug.yaml")
BANK = ("host", "init", "--machine", "machines/bank.yaml")


def _ndctl(words: str) -> tuple[str, ...]:
    return ("ndctl", *words.split())


ONE = _ndctl("create-namespace -r region0 -s 96M -n one --reserve xen")
SECTOR = _ndctl("create-namespace -r region1 -s 32M -m sector")
OFF = _ndctl("disable-namespace namespace0.0")
NO_REGION = _ndctl("disable-region region1")


def _spoil(root: Path) -> None:
    """The first info block of the sector namespace is torn."""
    with Host.open(root) as host:
        (found,) = host.dom0.namespaces
        host.hw.write(found.span.start, bytes(64))


# the same for what changes the host's NVDIMMs: what is plugged in, labels, info blocks, what Xen is told
NVDIMM_COMMANDS = {
    "plug": ([FILE], PLUG),
    "unplug": ([FILE, PLUG], ("host", "unplug", "set2")),
    "plug again": ([FILE, PLUG, ("host", "unplug", "set2")], ("host", "plug", "{root}/unplugged/set2.yaml")),
    "surprise": ([FILE, CREATE], ("host", "unplug", "set0", "--surprise")),
    "ndctl create": ([BANK, ONE], _ndctl("create-namespace -r region0 -s 64M --reserve xen")),
    "ndctl create sector": ([BANK, ONE], SECTOR),
    "ndctl create devdax": ([BANK, ONE], _ndctl("create-namespace -r region1 -m devdax --reserve xen")),
    "ndctl create all": ([BANK], _ndctl("create-namespace -c --reserve xen")),
    "ndctl reconfigure": ([BANK, ONE], _ndctl("create-namespace -f -e namespace0.0 -m devdax --reserve xen")),
    "ndctl rename": ([BANK, ONE], _ndctl("create-namespace -f -e namespace0.0 -n two --reserve xen")),
    "ndctl destroy": ([BANK, ONE], _ndctl("destroy-namespace -f namespace0.0")),
    "ndctl destroy all": ([BANK, ONE, SECTOR], _ndctl("destroy-namespace -f all")),
    "ndctl disable": ([BANK, ONE], OFF),
    "ndctl enable": ([BANK, ONE, OFF], _ndctl("enable-namespace namespace0.0")),
    "ndctl disable-region": ([BANK, ONE], _ndctl("disable-region region0")),
    "ndctl enable-region": ([BANK, ONE, _ndctl("disable-region all")], _ndctl("enable-region all")),
    "ndctl init-labels": ([BANK, SECTOR, NO_REGION], _ndctl("init-labels -f nmem2")),
    "ndctl zero-labels": ([BANK, SECTOR, NO_REGION], _ndctl("zero-labels nmem2")),
    "ndctl write-labels": (
        [BANK, _ndctl("read-labels nmem2 -o {root}/labels"), SECTOR, NO_REGION],
        _ndctl("write-labels nmem2 -i {root}/labels"),
    ),
    "ndctl write-infoblock": ([BANK, ONE, OFF], _ndctl("write-infoblock -m devdax namespace0.0")),
    "ndctl check-namespace": (
        [BANK, SECTOR, _ndctl("disable-namespace namespace1.0"), _spoil],
        _ndctl("check-namespace --repair namespace1.0"),
    ),
    "ndctl inject-error": ([BANK, ONE], _ndctl("inject-error namespace0.0 -B 8 -n 2")),
    "ndctl clear-errors": (
        [BANK, ONE, _ndctl("inject-error namespace0.0 -B 8 -n 2")],
        _ndctl("clear-errors namespace0.0"),
    ),
    "ndctl inject-smart": ([BANK, ONE], _ndctl("inject-smart nmem0 -f -S 20")),
}
ALL = COMMANDS | NVDIMM_COMMANDS

# xlpy, with random numbers that are the same in every run
STEADY = """
import itertools, os
numbers = itertools.count(1)
os.urandom = lambda size: next(numbers).to_bytes(size, "big")
from xlpy.start import main
main()
"""


def half_known(root: Path) -> set[tuple[int, int]]:
    """Ranges of which Xen knows what is no whole namespace of Dom0's, or Dom0 believes that and Xen does not."""
    host = Host.open(root)
    known = {(one.region.start << 12, one.region.end << 12) for one in host.xen.pmem.regions}
    told = zip(host.dom0.namespaces, host.dom0.reports, strict=True)
    reported = {(int(one.span.start), int(one.span.end)) for one, report in told if report.registered}
    host.store.close()
    return known ^ reported


class Subject:
    """A command that is killed again and again, and the states before and after it."""

    def __init__(self, name: str, folder: Path, figures: Figures) -> None:
        self.name, self.figures = name, figures
        self.root, self.spare = folder / name, folder / f"{name}.spare"
        first, self.words = ALL[name]
        for line in first:
            if callable(line):
                line(self.root)
                continue
            done = figures.xlpy(self.root, *self._placed(line))
            if done.status:
                raise RuntimeError(f"{name}: {' '.join(line)} ended with {done.status}: {done.err}")
        copy(self.root, self.spare)
        self.before = stable(snapshot(self.root))
        whole_run = self.traced()
        if whole_run.status:
            raise RuntimeError(f"{name}: {' '.join(self.words)} ended with {whole_run.status}: {whole_run.err}")
        self.points = whole_run.points
        self.done = stable(snapshot(self.root))
        self.broken = whole(self.root)  # a set that was pulled out has no file system left

    def traced(self, kill_at: int | None = None, *words: str) -> syscalls.Run:
        """Run the command, or another, and kill it at a point."""
        env = {"XLPY_ROOT": str(self.root), "PYTHONDONTWRITEBYTECODE": "1", "E2FSPROGS_FAKE_TIME": "1700000000"}
        line = self._placed(words or self.words)
        return syscalls.run([sys.executable, "-c", STEADY, *line], env, kill_at, CONFIGS)

    def _placed(self, words: tuple[str, ...]) -> list[str]:
        return [word.replace("{root}", str(self.root)) for word in words]

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
            if wrong in self.broken and not made:
                continue
            self.figures.find(f"{what}: {wrong}")
        for start, end in half_known(self.root):
            self.figures.find(f"{what}: Xen and Dom0 disagree on [{start:#x}, {end:#x})")


def run(rng: random.Random, folder: Path, figures: Figures) -> None:
    """Kill commands at points in random order, each point once before any comes twice; every fifth time, twice."""
    if not syscalls.can_trace():
        print("kills: ptrace is not allowed here, or this is no x86-64: left out")
        return
    subjects: dict[str, Subject] = {}
    names = rng.sample(sorted(ALL), len(ALL))
    todo: list[tuple[str, int]] = []
    while figures.time_left:
        if names and (not todo or rng.randrange(3) == 0):  # a new one is prepared now and then
            name = names.pop()
            subjects[name] = Subject(name, folder, figures)
            figures.count("points", len(subjects[name].points))
            todo += [(name, at) for at in range(len(subjects[name].points))]
            rng.shuffle(todo)
        elif not todo:
            todo = [(name, at) for name, subject in subjects.items() for at in range(len(subject.points))]
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
