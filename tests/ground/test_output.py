"""All output goes through ``xlpy.cli.show``: nobody else prints, or writes to the standard streams."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import xlpy

PACKAGE = Path(xlpy.__file__).parent
EXEMPT = {
    "cli/show.py",  # the place itself
    "toolstack/config/options/docs.py",  # makes a page of the documentation, run by hand
}
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}
WRITES = {"write", "writelines", "buffer", "print"}


def offences(source: str) -> list[int]:
    """The lines that print, or reach for a standard stream to write to it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            found.append(node.lineno)
        if (
            isinstance(node, ast.Attribute)
            and node.attr in WRITES
            and isinstance(node.value, ast.Attribute)
            and node.value.attr in STREAMS
        ):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("print(1)", [1]),
        ("x = 1\nsys.stdout.write('a')", [2]),
        ("sys.stderr.writelines([])", [1]),
        ("sys.stdout.buffer.write(b'')", [1]),
        ("sys.stdout.isatty()\nsys.stdout.flush()\nscreen.print(1)\nfile.write(b'')", []),
    ],
)
def test_what_is_found(source, lines):
    assert offences(source) == lines


def test_only_show_prints():
    """Use ``out``, ``err``, ``exact`` or ``binary`` of xlpy.cli.show: text for people must not carry escapes."""
    found = {
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in PACKAGE.rglob("*.py")
        if str(path.relative_to(PACKAGE)) not in EXEMPT
        for line in offences(path.read_text(encoding="utf-8"))
    }
    assert found == set(), "print through xlpy.cli.show"
