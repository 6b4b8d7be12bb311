"""Modules have at most 400 lines and functions 60, docstrings not counted: what is longer has two subjects."""

import ast
from pathlib import Path

import pytest

import xlpy

ROOT = Path(xlpy.__file__).parent
MODULE_LINES = 400
FUNCTION_LINES = 60

MODULES = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.rglob("*.py"))}


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its signature included, decorators and docstring not."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= (function.body[0].end_lineno or 0) - function.body[0].lineno + 1
    return lines


def long_functions(text: str) -> list[tuple[str, int]]:
    """Name and lines of each function that is too long."""
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [(one.name, body_lines(one)) for one in functions if body_lines(one) > FUNCTION_LINES]


def test_modules():
    long = {name: text.count("\n") for name, text in MODULES.items() if text.count("\n") > MODULE_LINES}
    assert not long


def test_functions():
    long = {name: found for name, text in MODULES.items() if (found := long_functions(text))}
    assert not long


@pytest.mark.parametrize(("extra", "long"), [(0, False), (1, True)])
def test_a_docstring_does_not_count(extra, long):
    body = "    pass\n" * (FUNCTION_LINES - 1 + extra)
    assert bool(long_functions(f'def f():\n    """One.\n\n    Two.\n    """\n{body}')) is long
