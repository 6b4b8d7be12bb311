"""The handlers of the stack machine's instructions, by name: opcodes, and the steps that the compiler adds."""

from __future__ import annotations

from collections.abc import Callable

Handler = Callable[..., None]  # (machine, frame, operand)

HANDLERS: dict[str, Handler] = {}


def handler(*names: str) -> Callable[[Handler], Handler]:
    """Register a function as the handler of instructions."""

    def register(function: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, function))
        return function

    return register
