"""From AML bytes to code for the interpreter's stack machine, driven by the grammar in ``opcodes``.

Instructions are tuples (handler, operand, offset of the opcode in its table). Values are computed on a stack, so
neither deep expressions nor deep calls need Python's own; the compiler's own frames are generators on a list.

The number of arguments of a call is not in the byte stream: the compiler must know the method that a name means. It
asks the namespace, and remembers what the block at hand declares, whether or not that has run yet. Behind an unknown
name, the rest of its block is compiled when it is reached, as ACPICA parses it: a branch that is never taken may name
what does not exist. What is malformed fails when it is reached, for the same reason.
"""

from __future__ import annotations

from xlpy.firmware.acpi.eval.assembler import Assembler
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.names import Path, decode
from xlpy.firmware.acpi.eval.namespace import UNKNOWN
from xlpy.firmware.acpi.eval.registry import HANDLERS, Code
from xlpy.firmware.acpi.eval.structures import SPECIAL, WIDTHS, if_else
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xlpy.firmware.acpi.eval.assembler import Loop, Work
    from xlpy.firmware.acpi.eval.names import Absolute
    from xlpy.firmware.acpi.eval.namespace import AmlBlock
    from xlpy.firmware.acpi.eval.opcodes import Op
    from xlpy.firmware.acpi.eval.registry import Handler

NESTING = 4000  # the compiler's frames, two for a term in a term; ACPICA knows no bound, real tables need about 60


class Later:
    """The rest of a block, to be compiled when it is reached.

    Args:
        block: its bytes.
        scope, loop: what it is in.
        resume: the instruction that follows it.
    """

    __slots__ = ("at", "block", "loop", "resume", "scope", "unknown")

    def __init__(self, block: AmlBlock, scope: Absolute, loop: Loop | None, resume: int) -> None:
        self.block, self.scope, self.loop, self.resume = block, scope, loop, resume
        self.at: int | None = None  # its first instruction, once it is compiled
        self.unknown: list[tuple[Path, Absolute]] = []  # names that still meant nothing then

    def again(self) -> Later:
        """The same, for a copy of its code."""
        made = Later(self.block, self.scope, self.loop, self.resume)
        made.at, made.unknown = self.at, self.unknown
        return made


class _Unknown(Exception):
    """A name that means nothing yet, where a call may be."""


class TermList:
    """A TermList at work: where its current statement begins, in the AML, in the code and on the compiler's stack."""

    __slots__ = ("block", "depth", "end", "loop", "mark", "scope", "start")

    def __init__(self, block: AmlBlock, depth: int, end: int, scope: Absolute, loop: Loop | None) -> None:
        self.block, self.depth, self.end, self.scope, self.loop = block, depth, end, scope, loop
        self.start = self.mark = 0

    def later(self, start: int, end: int, resume: int) -> Later:
        """Statements of it, to be compiled when they are reached."""
        return Later(self.block._replace(start=start, end=end), self.scope, self.loop, resume)


