"""The parts of the picture and of its page that are files: beside this one, shipped with the package."""

from __future__ import annotations

from importlib.resources import files


def asset(name: str) -> str:
    """The text of a part, by its file name."""
    return (files(__package__) / name).read_text(encoding="utf-8")
