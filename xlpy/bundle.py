"""Modules of the most used commands, compiled in one file when xlpy is built: loading them is half of such a command.

A module of its own file costs five system calls and some thirty steps of the import system, most of which look for
what is not there. In the bundle (``tools/bundle.py`` makes it) modules that the same commands load are together, and
what a module imports is known: that runs before it does.

A module whose source has changed since is left to the finders behind this one, as are all without a bundle for this
Python, which is so in a tree of sources.
"""

from __future__ import annotations

import sys
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
from _imp import _fix_co_filename  # type: ignore[attr-defined]  # the import system uses it for the same
from _thread import _count as threads
from marshal import loads
from posix import O_CLOEXEC, O_RDONLY, open, pread, stat  # noqa: A004 - importing os for them is no faster

from xlpy.direct import ask_before_python, located
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _frozen_importlib import ModuleSpec
    from collections.abc import Sequence
    from types import CodeType, ModuleType

    Group = dict[str, tuple[bool, int, tuple[str, ...], CodeType]]
else:
    ModuleType = type(sys)

_HEAD = len(MAGIC_NUMBER) + 4  # bytes: Python's magic number, length of the index
_ENDING = f".{sys.implementation.cache_tag}.pyc"
_INSTALLING = 60  # seconds that the files of one installation may be apart
_NO_BUNDLE = (OSError, EOFError, ValueError, TypeError)  # of a file that cannot be read, or is damaged


class _Loader(SourceFileLoader):
    """A module whose code is in the bundle."""

    def __init__(self, name: str, path: str, bundle: Bundle) -> None:
        super().__init__(name, path)
        self._bundle = bundle

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module with its attributes: the import system would look for each of them first."""
        return _module(spec)

    def get_code(self, fullname: str) -> CodeType | None:
        """The code; it is run once, so it is not kept."""
        return self._bundle.code(fullname, self.path) or super().get_code(fullname)


class Bundle:
    """Finds modules in a bundle.

    Args:
        site: the folder that the package is in.
        path: the file: Python's magic number, the length of the index (32 bits, little-endian), the index, the groups.

    The index is ``(modules, groups)``: name -> number of its group; for each group (offset behind the index, bytes).
    A group is a dictionary: name -> (whether it is a package, bytes of its source, modules of the bundle that it
    imports, its code). Both are in the form of ``marshal``.

    Raises:
        OSError, EOFError, ValueError, TypeError: there is none, or none for this Python.
    """

    def __init__(self, site: str, path: str) -> None:
        self._site = site
        self._file = open(path, O_RDONLY | O_CLOEXEC)  # kept: a new installation replaces the file
        self._made = stat(self._file).st_mtime
        head = pread(self._file, _HEAD, 0)
        if not head.startswith(MAGIC_NUMBER):
            raise ValueError(f"{path} is for another Python")
        size = int.from_bytes(head[len(MAGIC_NUMBER) :], "little")
        self._groups_of, self._places = loads(pread(self._file, size, _HEAD))
        self._start = _HEAD + size
        self._groups: dict[int, Group] = {}

    def find_spec(self, name: str, _path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As the import system wants it; None leaves the module to the next finder."""
        if name not in self._groups_of or target is not None:
            return None
        if not threads():  # another thread could see a module that has not run yet
            self._run_imports(name)
        return self._spec(name)

    def code(self, name: str, path: str) -> CodeType | None:
        """The code of a module from ``path``, when it is asked for the first time."""
        entry = self._group(name).pop(name, None)
        if entry is None:
            return None
        _fix_co_filename(entry[-1], path)
        return entry[-1]

    def _group(self, name: str) -> Group:
        """The modules of a module's group whose code was not asked for yet."""
        number = self._groups_of[name]
        if number not in self._groups:
            offset, size = self._places[number]
            try:
                self._groups[number] = loads(pread(self._file, size, self._start + offset))
            except _NO_BUNDLE:
                self._groups[number] = {}
        return self._groups[number]

    def _spec(self, name: str) -> ModuleSpec | None:
        """None: its source is not what was compiled, or its code was taken."""
        entry = self._group(name).get(name)
        if entry is None:
            return None
        is_package, size, _, _ = entry
        place = f"{self._site}/{name.replace('.', '/')}"
        folder, stem = (place, "__init__") if is_package else place.rsplit("/", 1)
        source = f"{folder}/{stem}.py"
        try:
            found = stat(source)
        except OSError:
            return None
        if found.st_size != size or found.st_mtime > self._made + _INSTALLING:
            return None
        return located(_Loader(name, source, self), f"{folder}/__pycache__/{stem}{_ENDING}", is_package)

    def _run_imports(self, name: str) -> None:
        """Import what a module imports without the import system."""
        entry = self._group(name).get(name)
        for other in entry[2] if entry else ():
            if other not in sys.modules:
                self._run(other)

    def _run(self, name: str) -> None:
        above, _, last = name.rpartition(".")
        if above not in sys.modules:
            __import__(above)
        self._run_imports(name)
        spec = None if name in sys.modules else self._spec(name)  # its package may have imported it
        if spec is None or spec.loader is None:
            return
        module = sys.modules[name] = _module(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        setattr(sys.modules[above], last, module)


class _Module(ModuleType):
    """A module of which Python 3.11 sees at once that it has no ``__path__``, which each ``from`` asks it for.

    A plain one says so with two exceptions and their messages. Python 3.12 asks it in another way.
    """

    __getattribute__ = object.__getattribute__


_KIND = _Module if sys.version_info < (3, 12) else ModuleType


def _module(spec: ModuleSpec) -> ModuleType:
    """A module that has not run."""
    module = _KIND(spec.name)
    module.__dict__.update(
        __spec__=spec, __loader__=spec.loader, __package__=spec.parent, __file__=spec.origin, __cached__=spec.cached
    )
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    return module


def install() -> None:
    """Find modules in the bundle, if there is one."""
    home = __file__.rpartition("/")[0]
    try:
        bundle = Bundle(home.rpartition("/")[0], f"{home}/bundle.{sys.implementation.cache_tag}")
    except _NO_BUNDLE:
        return
    ask_before_python(bundle)
