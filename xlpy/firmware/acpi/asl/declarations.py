"""Which names are methods, and with how many arguments: needed to parse AML."""

from __future__ import annotations

from xlpy.contexts import contextmanager
from xlpy.firmware.acpi.asl.words import METHOD_TYPE
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.names import Path, parse
from xlpy.firmware.acpi.eval.namespace import PREDEFINED
from xlpy.firmware.acpi.eval.reader import NAME_STARTS, AmlReader
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xlpy.firmware.acpi.eval.names import Absolute
    from xlpy.firmware.acpi.eval.opcodes import Op

    Names = dict[Absolute, int | None]  # full paths, with the number of arguments of methods

_CONTAINERS = ("Scope", "Device", "Processor", "PowerResource", "ThermalZone")
_WIDTHS = {"B": 1, "W": 2, "D": 4}
_BUILT_IN: Names = {(): None, ("_OSI",): 1, ("_REV",): None, ("_OS_",): None, ("_GL_",): None} | {
    (name,): None for name in PREDEFINED
}


class Declarations:
    """The names that a table and those loaded with it declare.

    Args:
        own: full paths that the table declares itself, with the number of arguments of methods.
        known: those of all tables.
    """

    def __init__(self, own: Names, known: Names) -> None:
        self._own, self._known = own, known
        self._local: Names = {}

    @classmethod
    def of(cls, tables: Sequence[bytes]) -> list[Declarations]:
        """Those of each of some tables that are loaded together."""
        known, found = dict(_BUILT_IN), [dict(_BUILT_IN) for _ in tables]
        for _ in range(2):  # calls in front of the declaration of their method are then read with its arguments
            for table, own in zip(tables, found, strict=True):
                _Scan(table, 36, own, known).terms(len(table), ())
                known |= own
        return [cls(own, known) for own in found]

    parse = staticmethod(parse)

    def find(self, scope: Absolute, path: Path) -> tuple[Absolute | None, int | None]:
        """The full path that a name means, None when it is not declared, and its number of arguments if a method."""
        for full in path.candidates(scope):
            for names in (self._local, self._known):
                if full in names:
                    return full, names[full]
        return None, None

    def is_own(self, full: Absolute) -> bool:
        """Whether the table declares it itself."""
        return full in self._own or full in self._local

    @contextmanager
    def inside(self, data: bytes, start: int, end: int, scope: Absolute) -> Iterator[None]:
        """While a method is printed, what it declares itself is known too."""
        outer, self._local = self._local, dict(self._local)
        _Scan(data, start, self._local, self._known).terms(end, scope)
        yield
        self._local = outer


class _Scan(AmlReader):
    """Collects declarations; method bodies are not looked into.

    Args:
        data: the whole table.
        at: where to begin.
        found: where to put full paths, with the number of arguments of methods.
        known: further names; External opcodes add to them.
    """

    def __init__(self, data: bytes, at: int, found: Names, known: Names) -> None:
        super().__init__(data, at)
        self.found, self.known = found, known

    def terms(self, end: int, scope: Absolute) -> None:
        """All terms up to ``end``; what cannot be read ends them."""
        try:
            while self.at < end:
                self._term(end, scope)
        except (AmlError, RecursionError):
            self.at = end

    def _term(self, end: int, scope: Absolute) -> None:
        op = self.opcode(end)
        if op is None:
            path = self.path(end)
            for _ in range(self._args(path, scope)):
                self._term(end, scope)
            return
        stop = self.package_end(end) if op.package else end
        if op.name == "Method":
            path, flags = self.path(stop), self.number(1, stop)
            self._declare(path, scope, flags & 7)
        elif op.name in _CONTAINERS:
            path = self.path(stop)
            for kind in op.args[1:-1]:
                self.number(_WIDTHS[kind], stop)
            if op.name != "Scope":
                self._declare(path, scope)
            self.terms(stop, self._inner(path, scope) if op.name == "Scope" else path.under(scope) or ())
        elif op.name == "External":
            path, type_of, args = self.path(stop), self.number(1, stop), self.number(1, stop)
            full = path.under(scope)
            if type_of == METHOD_TYPE and full is not None:
                self.known.setdefault(full, args)
        else:
            self._operands(op, stop, scope)
        if op.package:
            self.at = stop

    def _operands(self, op: Op, end: int, scope: Absolute) -> None:
        if op.name in ("Field", "IndexField", "BankField"):
            for kind in op.args[:-2]:
                self.path(end) if kind == "n" else self._term(end, scope)
            for unit in self.field_list(self.number(1, end) & 0xF, end):
                self._declare(Path(False, 0, (unit.name,)), scope)
            return
        for kind in op.args:
            if kind == "n":
                path = self.path(end)
                if not op.value and op.name != "Alias":
                    self._declare(path, scope)
            elif kind in _WIDTHS:
                self.number(_WIDTHS[kind], end)
            elif kind == "Q":
                self.number({"Byte": 1, "Word": 2, "DWord": 4, "QWord": 8}[op.name], end)
            elif kind == "S":
                self.at = self.data.index(0, self.at, end) + 1 if 0 in self.data[self.at : end] else end
            elif kind == "L":
                self.terms(end, scope)
            elif kind in "sg" and self.at < end and self.data[self.at] in NAME_STARTS:
                self.path(end)
            elif kind in "tsg":
                self._term(end, scope)
            else:  # the rest of a package holds values
                self.at = end
        if op.name == "Alias":
            self._declare(path, scope)

    def _args(self, path: Path, scope: Absolute) -> int:
        for full in path.candidates(scope):
            for names in (self.found, self.known):
                if full in names:
                    return names[full] or 0
        return 0

    def _inner(self, path: Path, scope: Absolute) -> Absolute:
        for full in path.candidates(scope):
            if full in self.found or full in self.known:
                return full
        return path.under(scope) or ()

    def _declare(self, path: Path, scope: Absolute, args: int | None = None) -> None:
        full = path.under(scope)
        if full is not None:
            self.found[full] = args
