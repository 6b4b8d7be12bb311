"""One scene, played by a real Xen or by xlpy: the folder with what the steps name, and what each step did."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from realxen.guests import KERNELS
from realxen.steps import CONFIGS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from realxen.steps import Step


@dataclass(frozen=True)
class Answer:
    """What one command did; ``tree`` is the store after it, as `xenstore-ls -fp` prints it."""

    status: int
    out: str
    err: str
    tree: str = ""


def lay(folder: Path) -> None:
    """Put configurations and kernels into a folder, from which the commands are run."""
    folder.mkdir(exist_ok=True)
    for name, text in CONFIGS.items():
        (folder / name).write_text(text.lstrip())
    for name, image in KERNELS.items():
        (folder / name).write_bytes(image)


def send(folder: Path, steps: Iterable[Step]) -> None:
    """Tell ``inside/steps.py`` what to do."""
    lay(folder / "work")
    told = [{"words": step.words, "until": step.until, "tree": step.tree} for step in steps]
    (folder / "steps.json").write_text(json.dumps(told))


def receive(folder: Path) -> list[Answer]:
    """What ``inside/steps.py`` told."""
    return [Answer(**json.loads(line)) for line in (folder / "steps.told").read_text().splitlines()]


def save(answers: Iterable[Answer], file: Path) -> None:
    """Keep answers as they came."""
    file.write_text("".join(json.dumps(asdict(answer)) + "\n" for answer in answers))
