"""Imports run downwards: between the layers, inside the divided ones, and never in a circle.

Imports for type checkers and imports inside functions count too: whoever reads a module has to know what they name.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

import xlpy

ROOT = Path(xlpy.__file__).parent

LAYERS = [  # from the top; what stands in one line does not know of each other
    ["__main__"],
    ["start"],
    ["bundle"],
    ["direct"],
    ["cli", "pytest_plugin"],
    ["api"],
    ["events", "testhosts"],
    ["views"],
    ["host"],
    ["domains"],
    ["actors", "making"],
    ["replacing"],
    ["statedir"],
    ["boot", "guest"],
    ["toolstack", "powercut"],
    ["devicemodel"],
    ["dom0", "hypervisor"],
    ["firmware"],
    ["hw"],
    ["outputs"],
    ["inputs", "rangemap", "store"],
    ["damage", "journal", "locking", "table"],
    ["abi", "addr", "columns", "held", "jsontext", "private", "records", "uuids", "xen_version"],
    ["compiled", "contexts"],
    ["functions"],
    ["__version__", "digest", "errors", "limits", "typing"],
]

INSIDE = {  # the same inside a layer
    "dom0": [
        ["emulated", "linux"],
        ["discovery"],
        ["bring_up"],
        ["files"],
        ["xfs"],
        ["ext4"],
        ["image", "kernel", "nvdimm", "xenstore"],
        ["extents"],
    ],
    "toolstack": [["export"], ["domain"], ["backing"], ["config"]],
}


@cache
def imports(path):
    """(line, module below ``xlpy``) of every import of our own; a name of a package counts as the module it may be."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "xlpy":
            base = node.module.split(".")[1:]
            for alias in node.names:
                longer = ROOT.joinpath(*base, alias.name)
                whole = longer.is_dir() or longer.with_suffix(".py").is_file() or not base
                found.add((node.lineno, (*base, alias.name) if whole else tuple(base)))
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {(node.lineno, tuple(name[1:])) for name in names if name[0] == "xlpy" and name[1:]}
    return sorted(found)


def modules():
    """Every module: its path and its name below ``xlpy``."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = parts[:-1] if parts[-1] == "__init__" else parts
        if name:
            yield path, name


def upward(layers, prefix=()):
    """Imports below ``prefix`` that do not run downwards, each as ``file:line: what it imports``."""
    rank = {name: at for at, names in enumerate(layers) for name in names}
    depth = len(prefix)
    for path, name in modules():
        if name[:depth] != prefix or len(name) == depth:
            continue
        for line, target in imports(path):
            if target[:depth] != prefix or len(target) == depth or target[depth] == name[depth]:
                continue
            if rank[target[depth]] <= rank[name[depth]]:
                yield f"{path.relative_to(ROOT.parent)}:{line}: imports xlpy.{'.'.join(target)}"


def test_every_module_has_a_layer():
    there = {name[0] for _, name in modules()}
    assert there <= {name for names in LAYERS for name in names}
    for layer, names in INSIDE.items():
        inside = {name[1] for _, name in modules() if name[0] == layer and len(name) > 1}
        assert inside == {name for line in names for name in line}, layer


@pytest.mark.parametrize("layer", ["", *INSIDE])
def test_imports_run_downwards(layer):
    wrong = list(upward(INSIDE[layer], (layer,)) if layer else upward(LAYERS))
    assert not wrong, "\n".join(wrong)


def test_no_import_runs_in_a_circle():
    names = {name for _, name in modules()}
    graph = {name: {target for _, target in imports(path)} & names - {name} for path, name in modules()}
    # what nothing imports any more, or what imports nothing any more, is in no circle
    while True:
        used = set().union(*graph.values())
        leaves = {name for name, targets in graph.items() if not targets or name not in used}
        if not leaves:
            break
        graph = {name: targets - leaves for name, targets in graph.items() if name not in leaves}
    assert not graph, "\n".join(".".join(name) + " -> " + ", ".join(map(".".join, graph[name])) for name in graph)
