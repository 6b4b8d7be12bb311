"""A check that boots a fresh guest on a crash state and runs a script in it.

The script goes to the guest in a second archive behind the initramfs, whose files replace those of the first (Linux'
Documentation/driver-api/early-userspace/buffer-format.rst). The guest kit's /init runs it as /run.sh, and says on the
console what it ended with.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from xlpy.digest import blake2b
from xlpy.errors import Constraint
from xlpy.inputs import open_plain, read_file
from xlpy.limits import RECOVERY_SCRIPT
from xlpy.outputs import replacing
from xlpy.powercut.check import Check
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.powercut.trace import Trace

ALIGNED = 512  # archives that follow each other begin at multiples of 4; cpio pads to blocks of 512
_NAME = "run.sh"


class Guest(NamedTuple):
    """What is booted; what is empty or None is as it was recorded."""

    kernel: Path | None = None
    initrd: Path | None = None
    append: str | None = None


def guest_check(trace: Trace, script: Path, guest: Guest, timeout: float, *, prune: bool = False) -> Check:
    """The check.

    Args:
        trace: whose domain. script: for the guest's shell. guest: what is booted. timeout: seconds for it.

    Raises:
        NotFound, Constraint: the script, the kernel or the initramfs cannot be read.
    """
    header = trace.header
    kernel = str(guest.kernel or header.kernel)
    initrd = str(guest.initrd or header.initrd)
    if not kernel or not initrd:
        raise Constraint(
            "the trace names no kernel and initramfs that a guest could be booted with",
            hint="name them with --kernel and --initrd; guest/kit.py makes both",
        )
    words = header.append if guest.append is None else guest.append
    append = " ".join(word for word in words.split() if not word.startswith("xlpy.run="))
    open_plain(kernel, nonempty=True).close()
    made = _with_script(trace.path, Path(initrd), read_file(script, RECOVERY_SCRIPT))
    command = [sys.executable, "-m", "xlpy", "boot", "{domain}", "--kernel", kernel, "--initrd", str(made)]
    command += ["--append", append, "--timeout", f"{timeout:g}"]
    # the guest's own time is up first, and then it is ended in order
    return Check(tuple(command), timeout + 30, guest=True, prune=prune)


def _with_script(folder: Path, initrd: Path, script: bytes) -> Path:
    """The initramfs with the script, kept beside the trace for ``replay``."""
    with open_plain(initrd, nonempty=True) as source:
        status = os.fstat(source.fileno())
        facts = repr((str(initrd.absolute()), status.st_size, status.st_mtime_ns)).encode()
        path = folder / f"recovery-{blake2b(facts + script, digest_size=6).hexdigest()}.cpio"
        if not path.exists():
            with replacing(path) as target:
                while chunk := source.read(1 << 20):
                    target.write(chunk)
                target.write(bytes(-status.st_size % ALIGNED) + archive(_NAME, script))
    return path


def archive(name: str, data: bytes) -> bytes:
    """A ``newc`` archive of one executable file."""
    return _entry(1, 0o100755, name, data) + _entry(0, 0, "TRAILER!!!", b"")


def _entry(inode: int, mode: int, name: str, data: bytes) -> bytes:
    raw = name.encode() + b"\0"
    numbers = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + raw
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
