"""Reading and writing places: the rules of Store and CopyObject (ACPI 6.5, 19.3.5.8, tables 19.8 and 19.9)."""

from __future__ import annotations

from xlpy.firmware.acpi.eval import convert
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.fields import BufferField, Field, raw, read_bits, value_of, write_bits, write_own
from xlpy.firmware.acpi.eval.namespace import Container, LinkRef, Method
from xlpy.firmware.acpi.eval.references import (
    ByteRef,
    ConstantRef,
    DebugRef,
    ElementRef,
    NameRef,
    NodeRef,
    SlotRef,
    copy,
)
from xlpy.firmware.acpi.eval.values import Buffer, Constant, ObjectType, Package, Reference, String, kind_of
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from xlpy.firmware.acpi.eval.fields import FieldAccess
    from xlpy.firmware.acpi.eval.namespace import AcpiNamespace, NamedObject, Object
    from xlpy.firmware.acpi.eval.values import Value


class Holder(Protocol):
    """Whose places they are: what reading and writing needs of the machine."""

    namespace: AcpiNamespace
    fields: FieldAccess
    stack: list[Value]
    width: int

    def spend(self, steps: int, /) -> None:
        """Take from the budget of this evaluation."""

    def data(self, value: Value, /) -> Value:
        """The value of an operand."""

    def renamed(self) -> None:
        """A name has become a method, or is none any more."""

    def log(self, value: Value, /) -> None:
        """Record what was stored to the Debug object."""


def read_node(vm: Holder, node: NamedObject) -> Value:
    """The value of a named object; of one that has none, such as a Device, the object itself."""
    thing = node.object
    if isinstance(thing, ElementRef):
        return ElementRef(thing.package, thing.index, direct=True)  # under a name it counts as its content
    if isinstance(thing, (int, String, Buffer, Package, Reference)):
        return thing
    if isinstance(thing, Field):
        vm.spend(thing.bits.length >> 3)
        if thing.link:
            from xlpy.firmware.acpi.eval import buses

            vm.spend(buses.cost(thing) >> 3)
            return buses.receive(vm.fields, thing, vm.width)
        return value_of(vm.fields.read(thing), thing.bits.length, vm.width)
    if isinstance(thing, BufferField):
        vm.spend(thing.length >> 3)
        data = read_bits(thing.buffer, thing.offset, thing.length)
        return Buffer(data) if thing.plain else value_of(data, thing.length, vm.width)
    if isinstance(thing, Container) and thing.kind is ObjectType.UNINITIALIZED:
        raise AmlError("AE_AML_UNINITIALIZED_NODE", f"{node} has no value")
    return NodeRef(node, plain=True)


def load(vm: Holder, place: Reference) -> Value:
    """What DerefOf gives; AmlError when there is nothing."""
    if isinstance(place, NodeRef):
        return read_node(vm, place.node)
    if isinstance(place, ByteRef):
        if place.index >= len(place.data):
            raise AmlError("AE_AML_BUFFER_LIMIT", f"byte {place.index} of a buffer of {len(place.data)}")
        return place.data[place.index]
    if isinstance(place, ElementRef):
        value = element(vm, place)
        if value is None:
            raise AmlError("AE_AML_UNINITIALIZED_ELEMENT", f"element {place.index} of a package was never set")
        return value
    if isinstance(place, SlotRef):
        value = place.slots[place.index]
        if value is None:
            kind = "ARG" if place.is_arg else "LOCAL"
            raise AmlError(f"AE_AML_UNINITIALIZED_{kind}", f"{kind.capitalize()}{place.index} was never set")
        return value
    if isinstance(place, NameRef):
        return read_node(vm, vm.namespace.get(place.scope, place.path))
    if isinstance(place, ConstantRef):
        return place.value
    raise AmlError("AE_AML_OPERAND_TYPE", "the Debug object can't be read")


def element(vm: Holder, place: ElementRef) -> Value:
    """An element of a package; a name in it is looked up now, and for good."""
    value = place.package[place.index]
    if isinstance(value, NameRef):
        value = place.package[place.index] = resolve(vm, value)
    return read_node(vm, value.node) if isinstance(value, LinkRef) else value


