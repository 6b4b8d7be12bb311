"""Trees of Debian packages, unpacked into a cache and never installed, of whichever Debian release a test wants.

apt-get runs with lists, cache and status of its own, so neither root nor the release of this machine matters: only that
this machine's apt knows a Debian mirror.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MERGED = ("bin", "lib", "lib64", "sbin")  # are in /usr, as on an installed Debian
UNUSED = ("doc", "man", "locale", "iso-codes", "xml", "info")  # of usr/share
SECONDS = 300


class Unavailable(Exception):
    """What a test needs cannot be had on this machine; the text says why and what to do."""


def cache() -> Path:
    """The folder that keeps packages and trees between runs."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xlpy-real-xen"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time makes what a folder holds."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*words: str, **environment: str) -> str:
    """Standard output of a program; Unavailable when it is missing or fails."""
    try:
        done = subprocess.run(
            words, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{words[0]}: {error}") from None
    if done.returncode:
        raise Unavailable(f"{' '.join(words)[:200]}: {done.stderr.strip()[-300:]}")
    return done.stdout


def sources(release: str) -> list[str]:
    """One line of sources.list for every mirror that this machine's apt has, but of the given Debian release."""
    wanted = "$(ORIGIN) $(CODENAME) $(REPO_URI)"
    targets = run("apt-get", "indextargets", "--format", wanted, "Created-By: Packages").splitlines()
    rows = [row for row in targets if row.startswith("Debian ")]
    if not rows:
        raise Unavailable("apt knows no Debian mirror here, or has no lists: run apt-get update as root")
    key = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    found = set()
    for row in rows:
        _, suite, place = row.split(" ", 2)
        here, _, part = suite.partition("-")
        if here == rows[0].split()[1].partition("-")[0]:  # not a second release, such as testing
            found.add(f"deb {key}{place} {release}{'-' * bool(part)}{part} main\n")
    return sorted(found)


def file_system(tree: Path, image: Path) -> None:
    """Make an ext4 image of a folder; the image appears when it is whole."""
    size = sum(-(-path.lstat().st_size // 4096) + 1 for path in tree.rglob("*")) * 4096
    new = image.with_suffix(".part")
    new.unlink(missing_ok=True)
    mke2fs = shutil.which("mke2fs") or "/sbin/mke2fs"
    words = ["-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal", "-d", str(tree), str(new)]
    run(mke2fs, *words, f"{(size + size // 8 >> 20) + 16}M")
    new.replace(image)


class Debian:
    """Packages of one release.

    Args:
        release: code name, such as ``bookworm``.
    """

    def __init__(self, release: str) -> None:
        self.release = release
        self.folder = cache() / release

    def _apt(self, *words: str) -> str:
        return run("apt-get", "-qq", *words, APT_CONFIG=str(self.folder / "apt.conf"))

    def _configure(self) -> None:
        """apt's own places, and the lists of the day on which the cache was made."""
        if (self.folder / "lists.done").exists():
            return
        for name in ("lists/partial", "archives/partial", "none"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        (self.folder / "sources.list").write_text("".join(sources(self.release)))
        places = {
            "Dir::State": self.folder,
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder,
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": self.folder / "none",
            "Dir::Etc::preferencesparts": self.folder / "none",
            "APT::Architecture": "amd64",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        (self.folder / "apt.conf").write_text("".join(f'{key} "{value}";\n' for key, value in places.items()))
        self._apt("update")
        (self.folder / "lists.done").touch()

    def image(self, *packages: str) -> Path:
        """A file system with the tree of these packages, and no journal: for a disk that is only read."""
        tree = self.tree(*packages)
        image = tree.with_suffix(".ext4")
        if not image.exists():
            with locked(self.folder):
                file_system(tree, image)
        return image

    def tree(self, *packages: str) -> Path:
        """A folder with these packages and all that they depend on, unpacked.

        Raises:
            Unavailable: without apt, without a mirror, without room.
        """
        kind = hashlib.sha256("\n".join((Path(__file__).read_text(), *packages)).encode()).hexdigest()[:12]
        tree = self.folder / f"tree-{kind}"
        if tree.exists():
            return tree
        with locked(self.folder):
            if not tree.exists():
                self._configure()
                self._download(*packages)
                made = tree.with_suffix(".new")
                shutil.rmtree(made, ignore_errors=True)
                self._unpack(made)
                made.rename(tree)
                shutil.rmtree(self.folder / "archives")
                (self.folder / "archives" / "partial").mkdir(parents=True)
        return tree

    def _download(self, *packages: str) -> None:
        words = ("install", "--yes", "--download-only", *packages)
        try:
            self._apt(*words)
        except Unavailable:  # the mirror has newer packages than the lists of the cache name
            self._apt("update")
            self._apt(*words)

    def _unpack(self, tree: Path) -> None:
        for name in MERGED:
            (tree / "usr" / name).mkdir(parents=True)
            (tree / name).symlink_to(f"usr/{name}")
        words = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", str(tree)]
        words += [f"--exclude=./usr/share/{name}/*" for name in UNUSED]
        for package in sorted((self.folder / "archives").glob("*.deb")):
            with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as content:
                done = subprocess.run(words, stdin=content.stdout, capture_output=True, text=True, check=False)
            if done.returncode or content.returncode:
                raise Unavailable(f"{package.name} cannot be unpacked: {done.stderr.strip()[-300:]}")
        # what the packages' scripts would have done: Python's compiled files, and the default awk
        loader = [str(tree / "lib64/ld-linux-x86-64.so.2"), "--library-path", str(tree / "usr/lib/x86_64-linux-gnu")]
        for python in (tree / "usr/lib").glob("python3.*"):
            home = {"PYTHONHOME": str(tree / "usr")}
            run(*loader, str(tree / "usr/bin" / python.name), "-m", "compileall", "-q", str(python), **home)
        if (tree / "usr/bin/mawk").exists():
            (tree / "usr/bin/awk").symlink_to("mawk")
