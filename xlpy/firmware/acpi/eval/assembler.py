"""What the compiler needs besides the bytes: instructions, jumps, and the meaning of names (ACPI 6.5, 20.2)."""

from __future__ import annotations

from xlpy.firmware.acpi.eval.names import Path
from xlpy.firmware.acpi.eval.namespace import UNKNOWN
from xlpy.firmware.acpi.eval.reader import AmlReader
from xlpy.firmware.acpi.eval.registry import Code
from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from xlpy.firmware.acpi.eval.names import Absolute
    from xlpy.firmware.acpi.eval.namespace import AmlBlock
    from xlpy.firmware.acpi.eval.registry import Handler

    Work = Iterator["Work | None"]  # a frame of the compiler: it yields the frames whose end it waits for


class Loop:
    """A While: its first instruction, the jumps that leave it, and the instruction behind it once that is known."""

    __slots__ = ("breaks", "exit", "start")

    def __init__(self, start: int) -> None:
        self.start, self.exit = start, 0
        self.breaks: list[int] = []


class Assembler(AmlReader):
    """The part of the compiler that structures are made with.

    Args:
        block: the bytes.
        scope: the scope they are in.
        arity: the number of arguments of the method that a path means in a scope; None for another object, UNKNOWN for
            none at all.
        handlers: the machine's handlers by name.
    """

    def __init__(
        self,
        block: AmlBlock,
        scope: Absolute,
        arity: Callable[[Path, Absolute], int | None],
        handlers: Mapping[str, Handler],
    ) -> None:
        super().__init__(block.data, block.start)
        self.block, self.scope = block, scope
        self.known, self.handlers = arity, handlers
        self.declared: dict[Absolute, int | None] = {}
        self.loop: Loop | None = None
        self.code = Code(block.label)
        self.out = self.code.instructions

    # -- terms, which the compiler reads

    def terms(self, end: int) -> Work:
        """A TermList."""
        raise NotImplementedError

    def term(self, end: int) -> Work | None:
        """A TermArg: leaves one value on the stack."""
        raise NotImplementedError

    def condition_of(self, end: int, start: int) -> Work:
        """The condition of an If or While."""
        raise NotImplementedError

    def kept(self, end: int) -> Work | None:
        """A TermArg whose value is kept as it is: constants stay constants."""
        raise NotImplementedError

    def target(self, end: int, operator: str, *, optional: bool = False) -> Work | None:
        """A SuperName or Target: leaves one reference on the stack, None for no target, a value where one will do."""
        raise NotImplementedError

    # -- names

    def arity(self, path: Path) -> int | None:
        """How many arguments the method takes that a path means here; None for another object."""
        for full in path.candidates(self.scope):
            if full in self.declared:
                return self.declared[full]
        args = self.known(path, self.scope)
        self.code.assumed[path, self.scope] = args
        return args

    def is_known(self, full: Absolute) -> bool:
        """Whether there is such an object, or an External says so."""
        return self.known(Path(True, 0, full), ()) != UNKNOWN

    def declare(self, path: Path, args: int | None = None) -> None:
        """The block makes an object."""
        full = path.under(self.scope)
        if full is not None:
            self.declared[full] = args

    def emit(self, name: str, operand: Any, start: int) -> None:  # noqa: ANN401 -- as many types as handlers
        """Append an instruction."""
        self.out.append((self.handlers[name], operand, start))

    # -- jumps

    def jump(self, name: str, start: int) -> int:
        """A jump whose aim is not known yet."""
        self.emit(name, None, start)
        return len(self.out) - 1

    def passed(self, branch: int, jump: int) -> None:
        """Of an If or While that fails the body is carried out, and then what is behind this jump."""
        raise NotImplementedError

    def label(self, jump: int) -> None:
        """Make a jump lead here."""
        self.aim(jump, len(self.out))

    def aim(self, at: int, operand: object) -> None:
        """Fill in the operand of a jump."""
        if at < len(self.out):  # not among what was dropped
            handler, _, start = self.out[at]
            self.out[at] = handler, operand, start
