"""The same steps with xlpy: one process each, on an emulated host with the size of the machine of `machine.py`."""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING
from unittest.mock import patch

from realxen.scene import Answer, lay

from xlpy.cli.main import run
from xlpy.host import Host

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from realxen.steps import Step

MACHINE = """
name: realxen
ram: 5G
cpu: {count: 1, physical_bits: 40}
dimms:
  - {id: dimm0, capacity: 256M, handle: 0x01}
sets:
  - {name: set0, dimms: [dimm0]}
namespaces:
  - {region: set0, mode: raw}
"""


def _call(words: Iterable[str]) -> Answer:
    """One command of xlpy; an exit in the middle of it is its status."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = run(list(words))
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
    return Answer(status, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def _undo(step: Step) -> None:
    """End the domain that xlpy made where xl made none: one difference shall not become many."""
    named = [word.split("=", 1)[1].strip('"') for word in step.words if word.startswith("name=")]
    _call(["destroy", *(named or [word.removesuffix(".cfg") for word in step.words if word.endswith(".cfg")][:1])])


def replay(steps: Iterable[Step], real: Iterable[Answer], folder: Path, xen: str = "4.17") -> Iterator[Answer | None]:
    """What xlpy does at each step; None where it is not asked.

    Args:
        real: what xl did.
        folder: gets the host and the files that the steps name.
        xen: the version that xlpy answers as.
    """
    folder.mkdir(exist_ok=True)
    lay(folder / "work")
    (folder / "machine.yaml").write_text(MACHINE)
    root = folder / "host"
    Host.make(root, folder / "machine.yaml", xen=xen).store.close()
    with contextlib.chdir(folder / "work"), patch.dict(os.environ, XLPY_ROOT=str(root), XLPY_XEN=xen):
        for step, theirs in zip(steps, real, strict=True):
            if step.model is None:
                yield None
                continue
            answer = _call(step.model[1:])
            if step.tree:
                answer = Answer(answer.status, answer.out, answer.err, _call(["xenstore", "ls", "-fp"]).out)
            if "create" in step.words and theirs.status and not answer.status:
                _undo(step)
            yield answer
