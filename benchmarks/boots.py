"""Booting Debian's kernel: a domain with a vNVDIMM, held against QEMU's own nvdimm machine.

Both get the same kernel, initrd, memory and processors, and power off by themselves. In the guest, a program times
label reads through the kernel, which asks our mailbox there and QEMU's _DSM here.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

from case import Case, Sample, Skip
from version import CONFIGS, TREE

if TYPE_CHECKING:
    from pathlib import Path

    from case import Act
    from version import Version

WORDS = "quiet no_timer_check"  # on a busy machine a kernel finds that the emulated timer does not work, and panics
SCRIPT = """
base64 -d > /lsr <<'END'
{program}END
chmod +x /lsr
/lsr
"""


@cache
def kit(folder: Path, reads: bool) -> tuple[str, str]:
    """Kernel and initrd from Debian's packages; the guest times reads, or does nothing.

    Raises:
        Skip: they, QEMU or a compiler are not there.
    """
    for program, package in (("qemu-system-x86_64", "qemu-system-x86"), ("gcc", "gcc"), ("apt-get", "apt")):
        if shutil.which(program) is None:
            raise Skip(f"{program} is not installed (package {package})")
    program, script = folder / "lsr", folder / "guest.sh"
    source = str(TREE / "benchmarks" / "lsr.c")
    subprocess.run(["gcc", "-O2", "-static", "-s", "-o", str(program), source], check=True, capture_output=True)
    text = SCRIPT.format(program=base64.encodebytes(program.read_bytes()).decode())
    script.write_text(text if reads else "ls /dev/pmem0\n")
    words = [sys.executable, str(TREE / "guest" / "kit.py"), "--script", str(script)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skip(f"the guest kit cannot be assembled: {done.stderr.strip()[-200:]}")
    kernel, initrd = (line.partition("=")[2] for line in done.stdout.splitlines()[:2])
    return kernel, initrd


def ours(version: Version, reads: bool) -> list[str]:
    """The command that boots a domain."""
    kernel, initrd = kit(version.folder.parent, reads)
    root = version.host("booted")
    if not (root / "domains" / "1").exists():
        version.run("create", "-q", str(CONFIGS / "quickstart.cfg"), root=root)
    words = ["boot", "quickstart", "--kernel", kernel, "--initrd", initrd, "--append", WORDS, "--timeout", "280"]
    return [version.xlpy, "--root", str(root), *words]


def theirs(version: Version, reads: bool) -> list[str]:
    """The command that boots QEMU's own machine with an NVDIMM of the same size and label area."""
    kernel, initrd = kit(version.folder.parent, reads)
    image = version.folder / "nvdimm.img"
    with image.open("ab") as file:
        file.truncate(64 << 20)
    return [
        *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "512M,slots=2,maxmem=4G"),
        *("-machine", "pc,nvdimm=on", "-no-user-config", "-nodefaults", "-net", "none", "-no-reboot"),
        *("-display", "none", "-monitor", "none", "-serial", "stdio"),
        *("-object", f"memory-backend-file,id=m1,share=on,mem-path={image},size=64M"),
        *("-device", "nvdimm,memdev=m1,id=nv1,label-size=128K"),
        *("-kernel", kernel, "-initrd", initrd, "-append", f"console=ttyS0 panic=-1 nokaslr {WORDS}"),
    ]


def booted(words: list[str]) -> str:
    """What a guest says until it powers off."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, errors="replace", check=False)
    if done.returncode or "guest: exit status 0" not in done.stdout:
        raise SystemExit(f"{words[0]}: {done.returncode}\n{done.stderr[-2000:]}{done.stdout[-2000:]}")
    return done.stdout


def booting(version: Version) -> tuple[Act, Act]:
    """From the command to its end."""
    return lambda: booted(ours(version, False)), lambda: booted(theirs(version, False))


def asking(version: Version) -> tuple[Act, Act]:
    """One label read by the guest's clock: the fastest, in the column of CPU time; and the median."""

    def read(words: list[str]) -> Sample:
        found = re.search(r"label read of \d+ bytes: (\d+) (\d+) us", booted(words))
        assert found is not None
        return Sample(int(found[1]) / 1e6, int(found[2]) / 1e6)

    return lambda: read(ours(version, True)), lambda: read(theirs(version, True))


CASES = [
    Case("boot quickstart to power-off", "QEMU's own nvdimm boot", 1.05, booting, 13, runs=3, slow=True, quick=False),
    Case("_LSR of 4 KiB from a booted guest", "QEMU's _DSM", 2, asking, 14, runs=3, slow=True, quick=False),
]
