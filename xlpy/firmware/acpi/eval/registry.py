"""The stack machine's instructions: code is made of them, and their handlers are known by name.

The names are those of the opcodes, and of the steps that the compiler adds.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from xlpy.firmware.acpi.eval.errors import AmlError
    from xlpy.firmware.acpi.eval.names import Absolute, Path

    Handler: TypeAlias = Callable[..., None]  # (machine, frame, operand)
    Instruction: TypeAlias = tuple[Handler, Any, int]  # operand; offset of the opcode in its table

HANDLERS: dict[str, Handler] = {}


def handler(*names: str) -> Callable[[Handler], Handler]:
    """Register a function as the handler of instructions."""

    def register(function: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, function))
        return function

    return register


class Code:
    """Compiled AML.

    Args:
        path: names its table and method.
        instructions: what the machine runs.
        statements: the first instruction of each statement and the one behind it, inner statements first.
        sources: of each statement, its bytes in the table, and the compiler's TermList that it is in.
        operators: as statements, of operators whose values are operands; only where evaluation goes on behind errors.
        conditions: where the operators that are conditions begin: when one fails, it is met.
        passed: of an If with an Else, or a While, its JumpIfNot, and the jump behind its body.
        problems: what could not be compiled, and fails when it is reached.
        assumed: how many arguments names took, in which scopes, when it was compiled.
    """

    __slots__ = (
        "assumed",
        "conditions",
        "instructions",
        "operators",
        "passed",
        "path",
        "problems",
        "sources",
        "statements",
    )

    def __init__(self, path: str) -> None:
        self.path = path
        self.instructions: list[Instruction] = []
        self.statements: list[tuple[int, int]] = []
        self.sources: list[tuple[int, int, Any]] = []
        self.operators: list[tuple[int, int]] = []
        self.conditions: set[int] = set()
        self.passed: dict[int, int] = {}
        self.problems: list[AmlError] = []
        self.assumed: dict[tuple[Path, Absolute], int | None] = {}

    def after(self, at: int) -> int | None:
        """The instruction behind the innermost statement that contains one; None outside of all statements."""
        return next((end for start, end in self.statements if start <= at < end), None)

    def operand(self, at: int) -> tuple[int, int] | None:
        """The innermost operator that contains an instruction, if its value is the operand of another."""
        return next(((start, end) for start, end in self.operators if start <= at < end), None)

    def drop(self, at: int) -> None:
        """Forget what was compiled from an instruction on."""
        del self.instructions[at:]
        for bounds in (self.statements, self.operators):
            while bounds and bounds[-1][0] >= at:
                bounds.pop()
        del self.sources[len(self.statements) :]
