"""Running the top level of a table (ACPI 6.5, 5.4.2): most terms are declarations, executed as they are read.

What does more than that (If, While, Store, computed sizes, ...) is compiled and run by the machine, one statement at a
time. A statement that fails is a problem; the table goes on behind it, as in ACPICA and so in Linux.
"""

from __future__ import annotations

from xlpy.firmware.acpi.eval.compiler import Compiler
from xlpy.firmware.acpi.eval.errors import AmlError, Exhausted, UnknownName
from xlpy.firmware.acpi.eval.fields import ACCESS_WIDTHS, Bits, Field, OperationRegion
from xlpy.firmware.acpi.eval.machine import Frame
from xlpy.firmware.acpi.eval.names import Path
from xlpy.firmware.acpi.eval.namespace import AmlBlock, AmlEvent, Container, Method, Mutex
from xlpy.firmware.acpi.eval.opcodes import OPCODES
from xlpy.firmware.acpi.eval.reader import NAME_STARTS, NUMBERS, AmlReader
from xlpy.firmware.acpi.eval.references import NameRef
from xlpy.firmware.acpi.eval.registry import HANDLERS, Code
from xlpy.firmware.acpi.eval.statements import holds
from xlpy.firmware.acpi.eval.store import read_node
from xlpy.firmware.acpi.eval.structures import CONTAINERS
from xlpy.firmware.acpi.eval.units import field_at, link_of, region_at
from xlpy.firmware.acpi.eval.values import BUFFER_LIMIT, Buffer, Constant, ObjectType, Package, String
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.firmware.acpi.eval.machine import AmlMachine
    from xlpy.firmware.acpi.eval.names import Absolute
    from xlpy.firmware.acpi.eval.namespace import NamedObject, Object
    from xlpy.firmware.acpi.eval.reader import Unit
    from xlpy.firmware.acpi.eval.values import Value

_NESTED = 4  # packages in packages that are read here; deeper ones the machine makes

_WHILE, _VAR_PACKAGE = 0xA2, b"\x13"
_NAME, _BUFFER, _PACKAGE, _STRING, _EXTERNAL, _ELSE, _ADD = 0x08, 0x11, 0x12, 0x0D, 0x15, 0xA1, b"\x72"


