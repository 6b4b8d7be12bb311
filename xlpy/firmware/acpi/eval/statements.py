"""The instructions for values and control flow: constants, names, places, calls, jumps (ACPI 6.5, 19.6)."""

from __future__ import annotations

from xlpy.firmware.acpi.eval import acpica, convert
from xlpy.firmware.acpi.eval.errors import AmlError, NoCondition
from xlpy.firmware.acpi.eval.namespace import Method
from xlpy.firmware.acpi.eval.references import ConstantRef, DebugRef, ElementRef, NameRef, NodeRef, SlotRef
from xlpy.firmware.acpi.eval.registry import handler
from xlpy.firmware.acpi.eval.store import load, read_node, settle
from xlpy.firmware.acpi.eval.values import BUFFER_LIMIT, Buffer, Constant, Package, Reference, String
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.eval.compiler import Later
    from xlpy.firmware.acpi.eval.machine import AmlMachine, Frame
    from xlpy.firmware.acpi.eval.names import Path
    from xlpy.firmware.acpi.eval.values import Value

STEP = 2  # microseconds that a step takes, as far as Timer can tell
PACKAGE_LIMIT = 1 << 16  # elements of one package

_DEBUG = DebugRef()

# -- constants


@handler("Constant")
def _constant(vm: AmlMachine, _frame: Frame, value: int) -> None:
    vm.stack.append(value & vm.mask)


