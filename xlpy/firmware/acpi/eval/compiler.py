"""From AML bytes to code for the interpreter's stack machine, driven by the grammar in ``opcodes``.

Instructions are tuples (handler, operand, offset of the opcode in its table). Values are computed on a stack, so
neither deep expressions nor deep calls need Python's own. Method bodies are compiled when they are first called.

The number of arguments of a call is not in the byte stream: the compiler must know the method that a name means. It
asks the namespace, and remembers what the block at hand declares, whether or not that has run yet.
"""

from __future__ import annotations

from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.names import Path, decode
from xlpy.firmware.acpi.eval.namespace import Block, Container, Method
from xlpy.firmware.acpi.eval.reader import NAME_STARTS, Reader
from xlpy.firmware.acpi.eval.registry import Code
from xlpy.firmware.acpi.eval.values import ObjectType
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xlpy.firmware.acpi.eval.names import Absolute
    from xlpy.firmware.acpi.eval.opcodes import Op
    from xlpy.firmware.acpi.eval.registry import Handler, Instruction


NESTING = 120  # terms in terms

_CONSTANTS = {"Byte": 1, "Word": 2, "DWord": 4, "QWord": 8}
_WIDTHS = {"B": 1, "W": 2, "D": 4}
_CONTAINERS = {
    "Device": ObjectType.DEVICE,
    "Processor": ObjectType.PROCESSOR,
    "PowerResource": ObjectType.POWER,
    "ThermalZone": ObjectType.THERMAL,
}


class Loop(NamedTuple):
    """The innermost While: its first instruction, and the jumps that leave it."""

    start: int
    breaks: list[int]


