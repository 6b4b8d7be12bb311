"""Integers, comparisons and truth (ACPI 6.5, 19.6). Operands are on the stack in order, a target last."""

from __future__ import annotations

from xlpy.firmware.acpi.eval import convert
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.references import ByteRef, ElementRef, NodeRef
from xlpy.firmware.acpi.eval.registry import HANDLERS, handler
from xlpy.firmware.acpi.eval.store import finish, load, store
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.firmware.acpi.eval.machine import AmlMachine, Frame
    from xlpy.firmware.acpi.eval.registry import Handler
    from xlpy.firmware.acpi.eval.values import Value

# -- integers


def _arithmetic(function: Callable[[int, int], int]) -> Handler:
    def run(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
        target, (a, b) = vm.pop_place(), vm.pop_integers()
        finish(vm, target, function(a, b) & vm.mask)

    return run


def _shift_left(a: int, b: int) -> int:
    return a << b if b < 64 else 0


def _shift_right(a: int, b: int) -> int:
    return a >> b if b < 64 else 0


def _modulo(a: int, b: int) -> int:
    if not b:
        raise AmlError("AE_AML_DIVIDE_BY_ZERO", "division by zero")
    return a % b


HANDLERS.update(
    {
        "Add": _arithmetic(lambda a, b: a + b),
        "Subtract": _arithmetic(lambda a, b: a - b),
        "Multiply": _arithmetic(lambda a, b: a * b),
        "Mod": _arithmetic(_modulo),
        "ShiftLeft": _arithmetic(_shift_left),
        "ShiftRight": _arithmetic(_shift_right),
        "And": _arithmetic(lambda a, b: a & b),
        "NAnd": _arithmetic(lambda a, b: ~(a & b)),
        "Or": _arithmetic(lambda a, b: a | b),
        "NOr": _arithmetic(lambda a, b: ~(a | b)),
        "XOr": _arithmetic(lambda a, b: a ^ b),
    }
)


def _unary(function: Callable[[int, int], int], *, explicit: bool = False) -> Handler:
    """An operator on one integer; ``function`` is also given the width of integers in bytes."""

    def run(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
        target, a = vm.pop_place(), vm.pop_integer()
        finish(vm, target, function(a, vm.width) & vm.mask, explicit=explicit)

    return run


HANDLERS.update(
    {
        "Not": _unary(lambda a, _: ~a),
        "FindSetLeftBit": _unary(lambda a, _: a.bit_length()),
        "FindSetRightBit": _unary(lambda a, _: (a & -a).bit_length()),
        "FromBCD": _unary(lambda a, _: convert.from_bcd(a), explicit=True),
        "ToBCD": _unary(convert.to_bcd, explicit=True),
    }
)


@handler("Divide")
def _divide(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    quotient, remainder = vm.pop_place(), vm.pop_place()
    a, b = vm.pop_integers()
    rest = _modulo(a, b)
    if remainder is not None:
        store(vm, rest, remainder)
    finish(vm, quotient, a // b)


def _step(change: int) -> Handler:
    def run(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
        place = vm.pop_place()
        if place is None or isinstance(place, ByteRef):
            raise AmlError("AE_AML_OPERAND_TYPE", "a byte of a buffer can't be counted up or down")
        if isinstance(place, NodeRef) and isinstance(place.node.object, ElementRef):
            raise AmlError("AE_AML_OPERAND_TYPE", "a reference can't be counted up or down")
        value = vm.integer(load(vm, place)) + change & vm.mask
        store(vm, value, place)
        vm.stack.append(value)

    return run


HANDLERS["Increment"], HANDLERS["Decrement"] = _step(1), _step(-1)


# -- truth


def _truth(function: Callable[[int, int], bool]) -> Handler:
    def run(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
        a, b = vm.pop_integers()
        vm.stack.append(vm.mask if function(a, b) else 0)

    return run


HANDLERS["LAnd"] = _truth(lambda a, b: bool(a and b))
HANDLERS["LOr"] = _truth(lambda a, b: bool(a or b))


@handler("LNot")
def _not(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    vm.stack.append(0 if vm.pop_integer() else vm.mask)


def order(vm: AmlMachine, a: Value, b: Value) -> int:
    """-1, 0 or 1 as ``a`` is less than, equal to or greater than ``b``, which is converted to the type of ``a``."""
    a = vm.data(a)
    b = convert.alike(vm.data(b), a, vm.width)
    if isinstance(a, int) and isinstance(b, int):
        return (a > b) - (a < b)
    left, right = bytes(a), bytes(b)  # type: ignore[arg-type]  # both are bytearrays by now
    return (left > right) - (left < right)


def _comparison(function: Callable[[int], bool]) -> Handler:
    def run(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
        a, b = vm.pop_two()
        vm.stack.append(vm.mask if function(order(vm, a, b)) else 0)

    return run


HANDLERS["LEqual"] = _comparison(lambda order: order == 0)
HANDLERS["LGreater"] = _comparison(lambda order: order > 0)
HANDLERS["LLess"] = _comparison(lambda order: order < 0)