@handler("Zero")
def _zero(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    vm.stack.append(0)


@handler("One")
def _one(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    vm.stack.append(1)


@handler("Ones")
def _ones(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    vm.stack.append(vm.mask)


@handler("Fixed")
def _fixed(vm: AmlMachine, _frame: Frame, value: int) -> None:
    vm.stack.append(Constant(value & vm.mask))


@handler("Revision")
def _revision(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    vm.stack.append(acpica.VERSION)


@handler("Timer")
def _timer(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    vm.stack.append((vm.now + STEP * vm.steps()) * 10)  # in units of 100 ns


@handler("String")
def _string(vm: AmlMachine, _frame: Frame, data: bytes) -> None:
    vm.stack.append(String(data))


@handler("Buffer")
def _buffer(vm: AmlMachine, _frame: Frame, data: bytes) -> None:
    size = max(vm.pop_integer() & 0xFFFFFFFF, len(data))
    if size > BUFFER_LIMIT:
        raise AmlError("AE_NO_MEMORY", f"a buffer of {size} bytes; {BUFFER_LIMIT} is the limit")
    vm.spend(size >> 3)
    vm.stack.append(Buffer(data.ljust(size, b"\0")))


@handler("Package")
def _package(vm: AmlMachine, frame: Frame, operand: tuple[int | None, int]) -> None:
    count, given = operand
    first = len(vm.stack) - given
    elements = vm.stack[first:]
    del vm.stack[first:]
    size = vm.pop_integer() if count is None else count
    if size > PACKAGE_LIMIT:
        raise AmlError("AE_NO_MEMORY", f"a package of {size} elements; {PACKAGE_LIMIT} is the limit")
    vm.spend(size)
    package = Package((elements + [None] * (size - given))[:size])
    if frame.node:  # a method's own names will be gone soon
        settle(vm, package)
        package.fresh = True
    vm.stack.append(package)


@handler("GetElement")
def _get_element(vm: AmlMachine, frame: Frame, path: Path) -> None:
    vm.stack.append(NameRef(frame.scope, path))


# -- names, locals and arguments


@handler("GetName")
def _get_name(vm: AmlMachine, frame: Frame, path: Path) -> None:
    node = vm.namespace.operand(frame.scope, path)
    if isinstance(node.object, Method):  # which the compiler could not know
        vm.call(node, 0)
    else:
        vm.stack.append(read_node(vm, node))


@handler("GetSlot")
def _get_slot(vm: AmlMachine, frame: Frame, operand: tuple[bool, int]) -> None:
    is_arg, index = operand
    vm.stack.append(load(vm, SlotRef(frame.args if is_arg else frame.locals, index, is_arg)))


@handler("SlotPlace")
def _slot_place(vm: AmlMachine, frame: Frame, operand: tuple[bool, int]) -> None:
    is_arg, index = operand
    vm.stack.append(SlotRef(frame.args if is_arg else frame.locals, index, is_arg))


@handler("NamePlace")
def _name_place(vm: AmlMachine, frame: Frame, path: Path) -> None:
    vm.stack.append(NodeRef(vm.namespace.operand(frame.scope, path)))


@handler("NamePlaceIfAny")
def _name_place_if_any(vm: AmlMachine, frame: Frame, path: Path) -> None:
    node = vm.namespace.find(frame.scope, path)
    vm.stack.append(NodeRef(node) if node else None)


@handler("DebugPlace", "Debug")
def _debug_place(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    vm.stack.append(_DEBUG)


@handler("NoTarget")
def _no_target(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    vm.stack.append(None)


@handler("CheckReference")
def _check_reference(vm: AmlMachine, frame: Frame, _operand: object) -> None:
    if isinstance(vm.stack[-1], Constant):
        vm.stack[-1] = ConstantRef(vm.stack[-1])
    elif not isinstance(vm.stack[-1], Reference):
        if None in vm.stack[frame.height :]:
            raise AmlError("AE_AML_NO_RETURN_VALUE", "an operand has no value")
        raise convert.type_error(vm.stack[-1], "a reference")


@handler("Mark")
def _mark(vm: AmlMachine, frame: Frame, _operand: object) -> None:
    frame.marks[frame.at - 1] = len(vm.stack)


@handler("Drop")
def _drop(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    vm.stack.pop()


# -- control flow


@handler("Call")
def _call(vm: AmlMachine, frame: Frame, operand: tuple[Path, int]) -> None:
    path, args = operand
    node = vm.namespace.operand(frame.scope, path)
    if args or isinstance(node.object, Method):
        vm.call(node, args)
    else:  # CopyObject has put something else there
        vm.stack.append(read_node(vm, node))


@handler("Jump")
def _jump(_vm: AmlMachine, frame: Frame, aim: int) -> None:
    frame.at = aim


@handler("JumpUnlessFailed")
def _jump_unless_failed(_vm: AmlMachine, frame: Frame, aim: int) -> None:
    if frame.marks.pop(~(frame.at - 1), None) is None:
        frame.at = aim


@handler("JumpIfNot")
def _jump_if_not(vm: AmlMachine, frame: Frame, aim: int) -> None:
    value = vm.stack.pop()
    if not (value if type(value) is int else holds(vm, value)):
        frame.at = aim


def holds(vm: AmlMachine, value: Value) -> bool:
    """Whether a condition of this value is met."""
    if value is None:
        raise NoCondition("AE_AML_NO_RETURN_VALUE", "a condition has no value")
    if isinstance(value, (Reference, Package)):
        raise AmlError("AE_TYPE", "a condition must be an integer, string or buffer")
    return bool(vm.integer(value))


@handler("Return")
def _return(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    value = vm.stack.pop()
    if isinstance(value, ElementRef):
        value = ElementRef(value.package, value.index, direct=True)
    vm.leave(load(vm, value) if isinstance(value, NameRef) else value)


@handler("End")
def _end(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    vm.leave(None)


@handler("Noop", "BreakPoint")
def _noop(_vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    """Nothing happens."""


@handler("Fatal")
def _fatal(vm: AmlMachine, _frame: Frame, operand: tuple[int, int]) -> None:
    kind, code = operand
    vm.log(String(b"Fatal: type %#x, code %#x, argument %#x" % (kind, code, vm.pop_integer())))


@handler("Raise")
def _raise(_vm: AmlMachine, _frame: Frame, error: AmlError) -> None:
    fresh = AmlError(error.status, error.message, offset=error.offset, path=error.path)
    raise fresh


@handler("Unparsed")
def _unparsed(vm: AmlMachine, frame: Frame, operand: tuple[AmlError, Later]) -> None:
    _raise(vm, frame, operand[0])


@handler("Later")
def _later(vm: AmlMachine, frame: Frame, later: Later) -> None:
    vm.reach(frame, later)
