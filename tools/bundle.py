"""The bundle: modules that the most used commands load, compiled in one file that ``xlpy/bundle.py`` reads.

``python -m tools.bundle`` runs those commands and writes to ``tools/bundle.txt`` which of our modules each has loaded.
The build of a wheel (``tools/wheel.py``) compiles the bundle from that list.
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

TREE = Path(__file__).parents[1]
LIST = TREE / "tools" / "bundle.txt"
QUICKSTART = str(TREE / "configs" / "quickstart.cfg")
FILE = "/mnt/pmem0/a.img"
BEFORE = ("xlpy", "xlpy.start", "xlpy.direct", "xlpy.bundle", "xlpy.typing")  # loaded before there is a bundle to ask
SESSION = (  # commands on a new host: (its name in the list, none: it only makes what others need), words
    ("", ("create", "-q", QUICKSTART)),
    ("", ("pmem", "mkfile", "1M", FILE)),
    ("", ("destroy", "quickstart")),
    ("create", ("create", "-q", QUICKSTART)),
    ("list", ("list",)),
    ("pmem list", ("pmem", "list")),
    ("pmem resolve", ("pmem", "resolve", FILE)),
    ("guest probe", ("guest", "probe", "quickstart")),
    ("whereis", ("whereis", "gpa", "quickstart", "0x500001000")),
    ("destroy", ("destroy", "quickstart")),
)


def loaded() -> dict[str, list[str]]:
    """Command -> our modules that it loads, in the order in which they have run."""
    with tempfile.TemporaryDirectory() as root:
        env = {**os.environ, "XLPY_ROOT": root, "PYTHONPATH": str(TREE)}

        def run(*words: str) -> list[str]:
            program = "import sys; sys.argv[0] = 'xlpy'; from xlpy.start import main; main()"
            command = [sys.executable, "-X", "importtime", "-c", program, *words]
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{' '.join(words)}: {done.stderr}")
            lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
            names = [line.rpartition("|")[2].strip() for line in lines]
            return [name for name in names if name.startswith("xlpy.") and name not in BEFORE]

        ran = [(name, run(*words)) for name, words in SESSION]
        return {name: modules for name, modules in ran if name}


def listed() -> str:
    """The list: a paragraph for each group, its first line names the commands that load these modules."""
    commands = loaded()
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for names in commands.values() for name in names):
        found.setdefault(", ".join(one for one in commands if name in commands[one]), []).append(name)
    return "\n".join("\n".join((who, *names, "")) for who, names in found.items())


def groups() -> list[list[str]]:
    """The modules of each group in the list."""
    return [paragraph.split("\n")[1:] for paragraph in LIST.read_text().strip().split("\n\n")]


def compiled(groups: list[list[str]], tree: Path = TREE) -> bytes:
    """The bundle for the Python that runs this; its layout is that of ``xlpy.bundle.Bundle``."""
    modules, places, pieces, offset = {}, [], [], 0
    for number, names in enumerate(groups):
        codes = {}
        for name in names:
            path = Path(*name.split("."))
            is_package = (tree / path).is_dir()
            file = path / "__init__.py" if is_package else path.with_suffix(".py")
            source = (tree / file).read_bytes()
            modules[name] = number, is_package, len(source)
            codes[name] = lean(source.decode(), str(file), keep_help=name.startswith("xlpy.cli."))
        pieces.append(marshal.dumps(codes))
        places.append((offset, len(pieces[-1]), tuple(names)))
        offset += len(pieces[-1])
    index = marshal.dumps((modules, places))
    return b"".join((MAGIC_NUMBER, len(index).to_bytes(4, "little"), index, *pieces))


def lean(source: str, file: str, *, keep_help: bool) -> object:
    """Compile a module without what only its readers and checkers need.

    Args:
        source: its text.
        file: what its code objects name as their file.
        keep_help: docstrings of functions stay: those of commands are their help.

    Returns:
        a code object that does the same. Docstrings, annotations of functions and of variables outside of classes
        (records are made of theirs), and imports for type checkers are gone; lines have their numbers.
    """
    tree = _Lean(keep_help).visit(ast.parse(source))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in list(tree.body):
        if isinstance(node, ast.ImportFrom) and node.module == "xlpy.typing":
            node.names = [one for one in node.names if one.name in used]
            if not node.names:
                tree.body.remove(node)
    return compile(tree, file, "exec", __future__.annotations.compiler_flag, dont_inherit=True)


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

    def _body(
        self, node: ast.Module | ast.ClassDef | ast.FunctionDef, *, in_class: bool, keep: bool = False
    ) -> ast.AST:
        if not keep and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        outside, self._in_class = self._in_class, in_class
        self.generic_visit(node)
        self._in_class = outside
        if not node.body:
            node.body = [ast.copy_location(ast.Pass(), node)] if not isinstance(node, ast.Module) else []
        return node


if __name__ == "__main__":
    LIST.write_text(listed())
