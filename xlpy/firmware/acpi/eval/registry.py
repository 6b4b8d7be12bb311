"""The stack machine's instructions: code is made of them, and their handlers are known by name.

The names are those of the opcodes, and of the steps that the compiler adds.
"""

from __future__ import annotations

from collections.abc import Callable

from xlpy.typing import Any

Handler = Callable[..., None]  # (machine, frame, operand)
Instruction = tuple[Handler, Any, int]  # operand; offset of the opcode in its table

HANDLERS: dict[str, Handler] = {}


def handler(*names: str) -> Callable[[Handler], Handler]:
    """Register a function as the handler of instructions."""

    def register(function: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, function))
        return function

    return register


class Code:
    """Compiled AML: ``path`` names its table and method."""

    __slots__ = ("instructions", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.instructions: list[Instruction] = []
