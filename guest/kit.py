#!/usr/bin/env python3
"""Assemble a guest for `xlpy boot` from Debian packages, in a cache folder, nothing installed.

    python3 guest/kit.py                   # prints two lines: KERNEL=... and INITRD=...
    eval "$(python3 guest/kit.py)" && xlpy boot DOMAIN --kernel "$KERNEL" --initrd "$INITRD"

    python3 guest/kit.py --suite trixie --qemu           # kernel, tools and QEMU of another suite; prints QEMU=... too
    python3 guest/kit.py --kernel arch/x86/boot/bzImage --modules ./modules      # a kernel of one's own
    python3 guest/kit.py --with xfs --with daxctl --with pmdk --with fio         # more tools
    python3 guest/kit.py --with libpmem-dev --file ./a.out                       # a program of one's own, in /usr/bin

Needs apt-get and dpkg-deb (any Debian or Ubuntu machine), no root. The initramfs holds dash, busybox, ndctl, the ACPICA
tools, e2fsprogs and the kernel modules that an NVDIMM needs. Its /init runs the shell script packed with --script as
/run.sh, or the command named on the kernel command line as xlpy.run=COMMAND (plus signs stand for blanks), else an
interactive shell; then it powers the machine off. `mark N` in the guest marks a place in a trace of it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from archive import INIT, MARK, initramfs
from modules import load_order
from packages import Suite

TOOLS = ["busybox-static", "dash", "ndctl", "acpica-tools", "e2fsprogs"]
MODULES = [
    "nfit",
    "nd_pmem",
    "nd_btt",
    "libnvdimm",
    "ext4",
    "crc32c_generic",
    "crc32c_intel",
    "ext2",
    "dax",
    "device_dax",
    "dax_pmem",
]
# what --with NAME stands for: (packages, modules); any other name is a package
EXTRAS = {
    "xfs": (["xfsprogs"], ["xfs"]),
    "daxctl": (["daxctl"], ["kmem"]),
    "pmdk": (["pmdk-tools"], []),
    "dm": (["dmsetup"], ["dm_mod"]),
    "virtio": ([], ["virtio_pci", "virtio_pmem"]),
}
QEMU_PACKAGES = "lib|zlib|qemu-system|seabios"
QEMU_PROGRAM = "usr/bin/qemu-system-x86_64"


def kernel_package(suite: Suite, version: str) -> str:
    """The package of a kernel: of that version (``6.12.117+deb13-amd64``), or the one behind linux-image-amd64."""
    if version:
        for name in (f"linux-image-{version}", f"linux-image-{version}-amd64"):
            if suite.versions(name):
                return name
        raise SystemExit(
            f"error: {suite.name or 'this machine'} has no kernel {version}: apt-cache search linux-image shows what "
            "there is, --suite chooses another suite"
        )
    found = [name for name in suite.depends("linux-image-amd64") if re.fullmatch(r"linux-image-\S+-amd64", name)]
    if not found:
        raise SystemExit("error: linux-image-amd64 is not known to apt: run apt-get update first")
    return found[0]


def packaged_kernel(suite: Suite, cache: Path, version: str) -> tuple[Path, Path]:
    """The kernel and its modules, from packages. From 7.2 on Debian has one for the kernel and one for the modules."""
    package = kernel_package(suite, version)
    wanted = [
        package,
        *(name for name in suite.depends(package) if name.startswith(("linux-binary-", "linux-modules-"))),
    ]
    tree = cache / package
    suite.unpack(wanted, tree)
    images = [path for path in sorted(tree.rglob("vmlinuz*")) if path.is_file()]
    if not images:
        raise SystemExit(f"error: {', '.join(wanted)}: no vmlinuz in there")
    return images[0], tree


def named_kernel(path: Path, modules: Path | None) -> tuple[Path, Path]:
    """A kernel by path, and its modules: a folder, or what lies in /lib/modules for the version in its name."""
    if not path.is_file():
        raise SystemExit(f"error: {path}: no such kernel")
    if modules is None:
        modules = Path("/lib/modules", path.name.partition("-")[2])
    if not modules.is_dir():
        raise SystemExit(f"error: {modules}: no such folder; name the kernel's modules with --modules DIR")
    return path, modules


def qemu(suite: Suite, cache: Path) -> Path:
    """A script that runs the suite's QEMU with its own libraries and data."""
    tree = cache / "qemu"
    suite.unpack(suite.closure(["qemu-system-x86", "seabios"], QEMU_PACKAGES), tree)
    libraries = ":".join(str(tree / part) for part in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
    loader = next(path for path in tree.rglob("ld-linux-x86-64.so.2") if path.is_file() and not path.is_symlink())
    words = [str(loader), "--library-path", libraries, str(tree / QEMU_PROGRAM)]
    data = [str(tree / "usr/share/qemu"), str(tree / "usr/share/seabios")]
    words += [word for folder in data for word in ("-L", folder)]
    script = cache / "bin" / "qemu-system-x86_64"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    script.chmod(0o755)
    return script


def assemble(options: argparse.Namespace) -> dict[str, Path]:
    """Make what is missing; the paths by the names under which they are printed."""
    top = options.cache.absolute()
    cache = top / options.suite if options.suite else top
    cache.mkdir(parents=True, exist_ok=True)
    suite = Suite(options.suite, cache)
    folders = [Path(text) for text in options.modules if "/" in text]
    names = [*MODULES, *(name for text in options.modules if "/" not in text for name in text.split())]
    wanted = list(TOOLS)
    for extra in options.extras:
        more, modules = EXTRAS.get(extra, ([extra], []))
        wanted += more
        names += modules
    if "/" in options.kernel:
        kernel, tree = named_kernel(Path(options.kernel).absolute(), folders[0] if folders else None)
    else:
        kernel, tree = packaged_kernel(suite, cache, options.kernel)
        tree = folders[0] if folders else tree
    chosen = suite.closure(wanted)
    tools = cache / f"tools-{hashlib.sha256(' '.join(chosen).encode()).hexdigest()[:12]}"
    suite.unpack(chosen, tools)
    files = [path.absolute() for path in options.files]
    parts = {"KERNEL": kernel, "INITRD": initrd(cache, tools, kernel, tree, names, options.script, files)}
    if options.extras:
        parts["TOOLS"] = tools
    if options.qemu:
        parts["QEMU"] = qemu(suite, cache)
    return parts


def initrd(
    cache: Path, tools: Path, kernel: Path, tree: Path, names: list[str], script: Path | None, files: list[Path]
) -> Path:
    """The initramfs, made once for equal ingredients."""
    programs = [(f"usr/bin/{path.name}", path.read_bytes()) for path in [MARK, *files]]
    text = script.read_bytes() if script else None
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    facts = [kernel, kernel.stat().st_mtime_ns, tree, *names, tools.with_name(f"{tools.name}.done").read_text()]
    key = hashlib.sha256(
        sources + INIT.read_bytes() + repr([*map(str, facts), programs]).encode() + b"\0" + (text or b"")
    )
    made = cache / f"initramfs-{key.hexdigest()[:16]}.cpio.gz"
    if not made.exists():
        with tempfile.NamedTemporaryFile(dir=cache, delete=False) as out:
            out.write(gzip.compress(initramfs(tools, load_order(tree, names), text, programs), 1, mtime=0))
        Path(out.name).replace(made)
    return made


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xlpy-guest-kit"
    parser.add_argument("--cache", type=Path, default=default, help="where packages and results go (%(default)s)")
    parser.add_argument("--suite", default="", metavar="NAME", help="another suite of Debian, such as trixie or sid")
    parser.add_argument(
        "--kernel",
        default="",
        metavar="VERSION|FILE",
        help="another kernel of the suite, such as 6.12.117+deb13-amd64, or one's own by its path (with a slash)",
    )
    parser.add_argument(
        "--modules",
        action="append",
        default=[],
        metavar="DIR|NAMES",
        help="the folder with the kernel's modules (with a slash), or further modules, such as '9p virtio_pci'",
    )
    parser.add_argument(
        "--with",
        action="append",
        default=[],
        dest="extras",
        metavar="NAME",
        help=f"further tools: {', '.join(EXTRAS)}, or a package of the suite",
    )
    parser.add_argument("--script", type=Path, help="shell script to run in the guest")
    parser.add_argument(
        "--file",
        type=Path,
        action="append",
        default=[],
        dest="files",
        metavar="PROGRAM",
        help="put a program into the guest's /usr/bin; what it needs comes by --with",
    )
    parser.add_argument("--qemu", action="store_true", help="unpack the suite's QEMU too")
    options = parser.parse_args()
    if not shutil.which("apt-get"):
        parser.error("apt-get is not installed: the kit needs a Debian or Ubuntu machine")
    for name, path in assemble(options).items():
        print(f"{name}={shlex.quote(str(path))}")


if __name__ == "__main__":
    main()
