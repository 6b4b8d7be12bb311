"""Running commands of this process somewhere else."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def place(folder: Path, **environment: str) -> Iterator[None]:
    """Stand in a folder, with more in the environment."""
    before, kept = os.getcwd(), dict(os.environ)  # noqa: PTH109
    os.chdir(folder)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(kept)
