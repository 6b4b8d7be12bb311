#!/usr/bin/env python3
"""Every situation of docs/real-hosts.md on three kernels, and the quickstart on three QEMUs; about half an hour.

    python tests/campaign/real_hosts.py [--cache DIR] [SUITE ...]     # suites: debian (this machine's), trixie, sid

Exit status 1 when a row is not as the table says.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests")]

from realhost.guest import Told, boot, kit, wrong  # noqa: E402
from realhost.situations import KERNELS, RACES, SITUATIONS  # noqa: E402

GROUPS = ("uses", "dax", "names", "features", "races", "other", "regions", "xfs")


def examine(told: Told, kernel: str, groups: tuple[str, ...]) -> list[str]:
    """What is not as the table says."""
    found = [f"cannot be made: {line}" for line in map(str, told.told("failed"))]
    for one in SITUATIONS:
        if one.group not in groups or kernel in one.absent:
            continue
        problem = wrong(told, one)
        found += [f"{one.name}: {problem}"] if problem else []
    for race in RACES:
        for word, expected in (("race", race.free), ("held", race.held)):
            seen = next((answer[1:] for answer in told.told(word) if answer[0] == race.name), None)
            if race.group in groups and kernel not in race.absent and seen != expected:
                found.append(f"{word} {race.name}: {seen}, {expected} is right")
    return found


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", default=["debian", "trixie", "sid"])
    parser.add_argument("--cache", help="of guest/kit.py")
    parser.add_argument("--groups", default=",".join(GROUPS), help="of situations (%(default)s)")
    parser.add_argument("--skip-boots", action="store_true", help="only the situations, not xlpy boot on each QEMU")
    options = parser.parse_args()
    bad = 0
    for suite in options.suites:
        suite = "" if suite == "debian" else suite
        parts = kit(suite, options.cache)
        for groups, nfit in ((tuple(options.groups.split(",")), True), (("regions",), False)):
            with tempfile.TemporaryDirectory() as folder:
                boot(Path(folder), parts, groups, nfit)
                told = Told(Path(folder))
                problems = examine(told, KERNELS[suite], groups)
            where = f"{' '.join(told.words['kernel'])}, {'NVDIMM' if nfit else 'no NFIT'}"
            print(f"{where}: {len(told.answers)} situations, {len(problems)} problems", flush=True)
            for problem in problems:
                print(f"  {problem}", flush=True)
            bad += len(problems)
    if options.skip_boots:
        return bool(bad)
    environment = os.environ | {"XLPY_TEST_SUITES": ",".join(options.suites)}
    if options.cache:
        environment["XLPY_GUEST_KIT"] = options.cache
    words = [sys.executable, "-m", "pytest", "-q", "tests/boot/test_suites.py"]
    bad += subprocess.run(words, cwd=REPO, env=environment, check=False).returncode
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
