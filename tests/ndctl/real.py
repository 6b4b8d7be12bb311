"""A real Linux with a real ndctl in QEMU, asked one command at a time; its NVDIMMs are files of this machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ndctl import media
from ndctl.machine import DIMMS, LEGACY, MIB
from ndctl.sequences import Answer

if TYPE_CHECKING:
    from types import TracebackType

HERE = Path(__file__).parent
KIT = HERE.parents[1] / "guest" / "kit.py"
MODULES = "nd_e820 device_dax dax_pmem kmem"
SECONDS = 120  # for the boot, and for any command


class Unavailable(Exception):
    """What the real ndctl needs cannot be had on this machine; the text says why."""


def kit(suite: str = "") -> dict[str, str]:
    """Paths of what ``guest/kit.py`` assembles: KERNEL, INITRD, and QEMU of another suite."""
    words = [sys.executable, str(KIT), "--with", "daxctl", "--modules", MODULES]
    words += ["--script", str(HERE / "inside" / "agent.sh")]
    words += ["--suite", suite, "--qemu"] if suite else []
    words += ["--cache", cache] if (cache := os.environ.get("XLPY_GUEST_KIT")) else []
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"the guest kit cannot be assembled: {done.stderr.strip()[-300:]}")
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


class Machine:
    """The running machine; a context.

    Args:
        folder: gets ``nv0`` ... (persistent memory, then the label area), ``console`` and a socket.
        suite: of Debian, for another kernel, ndctl and QEMU than this machine's.
    """

    def __init__(self, folder: Path, suite: str = "") -> None:
        self.folder = folder
        parts = kit(suite)
        program = parts.get("QEMU") or shutil.which("qemu-system-x86_64")
        if program is None:
            raise Unavailable("qemu-system-x86_64 is not installed (package qemu-system-x86)")
        command = [program, "-accel", "tcg", "-cpu", "max", "-m", "1G,slots=8,maxmem=8G"]
        command += ["-machine", "pc,nvdimm=on,nvdimm-persistence=mem-ctrl", "-display", "none", "-nodefaults"]
        command += ["-no-user-config", "-no-reboot", "-serial", f"file:{folder}/console"]
        command += ["-serial", f"unix:{folder}/agent,server=on,wait=on"]
        for slot, one in enumerate(DIMMS):
            file, total = folder / f"nv{slot}", one.size + one.label
            with file.open("wb") as image:
                image.truncate(total)
            command += ["-object", f"memory-backend-file,id=m{slot},share=on,mem-path={file},size={total}"]
            label = f",label-size={one.label}" if one.label else ""
            command += ["-device", f"nvdimm,memdev=m{slot},id=nv{slot},slot={slot},addr={one.base:#x}{label}"]
        start, size = LEGACY
        append = f"console=ttyS0 quiet panic=-1 mitigations=off memmap={size // MIB}M!{start // MIB}M"
        command += [
            "-kernel",
            parts["KERNEL"],
            "-initrd",
            parts["INITRD"],
            "-append",
            f"{append} xlpy.run=dash+/run.sh",
        ]
        self._command = command

    def __enter__(self) -> Self:
        """Boot, until the guest listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(SECONDS)
        for _ in range(SECONDS * 10):
            try:
                self._socket.connect(str(self.folder / "agent"))
                break
            except OSError:
                if self._process.poll() is not None:
                    raise Unavailable(f"QEMU ends at once: {' '.join(self._command)}") from None
                time.sleep(0.1)
        self._stream = self._socket.makefile("rwb")
        if self._stream.readline() != b"ready\n":
            raise Unavailable(f"the guest does not come up: {(self.folder / 'console').read_text()[-500:]}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Power off."""
        try:
            if kind is None:
                self._stream.write(b"@off\n")
                self._stream.flush()
                self._process.wait(SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._socket.close()

    def __call__(self, line: str) -> Answer:
        """Run a line of shell in the guest's work folder, or one of the agent's own words (@bind, @unbind, @legacy)."""
        self._stream.write(line.encode() + b"\n")
        self._stream.flush()
        status, out, err = map(int, self._stream.readline().split())
        return Answer(status, self._stream.read(out), self._stream.read(err))

    def put(self, dimm: int, offset: int, data: bytes) -> None:
        """Change bytes of a DIMM; the label area follows the persistent memory."""
        with (self.folder / f"nv{dimm}").open("r+b") as image:
            image.seek(offset)
            image.write(data)

    def clear(self) -> None:
        """Make every byte of every DIMM zero, in the files that QEMU has mapped."""
        for slot, one in enumerate(DIMMS):
            with (self.folder / f"nv{slot}").open("r+b") as image:
                total = one.size + one.label
                # the mapping of a running machine stays the same file: a hole is punched, nothing is cut off
                punch(image.fileno(), total)

    def extents(self, dimm: int, size: int) -> list[tuple[int, int]]:
        """Where the first ``size`` bytes of a DIMM hold anything: (offset, length)."""
        return media.written(self.folder / f"nv{dimm}", 0, size)

    def read(self, dimm: int, offset: int, length: int) -> bytes:
        """Bytes of a DIMM as the guest left them."""
        with (self.folder / f"nv{dimm}").open("rb") as image:
            image.seek(offset)
            return image.read(length)


def punch(fd: int, length: int) -> None:
    """fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) of a whole file."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), "fallocate")


def lock(file: Path) -> object:
    """Hold a lock for as long as the object lives."""
    stream = file.open("w")
    fcntl.flock(stream, fcntl.LOCK_EX)
    return stream
