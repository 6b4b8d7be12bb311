"""The test suite of both versions: those tests that both have, wherever they lie by now.

The suite has grown, so the whole of one says nothing of the other. A test is the same when its name and parameters are,
and there is one of that name in each version.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from case import BEFORE, Case, Skip, nothing

if TYPE_CHECKING:
    from pathlib import Path

    from case import Act
    from version import Version


def python(version: Version) -> str:
    """An interpreter with a version and what its tests need, in an environment of its own."""
    return _environment(version.tree, version.folder / "tests-venv", version.python)


@cache
def _environment(tree: Path, venv: Path, base: str) -> str:
    subprocess.run([base, "-m", "venv", str(venv)], check=True, capture_output=True)
    made = str(venv / "bin" / "python")
    pip = [made, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--upgrade", "pip"], check=True, capture_output=True)
    subprocess.run([*pip, ".", "--group", "test"], cwd=tree, check=True, capture_output=True)
    return made


@cache
def tests(version: Version) -> dict[str, str]:
    """Name and parameters of each test whose name is its own -> its id."""
    words = [python(version), "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(words, cwd=version.tree, capture_output=True, text=True, check=False)
    ids = [line for line in done.stdout.splitlines() if "::" in line and not line.startswith(("ERROR", "FAILED"))]
    keys = [one.partition("::")[2] for one in ids]
    once = Counter(keys)
    return {key: one for key, one in zip(keys, ids, strict=True) if once[key] == 1}


SIDES: list[Version] = []  # both, as they come


def running(version: Version) -> tuple[Act, Act]:
    """Run what both have, on every core, as README says."""
    SIDES.append(version)
    tests(version)  # collected before the clock starts

    def act() -> None:
        if len(SIDES) < 2:
            raise Skip("there is no older version to share tests with")
        shared = set.intersection(*(set(tests(side)) for side in SIDES))
        chosen = [one for key, one in tests(version).items() if key in shared]
        words = version.folder / "tests.txt"
        words.write_text("".join(f"{one}\n" for one in chosen))
        now, then = ({key.partition("[")[0] for key in tests(side)} for side in SIDES)
        print(f"{version.name}: {len(chosen)} tests in common; {len(then - now)} names are gone", file=sys.stderr)
        command = [python(version), "-m", "pytest", "-q", "-n", "auto", "-p", "no:cacheprovider", f"@{words}"]
        done = subprocess.run(command, cwd=version.tree, capture_output=True, text=True, check=False)
        print(f"{version.name}: {done.stdout.strip().splitlines()[-1]}", file=sys.stderr)

    return act, nothing


CASES = [
    Case("the tests that both versions have", BEFORE, 0.8, running, 16, runs=1, slow=True, quick=False),
]
