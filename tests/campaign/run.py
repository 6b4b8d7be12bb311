"""The campaign against a host: kills, races, full disks, damage, fuzzing. It prints figures.

    python tests/campaign/run.py --minutes 30 --seed 1

Each part gets its share of the time. What is done depends on the seed and on nothing else, but for races. A finding is
printed with the part, its step and what was seen; the exit status is 1 then. Full disks need the right to mount a
tmpfs, kills need ptrace on x86-64; without them a part says so and is left out.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from campaign import damage, full, fuzz, kills, races
from campaign.figures import Figures

PARTS = {"kills": kills.run, "races": races.run, "full": full.run, "damage": damage.run, "fuzz": fuzz.run}


def main() -> int:
    """Run the parts in turn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="for all parts together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    began = time.monotonic()
    findings = 0
    for number, name in enumerate(options.only):
        left = options.minutes * 60 - (time.monotonic() - began)
        figures = Figures(name, time.monotonic() + left / (len(options.only) - number))
        with tempfile.TemporaryDirectory(prefix=f"xlpy-campaign-{name}-") as folder:
            PARTS[name](random.Random(f"{options.seed} {name}"), Path(folder), figures)
        print(figures.summary(), flush=True)
        findings += len(figures.findings)
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s, {findings} findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
