"""Both boots of the judge, once for all tests: files are made without Xen, then exported and used under it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from realxen.machine import INSIDE, LABELS, NVDIMM_AT, Machine, assemble
from realxen.scene import receive, send
from realxen.steps import QUICK

README = Path(__file__).parents[2] / "README.md"
SIZE = (128 << 20) + LABELS
SECONDS = 1800  # of one boot; about 200 on an idle machine


def minute() -> list[str]:
    """The commands of README.md's minute on a real Xen."""
    section = README.read_text().partition("\n## A minute on a real Xen\n")[2].partition("\n## ")[0]
    return re.findall(r"(?m)^\$ (.+)$", section)


class Judged:
    """What the machine told, and the NVDIMM as it left it.

    Args:
        folder: in which both boots wrote.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "xen"
        parts = re.split(r"(?m)^=== (\w+)\n", (self.out / "log").read_text(errors="replace"))
        self.sections = dict(zip(parts[1::2], parts[2::2], strict=True))

    def statuses(self, section: str) -> list[int]:
        """Exit statuses of the commands of a section that tell theirs."""
        return [int(found) for found in re.findall(r"^\[status (\d+)\]$", self.sections[section], re.MULTILINE)]

    def guest(self, number: int) -> dict[str, str]:
        """Sections of what a guest wrote on its console."""
        text = (self.out / "guests" / f"guest-vm{number}.log").read_text(errors="replace").replace("\r", "")
        parts = re.split(r"(?m)^=== (\w+)\n", text)
        return dict(zip(parts[1::2], parts[2::2], strict=True))

    @property
    def extents(self) -> dict[str, list[tuple[int, int, int]]]:
        """(offset, host address, length) of each file, as `xlpy pmem resolve` told in Dom0."""
        told = {name: json.loads((self.out / f"{name}.json").read_text()) for name in ("vm1.img", "vm1.labels")}
        return {name: [(e["logical"], e["spa"], e["length"]) for e in one["extents"]] for name, one in told.items()}

    def media(self, name: str) -> bytes:
        """The bytes at a file's host addresses, read from the switched off NVDIMM."""
        with (self.folder / "nvdimm").open("rb") as image:
            return b"".join(self._read(image, spa - NVDIMM_AT, length) for _, spa, length in self.extents[name])

    @staticmethod
    def _read(image, at: int, length: int) -> bytes:
        image.seek(at)
        return image.read(length)

    def answers(self):
        """What the real xl answered to the steps."""
        return receive(self.out)


def judge(folder: Path, xen: str = "4.17") -> None:
    """Run both boots.

    Raises:
        Unavailable: what is missing on this machine.
        AssertionError: a boot did not get to its end.
    """
    nvdimm = folder / "nvdimm"
    with nvdimm.open("wb") as image:
        image.truncate(SIZE)
    first, second = folder / "none", folder / "xen"
    for place in (first, second):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    machine = Machine(xen, nvdimm)
    ended = Machine("none", nvdimm).boot("prepare.sh", first, SECONDS)
    assert ended.status == 0, ended.console[-2000:] + (first / "log").read_text()[-2000:]
    for number in (1, 2):
        kernel, initramfs = assemble(INSIDE / f"guest{number}.sh")
        shutil.copy(kernel, second / "kernel")
        shutil.copy(initramfs, second / f"guest{number}")
    send(second, QUICK)
    (second / "minute").write_text("".join(f"{line}\n" for line in minute()))
    ended = machine.boot("judge.sh", second, SECONDS)
    assert "=== end" in (second / "log").read_text(), ended.console[-3000:] + (second / "log").read_text()[-3000:]