class Compiler(Reader):
    """Compiles one block.

    Args:
        block: the bytes.
        scope: the scope they are in.
        arity: the number of arguments of the method at a full path; None when there is no method, -1 when nothing.
        handlers: the machine's handlers by name.
        module: whether the block is a table's top level, where regions are located late.
    """

    def __init__(
        self,
        block: Block,
        scope: Absolute,
        arity: Callable[[Absolute], int | None],
        handlers: Mapping[str, Handler],
        *,
        module: bool = False,
    ) -> None:
        super().__init__(block.data, block.start)
        self.block, self.scope, self.module = block, scope, module
        self.known, self.handlers = arity, handlers
        self.depth = 0
        self.declared: dict[Absolute, int | None] = {}
        self.loop: Loop | None = None
        self.out: list[Instruction] = []

    def compile(self, path: str) -> Code:
        """All terms of the block; AmlError, with offset and ``path``, when they are malformed."""
        code = Code(path)
        self.out = code.instructions
        start = self.at
        try:
            self._terms(self.block.end)
        except AmlError as error:
            raise error.at(min(self.at, len(self.data)), path) from None
        self._emit("End", None, start)
        return code

    # -- terms

    def _terms(self, end: int) -> None:
        self._nest()
        branch: int | None = None  # of the If that an Else may follow
        while self.at < end:
            start = self.at
            op = self.opcode(end)
            if op is None:
                branch = None
                self._name_or_call(end, start)
            elif op.value and op.args in _DATA:
                raise AmlError("AE_AML_BAD_OPCODE", f"{op.name} is a value, a statement is required")
            elif op.name == "Else":
                self._else(branch, end, start)
                branch = None
            else:
                branch = self._operation(op, end, start)
            if op is None or op.value:
                self._emit("Drop", None, start)
        self._leave()

    def _term(self, end: int) -> None:
        """A TermArg: leaves one value on the stack."""
        start = self.at
        op = self.opcode(end)
        if op is None:
            self._name_or_call(end, start)
            return
        if not op.value:
            raise AmlError("AE_AML_BAD_OPCODE", f"{op.name} has no value, one is required")
        self._nest()
        self._operation(op, end, start)
        self._leave()

    def _target(self, end: int, *, optional: bool) -> None:
        """A SuperName or Target: leaves one reference on the stack, or None for no target."""
        start = self.at
        op = self.opcode(end)
        if op is None:
            path, self.at = decode(self.data, start, end)
            if not path.segments and not path.root and not path.up:
                raise AmlError("AE_AML_NO_OPERAND", "a target is required")
            self._emit("NamePlace", path, start)
        elif op.name == "Zero" and optional:
            self._emit("NoTarget", None, start)
        elif op.name.startswith(("Local", "Arg")):
            self._emit("SlotPlace", (op.name.startswith("Arg"), int(op.name[-1])), start)
        elif op.name == "Debug":
            self._emit("DebugPlace", None, start)
        elif op.name == "DerefOf":  # what the reference refers to: the place is the reference itself
            self._term(end)
            self._emit("CheckReference", None, start)
        elif op.name in ("Index", "RefOf"):
            self._operation(op, end, start)
            self._emit("CheckReference", None, start)
        else:
            raise AmlError("AE_AML_BAD_OPCODE", f"{op.name} is no place to store to")

    def _name_or_call(self, end: int, start: int) -> None:
        path, self.at = decode(self.data, start, end)
        args = self._arity(path)
        if args is None:
            self._emit("GetName", path, start)
            return
        self._nest()
        for _ in range(args):
            self._term(end)
        self._leave()
        self._emit("Call", (path, args), start)

    def _operation(self, op: Op, end: int, start: int) -> int | None:
        """The arguments of an opcode, then the opcode itself. An If returns the index of its jump."""
        if op.package:
            end = self.package_end(end)
        branch = None
        if special := _SPECIAL.get(op.name):
            branch = special(self, op, end, start)
        else:
            self._emit(op.name, self._arguments(op, end), start)
        if op.package:
            if self.at > end:
                raise AmlError("AE_AML_PACKAGE_LIMIT", f"{op.name} does not fit in its package")
            self.at = end
        return branch

    def _arguments(self, op: Op, end: int) -> tuple[Any, ...]:
        """Code for the computed arguments; the constant ones are returned."""
        constants: list[Any] = []
        for kind in op.args:
            if kind == "t":
                self._term(end)
            elif kind == "n":
                constants.append(self.path(end))
                if not op.value:
                    self._declare(constants[-1])
            elif kind in _WIDTHS:
                constants.append(self.number(_WIDTHS[kind], end))
            else:
                self._target(end, optional=kind == "g")
        return tuple(constants)

    # -- names

    def _arity(self, path: Path) -> int | None:
        for full in path.candidates(self.scope):
            if full in self.declared:
                return self.declared[full]
            args = self.known(full)
            if args != -1:
                return args
        return None

    def _declare(self, path: Path, args: int | None = None) -> None:
        full = path.under(self.scope)
        if full is not None:
            self.declared[full] = args

    def _emit(self, name: str, operand: Any, start: int) -> None:  # noqa: ANN401 -- as many types as handlers
        self.out.append((self.handlers[name], operand, start))

    def _nest(self) -> None:
        self.depth += 1
        if self.depth > NESTING:
            raise AmlError("AE_AML_PARSE", f"terms are nested deeper than {NESTING}")

    def _leave(self) -> None:
        self.depth -= 1

    # -- data

    def _constant(self, op: Op, end: int, start: int) -> None:
        self._emit("Constant", self.number(_CONSTANTS[op.name], end), start)

    def _slot(self, op: Op, _end: int, start: int) -> None:
        self._emit("GetSlot", (op.name.startswith("Arg"), int(op.name[-1])), start)

    def _cond_ref_of(self, op: Op, end: int, start: int) -> None:
        at = self.at
        if at < end and self.data[at] in NAME_STARTS:
            self._emit("NamePlaceIfAny", self.path(end), at)
        else:
            self._target(end, optional=False)
        self._target(end, optional=True)
        self._emit(op.name, (), start)

    def _string(self, _op: Op, end: int, start: int) -> None:
        stop = self.data.find(0, self.at, end)
        if stop < 0:
            raise AmlError("AE_AML_STRING_LIMIT", "a string without its NUL")
        self._emit("String", self.data[self.at : stop], start)
        self.at = stop + 1

    def _buffer(self, _op: Op, end: int, start: int) -> None:
        self._term(end)
        self._emit("Buffer", self.data[self.at : end], start)

    def _package(self, op: Op, end: int, start: int) -> None:
        count = self.number(1, end) if op.name == "Package" else None
        if count is None:
            self._term(end)
        elements = 0
        self._nest()
        while self.at < end:
            at = self.at
            if self.data[at] in NAME_STARTS:
                self._emit("GetElement", self.path(end), at)
            else:
                self._term(end)
            elements += 1
        self._leave()
        if count is not None and elements > count:
            raise AmlError("AE_AML_PACKAGE_LIMIT", f"{elements} elements in a package of {count}")
        self._emit("Package", (count, elements), start)

    # -- control flow

    def _if(self, _op: Op, end: int, start: int) -> int:
        self._term(end)
        branch = self._jump("JumpIfNot", start)
        self._terms(end)
        self._label(branch)
        return branch

    def _else(self, branch: int | None, end: int, start: int) -> None:
        if branch is None:
            raise AmlError("AE_AML_BAD_OPCODE", "Else without If")
        end = self.package_end(end)
        out = self._jump("Jump", start)
        self._label(branch)
        self._terms(end)
        self._label(out)

    def _while(self, _op: Op, end: int, start: int) -> None:
        outer, self.loop = self.loop, Loop(len(self.out), [])
        self._term(end)
        self.loop.breaks.append(self._jump("JumpIfNot", start))
        self._terms(end)
        self._emit("Jump", self.loop.start, start)
        for jump in self.loop.breaks:
            self._label(jump)
        self.loop = outer

    def _break(self, op: Op, _end: int, start: int) -> None:
        if self.loop is None:
            raise AmlError("AE_AML_NO_WHILE", f"{op.name} outside of While")
        if op.name == "Break":
            self.loop.breaks.append(self._jump("Jump", start))
        else:
            self._emit("Jump", self.loop.start, start)

    def _jump(self, name: str, start: int) -> int:
        """A jump whose aim is not known yet."""
        self._emit(name, None, start)
        return len(self.out) - 1

    def _label(self, jump: int) -> None:
        """Make a jump lead here."""
        self._aim(jump, len(self.out))

    def _aim(self, at: int, operand: object) -> None:
        handler, _, start = self.out[at]
        self.out[at] = handler, operand, start

    # -- named objects

    def _alias(self, _op: Op, end: int, start: int) -> None:
        source, path = self.path(end), self.path(end)
        self._declare(path, self._arity(source))
        self._emit("Alias", (source, path), start)

    def _scope(self, op: Op, end: int, start: int) -> None:
        path = self.path(end)
        container = None
        if op.name != "Scope":
            constants = tuple(self.number(_WIDTHS[kind], end) for kind in op.args[1:-1])
            container = Container(_CONTAINERS[op.name], constants)
            self._declare(path)
        candidates = path.candidates(self.scope)
        if not candidates:
            raise AmlError("AE_BAD_PATHNAME", f"{path} leads above the root")
        if container is None:
            found = [full for full in candidates if full in self.declared or self.known(full) != -1]
            candidates = found or candidates
        outer, self.scope = (self.scope, self.loop), candidates[0]
        self.loop = None
        enter = self._jump("Enter", start)
        self._terms(end)
        self._emit("Leave", None, start)
        self._aim(enter, (path, container, len(self.out)))
        self.scope, self.loop = outer

    def _method(self, _op: Op, end: int, start: int) -> None:
        path, flags = self.path(end), self.number(1, end)
        body = Block(self.data, self.at, end, self.block.label)
        method = Method(flags & 7, bool(flags & 8), flags >> 4, body)
        self._declare(path, method.args)
        self._emit("Method", (path, method), start)
        self.at = end

    def _external(self, op: Op, end: int, _start: int) -> None:
        path, kind, args = self.path(end), self.number(1, end), self.number(1, end)
        if kind == ObjectType.METHOD and args <= 7 and self._arity(path) is None:
            self._declare(path, args)

    def _region(self, op: Op, end: int, start: int) -> None:
        if not self.module:
            self._emit(op.name, self._arguments(op, end), start)
            return
        path, space = self.path(end), self.number(1, end)
        self._declare(path)
        code = Code(f"{self.block.label} {path}")
        outer, self.out = self.out, code.instructions
        self._term(end)
        self._term(end)
        self._emit("End", None, start)
        self.out = outer
        self._emit("LateRegion", (path, space, code), start)

    def _field(self, op: Op, end: int, start: int) -> None:
        paths = [self.path(end) for kind in op.args if kind == "n"]
        if "t" in op.args:
            self._term(end)
        flags = self.number(1, end)
        units = self.field_list(flags & 0xF, end)
        for unit in units:
            self._declare(Path(False, 0, (unit.name,)))
        self._emit(op.name, (paths, flags >> 5 & 3, units), start)


_DATA = ("", "Q", "S")  # arguments of opcodes that are no statements

_SPECIAL: dict[str, Callable[[Compiler, Op, int, int], int | None]] = {
    **dict.fromkeys(_CONSTANTS, Compiler._constant),
    **{f"Local{n}": Compiler._slot for n in range(8)},
    **{f"Arg{n}": Compiler._slot for n in range(7)},
    **dict.fromkeys(("Scope", *_CONTAINERS), Compiler._scope),
    **dict.fromkeys(("Field", "IndexField", "BankField"), Compiler._field),
    **dict.fromkeys(("Break", "Continue"), Compiler._break),
    **dict.fromkeys(("Package", "VarPackage"), Compiler._package),
    "String": Compiler._string,
    "CondRefOf": Compiler._cond_ref_of,
    "Buffer": Compiler._buffer,
    "If": Compiler._if,
    "While": Compiler._while,
    "Alias": Compiler._alias,
    "Method": Compiler._method,
    "External": Compiler._external,
    "OperationRegion": Compiler._region,
}
