#!/usr/bin/env python3
"""Assemble a guest for `xlpy boot` from Debian packages, in a cache folder, nothing installed.

    python3 guest/kit.py                   # prints two lines: KERNEL=... and INITRD=...
    eval "$(python3 guest/kit.py)" && xlpy boot DOMAIN --kernel "$KERNEL" --initrd "$INITRD"

Needs apt-get and dpkg-deb (any Debian or Ubuntu machine), no root. The initramfs holds busybox, ndctl, the ACPICA
tools, e2fsprogs and the kernel modules that an NVDIMM needs. Its /init runs the shell script packed with --script as
/run.sh, or the command named on the kernel command line as xlpy.run=COMMAND (plus signs stand for blanks), else an
interactive shell; then it powers the machine off.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import lzma
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

TOOLS = ["busybox-static", "ndctl", "acpica-tools", "e2fsprogs"]
MODULES = ["nfit", "nd_pmem", "nd_btt", "libnvdimm", "ext4", "crc32c_generic", "crc32c_intel", "ext2", "dax"]
UNUSED = {"libperl5.36", "libperl5.40", "libdb5.3", "libdb5.3t64", "libgdbm6", "libgdbm6t64", "libgdbm-compat4"}
DROP = (
    "usr/share/",
    "etc/",
    "usr/lib/systemd/",
    "lib/systemd/",
    "lib/udev/",
    "usr/lib/x86_64-linux-gnu/gconv/",
    "usr/lib/x86_64-linux-gnu/perl",
)
INIT = Path(__file__).with_name("init.sh")


def run(*words: str, cwd: Path | None = None) -> str:
    """The standard output of a program; its own error text when it fails."""
    done = subprocess.run(words, cwd=cwd, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def closure(packages: list[str]) -> list[str]:
    """The packages and everything that they depend on, real packages only."""
    text = run(
        "apt-cache",
        "depends",
        "--recurse",
        *(f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")),
        *packages,
    )
    names = {line for line in text.splitlines() if line and not line.startswith((" ", "<", "|"))}
    # of the dependencies only libraries matter here; perl and dpkg serve maintainer scripts
    wanted = {name for name in names if ":" not in name and name.startswith(("lib", "zlib"))} - UNUSED
    return sorted(wanted | set(packages))


def kernel_package() -> str:
    """The versioned package behind linux-image-amd64."""
    found = re.search(r"Depends: (linux-image-\S+-amd64)\b", run("apt-cache", "depends", "linux-image-amd64"))
    if not found:
        raise SystemExit("error: linux-image-amd64 is not known to apt: run apt-get update first")
    return found[1]


def fetch(packages: list[str], into: Path) -> list[Path]:
    """Download packages that the folder does not hold yet; their files."""
    into.mkdir(parents=True, exist_ok=True)
    held = {path.name.split("_")[0] for path in into.glob("*.deb")}
    missing = [name for name in packages if name not in held]
    if missing:
        print(f"downloading {len(missing)} packages", file=sys.stderr)
        run("apt-get", "download", "-q", *missing, cwd=into)
    return [path for path in sorted(into.glob("*.deb")) if path.name.split("_")[0] in packages]


def module_file(tree: Path, name: str) -> Path | None:
    """Where a module lies in the unpacked kernel, or None when it is built in."""
    for spelling in (name, name.replace("_", "-"), name.replace("-", "_")):
        hit = next(tree.rglob(f"{spelling}.ko*"), None)
        if hit:
            return hit
    return None


def module_bytes(path: Path) -> bytes:
    """The module itself, unpacked when Debian compressed it."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def load_order(tree: Path, names: list[str]) -> list[tuple[str, bytes]]:
    """(name, content) of every wanted module, dependencies first."""
    done: dict[str, bytes] = {}

    def visit(name: str) -> None:
        path = module_file(tree, name)
        if path is None or name in done:
            return
        data = module_bytes(path)
        depends = re.search(rb"\0depends=([^\0]*)", data)
        for need in depends[1].decode().split(",") if depends else []:
            if need:
                visit(need)
        done.setdefault(name, data)

    for name in names:
        visit(name)
    return list(done.items())