class Loader(AmlReader):
    """Runs the top level of one table.

    Args:
        vm: whose namespace it fills.
        table: the whole table; its header is not looked at.
        start: where its AML begins.
        label: what to call the table in errors.
        scope: where its names are made.
        problems: takes what fails; without it the first failure is raised.
    """

    def __init__(
        self, vm: AmlMachine, table: bytes, start: int, label: str, scope: Absolute, problems: list[AmlError] | None
    ) -> None:
        super().__init__(table, start)
        self.vm, self.label, self.problems = vm, label, problems
        self.scope, self.end, self.next = scope, len(table), start
        self.outer: list[tuple[Absolute, int, int]] = []  # what is around: scope, end, and where to go on in it
        self.conditions: list[int] = []  # where the Ifs around end, with their Else
        self.deferred = False  # the statement at hand is one that ACPICA parses later
        self.astray = False  # what is around is lost
        self.made: list[Absolute] = []

    def run(self) -> list[Absolute]:
        """Run it all; the full paths of what it made, in order."""
        vm = self.vm
        vm.spend(len(self.data) - self.at >> 2)
        while True:
            while self.at >= self.end:
                if not self.outer:
                    return self.made
                self.scope, self.end, self.at = self.outer.pop()
                while self.conditions and self.conditions[-1] <= self.at:
                    self.conditions.pop()
            start = self.at
            self.next = self.end  # unless a statement tells better, a failure ends the block
            self.deferred = False
            try:
                code = self.data[start]
                if code == 0x5B and start + 1 < self.end:
                    code = code << 8 | self.data[start + 1]
                    self.at += 1
                self.at += 1
                statement = _STATEMENTS.get(code)
                if statement is None or statement(self, code, start) is False:
                    self.at = start
                    self._compiled()
            except Exhausted:
                raise
            except AmlError as error:
                error.at(start if error.status in _OF_NAMES else self.at, self.label)
                if self.problems is None or error.aborts:
                    raise
                self.problems.append(error)
                self.at = self.next
                if isinstance(error, UnknownName) and not self.deferred:
                    self.outer.clear()  # ACPICA stays in the scope to the end of the table, and so does Linux
                    self.end, self.astray = len(self.data), True
                    if self.conditions and self.data[start] != _WHILE:  # and leaves the innermost If
                        self.at = max(self.at, self.conditions.pop())

    def _compiled(self) -> None:
        """A statement that does more than declare."""
        compiler = self._compiler(self.end)
        code = compiler.compile(self.label, single=True)
        self.next = compiler.at
        self.vm.run(Frame(code, self.scope, [], None, made=self.made))
        self.at = self.next

    def _compiler(self, end: int) -> Compiler:
        return Compiler(
            AmlBlock(self.data, self.at, end, self.label),
            self.scope,
            self.vm.namespace.arity,
            HANDLERS,
            final=True,
            resumes=self.vm.handler is not None,
        )

    def _add(self, path: Path, thing: Object) -> NamedObject:
        namespace = self.vm.namespace
        full = namespace.place(self.scope, path)
        self.made.append(full)
        return namespace.add(full, thing)

    def _unset(self, path: Path) -> None:
        """What a term that failed would have made: the name is there all the same, without a value, as in ACPICA."""
        full = path.under(self.scope)
        if full is None or not self.vm.namespace.at(full):
            self._add(path, Container(ObjectType.UNINITIALIZED))

    def _unset_units(self, units: list[Unit]) -> None:
        for unit in units:
            self._unset(Path(False, 0, (unit.name,)))

    # -- scopes

    def _scope(self, _code: int, _start: int) -> None:
        end = self.next = self.package_end(self.end)
        node = self.vm.namespace.get(self.scope, self.path(end))
        if not isinstance(node.object, (Container, Method)):
            raise AmlError("AE_AML_OPERAND_TYPE", f"{node} has no scope, it is of type {node.type.name.lower()}")
        self._enter(node.path, end)

    def _container(self, code: int, _start: int) -> None:
        op = OPCODES[code]
        end = self.next = self.package_end(self.end)
        path = self.path(end)
        constants = tuple(self.number({"B": 1, "W": 2, "D": 4}[kind], end) for kind in op.args[1:-1])
        node = self._add(path, Container(CONTAINERS[op.name], constants))
        self._enter(node.path, end)

    def _enter(self, scope: Absolute, end: int) -> None:
        self.outer.append((self.scope, self.end, end))
        self.scope, self.end = scope, end

    # -- objects

    def _name(self, _code: int, start: int) -> None:
        path = self.path(self.end)
        at = self.at
        value = self._constant(self.end, 0)
        if value is None:
            self.at, self.deferred = start, self.data[at : at + 1] == _VAR_PACKAGE
            try:
                self._compiled()
            except AmlError as error:
                if not error.aborts and error.status != "AE_ALREADY_EXISTS":
                    self._unset(path)
                raise
            return
        self.next = self.at
        self._add(path, value)

    def _constant(self, end: int, depth: int) -> Value:
        """A data object that needs no computation; None for another."""
        at = self.at
        if at >= end:
            raise AmlError("AE_AML_PARSE", "the package ends where a value is required")
        code, self.at = self.data[at], at + 1
        width = NUMBERS.get(code)
        if width:
            return self.number(width, end) & self.vm.mask
        if code == 0 or code == 1:
            return Constant(code)
        if code == _STRING:
            stop = self.data.find(0, at + 1, end)
            if stop < 0:
                return None
            self.at = stop + 1
            return String(self.data[at + 1 : stop])
        if code == 0xFF:
            return Constant(self.vm.mask)
        if code == _BUFFER:
            inner = self.package_end(end)
            size = self._constant(inner, depth) if self.data[self.at] in _SIZES else None
            if not isinstance(size, int) or self.at > inner:
                return None
            data, self.at = self.data[self.at : inner], inner
            if size > BUFFER_LIMIT:
                raise AmlError("AE_NO_MEMORY", f"a buffer of {size} bytes; {BUFFER_LIMIT} is the limit")
            self.vm.spend(size >> 3)
            return Buffer(data.ljust(size, b"\0"))
        if code == _PACKAGE and depth < _NESTED:
            return self._package(end, depth)
        return None

    def _package(self, end: int, depth: int) -> Package | None:
        inner = self.package_end(end)
        count = self.number(1, inner)
        elements = Package()
        while self.at < inner:
            if len(elements) >= count and self.data[self.at] == _NAME:
                break  # firmware that shortens a package in place leaves its length behind: the next object is in it
            if self.data[self.at] in NAME_STARTS:
                element: Value = NameRef(self.scope, self.path(inner))
            else:
                element = self._constant(inner, depth + 1)
                if element is None:
                    return None
            elements.append(element)
        if len(elements) < count:
            elements.extend([None] * (count - len(elements)))
        del elements[count:]
        return elements

    def _method(self, _code: int, _start: int) -> None:
        end = self.next = self.package_end(self.end)
        self._add(*self.method(end, self.label))

    def _mutex(self, _code: int, _start: int) -> None:
        path, sync = self.path(self.end), self.number(1, self.end)
        self.next = self.at
        self._add(path, Mutex(sync & 0xF))

    def _event(self, _code: int, _start: int) -> None:
        path = self.path(self.end)
        self.next = self.at
        self._add(path, AmlEvent())

    def _alias(self, _code: int, _start: int) -> None:
        source, path = self.path(self.end), self.path(self.end)
        self.next = self.at
        namespace = self.vm.namespace
        node = namespace.get(self.scope, source)
        full = namespace.place(self.scope, path)
        self.made.append(full)
        namespace.alias(full, node)

    def _external(self, _code: int, _start: int) -> None:
        path, kind, args = self.path(self.end), self.number(1, self.end), self.number(1, self.end)
        full = path.under(self.scope)
        if kind == ObjectType.METHOD and 0 < args <= 7 and full:  # 0 also stands for a count that iasl was not told
            self.vm.namespace.externals[full] = args

    def _if(self, _code: int, start: int) -> None:
        """An If: the terms in it are carried out one by one, too."""
        end = behind = self.next = self.package_end(self.end)
        if self._declares_only(end, start):
            return
        other = self.end if behind >= self.end or self.data[behind] != _ELSE else behind + 1
        if other < self.end:
            self.at, at = other, self.at
            behind = self.next = self.package_end(self.end)
            other, self.at = self.at, at
        self.conditions.append(behind)
        compiler = self._compiler(end)
        code = compiler.condition(self.label)
        if self._holds(code):
            self.at = compiler.at
        elif other < self.end:
            self.at, end = other, behind
        else:
            self.at = end
        self.outer.append((self.scope, self.end, behind))
        self.end = end

    def _holds(self, code: Code) -> bool:
        """Whether a condition is met; one that fails is, as in ACPICA."""
        try:
            return holds(self.vm, self.vm.run(Frame(code, self.scope, [], None, made=self.made)))
        except (Exhausted, UnknownName):
            raise
        except AmlError as error:
            if self.problems is None or error.aborts:
                raise
            self.problems.append(error.at(self.at, self.label))
            return True

    def _else(self, _code: int, _start: int) -> bool | None:
        """An Else whose If was lost: ACPICA carries it out."""
        if not self.astray:
            return False
        end = self.next = self.package_end(self.end)
        self._enter(self.scope, end)
        return None

    def _declares_only(self, end: int, start: int) -> bool:
        """``If (0)``: what iasl puts its External declarations in, as no interpreter has to know them."""
        if self.at + 1 >= end or self.data[self.at] or self.data[self.at + 1] != _EXTERNAL:
            return False
        if end < self.end and self.data[end] == _ELSE:
            return False
        self.at += 1
        while self.at < end and self.data[self.at] == _EXTERNAL:
            self.at += 1
            self._external(_EXTERNAL, start)
        self.at = end
        return True

    # -- regions and fields

    def _region(self, _code: int, start: int) -> bool:
        path, space = self.path(self.end), self.number(1, self.end)
        offset, length = self._moved() if self.data[self.at : self.at + 1] == _ADD else self._integer(), self._integer()
        if not isinstance(offset, int) or not isinstance(length, int):
            return False
        self.next = self.at
        region = OperationRegion(str(path), space, offset, length)
        region.home = self._add(path, region).path
        return True

    def _integer(self) -> Value:
        """A constant integer; None for another term."""
        return self._constant(self.end, 0) if self.at < self.end and self.data[self.at] in _SIZES else None

    def _moved(self) -> int | None:
        """``Add (field, constant)``, as hvmloader places regions of processors; None for what must be compiled."""
        self.at += 1
        if self.at >= self.end or self.data[self.at] not in NAME_STARTS:
            return None
        node = self.vm.namespace.find(self.scope, self.path(self.end))
        added = self._integer()
        target = self.data[self.at : self.at + 1]
        if node is None or not isinstance(node.object, Field) or not isinstance(added, int) or target != b"\0":
            return None
        self.at += 1
        try:
            value = read_node(self.vm, node)
        except AmlError:
            return None
        return value + added & self.vm.mask if isinstance(value, int) else None

    def _field(self, _code: int, _start: int) -> None:
        end = self.next = self.package_end(self.end)
        path, flags = self.path(end), self.number(1, end)
        units = self.field_list(flags & 0xF, end)
        try:
            region = region_at(self.vm, self.scope, path)
        except AmlError:
            self._unset_units(units)
            raise
        self.units(
            units, flags, lambda bits, unit: Field(bits, region, link=link_of(self.vm, self.scope, region, unit))
        )

    def _index_field(self, _code: int, _start: int) -> None:
        end = self.next = self.package_end(self.end)
        paths, flags = (self.path(end), self.path(end)), self.number(1, end)
        units = self.field_list(flags & 0xF, end)
        try:
            index, data = (field_at(self.vm, self.scope, path) for path in paths)
        except AmlError:
            self._unset_units(units)
            raise
        self.units(units, flags, lambda bits, _unit: Field(bits, index=index, data=data))

    def units(self, units: list[Unit], flags: int, make: Callable[[Bits, Unit], Field]) -> None:
        """Declare the fields of a list; names that exist already are passed over one by one."""
        for unit in units:
            if unit.access >= len(ACCESS_WIDTHS):
                raise AmlError("AE_AML_OPERAND_VALUE", f"access type {unit.access} of field {unit.name}")
            field = make(Bits(unit.offset, unit.length, ACCESS_WIDTHS[unit.access], flags >> 5 & 3), unit)
            try:
                self._add(Path(False, 0, (unit.name,)), field)
            except AmlError as error:
                if self.problems is None:
                    raise
                self.problems.append(error.at(self.at, self.label))


_OF_NAMES = ("AE_NOT_FOUND", "AE_ALREADY_EXISTS", "AE_BAD_PATHNAME", "AE_AML_OPERAND_TYPE", "AE_LIMIT")
_SIZES = frozenset((0x00, 0x01, 0xFF, *NUMBERS))  # constant integers

_STATEMENTS: dict[int, Callable[[Loader, int, int], bool | None]] = {
    0x06: Loader._alias,
    0x08: Loader._name,
    0x10: Loader._scope,
    0x14: Loader._method,
    0x15: Loader._external,
    0xA0: Loader._if,
    0xA1: Loader._else,
    0x5B01: Loader._mutex,
    0x5B02: Loader._event,
    0x5B80: Loader._region,
    0x5B81: Loader._field,
    0x5B86: Loader._index_field,
    **dict.fromkeys((0x5B82, 0x5B83, 0x5B84, 0x5B85), Loader._container),
}
