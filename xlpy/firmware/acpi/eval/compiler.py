"""From AML bytes to code for the interpreter's stack machine, driven by the grammar in ``opcodes``.

Instructions are tuples (handler, operand, offset of the opcode in its table). Values are computed on a stack, so
neither deep expressions nor deep calls need Python's own; the compiler's own frames are generators on a list.

The number of arguments of a call is not in the byte stream: the compiler must know the method that a name means. It
asks the namespace, and remembers what the block at hand declares, whether or not that has run yet. Where nobody knows a
name, the rest of its block is compiled when it is reached, as ACPICA parses it: a branch that is never taken may name
what does not exist. What is malformed fails when it is reached, for the same reason.
"""

from __future__ import annotations

from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.names import Path, decode
from xlpy.firmware.acpi.eval.namespace import UNKNOWN, Block, Container
from xlpy.firmware.acpi.eval.reader import NAME_STARTS, Reader
from xlpy.firmware.acpi.eval.registry import Code
from xlpy.firmware.acpi.eval.values import ObjectType
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from xlpy.firmware.acpi.eval.names import Absolute
    from xlpy.firmware.acpi.eval.opcodes import Op
    from xlpy.firmware.acpi.eval.registry import Handler

    Work = Iterator["Work | None"]  # a frame of the compiler: it yields the frames whose end it waits for

NESTING = 4000  # the compiler's frames, two for a term in a term; ACPICA knows no bound, real tables need about 60

_CONSTANTS = {"Byte": 1, "Word": 2, "DWord": 4, "QWord": 8}
_WIDTHS = {"B": 1, "W": 2, "D": 4}
CONTAINERS = {
    "Device": ObjectType.DEVICE,
    "Processor": ObjectType.PROCESSOR,
    "PowerResource": ObjectType.POWER,
    "ThermalZone": ObjectType.THERMAL,
}
_ELSE = 0xA1


class Loop:
    """A While: its first instruction, the jumps that leave it, and the instruction behind it once that is known."""

    __slots__ = ("breaks", "exit", "start")

    def __init__(self, start: int) -> None:
        self.start, self.exit = start, 0
        self.breaks: list[int] = []


class Later:
    """The rest of a block, to be compiled when it is reached.

    Args:
        block: its bytes.
        scope, loop: what it is in.
        resume: the instruction that follows it.
    """

    __slots__ = ("at", "block", "loop", "resume", "scope", "unknown")

    def __init__(self, block: Block, scope: Absolute, loop: Loop | None, resume: int) -> None:
        self.block, self.scope, self.loop, self.resume = block, scope, loop, resume
        self.at: int | None = None  # its first instruction, once it is compiled
        self.unknown: list[tuple[Path, Absolute]] = []  # names that still meant nothing then


class _Unknown(Exception):
    """A name that means nothing yet, where a call may be."""


class _Statements:
    """A TermList at work: where its current statement begins, in the AML, in the code and on the compiler's stack."""

    __slots__ = ("depth", "end", "loop", "mark", "scope", "start")

    def __init__(self, depth: int, end: int, scope: Absolute, loop: Loop | None) -> None:
        self.depth, self.end, self.scope, self.loop = depth, end, scope, loop
        self.start = self.mark = 0


