#!/usr/bin/env python3
"""Speed, side by side with a peer in one run, as ratios.

    python benchmarks/run.py                 # all subjects, a table
    python benchmarks/run.py --only create   # those whose name begins so
    python benchmarks/run.py --json

xlpy must be installed (as a wheel, so that its bytecode is there) in the environment that runs this. Subject and peer
run in turn, and the fastest run of each counts: what is slower was disturbed. Nothing here is a test; nothing fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aml
import commands
import language
import memory
from case import AFTER, Case, Skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def timed(act: Callable[[], object]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    act()
    seconds = time.perf_counter() - start
    while AFTER:
        AFTER.pop()()
    return seconds


def measure(case: Case) -> dict[str, object]:
    """The fastest run of both, taken in turn; the ratio is speed when ``least``, else time."""
    timed(case.subject)
    timed(case.against)
    pairs = [(timed(case.subject), timed(case.against)) for _ in range(case.runs)]
    mine, theirs = (min(column) for column in zip(*pairs, strict=True))
    ratio = theirs / mine if case.least else mine / theirs
    met = ratio >= case.target if case.least else ratio <= case.target
    return {
        "name": case.name,
        "peer": case.peer,
        "ms": round(mine * 1000, 2),
        "peer_ms": round(theirs * 1000, 2),
        "ratio": round(ratio, 2),
        "target": f"{'>=' if case.least else '<='} {case.target:g}",
        "met": met,
    }


def subjects(folder: Path) -> Iterator[Case | Skip]:
    """Every comparison, made as it is asked for."""
    for module in (commands, memory, aml, language):
        yield from module.cases(folder)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only subjects whose name begins with this")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="xlpy-bench-") as folder:
        for case in subjects(Path(folder)):
            if not case.name.startswith(options.only):
                continue
            if isinstance(case, Skip):
                print(f"skipped: {case.name}: {case.why}", file=sys.stderr)
                continue
            print(f"measuring: {case.name}", file=sys.stderr)
            rows.append(measure(case))
    if options.json:
        print(json.dumps({"schema": "xlpy.benchmarks/1", "items": rows}, indent=2))
        return
    print("| what | ms | held against | ms | ratio | target |\n|---|---|---|---|---|---|")
    for row in rows:
        target = row["target"] if row["met"] else f"{row['target']} (missed)"
        cells = (row["name"], row["ms"], row["peer"], row["peer_ms"], row["ratio"], target)
        print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
