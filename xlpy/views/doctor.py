"""The facts for a bug report: versions, the host, optional programs, the state directory, the last failure.

Nothing is made, repaired or changed, and nothing here fails: what is wrong becomes a finding.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from xlpy import __version__
from xlpy.contexts import suppress
from xlpy.errors import XlpyError
from xlpy.private import open_to_others
from xlpy.records import NamedTuple
from xlpy.statedir import MACHINE, READY, STATE, UNCLEAN
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 5.0  # for a program to print its version
LIBRARIES = ("click", "PyYAML", "construct", "rich", "pytest")
VARIABLES = ("XLPY_ROOT", "XLPY_XEN", "XLPY_QEMU", "XLPY_EXPORTS", "XDG_STATE_HOME", "XDG_CACHE_HOME", "TERM", "LANG")
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # where e2fsprogs is, and an ordinary user's PATH is not


class Program(NamedTuple):
    """An optional program: name, Debian package, its purpose, and arguments that print its version."""

    name: str
    package: str
    purpose: str
    version: tuple[str, ...]


PROGRAMS = (
    Program("mke2fs", "e2fsprogs", "makes DAX file systems: needed to make a host that has one", ("-V",)),
    Program("debugfs", "e2fsprogs", "edits DAX file systems: pmem mkfile, prepare", ("-V",)),
    Program("e2fsck", "e2fsprogs", "checks DAX file systems; for trace cut and the tests", ("-V",)),
    Program("mkfs.xfs", "xfsprogs", "makes DAX file systems of type xfs", ("-V",)),
    Program("qemu-system-x86_64", "qemu-system-x86", "the processor of xlpy boot", ("--version",)),
    Program("cc", "gcc", "compiles the recorder of xlpy boot --record, once", ("--version",)),
    Program("strace", "strace", "tells what a check has read: trace cut", ("--version",)),
    Program("xl", "xen-utils", "tells on a real Xen which domains run: export check", ()),
    Program("ndctl", "ndctl", "prepares real NVDIMMs", ("--version",)),
    Program("iasl", "acpica-tools", "judges tables in the tests", ("-v",)),
    Program("acpiexec", "acpica-tools", "judges the AML evaluator in the tests", ("-v",)),
    Program("chromium", "chromium", "judges the page of map --html in the tests", ("--version",)),
)


def examine(where: str, last_failure: dict[str, Any] | None) -> dict[str, Any]:
    """All answers, as JSON values; ``findings`` are what is wrong with the host.

    Args:
        where: the state directory. last_failure: what a command left there, or None.
    """
    findings: list[str] = []
    return {
        "xlpy": {"version": __version__, "installed": str(Path(__file__).parents[1])},
        "python": _python(),
        "system": _system(),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "root": _root(where, findings),
        "host": _host(where, findings),
        "programs": [_program(one) for one in PROGRAMS],
        "last_failure": last_failure,
        "findings": findings,
    }


def _python() -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    libraries: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:
            libraries[name] = None
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "encoding": sys.getfilesystemencoding(),
        "libraries": libraries,
    }


def _system() -> dict[str, Any]:
    def count(folder: str, pattern: str) -> int:
        return len(list(Path(folder).glob(pattern)))

    return {
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "distribution": _distribution(),
        "processors": os.cpu_count(),
        "nvdimms": count("/sys/bus/nd/devices", "nmem*"),
        "hypervisor": _text("/sys/hypervisor/type") or None,
        "user": os.geteuid(),
    }


def _distribution() -> str | None:
    with suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    return None


def _text(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _program(one: Program) -> dict[str, Any]:
    found = shutil.which(one.name, path=os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_FOLDERS)))
    return {
        "name": one.name,
        "path": found,
        "version": _version([found, *one.version]) if found and one.version else None,
        "package": one.package,
        "purpose": one.purpose,
    }


def _version(words: list[str]) -> str | None:
    """The first line with a digit in it that a program says."""
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (done.stdout + "\n" + done.stderr).splitlines()
    return next((line.strip() for line in lines if any(map(str.isdigit, line))), None)


def _root(where: str, findings: list[str]) -> dict[str, Any]:
    """The folder: rights and space."""
    try:
        found = Path(where).stat()
    except OSError as error:
        return {"path": where, "exists": False, "reason": error.strerror}
    space = os.statvfs(where)
    if found.st_uid != os.geteuid():
        findings.append(f"{where} belongs to uid {found.st_uid}, commands run as {os.geteuid()}")
    if open_to_others(where):
        findings.append(f"{where} is open to other users: chmod -R go= {where}")
    if not os.access(where, os.W_OK):
        findings.append(f"{where} cannot be written: commands that change something will fail")
    free = space.f_bavail * space.f_frsize
    if free < 64 << 20:
        findings.append(f"{free >> 20} MiB are free on the disk of {where}")
    return {
        "path": where,
        "exists": True,
        "owner": found.st_uid,
        "mode": f"{found.st_mode & 0o7777:04o}",
        "writable": os.access(where, os.W_OK),
        "free": free,
        "used": sum(path.lstat().st_blocks * 512 for path in _files(where)),
    }


def _files(where: str) -> Iterator[Path]:
    with suppress(OSError):
        yield from (path for path in Path(where).rglob("*") if path.is_file())


def _host(where: str, findings: list[str]) -> dict[str, Any]:
    """The state: whether it can be read, and what it says."""
    if not Path(where, STATE).exists():
        return {"made": False}
    host: dict[str, Any] = {
        "made": True,
        "interrupted": _text(f"{where}/{UNCLEAN}") or None,
        "being_replaced": Path(where, READY).exists(),
        "powered": not Path(where, "hw", "off").exists(),
        "description": _text(f"{where}/{MACHINE}"),
    }
    if host["interrupted"]:
        findings.append(f"a command was interrupted ({host['interrupted']}): the next one repairs")
    _ask(findings, lambda: host.update(_state(where, findings)))
    return host


def _state(where: str, findings: list[str]) -> dict[str, Any]:
    from xlpy.host import Host

    host = Host(where)
    try:
        _ask(findings, host.store.require_sound)
        found: dict[str, Any] = {}
        for key, ask in _QUESTIONS.items():
            _ask(findings, lambda key=key, ask=ask: found.update({key: ask(host)}))  # type: ignore[misc]
        return found
    finally:
        host.store.close()


_QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "machine": lambda host: host.spec.name,
    "xen": lambda host: host.xen.version,
    "dimms": lambda host: len(host.spec.dimms),
    "regions": lambda host: len(host.hw.regions),
    "namespaces": lambda host: [f"{one.dev} ({one.problem or one.mode})" for one in host.dom0.namespaces],
    "domains": lambda host: len(list(host.xen.domains())),
    "booted": lambda host: host.store.table("boot").keys(),
}


def _ask(findings: list[str], question: Callable[[], object]) -> None:
    """A question whose failure is a finding."""
    try:
        question()
    except (XlpyError, OSError, ValueError, KeyError, TypeError, LookupError, AttributeError) as error:
        findings.append(str(error) or type(error).__name__)