class Compiler(Assembler):
    """Compiles one block.

    Args:
        block, scope, arity, handlers: as for ``Assembler``.
        final: the block is reached: a name that means nothing is taken for an object, and fails.
        resumes: evaluation goes on behind errors, and in statements that fail.
    """

    def __init__(
        self,
        block: AmlBlock,
        scope: Absolute,
        arity: Callable[[Path, Absolute], int | None],
        handlers: Mapping[str, Handler],
        *,
        final: bool = False,
        resumes: bool = False,
    ) -> None:
        super().__init__(block, scope, arity, handlers)
        self.final, self.resumes = final, resumes
        self.nesting = 0  # operators around the term at hand
        self.unknown: list[tuple[Path, Absolute]] = []
        self.blocks: list[TermList] = []
        self.frames: list[Work] = []

    def compile(self, path: str, *, single: bool = False) -> Code:
        """The whole block, or the statement that it begins with; ``at`` is then where the next one is."""
        code = Code(path)
        self._drive(code, self.terms(self.block.end, single=single))
        self.emit("End", None, self.block.start)
        return code

    def condition(self, path: str) -> Code:
        """The term that the block begins with; its value is the code's. ``at`` is then where the term ends."""
        code, start = Code(path), self.at
        self._drive(code, self._first_term())
        self.emit("Return", None, start)
        return code

    def _first_term(self) -> Work:
        yield self.term(self.block.end)

    def append(self, code: Code, later: Later) -> None:
        """Compile what was put off, behind all other code."""
        self.loop, later.at = later.loop, len(code.instructions)
        self._drive(code, self.terms(self.block.end))
        self.emit("Jump", later.resume, self.block.start)
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
                rest = block.later(block.start, block.end, len(self.out) + 1)
                self.emit("Unparsed", (error, rest), block.start)
            except _Unknown:
                block = self._give_up()
                self.emit("Later", block.later(block.start, block.end, len(self.out) + 1), block.start)

    def _give_up(self) -> TermList:
        """Drop the statement at hand, and pass over the rest of its block."""
        block = self.blocks.pop()
        del self.frames[block.depth - 1 :]
        self.code.drop(block.mark)
        self.scope, self.loop, self.at = block.scope, block.loop, block.end
        return block

    # -- terms

    def terms(self, end: int, *, single: bool = False) -> Work:
        """A TermList, or its first statement."""
        block = TermList(self.block, len(self.frames), end, self.scope, self.loop)
        self.blocks.append(block)
        out, bounds, sources = self.out, self.code.statements, self.code.sources
        while self.at < end:
            block.start, block.mark = start, mark = self.at, len(out)
            self.nesting = 0
            op = self.opcode(end)
            if op is None:
                yield self._name_or_call(end, start)
            elif op.name == "If":
                yield if_else(self, end, start)
            elif op.name == "Else":
                raise AmlError("AE_AML_BAD_OPCODE", "Else without If")
            else:
                yield self._operation(op, end, start)
            if op is None or op.value:
                self.emit("Drop", None, start)
            bounds.append((mark, len(out)))
            sources.append((start, self.at, block))
            if single:
                break
        self.blocks.pop()

    def term(self, end: int) -> Work | None:
        """A TermArg: leaves one value on the stack."""
        start = self.at
        op = self.opcode(end)
        if op is None:
            return self._name_or_call(end, start)
        if not op.value:
            raise AmlError("AE_AML_BAD_OPCODE", f"{op.name} has no value, one is required")
        if not op.args:
            special = SPECIAL.get(op.name)
            if special:
                special(self, op, end, start)
            else:
                self.emit(op.name, (), start)
            return None
        return self._operation(op, end, start)

    def kept(self, end: int) -> Work | None:
        """A TermArg whose value is kept as it is: constants stay constants."""
        start = self.at
        if start >= end or self.data[start] not in _FIXED:
            return self.term(end)
        self.at += 1
        self.emit("Fixed", _FIXED[self.data[start]], start)
        return None

    def target(self, end: int, operator: str, *, optional: bool = False) -> Work | None:
        """A SuperName or Target: leaves one reference on the stack, None for no target, a value where one will do."""
        value = operator in _ANY
        start = self.at
        op = self.opcode(end)
        if op is None:
            path, self.at = decode(self.data, start, end)
            if not path.segments and not path.root and not path.up:
                raise AmlError("AE_AML_NO_OPERAND", "a target is required")
            args = None if operator in _NAMING else self.arity(path)
            if args is not None and args != UNKNOWN:
                call = self._call(path, args, end, start)
                return call if value else self._checked(call, start)
            self.emit("NamePlace", path, start)
        elif op.name in ("Zero", "One", "Ones") and (optional or op.name != "Zero"):  # a constant keeps its value
            self.emit("NoTarget", None, start)
        elif op.name.startswith(("Local", "Arg")):
            self.emit("SlotPlace", (op.name.startswith("Arg"), int(op.name[-1])), start)
        elif op.name == "Debug":
            self.emit("DebugPlace", None, start)
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
        self.emit("CheckReference", None, start)

    def _refused(self, work: Work, start: int) -> Work:
        yield work
        self.emit("Raise", AmlError("AE_AML_OPERAND_TYPE", "a reference can't be counted up or down"), start)

    def _name_or_call(self, end: int, start: int) -> Work | None:
        path, self.at = decode(self.data, start, end)
        args = self.arity(path)
        if args == UNKNOWN:
            if not self.final:
                raise _Unknown
            self.unknown.append((path, self.scope))
        elif args is not None:
            return self._call(path, args, end, start)
        self.emit("GetName", path, start)
        return None

    def _call(self, path: Path, args: int, end: int, start: int) -> Work:
        mark, outer = self._mark(start), self.nesting
        self.nesting = outer + 1
        for given in range(args):
            at = self.at
            op = self.opcode(end) if at < end else None
            if at >= end or (op and not op.value):
                self.at = start
                raise AmlError("AE_AML_TOO_FEW_ARGUMENTS", f"{path} takes {args} arguments, the call gives {given}")
            self.at = at
            yield self.kept(end)
        self.emit("Call", (path, args), start)
        self.nesting = outer
        self._operand(mark)

    def _operation(self, op: Op, end: int, start: int) -> Work:
        """The arguments of an opcode, then the opcode itself."""
        if op.package:
            end = self.package_end(end)
        mark, outer = self._mark(start), self.nesting
        self.nesting = outer + (op.name != "While")
        special = SPECIAL.get(op.name)
        if special:
            yield special(self, op, end, start)
        else:
            constants: list[Any] = []
            if op.name == "DerefOf" and self.at < end:
                constants.append(self.data[self.at] in _SLOTS)
            for kind in op.args:
                if kind == "t":
                    yield self.kept(end) if op.name in _KEEPING else self.term(end)
                elif kind == "n":
                    constants.append(self.path(end))
                    if not op.value:
                        self.declare(constants[-1])
                elif kind in WIDTHS:
                    constants.append(self.number(WIDTHS[kind], end))
                else:
                    yield self.target(end, op.name, optional=kind == "g")
            self.emit(op.name, tuple(constants), start)
        self.nesting = outer
        self._operand(mark)
        if op.package:
            if self.at > end:
                raise AmlError("AE_AML_PACKAGE_LIMIT", f"{op.name} does not fit in its package")
            self.at = end

    def condition_of(self, end: int, start: int) -> Work:
        """The condition of an If or While: an operator that fails is met; else the If or While itself fails."""
        mark = None
        if self.resumes and not (self.at < end and self.data[self.at] in _SLOTS):
            self.emit("Mark", None, start)
            mark = len(self.out) - 1
            self.code.conditions.add(mark)
        yield self.term(end)
        self._operand(mark)

    def passed(self, branch: int, jump: int) -> None:
        if self.resumes:
            _, aim, start = self.out[jump]
            self.out[jump] = self.handlers["JumpUnlessFailed"], aim, start
            self.code.passed[branch] = jump

    def _mark(self, start: int) -> int | None:
        """Where an operator begins, if its value is the operand of another one and that goes on without it."""
        if not self.resumes or not self.nesting:
            return None
        self.emit("Mark", None, start)
        return len(self.out) - 1

    def _operand(self, mark: int | None) -> None:
        if mark is not None:
            self.code.operators.append((mark, len(self.out)))


