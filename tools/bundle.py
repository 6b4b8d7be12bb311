"""The bundle: modules that commands load, compiled in one file that ``xlpy/bundle.py`` reads.

``python -m tools.bundle`` runs a session of commands and writes to ``tools/bundle.txt`` which of our modules they load:
a paragraph for each group, those that the same commands need. A group is read as a whole, so a command of the session
never reads what it does not need, and another one little. The build of a wheel (``tools/wheel.py``) compiles
the bundle from that list.
"""

from __future__ import annotations
import __future__

import ast
import marshal
import os
import subprocess
import sys
import tempfile
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import NamedTuple

TREE = Path(__file__).parents[1]
LIST = TREE / "tools" / "bundle.txt"
BEFORE = ("xlpy", "xlpy.start", "xlpy.direct", "xlpy.bundle", "xlpy.typing")  # loaded before there is a bundle to ask
SESSION = """
create -q CONFIG
list
list -l
vm-list
vcpu-list
domid quickstart
nvdimm-list quickstart
block-list quickstart
map quickstart
whereis gpa quickstart 0x500001000
whereis dpa dimm0 0x1efc000
mem read quickstart 0x500001000 5
mem write quickstart 0x500001000 --hex 00
guest probe quickstart
acpi dump quickstart
acpi eval quickstart \\_SB.NVDR.NV00._LSI
acpi check quickstart
xenstore ls /local/domain/1/device
console quickstart
dmesg
info
pause quickstart
unpause quickstart
pmem mkfile 1M /mnt/pmem0/a.img
nvdimm-attach quickstart file=/mnt/pmem0/a.img
nvdimm-detach --force quickstart 1
save quickstart ROOT/saved
restore ROOT/saved
reboot quickstart
destroy quickstart
pmem list
pmem resolve /mnt/pmem0/a.img
pmem prepare /mnt/pmem0/a.img
pmem account
config check CONFIG
create -n CONFIG
host show
explain XLPY-XFS-DAMAGED
ndctl list -NRD
ndctl disable-region all
ndctl init-labels -f all
ndctl enable-region all
ndctl create-namespace -r region1 -m raw
ndctl destroy-namespace -f namespace1.0
"""  # CONFIG: the quickstart configuration; ROOT: the state directory
PROGRAM = """
import os, sys
from xlpy.start import main
leave = os._exit
def end(status):
    loaders = {name: type(getattr(module, "__loader__", None)) for name, module in sys.modules.items()}
    taken = [name for name, loader in loaders.items() if loader.__module__ == "xlpy.bundle"]
    os.write(2, f"taken: {' '.join(taken)}\\n".encode())
    leave(status)
os._exit = end
main()
"""


class Ran(NamedTuple):
    """A command of the session: its words, what it printed, our modules that it loaded, in the order in which they
    have run, and those that were taken from a bundle.
    """

    line: str
    printed: str
    loaded: list[str]
    taken: set[str]


def session(tree: Path = TREE) -> list[Ran]:
    """Run the session on a new host, with the package in a folder. SystemExit: a command fails."""
    with tempfile.TemporaryDirectory() as root:
        env = {**os.environ, "XLPY_ROOT": root, "PYTHONPATH": str(tree)}
        ran = []
        for line in SESSION.strip().splitlines():
            words = line.replace("ROOT", root).replace("CONFIG", str(TREE / "configs" / "quickstart.cfg")).split()
            command = [sys.executable, "-X", "importtime", "-c", PROGRAM, *words]
            done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{line}:\n{done.stderr}")
            lines = done.stderr.splitlines()
            names = [one.rpartition("|")[2].strip() for one in lines if one.startswith("import time:")]
            loaded = [name for name in names if name.startswith("xlpy.") and name not in BEFORE]
            taken = next(one.split()[1:] for one in lines if one.startswith("taken:"))
            ran.append(Ran(line, done.stdout.replace(root, "ROOT"), loaded, set(taken)))
        return ran


def listed(ran: list[Ran]) -> str:
    """The text of the list."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name in dict.fromkeys(name for one in ran for name in one.loaded):
        found.setdefault(tuple(one.line for one in ran if name in one.loaded), []).append(name)
    return "\n".join("\n".join((*names, "")) for names in found.values())


def groups() -> list[list[str]]:
    """The modules of each group in the list."""
    return [paragraph.split("\n") for paragraph in LIST.read_text().strip().split("\n\n")]


def compiled(groups: list[list[str]], tree: Path = TREE) -> bytes:
    """The bundle for the Python that runs this; its layout is that of ``xlpy.bundle.Bundle``."""
    numbers = {name: number for number, names in enumerate(groups) for name in names}
    places, pieces, offset = [], [], 0
    for names in groups:
        group = {}
        for name in names:
            path = Path(*name.split("."))
            is_package = (tree / path).is_dir()
            file = path / "__init__.py" if is_package else path.with_suffix(".py")
            source = (tree / file).read_bytes()
            lines = lean(source.decode(), keep_help=name.startswith("xlpy.cli."))
            first = [one for one in imports(lines) if one in numbers and not f"{one}.".startswith(f"{name}.")]
            code = compile(lines, str(file), "exec", __future__.annotations.compiler_flag, dont_inherit=True)
            group[name] = is_package, len(source), tuple(first), code
        pieces.append(marshal.dumps(group))
        places.append((offset, len(pieces[-1])))
        offset += len(pieces[-1])
    index = marshal.dumps((numbers, places))
    return b"".join((MAGIC_NUMBER, len(index).to_bytes(4, "little"), index, *pieces))


def lean(source: str, *, keep_help: bool) -> ast.Module:
    """A module without what only its readers and checkers need.

    Args:
        source: its text.
        keep_help: docstrings of functions stay: those of commands are their help.

    Returns:
        what does the same. Docstrings, annotations of functions and of variables outside of classes (records are made
        of theirs), and imports for type checkers are gone; everything else is at its line.
    """
    tree: ast.Module = _Lean(keep_help).visit(ast.parse(source))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in list(tree.body):
        if isinstance(node, ast.ImportFrom) and node.module == "xlpy.typing":
            node.names = [one for one in node.names if one.name in used]
            if not node.names:
                tree.body.remove(node)
    return tree


def imports(tree: ast.AST) -> list[str]:
    """What a module imports when it runs; ``from a import b`` gives ``a`` and ``a.b``, which may be a module."""
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}", *(f"{node.module}.{one.name}" for one in node.names)]
        elif not isinstance(node, ast.FunctionDef | ast.Lambda):
            found += imports(node)
    return list(dict.fromkeys(found))


_Body = ast.Module | ast.ClassDef | ast.FunctionDef


class _Lean(ast.NodeTransformer):
    """Removes what ``lean`` says."""

    def __init__(self, keep_help: bool) -> None:
        self._keep_help = keep_help
        self._in_class = False

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._body(node, in_class=False)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._body(node, in_class=True)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._body(node, in_class=False, keep=self._keep_help)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if self._in_class:
            return self.generic_visit(node)
        value = node.value and self.visit(node.value)
        return value and ast.copy_location(ast.Assign([node.target], value), node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.orelse if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "__future__" else node

    def _body(self, node: _Body, *, in_class: bool, keep: bool = False) -> ast.AST:
        if not keep and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        outside, self._in_class = self._in_class, in_class
        self.generic_visit(node)
        self._in_class = outside
        if not node.body and not isinstance(node, ast.Module):
            node.body = [ast.copy_location(ast.Pass(), node)]
        return node


if __name__ == "__main__":
    LIST.write_text(listed(session()))
