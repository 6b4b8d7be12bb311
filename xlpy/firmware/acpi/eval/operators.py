"""Strings, buffers, packages and references (ACPI 6.5, 19.6). Operands are on the stack in order, a target last."""

from __future__ import annotations

from xlpy.firmware.acpi.eval import convert
from xlpy.firmware.acpi.eval.arithmetic import order
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.namespace import Container
from xlpy.firmware.acpi.eval.references import ByteRef, DebugRef, ElementRef, NameRef, NodeRef, SlotRef, copy
from xlpy.firmware.acpi.eval.registry import HANDLERS, handler
from xlpy.firmware.acpi.eval.store import copy_object, element, finish, load, store
from xlpy.firmware.acpi.eval.values import Buffer, ObjectType, Package, Reference, String, kind_of
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.firmware.acpi.eval.machine import AmlMachine, Frame
    from xlpy.firmware.acpi.eval.registry import Handler
    from xlpy.firmware.acpi.eval.values import Value

HOPS = 16  # references to references


# Match operators (19.6.85): element against object, told from the order of the object to the element
_MATCHES: tuple[Callable[[int], bool], ...] = (
    lambda _: True,
    lambda order: order == 0,
    lambda order: order >= 0,
    lambda order: order > 0,
    lambda order: order <= 0,
    lambda order: order < 0,
)


@handler("Match")
def _match(vm: AmlMachine, _frame: Frame, operators: tuple[int, int]) -> None:
    start = vm.pop_integer()
    objects = [vm.data(vm.stack.pop()), vm.data(vm.stack.pop())][::-1]
    package = vm.data(vm.stack.pop())
    if not isinstance(package, Package):
        raise convert.type_error(package, "a package")
    if max(operators) >= len(_MATCHES):
        raise AmlError("AE_AML_OPERAND_VALUE", f"match operators {operators}, 0 to 5 are defined")
    if start >= len(package):
        raise AmlError("AE_AML_PACKAGE_LIMIT", f"index {start} of a package of {len(package)}")
    for wanted in objects:
        if not isinstance(wanted, (int, String, Buffer)):
            raise convert.type_error(wanted, "an integer, string or buffer")
    for index in range(start, len(package)):
        vm.spend(1)
        value = element(vm, ElementRef(package, index))
        if isinstance(value, (int, String, Buffer)) and all(
            _MATCHES[op](order(vm, wanted, value)) for op, wanted in zip(operators, objects, strict=True)
        ):
            vm.stack.append(index)
            return
    vm.stack.append(vm.mask)


# -- conversions


