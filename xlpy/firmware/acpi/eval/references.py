"""References: the places that hold AML's data objects (ACPI 6.5, 19.3.5), and copies that share none of them."""

from __future__ import annotations

from xlpy.firmware.acpi.eval.namespace import LinkRef
from xlpy.firmware.acpi.eval.values import ObjectType, Package, Reference
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.firmware.acpi.eval.names import Absolute, Path
    from xlpy.firmware.acpi.eval.namespace import NamedObject
    from xlpy.firmware.acpi.eval.values import Constant, Value


class SlotRef(Reference):
    """A local or an argument of one method invocation."""

    __slots__ = ("index", "is_arg", "slots")

    def __init__(self, slots: list[Value], index: int, is_arg: bool) -> None:
        self.slots, self.index, self.is_arg = slots, index, is_arg


class NodeRef(Reference):
    """A named object. ``plain`` if it is the object itself, such as a Device by its name, and not a reference to it."""

    __slots__ = ("node", "plain")

    def __init__(self, node: NamedObject, *, plain: bool = False) -> None:
        self.node, self.plain = node, plain


class ElementRef(Reference):
    """An element of a package; ``direct`` until Index's result is stored or passed on: an operand is its content."""

    __slots__ = ("direct", "index", "package")

    def __init__(self, package: Package, index: int, *, direct: bool = False) -> None:
        self.package, self.index, self.direct = package, index, direct


class ByteRef(Reference):
    """A byte of a buffer, or a character of a string."""

    __slots__ = ("data", "index")
    kind = ObjectType.BUFFER_FIELD

    def __init__(self, data: bytearray, index: int) -> None:
        self.data, self.index = data, index


class NameRef(Reference):
    """A name in a package, which may not exist yet."""

    __slots__ = ("path", "scope")

    def __init__(self, scope: Absolute, path: Path) -> None:
        self.scope, self.path = scope, path


class ConstantRef(Reference):
    """A constant where a place is required: it keeps its value."""

    __slots__ = ("value",)

    def __init__(self, value: Constant) -> None:
        self.value = value


class DebugRef(Reference):
    """The Debug object: whatever is stored there is logged."""

    __slots__ = ()
    kind = ObjectType.DEBUG


def copy(value: Value, spend: Callable[[int], None]) -> Value:
    """A copy that shares nothing that can change with the original.

    Args:
        value: what to copy.
        spend: told the cost as it arises, a step for each eight bytes and each element; packages that link to packages
            can be far larger than they look.
    """
    if not isinstance(value, Package):
        return _copied(value, spend)
    whole = Package()
    pending = [(value, whole)]
    while pending:
        source, made = pending.pop()
        spend(len(source) + 1)
        for element in source:
            if isinstance(element, LinkRef):
                held = element.node.object
                element = held if isinstance(held, (int, bytearray, Package)) else None
            if isinstance(element, Package):
                inner = Package()
                pending.append((element, inner))
                made.append(inner)
            else:
                made.append(_copied(element, spend))
    return whole


def _copied(value: Value, spend: Callable[[int], None]) -> Value:
    if isinstance(value, bytearray):
        spend(len(value) >> 3)
        return type(value)(value)
    if isinstance(value, LinkRef):
        held = value.node.object
        return copy(held, spend) if isinstance(held, (int, bytearray, Package)) else None
    return passed(value)


def passed(value: Value) -> Value:
    """What a method gets as an argument: the value itself; of Index's result the reference."""
    return ElementRef(value.package, value.index) if isinstance(value, ElementRef) else value
