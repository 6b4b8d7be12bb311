"""Make the recorded answers anew: `python -m realxen.record [VERSION]...`, run in tests/, boots a real Xen for each."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from realxen.machine import LABELS, RELEASES, Machine
from realxen.recorded import dump, file
from realxen.scene import receive, send
from realxen.steps import QUICK

SECONDS = 900


def record(xen: str, folder: Path) -> str:
    """The answers of one version to all steps, as the text of a file."""
    nvdimm = folder / "nvdimm"
    with nvdimm.open("wb") as image:
        image.truncate((64 << 20) + LABELS)
    out = folder / "out"
    out.mkdir()
    send(out, QUICK)
    ended = Machine(xen, nvdimm).boot("commands.sh", out, SECONDS)
    answers = receive(out)
    if len(answers) < len(QUICK):
        raise SystemExit(f"{xen}: {len(answers)} of {len(QUICK)} steps were done\n{ended.console[-2000:]}")
    return dump(QUICK, answers)


def main() -> None:
    """Command line."""
    for xen in sys.argv[1:] or RELEASES:
        with tempfile.TemporaryDirectory() as folder:
            text = record(xen, Path(folder))
        file(xen).parent.mkdir(exist_ok=True)
        file(xen).write_text(text)
        print(f"{file(xen)}: {len(QUICK)} steps")


if __name__ == "__main__":
    main()
