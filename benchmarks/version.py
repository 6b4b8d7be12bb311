"""The two versions that are measured: the one that runs this, and an older one, built and installed in the same run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

TREE = Path(__file__).parents[1]
CONFIGS = TREE / "configs"
NEEDED = ExitStack()  # what is undone at the end
COMMIT = "10ddf6a"  # what "before" means


class Version(NamedTuple):
    """An installed xlpy.

    name: for messages. python: the interpreter that has it. tree: its source. folder: for its hosts. quick: measure
    roughly, and soon.
    """

    name: str
    python: str
    tree: Path
    folder: Path
    quick: bool

    @property
    def xlpy(self) -> str:
        """Its command."""
        return str(Path(self.python).with_name("xlpy"))

    @property
    def older(self) -> bool:
        """Whether it is the older one, which is given less of what takes too long with it."""
        return self.name != "now"

    def run(self, *words: str, root: Path | None = None) -> str:
        """One command, quietly: what it would have printed."""
        return run([self.xlpy, *words], root)

    def host(self, name: str, machine: str = "") -> Path:
        """The state directory of a new host, made once for each name and version."""
        return _host(self, name, machine)

    def work(self, job: str, *words: object) -> dict[str, Any]:
        """One job of worker.py in a process of its own: what it prints."""
        command = [self.python, str(TREE / "benchmarks" / "worker.py"), job, *map(str, words)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{self.name}: {job}: {done.stderr}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@cache
def _host(version: Version, name: str, machine: str) -> Path:
    root = version.folder / name
    version.run("host", "init", *(["--machine", machine] if machine else []), root=root)
    return root


def run(words: Sequence[str], root: Path | None = None, status: int = 0) -> str:
    """One process, quietly: what it would have printed; the end when its status is another."""
    env = {**os.environ, "XLPY_ROOT": str(root)} if root else None
    done = subprocess.run(words, check=False, capture_output=True, env=env)
    if done.returncode != status:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


def now(folder: Path, quick: bool) -> Version:
    """This tree: as it is installed where this runs, else in an environment of its own."""
    import xlpy

    (folder / "now").mkdir()
    installed = "site-packages" in (xlpy.__file__ or "")
    python = sys.executable if installed else _install(TREE, folder / "now-venv")
    return Version("now", python, TREE, folder / "now", quick)


def before(folder: Path, quick: bool, commit: str = COMMIT) -> Version:
    """Check the older commit out, build it, and install it in an environment of its own with the same interpreter.

    Raises:
        OSError, CalledProcessError: it cannot be had: no git, a clone without history, no package index.
    """
    tree = folder / "before-tree"
    for made in (tree, folder / "before"):
        made.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=TREE, check=True, capture_output=True).stdout
    subprocess.run(["tar", "x"], cwd=tree, input=archive, check=True)
    return Version("before", _install(tree, folder / "before-venv"), tree, folder / "before", quick)


def _install(tree: Path, venv: Path) -> str:
    """Build a tree and install it in a new environment; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, capture_output=True)
    python = str(venv / "bin" / "python")
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", str(tree)]
    subprocess.run(pip, check=True, capture_output=True)
    return python
