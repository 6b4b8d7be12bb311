"""The guest's AML, in this process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from case import Case, Skip

from xlpy.guest.machine import interpreter
from xlpy.host import Host
from xlpy.toolstack.config import load_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MILLISECONDS = 0.02  # of a label read of the largest transfer


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
    code = (
        "import sys; from xlpy.firmware.acpi.eval import load; "
        "load([open(name, 'rb').read() for name in sys.argv[1:]]).namespace()"
    )
    yield Case(
        "load the namespace (process)",
        "acpiexec (process)",
        3,
        lambda: subprocess.run([sys.executable, "-c", code, *names], cwd=tables, check=True),
        lambda: subprocess.run([acpiexec, "-b", "quit", *names], cwd=tables, check=False, capture_output=True),
    )