def _conversion(function: Callable[[Value, int], Value], same: type[String | Buffer] | tuple[()] = ()) -> Handler:
    """A conversion; what is of the type ``same`` already is the result itself, and no copy of it."""

    def run(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
        target, value = vm.pop_place(), vm.data(vm.stack.pop())
        result = value if isinstance(value, same) else function(value, vm.width)
        if isinstance(result, bytearray):
            vm.spend(len(result) >> 3)
        finish(vm, target, result, explicit=True)

    return run


HANDLERS["ToInteger"] = _conversion(convert.number)
HANDLERS["ToBuffer"] = _conversion(convert.to_buffer, Buffer)
HANDLERS["ToHexString"] = _conversion(convert.to_hex_string, String)
HANDLERS["ToDecimalString"] = _conversion(convert.to_decimal_string, String)


@handler("ToString")
def _to_string(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    target = vm.pop_place()
    if vm.stack[-2] is None:
        raise AmlError("AE_AML_NO_RETURN_VALUE", "an operand has no value")
    length, value = vm.pop_integer(), vm.data(vm.stack.pop())
    data = convert.to_buffer(value, vm.width)[:length]
    finish(vm, target, String(data.partition(b"\0")[0]), explicit=True)


# -- strings, buffers, packages


_NAMES = {
    "DEVICE": "Device",
    "EVENT": "Event",
    "METHOD": "Control Method",
    "MUTEX": "Mutex",
    "REGION": "Region",
    "POWER": "Power",
    "PROCESSOR": "Processor",
    "THERMAL": "Thermal",
    "PACKAGE": "Package",
}


def _text(vm: AmlMachine, value: Value) -> Value:
    """What Concatenate sees of an operand: what is neither integer nor string nor buffer turns into its type's name."""
    value = vm.data(value)
    if isinstance(value, (int, String, Buffer)):
        return value
    plain = value.node.object if isinstance(value, NodeRef) and value.plain else value
    if isinstance(plain, Container) and plain.kind is ObjectType.UNINITIALIZED:
        raise AmlError("AE_AML_UNINITIALIZED_NODE", f"{value} has no value")
    return String(b"[%s Object]" % _NAMES.get(kind_of(plain).name, "Reference").encode())


@handler("Concatenate")
def _concatenate(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    target, (left, right) = vm.pop_place(), vm.pop_two()
    a, b = _text(vm, left), _text(vm, right)
    b = convert.alike(b, a, vm.width)
    result: Value
    if isinstance(a, int):
        result = Buffer(convert.to_buffer(a, vm.width) + convert.to_buffer(b, vm.width))
    elif isinstance(a, String):
        result = String(a + convert.to_string(b, vm.width))
    else:
        result = Buffer(convert.to_buffer(a, vm.width) + convert.to_buffer(b, vm.width))
    vm.spend(len(result) >> 3)
    finish(vm, target, result)


@handler("ConcatRes")
def _concat_res(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    from xlpy.firmware.acpi.eval.templates import without_end_tag

    target = vm.pop_place()
    parts = [convert.to_buffer(vm.data(value), vm.width) for value in vm.pop_two()]
    body = b""
    for part in parts:
        body += without_end_tag(bytes(part))
    vm.spend(len(body) >> 3)
    finish(vm, target, Buffer(body + b"\x79\0"))


@handler("Mid")
def _mid(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    target = vm.pop_place()
    if None in vm.stack[-3:]:
        raise AmlError("AE_AML_NO_RETURN_VALUE", "an operand has no value")
    length, index, value = vm.pop_integer(), vm.pop_integer(), vm.data(vm.stack.pop())
    if not isinstance(value, (String, Buffer)):
        value = convert.to_buffer(value, vm.width)
    vm.spend(len(value) >> 3)
    finish(vm, target, type(value)(value[index : index + length]))


@handler("Index")
def _index(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    target, (given, number) = vm.pop_place(), vm.pop_two()
    index, source = vm.integer(number), vm.data(given)
    place: Reference
    if isinstance(source, Package):
        place = ElementRef(source, index, direct=True)
    elif isinstance(source, (Buffer, String)):
        place = ByteRef(source, index)
    else:
        raise convert.type_error(source, "a package, buffer or string")
    if index >= len(source):
        kind = type(source).__name__
        raise AmlError(f"AE_AML_{kind.upper()}_LIMIT", f"index {index} of a {kind.lower()} of {len(source)}")
    if target is not None:
        store(vm, place, target)
    vm.stack.append(place)


@handler("Store")
def _store(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    target, value = vm.pop_place(), vm.stack.pop()
    if value is None:
        raise AmlError("AE_AML_NO_RETURN_VALUE", "there is no value to store")
    vm.stack.append(store(vm, value, target, plain=True))


@handler("CopyObject")
def _copy_object(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    target, value = vm.pop_place(), vm.stack.pop()
    assert target is not None
    if value is None:
        raise AmlError("AE_AML_NO_RETURN_VALUE", "there is no value to copy")
    if isinstance(value, bytearray):
        value = copy(value, vm.spend)  # copied first, then stored as any other; the result is neither of both
    result = copy_object(vm, value, target)
    vm.stack.append(copy(result, vm.spend) if isinstance(result, Package) else result)


# -- references


@handler("RefOf")
def _ref_of(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    """The place that lies on the stack is the value."""
    vm.stack[-1] = _referred(vm.stack[-1])


def _referred(place: Value) -> Reference:
    """A reference to a place. One to an argument means the argument, whatever reference that holds."""
    if isinstance(place, SlotRef):
        return SlotRef(place.slots, place.index, False)
    if not isinstance(place, (NodeRef, DebugRef)):
        raise AmlError("AE_AML_OPERAND_TYPE", "only a named object, a local or an argument can be referred to")
    return place


@handler("CondRefOf")
def _cond_ref_of(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    target, place = vm.pop_place(), vm.pop_place()
    if place is not None:
        place = _referred(place)
        if target is not None:
            store(vm, place, target)
    vm.stack.append(vm.mask if place is not None else 0)


@handler("DerefOf")
def _deref_of(vm: AmlMachine, frame: Frame, operand: tuple[bool]) -> None:
    value = vm.stack.pop()
    if isinstance(value, String):
        value = NodeRef(vm.namespace.get(frame.scope, vm.path(value)))
    if value is None:
        raise AmlError("AE_AML_NO_RETURN_VALUE", "an operand has no value")
    if not isinstance(value, Reference):
        (in_slot,) = operand
        error = convert.type_error(value, "a reference")
        raise AmlError("AE_TYPE", error.message) if in_slot else error
    unset = isinstance(value, SlotRef) and value.slots[value.index] is None
    vm.stack.append(None if unset else load(vm, value))  # what needs a value says so


def _behind(vm: AmlMachine, value: Value) -> object:
    """The object behind a place and the references in it."""
    for _ in range(HOPS):
        if isinstance(value, NodeRef):
            held = value.node.object
            if not isinstance(held, Reference):
                return held
            value = held
        elif isinstance(value, SlotRef):
            value = value.slots[value.index]
        elif isinstance(value, ElementRef):
            value = element(vm, value)
        elif isinstance(value, NameRef):
            value = NodeRef(vm.namespace.get(value.scope, value.path))
        else:
            return value
    raise AmlError("AE_AML_CIRCULAR_REFERENCE", f"more than {HOPS} references in a row")


@handler("ObjectType")
def _object_type(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    value = vm.stack.pop()
    if value is None:
        raise AmlError("AE_AML_NO_RETURN_VALUE", "an operand has no value")
    vm.stack.append(int(kind_of(_behind(vm, value))))


@handler("SizeOf")
def _size_of(vm: AmlMachine, _frame: Frame, _operand: object) -> None:
    value = vm.stack.pop()
    thing = _behind(vm, value)
    if value is None:
        raise AmlError("AE_AML_NO_RETURN_VALUE", "an operand has no value")
    if thing is None and isinstance(value, SlotRef):
        load(vm, value)  # says which local or argument was never set
    if isinstance(thing, (String, Buffer, Package)):
        vm.stack.append(len(thing))
    elif isinstance(thing, int):
        vm.stack.append(vm.width)
    else:
        raise AmlError("AE_AML_OPERAND_TYPE", "a string, buffer or package is needed")
