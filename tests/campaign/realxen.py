#!/usr/bin/env python3
"""Both judges of tests/realxen on every Xen that Debian has, and what libxl takes of `iomem` and `acpi_firmware`.

    python tests/campaign/realxen.py [VERSION ...]     # 4.17 4.20; about fifteen minutes each

Exit status 1 when something is not as the tests or the table below say.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests")]

from realxen.debian import Unavailable  # noqa: E402
from realxen.machine import LABELS, RELEASES, Machine  # noqa: E402

SECONDS = 1800
# section of inside/limits.sh: pattern that its text has to match
LIMITS = {
    "entries1000": r"\[status 0\]\n1000\n",
    "entries4000": r"\[status 0\]\n\d+\n",  # Xen's log keeps the last 16 KiB
    "twice": r"\[status 0\]\n\[status 0\]\n",  # Xen maps one page into two guests: only the export refuses
    "save": r"\[status 0\]\n",
    "blob256": r"\[status 0\]\n1\n",
    "blob1024": r"\[status 0\]\n1\n",
    "tables16": r"\[status 0\]\n",
    "tables17": r"\[status 0\]\n",
}


def limits(xen: str, folder: Path) -> list[str]:
    """What is not as LIMITS says."""
    nvdimm, out = folder / "nvdimm", folder / "out"
    with nvdimm.open("wb") as image:
        image.truncate((128 << 20) + LABELS)
    out.mkdir()
    ended = Machine(xen, nvdimm).boot("limits.sh", out, SECONDS)
    text = (out / "log").read_text(errors="replace")
    parts = re.split(r"(?m)^=== (\w+)\n", text)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    if "end" not in sections:
        return [f"the machine ended early\n{ended.console[-1000:]}\n{text[-1000:]}"]
    return [f"{name}: {sections[name]}" for name, pattern in LIMITS.items() if not re.search(pattern, sections[name])]


def main() -> int:
    """Command line."""
    failed = 0
    for xen in sys.argv[1:] or RELEASES:
        words = [sys.executable, "-m", "pytest", "-q", "tests/realxen/test_real_xen.py"]
        failed |= subprocess.run(words, cwd=REPO, env=os.environ | {"XLPY_REAL_XEN": xen}, check=False).returncode
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = limits(xen, Path(folder))
            except Unavailable as error:
                found = [str(error)]
        for problem in found:
            print(f"{xen}: {problem}")
        print(f"Xen {xen}: {len(LIMITS)} limits, {len(found)} not as stated")
        failed |= bool(found)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