def anew(code: Code, at: int) -> Code:
    """A copy of code whose statements are compiled again when they are reached, but for those that contain ``at``.

    ACPICA parses what it reaches; so what a statement has changed about names holds for those that follow.
    """
    made, later = Code(code.path), HANDLERS["Later"]
    made.statements, made.sources, made.operators = code.statements[:], code.sources[:], code.operators[:]
    made.conditions, made.passed = code.conditions, code.passed
    made.instructions = [
        (later, operand[1], offset)
        if handler is HANDLERS["Unparsed"]
        else (handler, operand.again() if isinstance(operand, Later) else operand, offset)
        for handler, operand, offset in code.instructions
    ]
    for (first, behind), (start, end, terms) in zip(code.statements, code.sources, strict=True):
        if not first <= at < behind and first < behind:
            made.instructions[first] = later, terms.later(start, end, behind), start
    return made


_ANY = ("ObjectType", "SizeOf", "Acquire", "Release", "Signal", "Wait", "Reset", "Notify")  # what they are given

_SLOTS = range(0x60, 0x6F)  # Local0 to Arg6
_FIXED = {0x00: 0, 0x01: 1, 0xFF: -1}
_KEEPING = ("Store", "CopyObject", "Return", "Name")  # operators that keep a value as it is
_NAMING = ("RefOf", "CondRefOf", "ObjectType", "CopyObject")  # a method's name means the method, not a call