def resolve(vm: Holder, name: NameRef) -> Value:
    """What a name in a package stands for: a link to data, the present value of a field, or a reference."""
    node = vm.namespace.get(name.scope, name.path)
    data = isinstance(node.object, (int, String, Buffer, Package))
    if not data:
        return read_node(vm, node)
    if node.link is None:
        node.link = LinkRef(node)
    return node.link


def settle(vm: Holder, package: Package) -> None:
    """Resolve the names in a package that exist by now."""
    pending = [package]
    while pending:
        package = pending.pop()
        vm.spend(1)
        for index, value in enumerate(package):
            if isinstance(value, NameRef) and vm.namespace.find(value.scope, value.path):
                package[index] = resolve(vm, value)
            elif isinstance(value, Package):
                pending.append(value)


def replace(vm: Holder, node: NamedObject, value: Object) -> None:
    """Another object under the same name; packages keep the one that was there when they were loaded."""
    vm.namespace.catch_up()
    if vm.namespace.unsettled:
        vm.namespace.unsettled = False
        for one in list(vm.namespace.nodes.values()):
            if isinstance(one.object, Package):
                settle(vm, one.object)
    counted = isinstance(node.object, Method) or isinstance(value, Method)
    vm.namespace.replace(node, value)
    if counted:
        vm.renamed()


def store(vm: Holder, value: Value, place: Reference | None, *, plain: bool = False) -> Value:
    """Store: a copy of ``value``, converted to the type of a named target.

    A named package takes a package, and that only from the Store operator itself (``plain``).

    Returns:
        the value, or what a bus has answered to it.
    """
    if place is None:
        return value
    if isinstance(value, NodeRef) and value.plain and not isinstance(place, DebugRef):
        raise AmlError("AE_AML_OPERAND_TYPE", f"{value.node} can't be stored, only a reference to it")
    if isinstance(value, Package):
        settle(vm, value)
    if isinstance(place, SlotRef):
        held = place.slots[place.index]
        if place.is_arg and isinstance(held, (NodeRef, SlotRef)) and not (isinstance(held, NodeRef) and held.plain):
            return _store_through(vm, value, held, plain)
        place.slots[place.index] = taken(vm, value)
    elif isinstance(place, NodeRef):
        return _store_named(vm, value, place.node, plain)
    elif isinstance(place, ElementRef):
        place.package[place.index] = copy(value, vm.spend)
    elif isinstance(place, ByteRef):
        _store_byte(vm, value, place)
    elif isinstance(place, DebugRef):
        vm.log(value)
    elif not isinstance(place, ConstantRef):
        raise AmlError("AE_AML_OPERAND_TYPE", "a name in a package is no place to store to")
    return value


def taken(vm: Holder, value: Value) -> Value:
    """What a local keeps of a value: a copy, but for a package that nothing else holds."""
    if isinstance(value, Package) and value.fresh:
        value.fresh = False
        return value
    return copy(value, vm.spend)