class Compiler(Reader):
    """Compiles one block.

    Args:
        block: the bytes.
        scope: the scope they are in.
        arity: the number of arguments of the method that a path means in a scope; None for another object, UNKNOWN for
            none at all.
        handlers: the machine's handlers by name.
        final: the block is reached: a name that means nothing is taken for an object, and fails.
    """

    def __init__(
        self,
        block: Block,
        scope: Absolute,
        arity: Callable[[Path, Absolute], int | None],
        handlers: Mapping[str, Handler],
        *,
        final: bool = False,
    ) -> None:
        super().__init__(block.data, block.start)
        self.block, self.scope, self.final = block, scope, final
        self.known, self.handlers = arity, handlers
        self.declared: dict[Absolute, int | None] = {}
        self.unknown: list[tuple[Path, Absolute]] = []
        self.loop: Loop | None = None
        self.blocks: list[_Statements] = []
        self.frames: list[Work] = []

    def compile(self, path: str, *, single: bool = False) -> Code:
        """The whole block, or the statement that it begins with; ``at`` is then where the next one is."""
        code = Code(path)
        self._drive(code, self._terms(self.block.end, single=single))
        self._emit("End", None, self.block.start)
        return code

    def append(self, code: Code, later: Later) -> None:
        """Compile what was put off, behind all other code."""
        self.loop, later.at = later.loop, len(code.instructions)
        self._drive(code, self._terms(self.block.end))
        self._emit("Jump", later.resume, self.block.start)
        later.unknown = self.unknown

    def _drive(self, code: Code, work: Work) -> None:
        """Run frames until none is left. A statement that can't be compiled is left to the moment it is reached."""
        self.code, self.out = code, code.instructions
        self.frames = frames = [work]
        while frames:
            try:
                while frames:
                    inner = next(frames[-1], frames)
                    if inner is frames:
                        frames.pop()
                    elif inner is not None:
                        if len(frames) >= NESTING:
                            raise AmlError("AE_LIMIT", f"terms are nested deeper than {NESTING // 2}")
                        frames.append(inner)  # type: ignore[arg-type]
            except AmlError as error:
                error.at(min(self.at, len(self.data)), code.path)
                if not self.blocks:
                    raise
                code.problems.append(error)
                block = self._give_up()
                self._emit("Raise", error, block.start)
            except _Unknown:
                block = self._give_up()
                rest = self.block._replace(start=block.start, end=block.end)
                self._emit("Later", Later(rest, block.scope, block.loop, len(self.out) + 1), block.start)

    def _give_up(self) -> _Statements:
        """Drop the statement at hand, and pass over the rest of its block."""
        block = self.blocks.pop()
        del self.frames[block.depth - 1 :], self.out[block.mark :]
        self.scope, self.loop, self.at = block.scope, block.loop, block.end
        return block

    # -- terms

    def _terms(self, end: int, *, single: bool = False) -> Work:
        """A TermList, or its first statement."""
        block = _Statements(len(self.frames), end, self.scope, self.loop)
        self.blocks.append(block)
        out, bounds = self.out, self.code.statements
        while self.at < end:
            block.start, block.mark = start, mark = self.at, len(out)
            op = self.opcode(end)
            if op is None:
                yield self._name_or_call(end, start)
            elif op.name == "If":
                yield self._if(end, start)
            elif op.name == "Else":
                raise AmlError("AE_AML_BAD_OPCODE", "Else without If")
            else:
                yield self._operation(op, end, start)
            if op is None or op.value:
                self._emit("Drop", None, start)
            bounds.append((mark, len(out)))
            if single:
                break
        self.blocks.pop()

    def _term(self, end: int) -> Work | None:
        """A TermArg: leaves one value on the stack."""
        start = self.at
        op = self.opcode(end)
        if op is None:
            return self._name_or_call(end, start)
        if not op.value:
            raise AmlError("AE_AML_BAD_OPCODE", f"{op.name} has no value, one is required")
        if not op.args:
            special = _SPECIAL.get(op.name)
            if special:
                special(self, op, end, start)
            else:
                self._emit(op.name, (), start)
            return None
        return self._operation(op, end, start)

    def _target(self, end: int, operator: str, *, optional: bool = False) -> Work | None:
        """A SuperName or Target: leaves one reference on the stack, None for no target, a value where one will do."""
        value = operator in _ANY
        start = self.at
        op = self.opcode(end)
        if op is None:
            path, self.at = decode(self.data, start, end)
            if not path.segments and not path.root and not path.up:
                raise AmlError("AE_AML_NO_OPERAND", "a target is required")
            args = None if operator in _NAMING else self._arity(path)
            if args is not None and args != UNKNOWN:
                call = self._call(path, args, end, start)
                return call if value else self._checked(call, start)
            self._emit("NamePlace", path, start)
        elif op.name in ("Zero", "One", "Ones") and (optional or op.name != "Zero"):  # a constant keeps its value
            self._emit("NoTarget", None, start)
        elif op.name.startswith(("Local", "Arg")):
            self._emit("SlotPlace", (op.name.startswith("Arg"), int(op.name[-1])), start)
        elif op.name == "Debug":
            self._emit("DebugPlace", None, start)
        elif op.value:
            work = self._operation(op, end, start)
            if op.name == "RefOf" and operator in ("Increment", "Decrement"):
                return self._refused(work, start)
            return work if value else self._checked(work, start)
        else:
            raise AmlError("AE_AML_BAD_OPCODE", f"{op.name} is no place to store to")
        return None

    def _checked(self, work: Work, start: int) -> Work:
        """A computed place."""
        yield work
        self._emit("CheckReference", None, start)

    def _refused(self, work: Work, start: int) -> Work:
        yield work
        self._emit("Raise", AmlError("AE_AML_OPERAND_TYPE", "a reference can't be counted up or down"), start)

    def _name_or_call(self, end: int, start: int) -> Work | None:
        path, self.at = decode(self.data, start, end)
        args = self._arity(path)
        if args == UNKNOWN:
            if not self.final:
                raise _Unknown
            self.unknown.append((path, self.scope))
        elif args is not None:
            return self._call(path, args, end, start)
        self._emit("GetName", path, start)
        return None

    def _call(self, path: Path, args: int, end: int, start: int) -> Work:
        for given in range(args):
            at = self.at
            op = self.opcode(end) if at < end else None
            if at >= end or (op and not op.value):
                self.at = start
                raise AmlError("AE_AML_TOO_FEW_ARGUMENTS", f"{path} takes {args} arguments, the call gives {given}")
            self.at = at
            yield self._term(end)
        self._emit("Call", (path, args), start)

    def _operation(self, op: Op, end: int, start: int) -> Work:
        """The arguments of an opcode, then the opcode itself."""
        if op.package:
            end = self.package_end(end)
        special = _SPECIAL.get(op.name)
        if special:
            yield special(self, op, end, start)
        else:
            constants: list[Any] = []
            if op.name == "DerefOf" and self.at < end:
                constants.append(self.data[self.at] in _SLOTS)
            for kind in op.args:
                if kind == "t":
                    yield self._term(end)
                elif kind == "n":
                    constants.append(self.path(end))
                    if not op.value:
                        self._declare(constants[-1])
                elif kind in _WIDTHS:
                    constants.append(self.number(_WIDTHS[kind], end))
                else:
                    yield self._target(end, op.name, optional=kind == "g")
            self._emit(op.name, tuple(constants), start)
        if op.package:
            if self.at > end:
                raise AmlError("AE_AML_PACKAGE_LIMIT", f"{op.name} does not fit in its package")
            self.at = end

    # -- names

    def _arity(self, path: Path) -> int | None:
        for full in path.candidates(self.scope):
            if full in self.declared:
                return self.declared[full]
        args = self.known(path, self.scope)
        self.code.assumed[path, self.scope] = args
        return args

    def _is_known(self, full: Absolute) -> bool:
        return self.known(Path(True, 0, full), ()) != UNKNOWN

    def _declare(self, path: Path, args: int | None = None) -> None:
        full = path.under(self.scope)
        if full is not None:
            self.declared[full] = args

    def _emit(self, name: str, operand: Any, start: int) -> None:  # noqa: ANN401 -- as many types as handlers
        self.out.append((self.handlers[name], operand, start))

    # -- data

    def _constant(self, op: Op, end: int, start: int) -> None:
        self._emit("Constant", self.number(_CONSTANTS[op.name], end), start)

    def _slot(self, op: Op, _end: int, start: int) -> None:
        self._emit("GetSlot", (op.name.startswith("Arg"), int(op.name[-1])), start)

    def _cond_ref_of(self, op: Op, end: int, start: int) -> Work:
        at = self.at
        if at < end and self.data[at] in NAME_STARTS:
            self._emit("NamePlaceIfAny", self.path(end), at)
        else:
            yield self._target(end, op.name)
        yield self._target(end, op.name, optional=True)
        self._emit(op.name, (), start)

    def _string(self, _op: Op, end: int, start: int) -> None:
        stop = self.data.find(0, self.at, end)
        if stop < 0:
            raise AmlError("AE_AML_STRING_LIMIT", "a string without its NUL")
        self._emit("String", self.data[self.at : stop], start)
        self.at = stop + 1

    def _buffer(self, _op: Op, end: int, start: int) -> Work:
        yield self._term(end)
        self._emit("Buffer", self.data[self.at : end], start)
        self.at = end

    def _package(self, op: Op, end: int, start: int) -> Work:
        count = self.number(1, end) if op.name == "Package" else None
        if count is None:
            yield self._term(end)
        elements = 0
        while self.at < end:
            at = self.at
            if self.data[at] in NAME_STARTS:
                self._emit("GetElement", self.path(end), at)
            else:
                yield self._term(end)
            elements += 1
        self._emit("Package", (count, elements), start)

    # -- control flow

    def _if(self, outer: int, start: int) -> Work:
        """An If, and the Else that may follow it."""
        end = self.package_end(outer)
        yield self._term(end)
        branch = self._jump("JumpIfNot", start)
        yield self._terms(end)
        if end < outer and self.data[end] == _ELSE:
            out = self._jump("Jump", end)
            self._label(branch)
            self.at = end + 1
            end = self.package_end(outer)
            yield self._terms(end)
            branch = out
        self._label(branch)
        self.at = end

    def _while(self, _op: Op, end: int, start: int) -> Work:
        outer, self.loop = self.loop, Loop(len(self.out))
        loop = self.loop
        yield self._term(end)
        loop.breaks.append(self._jump("JumpIfNot", start))
        yield self._terms(end)
        self._emit("Jump", loop.start, start)
        loop.exit = len(self.out)
        for jump in loop.breaks:
            self._aim(jump, loop.exit)
        self.loop = outer

    def _break(self, op: Op, _end: int, start: int) -> None:
        if self.loop is None:
            raise AmlError("AE_AML_NO_WHILE", f"{op.name} outside of While")
        if op.name == "Continue":
            self._emit("Jump", self.loop.start, start)
        elif self.loop.exit:  # the loop is compiled already, but for what was put off
            self._emit("Jump", self.loop.exit, start)
        else:
            self.loop.breaks.append(self._jump("Jump", start))

    def _jump(self, name: str, start: int) -> int:
        """A jump whose aim is not known yet."""
        self._emit(name, None, start)
        return len(self.out) - 1

    def _label(self, jump: int) -> None:
        """Make a jump lead here."""
        self._aim(jump, len(self.out))

    def _aim(self, at: int, operand: object) -> None:
        if at < len(self.out):  # not among what was dropped
            handler, _, start = self.out[at]
            self.out[at] = handler, operand, start

    # -- named objects

    def _alias(self, _op: Op, end: int, start: int) -> None:
        source, path = self.path(end), self.path(end)
        args = self._arity(source)
        self._declare(path, None if args == UNKNOWN else args)
        self._emit("Alias", (source, path), start)

    def _scope(self, op: Op, end: int, start: int) -> Work:
        path = self.path(end)
        container = None
        if op.name != "Scope":
            constants = tuple(self.number(_WIDTHS[kind], end) for kind in op.args[1:-1])
            container = Container(CONTAINERS[op.name], constants)
            self._declare(path)
        candidates = path.candidates(self.scope)
        if not candidates:
            raise AmlError("AE_BAD_PATHNAME", f"{path} leads above the root")
        if container is None:
            known = [full for full in candidates if full in self.declared or self._is_known(full)]
            candidates = known or candidates
        outer, self.scope, self.loop = (self.scope, self.loop), candidates[0], None
        enter = self._jump("Enter", start)
        yield self._terms(end)
        self._emit("Leave", None, start)
        self._aim(enter, (path, container, len(self.out)))
        self.scope, self.loop = outer

    def _method(self, _op: Op, end: int, start: int) -> None:
        path, method = self.method(end, self.block.label)
        self._declare(path, method.args)
        self._emit("Method", (path, method), start)

    def _external(self, _op: Op, end: int, _start: int) -> None:
        self.path(end)
        self.number(2, end)

    def _field(self, op: Op, end: int, start: int) -> Work:
        paths = [self.path(end) for kind in op.args if kind == "n"]
        if "t" in op.args:
            yield self._term(end)
        flags = self.number(1, end)
        units = self.field_list(flags & 0xF, end)
        for unit in units:
            self._declare(Path(False, 0, (unit.name,)))
        self._emit(op.name, (paths, flags >> 5 & 3, units), start)


_ANY = ("ObjectType", "SizeOf", "Acquire", "Release", "Signal", "Wait", "Reset", "Notify")  # what they are given

_SLOTS = range(0x60, 0x6F)  # Local0 to Arg6
_NAMING = ("RefOf", "CondRefOf", "ObjectType", "CopyObject")  # a method's name means the method, not a call

_SPECIAL: dict[str, Callable[[Compiler, Op, int, int], Work | None]] = {
    **dict.fromkeys(_CONSTANTS, Compiler._constant),
    **{f"Local{n}": Compiler._slot for n in range(8)},
    **{f"Arg{n}": Compiler._slot for n in range(7)},
    **dict.fromkeys(("Scope", *CONTAINERS), Compiler._scope),
    **dict.fromkeys(("Field", "IndexField", "BankField"), Compiler._field),
    **dict.fromkeys(("Break", "Continue"), Compiler._break),
    **dict.fromkeys(("Package", "VarPackage"), Compiler._package),
    "String": Compiler._string,
    "CondRefOf": Compiler._cond_ref_of,
    "Buffer": Compiler._buffer,
    "While": Compiler._while,
    "Alias": Compiler._alias,
    "Method": Compiler._method,
    "External": Compiler._external,
}
