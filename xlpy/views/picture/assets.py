"""The parts of the picture and of its page that are files: in this folder, shipped with the package."""

from __future__ import annotations

import os


def asset(name: str) -> str:
    """The text of a part, by its file name.

    Read by what has loaded this module: importlib.resources imports thirty modules for the same.
    """
    data: bytes = globals()["__loader__"].get_data(os.path.join(os.path.dirname(__file__), name))  # noqa: PTH118, PTH120
    return data.decode()
