"""Puts the bundle of modules (``tools/bundle.py``) into a wheel, for the Python that builds it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parents[1]))
from tools import bundle


class Bundling(BuildHookInterface):  # type: ignore[type-arg]
    """Another Python that gets the wheel does without it, and an editable installation has none: its sources change."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file to what is built."""
        if version != "editable":
            self._folder = tempfile.TemporaryDirectory()
            made = Path(self._folder.name, "bundle")
            made.write_bytes(bundle.compiled(bundle.groups()))
            build_data["force_include"][str(made)] = f"xlpy/bundle.{sys.implementation.cache_tag}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel has its copy."""
        if version != "editable":
            self._folder.cleanup()
