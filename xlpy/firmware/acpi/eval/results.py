"""AML values as Python sees them, and the other way round."""

from __future__ import annotations

from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.fields import BufferField, Field
from xlpy.firmware.acpi.eval.namespace import LinkRef
from xlpy.firmware.acpi.eval.references import ByteRef, ElementRef, NameRef, NodeRef, SlotRef
from xlpy.firmware.acpi.eval.store import element, load, read_node
from xlpy.firmware.acpi.eval.values import PACKAGE_DEPTH, Buffer, Package, Reference, String
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from xlpy.firmware.acpi.eval.machine import AmlMachine
    from xlpy.firmware.acpi.eval.namespace import Object
    from xlpy.firmware.acpi.eval.values import Value


class ObjectPath(str):
    """The full path of an object that a result refers to, such as a Device."""

    __slots__ = ()


if TYPE_CHECKING:
    Result: TypeAlias = "int | str | bytes | list[Result] | ObjectPath | None"
    Argument: TypeAlias = "int | str | bytes | Sequence[Argument]"


def result(vm: AmlMachine, value: Value, depth: int = 0) -> Result:
    """The result of an evaluation; a reference from RefOf or Index is followed once, as AcpiEvaluateObject does."""
    if isinstance(value, Package):
        if depth > PACKAGE_DEPTH:
            raise AmlError("AE_LIMIT", f"packages are nested deeper than {PACKAGE_DEPTH}")
        vm.spend(len(value))
        return [result(vm, _element(vm, value, index), depth + 1) for index in range(len(value))]
    if isinstance(value, NodeRef):
        if isinstance(value.node.object, (Field, BufferField)):
            raise AmlError("AE_TYPE", f"a reference to the field {value.node} can't be given to a caller")
        seen = read_node(vm, value.node)
        return ObjectPath(value.node) if depth or isinstance(seen, Reference) else result(vm, seen, 1)
    if isinstance(value, SlotRef):
        raise AmlError("AE_TYPE", "a reference to a local or an argument can't be given to a caller")
    if isinstance(value, (ElementRef, ByteRef)):
        if depth:
            raise AmlError("AE_TYPE", "a package with a reference from Index can't be given to a caller")
        return result(vm, load(vm, value), 1)
    return shown(value)


def _element(vm: AmlMachine, package: Package, index: int) -> Value:
    value = package[index]
    known = not isinstance(value, NameRef) or vm.namespace.find(value.scope, value.path)
    return element(vm, ElementRef(package, index)) if known else value


def shown(value: Object) -> Result:
    """A value as it stands in a listing: nothing is read, names in packages stay names; None for what is no data."""
    if isinstance(value, Package):
        return [shown(element) for element in value]
    if isinstance(value, String):
        return value.decode("latin-1")
    if isinstance(value, Buffer):
        return bytes(value)
    if isinstance(value, (NodeRef, LinkRef)):
        return ObjectPath(value.node)
    if isinstance(value, NameRef):
        return ObjectPath(value.path)
    return int(value) if isinstance(value, int) else None


def argument(arg: Argument) -> Value:
    """A Python value as AML sees it; AmlError for an integer of more than 64 bits."""
    if isinstance(arg, int):
        if not 0 <= arg < 1 << 64:
            raise AmlError("AE_BAD_PARAMETER", f"{arg} is no 64-bit integer")
        return arg
    if isinstance(arg, str):
        return String(arg.encode("latin-1", "replace"))
    if isinstance(arg, (bytes, bytearray, memoryview)):
        return Buffer(arg)
    return Package(argument(item) for item in arg)
