#!/usr/bin/env python3
"""Speed, side by side with a peer and with an older version in one run, as ratios.

    python benchmarks/run.py                 # everything, a table; more than half an hour
    python benchmarks/run.py --rows 5-11     # those rows of the table of targets (docs/performance.md)
    python benchmarks/run.py --only create   # those whose name begins so
    python benchmarks/run.py --quick         # one turn of each, with less to do: whether it runs, not how fast it is
    python benchmarks/run.py --json

What is measured is an installed xlpy, whose bytecode is there: the one where this runs, or this tree installed for it.
The older version is commit 10ddf6a, checked out, built and installed with the same interpreter in a temporary folder;
where that cannot be done, its column is empty. All sides run in turn. CPU time is that of the process and its children;
the ratios are those of the fastest turns, since what is slower was disturbed. Nothing here is a test; nothing fails.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import aml
import boots
import commands
import growth
import language
import looking
import memory
import nvdimm
import powercut
import suite
import version
from case import BEFORE, Case, Column, Skip, measure

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULES = (commands, growth, looking, language, memory, nvdimm, aml, powercut, boots, suite)
HEAD = ("row", "what", "held against", "CPU", "peer", "ratio", "clock", "peer", "ratio", "before", "target")


def cases() -> Iterator[Case]:
    """Every comparison, the table of targets first and in its order."""
    found = [case for module in MODULES for case in module.CASES]
    yield from sorted(found, key=lambda case: case.row or 99)


def ratios(case: Case, mine: Column, theirs: Column) -> tuple[float | None, float | None]:
    """By CPU time and by the clock; of speed when ``least``, else of time."""
    pairs = ((mine.cpu, theirs.cpu), (mine.wall, theirs.wall))
    if not all(a and b for a, b in pairs):
        return None, None
    cpu, wall = (round(b / a if case.least else a / b, 2) for a, b in pairs)
    return cpu, wall


def result(case: Case, columns: list[tuple[Column, Column]]) -> dict[str, object]:
    """One line of the table, with all that was measured."""
    mine, theirs = columns[0]
    older = columns[1] if len(columns) > 1 else None
    if case.peer == BEFORE:
        theirs, then = (older[0] if older else Column(0, 0, 0, 0)), (1.0, 1.0)
    else:
        then = ratios(case, *older) if older else (None, None)
    found = ratios(case, mine, theirs)
    met = [ratio is None or (ratio >= case.target if case.least else ratio <= case.target) for ratio in found]
    return {
        "row": case.row or None,
        "name": case.name,
        "peer": case.peer,
        "unit": case.unit,
        "subject": mine._asdict(),
        "against": theirs._asdict(),
        "ratio": {"cpu": found[0], "clock": found[1]},
        "before": {"cpu": then[0], "clock": then[1]},
        "target": f"{'>=' if case.least else '<='} {case.target:g}",
        "met": {"cpu": met[0], "clock": met[1]},
    }


def cells(row: dict) -> tuple[object, ...]:
    """One line of the table as text: minimum (median)."""

    def shown(column: dict, of: str) -> str:
        low, middle = column[of], column[f"{of}_median"]
        return f"{low:.2f} ({middle:.2f})" if low else "-"

    def ratio(of: str) -> str:
        value = row["ratio"][of]
        return "-" if value is None else f"{value:.2f}{'' if row['met'][of] else ' missed'}"

    mine, theirs, then = row["subject"], row["against"], row["before"]
    earlier = "-" if then["cpu"] is None else f"{then['cpu']:.2f} / {then['clock']:.2f}"
    clock = ("-", "-", "-") if row["unit"] == "MiB" else (shown(mine, "wall"), shown(theirs, "wall"), ratio("clock"))
    what = row["name"] if row["unit"] == "ms" else f"{row['name']} ({row['unit']})"
    cpu = (shown(mine, "cpu"), shown(theirs, "cpu"), ratio("cpu"))
    return (row["row"] or "", what, row["peer"], *cpu, *clock, earlier, row["target"])


def chosen(text: str) -> set[int]:
    """Row numbers from ``5-11,13``."""
    ranges = [part.partition("-")[::2] for part in text.split(",") if part]
    return {number for low, high in ranges for number in range(int(low), int(high or low) + 1)}


def older(folder: Path, quick: bool) -> version.Version | None:
    """The older version, or None when it cannot be had."""
    try:
        return version.before(folder, quick)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or b""
        print(f"no older version: {error}\n{said.decode(errors='replace')}", file=sys.stderr)
        return None


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only subjects whose name begins with this")
    parser.add_argument("--rows", default="", help="only these rows of the table of targets, such as 5-11,13")
    parser.add_argument("--quick", action="store_true", help="one turn of each, and less to do")
    parser.add_argument("--turns", type=int, default=0, help="of each; by default as many as each needs")
    parser.add_argument("--no-before", action="store_true", help="without the older version")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rows, wanted = [], chosen(options.rows)
    if not any(case.name.startswith(options.only) for case in cases()):
        parser.error(f"no subject begins with {options.only!r}; they are:\n  " + "\n  ".join(c.name for c in cases()))
    with tempfile.TemporaryDirectory(prefix="xlpy-bench-") as name, version.NEEDED:
        folder = Path(name)
        present = version.now(folder, options.quick)
        past = None if options.no_before else older(folder, options.quick)
        for case in cases():
            left_out = (options.quick and not case.quick) or (wanted and case.row not in wanted)
            if left_out or not case.name.startswith(options.only):
                continue
            print(f"measuring: {case.name}", file=sys.stderr)
            sides = [present, past] if past and case.row else [present]
            try:
                rows.append(result(case, measure(case, sides, 1 if options.quick else options.turns)))
            except Skip as why:
                print(f"skipped: {case.name}: {why}", file=sys.stderr)
    if options.json:
        python = f"{platform.python_implementation()} {platform.python_version()}"
        document = {"schema": "xlpy.benchmarks/2", "python": python, "build": list(platform.python_build())}
        print(json.dumps({**document, "quick": options.quick, "items": rows}, indent=2))
        return
    print(f"{platform.python_implementation()} {platform.python_version()}; milliseconds, fastest turn (median)\n")
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for row in rows:
        print(f"| {' | '.join(map(str, cells(row)))} |")


if __name__ == "__main__":
    main()
