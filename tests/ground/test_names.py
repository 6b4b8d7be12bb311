"""One name for one thing, and one home for one fact."""

import ast
from collections import defaultdict
from pathlib import Path

import xlpy

ROOT = Path(xlpy.__file__).parent


def test_class_names_are_unique():
    homes = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(f"{path.relative_to(ROOT.parent)}:{node.lineno}")
    assert not {name: places for name, places in homes.items() if len(places) > 1}


def literals(path: Path):
    """(name, line, value) of the public constants of a module that are given as a literal."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            try:
                value = eval(compile(ast.Expression(node.value), "", "eval"), {"__builtins__": {}}, SIZES)
            except Exception:
                continue
            if name.isupper() and not name.startswith("_") and value not in (0, 1, None):
                yield name, node.lineno, value


SIZES = {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40, "PAGE": 4096}


BY_CHANCE = {  # numbers that are the same for different reasons: waits, buffers, limits, names of files
    *("CHUNK", "LOCK", "LOCK_SECONDS", "MAX_TRANSFER", "MOST", "POLL_SECONDS", "UNIT"),
    "BLANKS",  # ndctl's commands do not wait for the configuration language
}


def test_constants_have_one_home():
    homes = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        for name, line, value in literals(path):
            if name not in BY_CHANCE:
                homes[name, repr(value)].append(f"{path.relative_to(ROOT.parent)}:{line}")
    assert not {what: places for what, places in homes.items() if len(places) > 1}
