"""The guest's AML, in this process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from case import Case, Skip

from xlpy.firmware.acpi import aml as asl
from xlpy.firmware.acpi.sdt import build_table
from xlpy.guest.machine import interpreter
from xlpy.host import Host
from xlpy.toolstack.config.domain_config import load_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MILLISECONDS = 0.02  # of a label read of the largest transfer
OBJECTS, PER_DEVICE = 6000, 15


def cases(folder: Path) -> Iterator[Case | Skip]:
    """Loading the namespace, and a label read of the largest transfer."""
    import time

    host = Host.make(folder / "aml", None)
    host.create(load_config('name="a"; type="hvm"; memory=512; vnvdimm=["/mnt/pmem0/vm1.img"]', "a.cfg"))
    domain = host.domain("a")
    aml = interpreter(domain)
    most = aml.evaluate("\\_SB.NVDR.NV00._LSI")[2]
    yield Case(
        f"_LSR of {most} bytes", "20 ms", 1, lambda: aml.evaluate("\\_SB.NVDR.NV00._LSR", 0, most),
        lambda: time.sleep(MILLISECONDS),
    )  # fmt: skip
    acpiexec = shutil.which("acpiexec")
    if acpiexec is None:
        yield Skip("load the namespace", "acpiexec is not installed (package acpica-tools)")
        return
    tables = folder / "tables"
    tables.mkdir()
    blocks = [t.data for t in domain.acpi_tables() if t.signature in ("DSDT", "SSDT")]
    names = [f"t{at}.dat" for at in range(len(blocks))]
    for name, data in zip(names, blocks, strict=True):
        (tables / name).write_bytes(data)
    load = (
        "import sys; from xlpy.firmware.acpi.eval import load; "
        "load([open(name, 'rb').read() for name in sys.argv[1:]]).namespace()"
    )
    (tables / "laptop.dat").write_bytes(laptop(OBJECTS // PER_DEVICE))
    for name, target, files in (
        ("load the namespace (process)", 1.2, names),
        (f"load a DSDT of {OBJECTS} objects (process)", 2, ["laptop.dat"]),
    ):
        yield Case(
            name,
            "acpiexec (process)",
            target,
            lambda files=files: subprocess.run([sys.executable, "-c", load, *files], cwd=tables, check=True),
            lambda files=files: _acpiexec(acpiexec, tables, files),
        )
    yield Case(
        f"acpi check, DSDT of {OBJECTS} objects",
        "acpiexec (process)",
        3,
        lambda: subprocess.run(
            [sys.executable, "-m", "xlpy", "acpi", "check", "laptop.dat"], cwd=tables, check=True, capture_output=True
        ),
        lambda: _acpiexec(acpiexec, tables, ["laptop.dat"]),
    )


def _acpiexec(program: str, tables: Path, files: list[str]) -> None:
    subprocess.run([program, "-b", "quit", *files], cwd=tables, check=False, capture_output=True)


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