def _store_named(vm: Holder, value: Value, node: NamedObject, plain: bool) -> Value:
    thing = node.object
    if isinstance(value, Reference) and isinstance(thing, (int, bytearray, Field, BufferField)):
        raise convert.type_error(value, "an integer, string or buffer")
    if isinstance(thing, bytearray):
        vm.spend(len(thing) >> 8)
    if isinstance(thing, int):
        number = convert.to_integer(value, vm.width)
        node.object = Constant(number) if isinstance(thing, Constant) else number
    elif isinstance(thing, String):
        thing[:] = convert.to_string(value, vm.width)
    elif isinstance(thing, Buffer):
        data = convert.to_buffer(value, vm.width)
        if thing and isinstance(value, String):
            del data[-1]  # only an empty buffer takes the NUL
        thing[:] = data[: len(thing)].ljust(len(thing), b"\0") if thing else data
    elif isinstance(thing, Field):
        vm.spend(thing.bits.length >> 3)
        if thing.link:
            from xlpy.firmware.acpi.eval import buses

            vm.spend(buses.cost(thing) >> 3)
            return buses.send(vm.fields, thing, value)
        vm.fields.write(thing, raw(value))
    elif isinstance(thing, BufferField):
        if value is thing.buffer and thing.plain and thing.length <= 8 * len(thing.buffer):
            write_own(thing.buffer, thing.offset, thing.length)
        else:
            write_bits(thing.buffer, thing.offset, thing.length, raw(value))
    elif isinstance(thing, Reference) or (plain and isinstance(thing, Package) and isinstance(value, Package)):
        replace(vm, node, copy(value, vm.spend))
    else:
        raise AmlError(
            "AE_AML_OPERAND_TYPE" if isinstance(thing, Method) else "AE_AML_TARGET_TYPE",
            f"a {kind_of(value).name.lower()} can't be stored to {node}, a {node.type.name.lower()}",
        )
    return value


def _store_through(vm: Holder, value: Value, held: NodeRef | SlotRef, plain: bool) -> Value:
    """Store to an argument that is a reference from RefOf: to what it refers to, which takes over the type."""
    if isinstance(held, SlotRef):
        held.slots[held.index] = copy(value, vm.spend)
    elif isinstance(held.node.object, (int, String, Buffer)):
        if not isinstance(value, (int, String, Buffer)):
            raise convert.type_error(value, "an integer, string or buffer")
        replace(vm, held.node, copy(value, vm.spend))
    elif isinstance(held.node.object, Method):
        replace(vm, held.node, copy(value, vm.spend))
    else:
        return _store_named(vm, copy(value, vm.spend) if isinstance(value, bytearray) else value, held.node, plain)
    return value


def _store_byte(vm: Holder, value: Value, place: ByteRef) -> None:
    if isinstance(value, int):
        byte = value & 0xFF
    elif isinstance(value, String):
        byte = value[0] if value else 0
    elif isinstance(value, Buffer) and value:
        byte = value[0]
    else:
        raise convert.type_error(value, "an integer, string or buffer")
    if place.index >= len(place.data):
        raise AmlError("AE_AML_BUFFER_LIMIT", f"byte {place.index} of a buffer of {len(place.data)}")
    place.data[place.index] = byte


def retype(vm: Holder, value: Value, place: Reference) -> Value:
    """Store the result of an explicit conversion: a named integer, string or buffer takes over its type.

    It then is the result, no copy: what ToBuffer makes of a buffer is that buffer, under a second name.
    """
    held = place.node.object if isinstance(place, NodeRef) else None
    convertible = (int, String, Buffer)
    if isinstance(place, NodeRef) and isinstance(held, convertible) and type(held) is not type(value):
        replace(vm, place.node, value)
        return value
    return store(vm, value, place)


def copy_object(vm: Holder, value: Value, place: Reference) -> Value:
    """CopyObject: a named target takes over the type, whatever it is; fields convert nevertheless.

    Returns:
        the value, or what a bus has answered to it.
    """
    if isinstance(value, Package):
        settle(vm, value)
    if isinstance(place, NodeRef) and not isinstance(place.node.object, (Field, BufferField)):
        if isinstance(value, NodeRef) and value.plain:
            replace(vm, place.node, value.node.object)
        else:
            replace(vm, place.node, copy(value, vm.spend))
    elif isinstance(place, SlotRef):
        held = place.slots[place.index]
        if place.is_arg and isinstance(held, (NodeRef, SlotRef)) and not (isinstance(held, NodeRef) and held.plain):
            return copy_object(vm, value, held)
        place.slots[place.index] = copy(value, vm.spend)
    else:
        return store(vm, value, place)
    return value


def finish(vm: Holder, target: Reference | None, value: Value, *, explicit: bool = False) -> None:
    """Store a result in its target, which takes over its type if the conversion is explicit; it is the value, too."""
    if target is not None:
        value = (retype if explicit else store)(vm, value, target)
    vm.stack.append(value)
