"""ACPICA's own test suite (acpica/acpica, tests/aslts): found, built with iasl, run in the evaluator and in acpiexec.

The suite is not stored here. ``XLPY_ASLTS`` names a folder that holds it; without that Debian's source package
acpica-unix is asked for, which has it too.
"""

import atexit
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from acpi.buses import Buses
from acpi.judges import tool

from xlpy.firmware.acpi.eval import AmlError, Interpreter, Limits
from xlpy.firmware.acpi.eval.tables import HEADER_SIZE

COLLECTIONS = ("functional", "bdemo", "complex", "exceptions")
VERDICT = re.compile(r":STST:([^:]*:[^:]*:[^:]*):(\w+)")
STEPS = 400_000_000


def suite():
    """The folder with the collections; skips the test where the suite cannot be had."""
    given = os.environ.get("XLPY_ASLTS")
    root = Path(given) if given else _source_package()
    for folder in (root, root / "aslts", root / "tests" / "aslts"):
        if (folder / "src/runtime/collections").is_dir():
            return folder / "src/runtime/collections"
    pytest.skip(f"{root} does not hold ACPICA's tests/aslts (XLPY_ASLTS names a folder that does)")


def _source_package():
    """Debian's source package, unpacked for this session; skips the test when apt cannot fetch it."""
    folder = Path(tempfile.mkdtemp(prefix="aslts"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    lines = [line for file in _apt_lists() for line in file.read_text().splitlines()]
    sources = [re.sub(r"^deb ", "deb-src ", line) for line in lines if line.startswith("deb ")]
    sources += [re.sub(r"^Types: *deb$", "Types: deb-src", line) for line in lines if not line.startswith("deb ")]
    listing = folder / ("apt.sources" if any(line.startswith("Types:") for line in sources) else "apt.list")
    listing.write_text("\n".join(sources) + "\n")
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    options = [
        *("-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"),
        *("-o", f"Dir::Etc::sourcelist={listing}", "-o", "Dir::Etc::sourceparts=-", "-o", "Acquire::Retries=0"),
    ]
    for command in (["update", "-qq"], ["source", "-qq", "--download-only", "acpica-unix"]):
        try:
            run = subprocess.run(
                ["apt-get", *options, *command], cwd=folder, capture_output=True, text=True, timeout=90, check=False
            )
        except (FileNotFoundError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"ACPICA's suite: XLPY_ASLTS is not set, and apt-get does not fetch it: {error}")
        if run.returncode and command[0] == "source":
            reason = next((line for line in run.stderr.splitlines() if line.startswith("E:")), "no reason given")
            pytest.skip(f"ACPICA's suite: XLPY_ASLTS is not set, and apt-get source acpica-unix fails: {reason}")
    (archive,) = folder.glob("acpica-unix_*.orig.tar.*")
    subprocess.run(["tar", "xf", archive, "--strip-components=1"], cwd=folder, check=True)
    return folder


def _apt_lists():
    etc = Path("/etc/apt")
    return [file for file in (etc / "sources.list", *etc.glob("sources.list.d/debian*")) if file.is_file()]


def build(root, collection, folder):
    """The tables of a collection by name; what iasl itself refuses is left out, as the suite's own script does."""
    iasl = tool("iasl")
    made = {}
    for source in sorted((root / collection).rglob("MAIN.asl")):
        if "FULL" in source.parts:
            continue
        name = "-".join(source.parent.relative_to(root).parts)
        command = [iasl, "-oa", "-r", "2", "-f", "-vi", "-p", folder / name, source.name]
        subprocess.run(command, cwd=source.parent, capture_output=True, timeout=120, check=False)
        if (folder / f"{name}.aml").exists():
            made[name] = folder / f"{name}.aml"
    return made


def ours(file):
    """Verdicts of the root methods, and whether ``\\MAIN`` came to its end."""
    vm = Interpreter(Buses(), limits=Limits(steps=STEPS, time=1 << 50), on_error="\\_ERR")
    data = file.read_bytes()
    while len(data) >= HEADER_SIZE:  # iasl forced to go on behind errors may leave bytes behind the last table
        length = max(int.from_bytes(data[4:8], "little"), HEADER_SIZE)
        vm.load(data[:length], strict=False)
        data = data[length:]
    main = next((entry for entry in vm.namespace().children if entry.name == "MAIN"), None)
    try:
        vm.evaluate("\\MAIN", *range((main and main.args) or 0))
        ended = True
    except AmlError:
        ended = False
    return dict(VERDICT.findall("\n".join(map(str, vm.debug)))), ended


def version():
    """acpiexec's version, such as ``20260408``."""
    told = subprocess.run([tool("acpiexec"), "-v"], capture_output=True, text=True, check=False).stdout
    return re.search(r"version (\d{8})", told)[1]


def theirs(file, seconds=240):
    """The same of acpiexec."""
    with tempfile.TemporaryFile() as out:
        command = [tool("acpiexec"), "-b", "execute MAIN", file.name]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(
                command, cwd=file.parent, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=seconds, check=False
            )
        out.seek(0)
        text = out.read().decode("latin-1")
    return dict(VERDICT.findall(text)), "Evaluation of \\MAIN returned" in text
