"""A DSDT as large as a recent laptop's: 6,000 objects, of which a quarter are methods with ordinary statements."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from case import Case, Skip

from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.acpidump import to_hex
from xlpy.firmware.acpi.sdt import build_table
from xlpy.firmware.acpi.walk import Found

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OBJECTS = 6000
_PER_DEVICE = 12


def dsdt(objects: int = OBJECTS) -> bytes:
    """A DSDT that makes about so many objects: devices with identities, resources, fields and methods."""
    devices = [_device(number) for number in range(objects // _PER_DEVICE)]
    return build_table("DSDT", aml.name("STAT", 0) + aml.scope("\\_SB", *devices), 2)


def _device(number: int) -> bytes:
    """Twelve objects, the device included."""
    state, local = aml.ref("^STA0"), aml.local(0)
    walk = aml.while_(
        aml.less(local, aml.size_of(aml.ref("PKG0"))),
        aml.if_(
            aml.land(aml.equal(aml.deref_of(aml.index(aml.ref("PKG0"), local)), aml.arg(0)), aml.ref("\\STAT")),
            aml.store(aml.add(local, 1), state),
            aml.return_(local),
        ),
        aml.increment(local),
    )
    return aml.device(
        f"D{number:03X}",
        aml.name("_HID", aml.eisaid("PNP0C02")),
        aml.name("_UID", number),
        aml.name("_CRS", aml.resource_template(aml.io(0x100, 0x100, 1, 8), aml.memory32fixed(0xFED00000, 0x1000))),
        aml.name("PKG0", aml.package(1, 2, aml.string("three"), aml.package(4, 5), aml.buffer(bytes(16)))),
        aml.name("STA0", 0x0F),
        aml.op_region("REG0", aml.Space.SYSTEM_MEMORY, 0xFED00000 + 256 * number, 0x100),
        aml.field("REG0", [("FLD0", 8), (None, 24), ("FLD1", 32)], aml.Access.DWORD),
        aml.method("_STA", 0, aml.if_(aml.equal(aml.ref("FLD0"), 1), aml.return_(0x0B)), aml.return_(aml.ref("STA0"))),
        aml.method("FIND", 1, aml.store(0, local), walk, aml.return_(aml.ones())),
        aml.method(
            "_DSM",
            4,
            *(
                aml.if_(aml.equal(aml.arg(2), case), aml.store(aml.call("FIND", case), aml.ref("FLD1")))
                for case in range(8)
            ),
            aml.return_(aml.concatenate(aml.to_buffer(aml.arg(2)), aml.buffer(bytes(4)))),
        ),
    )


def cases(folder: Path) -> Iterator[Case | Skip]:
    """The lint of a dump of it, held against acpiexec, which only loads it."""
    acpiexec = shutil.which("acpiexec")
    if acpiexec is None:
        yield Skip("acpi check", "acpiexec is not installed (package acpica-tools)")
        return
    table, dump = folder / "laptop.dat", folder / "laptop.txt"
    table.write_bytes(dsdt())
    dump.write_text(to_hex([Found("DSDT", 0, table.read_bytes())]))
    yield Case(
        f"acpi check of {OBJECTS} objects",
        "acpiexec (process)",
        3,
        lambda: subprocess.run(
            [sys.executable, "-m", "xlpy", "-q", "acpi", "check", dump], check=True, stdout=subprocess.DEVNULL
        ),
        lambda: subprocess.run([acpiexec, "-b", "quit", table], cwd=folder, check=False, capture_output=True),
    )
