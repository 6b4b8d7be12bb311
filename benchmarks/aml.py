"""The guest's AML, in this process."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING

from case import Case, Sample, Skip

from xlpy.firmware.acpi import aml as asl
from xlpy.firmware.acpi.sdt import build_table
from xlpy.guest.machine import interpreter
from xlpy.host import Host
from xlpy.toolstack.config.domain_config import load_config

if TYPE_CHECKING:
    from pathlib import Path

    from case import Act
    from version import Version

SECONDS = 0.02  # of a label read of the largest transfer
OBJECTS, PER_DEVICE = 6000, 15
LARGE = "laptop.dat"


def reading(version: Version) -> tuple[Act, Act]:
    """A label read of the largest transfer, held against what a guest's driver would wait for."""
    aml = interpreter(host(version.folder / "aml").domain("a"))
    most = aml.evaluate("\\_SB.NVDR.NV00._LSI")[2]
    return lambda: aml.evaluate("\\_SB.NVDR.NV00._LSR", 0, most), lambda: Sample(SECONDS, SECONDS)


@cache
def host(root: Path) -> Host:
    """A host with a domain."""
    made = Host.make(root, None)
    made.create(load_config('name="a"; type="hvm"; memory=512; vnvdimm=["/mnt/pmem0/vm1.img"]', "a.cfg"))
    return made


@cache
def tables(version: Version) -> tuple[Path, list[str]]:
    """A folder with the AML of that domain, and with that of a large machine."""
    folder = version.folder / "tables"
    folder.mkdir()
    blocks = [t.data for t in host(version.folder / "aml").domain("a").acpi_tables() if t.signature in ("DSDT", "SSDT")]
    names = [f"t{at}.dat" for at in range(len(blocks))]
    for name, data in zip(names, blocks, strict=True):
        (folder / name).write_bytes(data)
    (folder / LARGE).write_bytes(laptop(OBJECTS // PER_DEVICE))
    return folder, names


def loading(version: Version, large: bool) -> tuple[Act, Act]:
    """Loading a namespace."""
    folder, names = tables(version)
    files = [LARGE] if large else names
    load = (
        "import sys; from xlpy.firmware.acpi.eval import load; "
        "load([open(name, 'rb').read() for name in sys.argv[1:]]).namespace()"
    )
    words = [version.python, "-c", load, *files]
    return lambda: subprocess.run(words, cwd=folder, check=True), _acpiexec(folder, files)


def checking(version: Version) -> tuple[Act, Act]:
    """The lint."""
    folder, _ = tables(version)
    words = [version.xlpy, "acpi", "check", LARGE]
    return lambda: subprocess.run(words, cwd=folder, check=True, capture_output=True), _acpiexec(folder, [LARGE])


def _acpiexec(folder: Path, files: list[str]) -> Act:
    program = shutil.which("acpiexec")
    if program is None:
        raise Skip("acpiexec is not installed (package acpica-tools)")
    return lambda: subprocess.run([program, "-b", "quit", *files], cwd=folder, check=False, capture_output=True)


def laptop(devices: int) -> bytes:
    """A DSDT as large as that of a recent laptop: ``PER_DEVICE`` objects in each device."""
    return build_table("DSDT", asl.scope("\\_SB", *map(_device, range(devices))), 2)


def _device(number: int) -> bytes:
    local, first, second = asl.local(0), asl.arg(0), asl.arg(1)
    wait = asl.while_(asl.less(local, 10), asl.increment(local))
    return asl.device(
        f"D{number:03X}",
        asl.name("_HID", asl.eisaid("PNP0C02")),
        asl.name("_UID", number),
        asl.name("_STR", asl.string(f"device {number}")),
        asl.name("_CRS", asl.resource_template(asl.io(0x60, 0x60, 1, 1))),
        asl.name("PKG", asl.package(1, 2, asl.string("x"), asl.package(3, asl.ref("_UID")))),
        asl.op_region("REG", 0, 0x1000 * number, 0x100),
        asl.field("REG", [("FA", 8), ("FB", 8), ("FC", 16), ("", 4), ("FD", 4), ("FE", 32)]),
        asl.method("STAT", 0, asl.if_(asl.equal(asl.ref("FA"), 3), asl.return_(15)), asl.else_(asl.return_(0))),
        asl.method("INIT", 0, asl.store(asl.ref("FB"), local), wait, asl.store(local, asl.ref("FC"))),
        asl.method(
            "SET",
            2,
            asl.store(first, asl.ref("FD")),
            asl.store(asl.add(second, first), asl.ref("FE")),
            asl.return_(asl.concatenate(asl.ref("_STR"), first)),
        ),
    )


CASES = [
    Case("_LSR of the largest transfer", "20 ms by the clock", 1, reading),
    Case("load the namespace (process)", "acpiexec (process)", 1.2, lambda version: loading(version, large=False)),
    Case(
        f"load a DSDT of {OBJECTS} objects (process)",
        "acpiexec (process)",
        2,
        lambda version: loading(version, large=True),
        runs=5,
    ),
    Case(f"acpi check, DSDT of {OBJECTS} objects", "acpiexec (process)", 3, checking, runs=5),
]
