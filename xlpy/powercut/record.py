"""Recording a guest: the plugin is built, a folder for the trace is made, and QEMU gets the words that load it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from xlpy.contexts import suppress
from xlpy.digest import blake2b
from xlpy.errors import Conflict, Constraint, MissingTool
from xlpy.hw.sparse import copy
from xlpy.powercut.trace import Trace, write_header
from xlpy.private import private
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.powercut.trace import TracedDevice, TraceHeader

SOURCE = Path(__file__).with_name("pmtrace.c")
OLDEST = (9, 2)  # QEMU whose plugins get the value of a store (interface version 4)
MARK_PORT = 0x504  # a guest marks a place in its trace by writing a byte to this I/O port
PREFIX = "pmtrace: "
COMPLETE = "pmtrace: complete"  # what the plugin says at its end
THREADS = 2  # QEMU's processors for each vCPU, see boot/qemu.py
OPTIONAL = ("clwb", "clflushopt")  # instructions that a guest's CPUID may lack
READS = "XLPY_RECORD_READS"  # names a file for the places that the guest loads from


def require_version(version: tuple[int, int]) -> None:
    """Constraint unless QEMU is new enough to record."""
    if version < OLDEST:
        raise Constraint(
            f"QEMU {version[0]}.{version[1]} does not pass stores to a plugin; {OLDEST[0]}.{OLDEST[1]} or newer is"
            " required to record",
            code="XLPY-RECORD-QEMU",
            hint="guest/kit.py --suite trixie --qemu unpacks one: --qemu PATH or XLPY_QEMU names it",
        )


def plugin() -> Path:
    """The plugin, compiled at first use and kept in the cache folder.

    Raises:
        MissingTool: no C compiler. Constraint: it does not compile.
    """
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        raise MissingTool("cc", "gcc")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xlpy"
    sources = b"".join(path.read_bytes() for path in sorted(SOURCE.parent.glob("*.[ch]")))
    key = blake2b(sources + os.fsencode(compiler), digest_size=8).hexdigest()
    path = home / f"pmtrace-{key}.so"
    if path.exists():
        return path
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = home / f"{path.name}.{os.getpid()}"
    words = [compiler, "-O2", "-shared", "-fPIC", "-o", str(fresh), str(SOURCE)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Constraint(
            f"{compiler} could not compile the recorder",
            code="XLPY-RECORD-COMPILER",
            details=done.stderr.splitlines()[:8],
            hint="install gcc and libc6-dev, or name another compiler with CC",
        )
    fresh.replace(path)
    return path


class Recorder:
    """One recording.

    Args:
        folder: where the trace goes; absent or empty.
        header: what is recorded; its windows follow each other in ``base``, and their label areas after them.

    Raises:
        Conflict: the folder holds something. Constraint: there is no vNVDIMM.
    """

    def __init__(self, folder: Path, header: TraceHeader) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Conflict(f"{folder} is there and not empty", hint="name a new folder for the trace")
        if not header.windows:
            raise Constraint(f"domain {header.domain} has no vNVDIMM: there is nothing to record")
        self._folder = folder
        self._header = header
        self._plugin = plugin()
        self.begun = False  # whether there is a trace, of whatever length

    def begin(self, pieces: Iterable[tuple[Path, int, int]], labels: Iterable[bytes]) -> None:
        """Make the folder, and keep the memory as it is before the run.

        Args:
            pieces: (file, offset, length) of all windows' bytes, in order. labels: the label area of each.

        Raises:
            Constraint: they cannot be written, for lack of room for example.
        """
        try:
            self._begin(pieces, labels)
            self.begun = True
        except OSError as error:
            raise Constraint(
                f"{self._folder}: {error.strerror}", hint="make room, or name another folder for the trace"
            ) from error

    def _begin(self, pieces: Iterable[tuple[Path, int, int]], labels: Iterable[bytes]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        at = 0
        with open(self._folder / "base", "wb", opener=private) as base:
            base.truncate(sum(window.size + window.label_size for window in self._header.windows))
            for path, offset, length in pieces:
                with path.open("rb") as source:
                    copy(source.fileno(), offset, length, base.fileno(), at)
                at += length
            for window, area in zip(self._header.windows, labels, strict=True):
                if area.strip(b"\0"):
                    os.pwrite(base.fileno(), area, window.labels)
        (self._folder / "events.gz").touch(mode=0o600)
        write_header(self._folder, self._header)

    def words(self, ram: Path, low: int, mailbox: int) -> list[str]:
        """What QEMU is told.

        Args:
            ram: the guest's RAM file. low: bytes of it that lie below 4 GiB. mailbox: guest address of its page.
        """
        return plugin_words(
            self._plugin,
            f"out={(self._folder / 'events.gz').absolute()}",
            f"ram={ram.absolute()}",
            f"low={low:#x}",
            f"port={MARK_PORT:#x}",
            f"mailbox={mailbox:#x}",
            f"stride={THREADS}",
            *(f"range={one.gpa:#x}:{one.gpa + one.size:#x}" for one in self._header.windows),
            *(f"labels={one.handle:#x}:{one.label_size:#x}" for one in self._header.windows),
            *(f"absent={name}" for name in OPTIONAL if name not in self._header.cpu_features),
            *((f"reads={os.environ[READS]}",) if os.environ.get(READS) else ()),
        )

    def end(self, complaints: str, devices: Iterable[TracedDevice]) -> Trace:
        """Write what is known after the run.

        Args:
            complaints: QEMU's standard error, in which the plugin says that it has written everything.
            devices: block devices that the guest makes of its namespaces.

        Returns:
            the trace; its header is that of the beginning when there is no room for another.
        """
        header = self._header._replace(devices=list(devices), complete=COMPLETE in complaints)
        with suppress(OSError):
            write_header(self._folder, header)
        return Trace(self._folder)


def plugin_words(plugin: Path, *arguments: str) -> list[str]:
    """The words that make QEMU load the plugin with these arguments."""
    return ["-plugin", ",".join(argument.replace(",", ",,") for argument in (str(plugin.absolute()), *arguments))]


def remarks(complaints: str) -> list[str]:
    """What the plugin has to say beside that the trace is complete, from QEMU's standard error."""
    lines = (line.partition(PREFIX) for line in complaints.splitlines())
    return [text for _, found, text in lines if found and text != COMPLETE.removeprefix(PREFIX)]
