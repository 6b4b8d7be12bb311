"""What must not grow: with domains that are there, with domains that ever were, with files that lie beside."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

from case import AFTER, BEFORE, Case, Sample, Skip, median, nothing, sample
from files import many, written
from version import run

if TYPE_CHECKING:
    from pathlib import Path

    from case import Act
    from version import Version

LARGE = """
name: large
ram: 64G
cpu: {count: 4, physical_bits: 46}
dimms:
  - {id: dimm0, capacity: 4G, handle: 0x1}
sets:
  - {name: set0, dimms: [dimm0]}
namespaces:
  - {region: set0, mode: fsdax, map: dev, reserve: true, filesystem: {type: ext4, mount: /mnt/pmem0}}
"""


def large(version: Version) -> str:
    """The description of a machine with room for many."""
    path = version.folder / "large.yaml"
    path.write_text(LARGE)
    return str(path)


def size(version: Version) -> int:
    """How many domains are many."""
    return 15 if version.quick else 1000


# -- in one process ------------------------------------------------------------------------------------------------


@cache
def cycles(version: Version, turn: int) -> dict[str, Any]:
    """A process that creates and destroys: ten times as often with the version that is measured."""
    count = 10 if version.quick else 1000 if version.older else 10_000
    part = count // 10
    return version.work("cycles", version.folder / f"cycles{turn}", count, f"{part},{count}") | {"part": part}


def cycle(version: Version) -> tuple[Act, Act]:
    """The median of the first thousand."""
    turn = iter(range(100))

    def first() -> Sample:
        root = version.folder / f"thousand{next(turn)}"
        return median(version.work("cycles", root, 10 if version.quick else 1000)["times"])

    return first, nothing


def late(version: Version) -> tuple[Act, Act]:
    """The last tenth of the cycles, and the first."""
    found = cycles(version, 0)
    part = found["part"]
    return lambda: median(found["times"][-part:]), lambda: median(found["times"][:part])


def resident(version: Version) -> tuple[Act, Act]:
    """The memory that the process has after all cycles, and after the first tenth."""
    first, last = (mib / 1024 for mib in cycles(version, 0)["resident"].values())
    return lambda: Sample(last, last), lambda: Sample(first, first)


# -- many domains --------------------------------------------------------------------------------------------------


@cache
def filled(version: Version, count: int) -> Path:
    """A host with so many domains."""
    root = version.host(f"with{count}", large(version))
    for start in range(0, count, 50):  # the older version becomes slower and slower in one process
        version.work("fill", root, min(50, count - start), start)
    return root


def listing(version: Version) -> tuple[Act, Act]:
    """``list`` with many, and with one."""
    some, one = filled(version, size(version)), filled(version, 1)
    return lambda: version.run("list", root=some), lambda: version.run("list", root=one)


def ending(version: Version) -> tuple[Act, Act]:
    """``destroy`` of one among many, and of the only one."""

    def act(root: Path, number: int) -> None:
        version.run("destroy", f"d{number}", root=root)
        AFTER.append(lambda: version.work("fill", root, 1, number))

    some, one = filled(version, size(version)), filled(version, 1)
    return lambda: act(some, size(version) // 2), lambda: act(one, 0)


def ending_all(version: Version) -> tuple[Act, Act]:
    """Destroying many in one process, for each; and one that is alone, again and again in one process."""
    count = min(20, size(version)) if version.older else size(version)
    some, alone = filled(version, size(version)), version.host("alone", large(version))

    def act() -> Sample:
        found = mean(version.work("end", some, 0, count)["times"])
        AFTER.append(lambda: version.work("fill", some, count, 0))
        return found

    return act, lambda: median(version.work("alone", alone, 20)["times"])


def mean(times: list[list[float]]) -> Sample:
    """The mean of what a worker has timed."""
    cpu, wall = zip(*times, strict=True)
    return Sample(sum(cpu) / len(cpu), sum(wall) / len(wall))


def tree(version: Version) -> tuple[Act, Act]:
    """``xenstore ls``, for each node: of many domains, and of ten."""

    def act(root: Path) -> Act:
        command = [version.xlpy, "xenstore", "ls", "-f"]
        shown = subprocess.run(command, check=True, capture_output=True, env={**os.environ, "XLPY_ROOT": str(root)})
        nodes = shown.stdout.count(b"\n")

        def once() -> Sample:
            taken = sample(lambda: run(command, root))
            return Sample(taken.cpu / nodes, taken.wall / nodes)

        return once

    return act(filled(version, size(version))), act(filled(version, 10))


# -- many files ----------------------------------------------------------------------------------------------------


def thousandth(version: Version) -> tuple[Act, Act]:
    """The last ten of a thousand creates, each with a vNVDIMM of its own, and the first ten once all is imported."""
    count = 15 if version.quick else 1000
    root = version.host("backed", large(version))
    written(version, root, [f"{at}.img" for at in range(count)], 2 << 20)
    times = version.work("backed", root, count)["times"]
    return lambda: median(times[-10:]), lambda: median(times[1:11])


def repairing(version: Version) -> tuple[Act, Act]:
    """``list`` after a command was killed: with many files on the file system, and with ten."""
    count = 400 if version.quick else 20_000
    roots = []
    for files in (count, 10):
        root = version.host(f"files{files}", large(version))
        many(version, root, files)
        version.work("fill", root, 1)
        roots.append(root)

    def act(root: Path) -> None:
        (root / "unclean").write_text("creating d1 (pid 4194304)\n")
        version.run("list", root=root)

    return lambda: act(roots[0]), lambda: act(roots[1])


def debugfs_needed(make):
    """Skip a case without e2fsprogs."""

    def made(version: Version) -> tuple[Act, Act]:
        try:
            return make(version)
        except FileNotFoundError as error:
            raise Skip(f"{error.filename} is not installed (package e2fsprogs)") from None

    return made


CASES = [
    Case("create + destroy in one process, median of 1,000", BEFORE, 0.35, cycle, 5, runs=2, slow=True),
    Case("the same, cycles 9,000-10,000", "cycles 1-1,000", 1.1, late, 6, runs=1, slow=True),
    Case("the same, resident memory", "after 1,000", 1.1, resident, 6, runs=1, slow=True, unit="MiB"),
    Case("list, 1,000 domains", "list, 1 domain", 4, listing, 7, runs=5, slow=True),
    Case("destroy, one of 1,000 domains", "destroy, the only domain", 2, ending, 8, runs=5, slow=True),
    Case("xenstore ls of 1,000 domains, per node", "of 10 domains", 1.2, tree, 11, runs=5, slow=True),
    Case("destroy 1,000 in one process, each", "the only domain", 2, ending_all, 8, runs=1, slow=True),
    Case(
        "create, the 1,000th with a 2 MiB vNVDIMM", "the first", 1.2, debugfs_needed(thousandth), 9, runs=1, slow=True
    ),
    Case("list after a kill, 20,000 files", "10 files", 1.3, debugfs_needed(repairing), 10, runs=5, slow=True),
]
