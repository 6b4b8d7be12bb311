"""Imports of our own modules without a search: a command's time is half spent on importing some hundred of them.

Python looks for a module in every finder, under every ending, and makes and splits paths many times. Where one of ours
lies is known, so here it is one look at the source and one at its compiled form: half the time for the same modules,
with the same attributes. Whatever is out of the ordinary (no compiled form yet, an outdated one, one for a debugger, a
zip file) is left to the finders behind this one.
"""

from __future__ import annotations

import sys
from _frozen_importlib import BuiltinImporter, ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
from marshal import loads
from posix import O_CLOEXEC, O_RDONLY, close, open, read, stat  # noqa: A004 - importing os for them is no faster

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

    from xlpy.typing import Protocol

    class Finder(Protocol):
        """A finder of the import system."""

        def find_spec(
            self, name: str, path: Sequence[str] | None, target: ModuleType | None = None, /
        ) -> ModuleSpec | None: ...


_HEADER = 16  # bytes: magic, flags, then modification time and size of the source
_PLAIN = MAGIC_NUMBER + bytes(4)  # no flags: valid while the source is as it was
_WORD = 0xFFFFFFFF


class _Compiled(SourceFileLoader):
    """A source file whose code is read already."""

    def __init__(self, name: str, path: str, code: bytes) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType | None:
        """The code; it is run once, so it is not kept."""
        code, self._code = self._code, b""
        return loads(memoryview(code)[_HEADER:]) if code else super().get_code(fullname)


class Direct:
    """Finds modules of the packages that it is made for.

    Args:
        package: the name of the uppermost one.
    """

    def __init__(self, package: str) -> None:
        self._start = f"{package}."
        self._ending = f".{sys.implementation.cache_tag}.pyc"

    def find_spec(self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """As the import system wants it; None leaves the module to the next finder."""
        if path is None or not name.startswith(self._start):
            return None
        folder = f"{path[0]}/{name.rpartition('.')[2]}"
        try:
            try:
                source, is_package = f"{folder}.py", False
                found = stat(source)
                above, stem = path[0], folder[len(path[0]) + 1 :]
            except FileNotFoundError:
                source, is_package = f"{folder}/__init__.py", True
                found = stat(source)
                above, stem = folder, "__init__"
            cached = f"{above}/__pycache__/{stem}{self._ending}"
            file = open(cached, O_RDONLY | O_CLOEXEC)
            try:
                code = read(file, stat(file).st_size)
            finally:
                close(file)
        except OSError:
            return None
        state = (int(found.st_mtime) & _WORD).to_bytes(4, "little") + (found.st_size & _WORD).to_bytes(4, "little")
        if code[:_HEADER] != _PLAIN + state:
            return None
        return located(_Compiled(name, source, code), cached, is_package)


def located(loader: SourceFileLoader, cached: str, is_package: bool) -> ModuleSpec:
    """What the import system is to know of a module; ``cached`` is where its compiled form is, or would be."""
    spec = ModuleSpec(loader.name, loader, origin=loader.path, is_package=is_package)
    spec.cached = cached
    spec.has_location = True
    if is_package:
        spec.submodule_search_locations = [loader.path.rpartition("/")[0]]
    return spec


def ask_before_python(finder: Finder) -> None:
    """Ask a finder before Python's own, unless Python is to drop assertions, which our compiled modules have.

    Finders that were installed in front of Python's stay in front of this one too.
    """
    if not sys.flags.optimize and BuiltinImporter in sys.meta_path:
        sys.meta_path.insert(sys.meta_path.index(BuiltinImporter), finder)


def install(package: str) -> None:
    """Find modules without a search, unless Python runs in a way in which compiled modules lie elsewhere."""
    if sys.pycache_prefix is None:
        ask_before_python(Direct(package))
