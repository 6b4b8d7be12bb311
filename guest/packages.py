"""Debian packages without installing them: of the machine's own suite, or of another one from the same mirror.

Another suite has lists of its own, in a folder of the cache; the machine's settings are only read.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# perl, databases and terminals' programs serve maintainer scripts only
UNUSED = re.compile(r"lib(perl5\.|db5\.3|gdbm)")
RELATIONS = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")


def run(*words: str, cwd: Path | None = None) -> str:
    """The standard output of a program; its own error text when it fails."""
    try:
        done = subprocess.run(words, cwd=cwd, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise SystemExit(f"error: {words[0]} is not installed: the kit needs a Debian or Ubuntu machine") from None
    if done.returncode:
        raise SystemExit(f"error: {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Suite:
    """The packages of one suite.

    Args:
        name: of a suite, such as ``trixie`` or ``sid``; empty: whatever the machine itself uses.
        cache: where its lists and packages are kept.
    """

    def __init__(self, name: str, cache: Path) -> None:
        self.name = name
        self._debs = cache / "debs"
        self._settings: list[str] = []
        if name:
            self._private(cache / "apt")

    def _private(self, folder: Path) -> None:
        """Make apt settings for the suite: the machine's mirror and keys, lists of their own."""
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        sources = folder / "sources.list"
        self._settings = [
            *("-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=-"),
            *("-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"),
            *("-o", "Acquire::Languages=none"),
        ]
        uri, options = mirror()
        line = f"deb {options}{uri} {self.name} main\n"
        if not sources.exists() or sources.read_text() != line or not any((folder / "lists").glob("*Packages*")):
            sources.write_text(line)
            self.update()

    def update(self) -> None:
        """Fetch the lists anew."""
        print(f"fetching the package lists of {self.name}", file=sys.stderr)
        self._apt("apt-get", "update", "-q")

    def _apt(self, program: str, *words: str, cwd: Path | None = None) -> str:
        return run(program, *self._settings, *words, cwd=cwd)

    def closure(self, packages: Iterable[str], also: str = "lib|zlib") -> list[str]:
        """The packages and what they depend on, real packages only.

        Args:
            packages: names.
            also: a regular expression; dependencies whose names begin otherwise are left out.
        """
        listed = list(packages)
        text = self._apt("apt-cache", "depends", "--recurse", *(f"--no-{kind}" for kind in RELATIONS), *listed)
        names = {line for line in text.splitlines() if line and not line.startswith((" ", "<", "|"))}
        wanted = {name for name in names if ":" not in name and re.match(also, name) and not UNUSED.match(name)}
        return sorted(wanted | set(listed))

    def depends(self, package: str) -> list[str]:
        """What a package itself depends on."""
        return re.findall(r"^ +Depends: ([^<\s]\S*)$", self._apt("apt-cache", "depends", package), re.M)

    def versions(self, package: str) -> list[str]:
        """The versions that can be had, the best first."""
        found = self._apt("apt-cache", "madison", package)
        return [line.split("|")[1].strip() for line in found.splitlines() if line.count("|") > 1]

    def fetch(self, packages: list[str]) -> list[Path]:
        """Download packages that are not there yet, in the version that the lists name; their files."""
        self._debs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as empty:  # of files that are there already nothing is printed
            text = self._apt("apt-get", "download", "--print-uris", "-q", *packages, cwd=Path(empty))
        files = {name: self._debs / name for name in re.findall(r"^'\S+' (\S+) ", text, re.M)}
        missing = [name.partition("_")[0] for name, path in files.items() if not path.exists()]
        if missing:
            print(f"downloading {len(missing)} packages", file=sys.stderr)
            self._apt("apt-get", "download", "-q", *missing, cwd=self._debs)
        return [files[name] for name in sorted(files)]

    def unpack(self, packages: list[str], into: Path) -> None:
        """Unpack packages into a folder, unless exactly these are there already; the folder is complete or absent."""
        debs = self.fetch(packages)
        stamp, content = into.with_name(f"{into.name}.done"), "\n".join(deb.name for deb in debs)
        if stamp.exists() and stamp.read_text() == content:
            return
        stamp.unlink(missing_ok=True)
        shutil.rmtree(into, ignore_errors=True)
        for deb in debs:
            run("dpkg-deb", "-x", str(deb), str(into))
        stamp.write_text(content)


def mirror() -> tuple[str, str]:
    """Where the machine's own packages come from: (address, options of a sources line that name its keys)."""
    targets = run("apt-get", "indextargets", "Created-By: Packages", "Label: Debian")
    for target in targets.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in target.splitlines())
        if fields.get("Origin") == "Debian" and fields.get("Component") == "main":
            keys = fields.get("Signed-By") or _keys(fields.get("Sourcesentry", ""))
            return fields["Repo-URI"], f"[signed-by={keys}] " if keys else ""
    raise SystemExit("error: apt knows no mirror of Debian: leave --suite out, or run apt-get update first")


def _keys(entry: str) -> str:
    """The Signed-By of the sources file that an index target came from; empty when it has none."""
    path = Path(entry.rpartition(":")[0])
    if not path.is_file():
        return ""
    found = re.search(r"(?:^Signed-By: *|signed-by=)(/[^\s\]]+)", path.read_text(), re.M)
    return found[1] if found else ""