class Cpio:
    """A `newc` archive with fixed times and owners, so that equal content gives equal bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._inode = 0
        self._seen: set[str] = set()

    def add(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        if name in self._seen:
            return
        self._seen.add(name)
        self._inode += 1
        raw = name.encode() + b"\0"
        numbers = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw), 0)
        head = b"070701" + b"".join(b"%08X" % n for n in numbers) + raw
        self._parts.append(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))

    def parents(self, name: str) -> None:
        for parent in reversed(Path(name).parents):
            if str(parent) != ".":
                self.add(str(parent), stat.S_IFDIR | 0o755)

    def close(self) -> bytes:
        self.add("TRAILER!!!", 0)
        return b"".join(self._parts)


def initramfs(tools: Path, modules: list[tuple[str, bytes]], script: bytes | None) -> bytes:
    """The archive: tools, modules in load order, /init, and the script if there is one."""
    cpio = Cpio()
    for top in ("bin", "sbin", "lib", "lib64"):  # merged /usr, as Debian has it
        cpio.add(top, stat.S_IFLNK | 0o777, f"usr/{top}".encode())
    cpio.add("dev", stat.S_IFDIR | 0o755)
    cpio.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    for path in sorted(tools.rglob("*")):
        name = str(path.relative_to(tools))
        if name.startswith(DROP):
            continue
        name = re.sub(r"^(bin|sbin|lib|lib64)(/|$)", r"usr/\1\2", name)
        if path.is_symlink():
            cpio.parents(name)
            cpio.add(name, stat.S_IFLNK | 0o777, os.fsencode(path.readlink()))
        elif path.is_file():
            cpio.parents(name)
            cpio.add(name, stat.S_IFREG | (path.stat().st_mode & 0o755), path.read_bytes())
    for at, (name, data) in enumerate(modules):
        cpio.parents(f"modules/{at:02}-{name}.ko")
        cpio.add(f"modules/{at:02}-{name}.ko", stat.S_IFREG | 0o644, data)
    cpio.add("init", stat.S_IFREG | 0o755, INIT.read_bytes())
    if script is not None:
        cpio.add("run.sh", stat.S_IFREG | 0o755, script)
    return cpio.close()


def assemble(cache: Path, script: Path | None, modules: list[str]) -> tuple[Path, Path]:
    """Make what is missing; the kernel's and the initramfs's paths. ``modules`` come after the usual ones."""
    cache.mkdir(parents=True, exist_ok=True)
    kernel = kernel_package()
    tools = cache / "tools"
    if not (cache / "tools.done").exists():
        shutil.rmtree(tools, ignore_errors=True)
        for deb in fetch(closure(TOOLS), cache / "debs"):
            run("dpkg-deb", "-x", str(deb), str(tools))
        (cache / "tools.done").touch()
    image = cache / f"{kernel}.bzImage"
    tree = cache / kernel
    if not image.exists():
        for deb in fetch([kernel], cache / "debs"):
            shutil.rmtree(tree, ignore_errors=True)
            run("dpkg-deb", "-x", str(deb), str(tree))
        shutil.copyfile(next((tree / "boot").glob("vmlinuz-*")), f"{image}.new")
        Path(f"{image}.new").replace(image)
    text = script.read_bytes() if script else None
    names = [*MODULES, *modules]
    kind = " ".join([kernel, *names]).encode()
    key = hashlib.sha256(Path(__file__).read_bytes() + INIT.read_bytes() + kind + b"\0" + (text or b""))
    initrd = cache / f"initramfs-{key.hexdigest()[:16]}.cpio.gz"
    if not initrd.exists():
        with tempfile.NamedTemporaryFile(dir=cache, delete=False) as out:
            out.write(gzip.compress(initramfs(tools, load_order(tree, names), text), 1, mtime=0))
        Path(out.name).replace(initrd)
    return image, initrd


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xlpy-guest-kit"
    parser.add_argument("--cache", type=Path, default=default, help="where packages and results go (%(default)s)")
    parser.add_argument("--script", type=Path, help="shell script to run in the guest")
    parser.add_argument("--modules", type=str.split, default=[], help="further kernel modules, such as '9p virtio_pci'")
    options = parser.parse_args()
    kernel, initrd = assemble(options.cache.absolute(), options.script, options.modules)
    print(f"KERNEL={kernel}\nINITRD={initrd}")


if __name__ == "__main__":
    main()
