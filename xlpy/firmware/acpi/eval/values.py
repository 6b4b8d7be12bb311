"""The data objects of AML (ACPI 6.5, 19.3.5).

An Integer is an ``int``, kept to the width that the DSDT's revision sets. Strings, Buffers and Packages have identity:
Index reaches into them, and storing makes copies.
"""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

PACKAGE_DEPTH = 200  # packages in packages; in results; two of Python's frames each, where they are shown
BUFFER_LIMIT = 1 << 24  # bytes of one buffer


class ObjectType(int):
    """What ObjectType() answers (ACPI 6.5, table 19.37): a number with a name. (Importing enum would take longer.)"""

    name: str
    UNINITIALIZED: ObjectType
    INTEGER: ObjectType
    STRING: ObjectType
    BUFFER: ObjectType
    PACKAGE: ObjectType
    FIELD_UNIT: ObjectType
    DEVICE: ObjectType
    EVENT: ObjectType
    METHOD: ObjectType
    MUTEX: ObjectType
    REGION: ObjectType
    POWER: ObjectType
    PROCESSOR: ObjectType
    THERMAL: ObjectType
    BUFFER_FIELD: ObjectType
    DDB_HANDLE: ObjectType
    DEBUG: ObjectType


_NAMES = (
    "UNINITIALIZED INTEGER STRING BUFFER PACKAGE FIELD_UNIT DEVICE EVENT METHOD MUTEX REGION POWER PROCESSOR THERMAL "
    "BUFFER_FIELD DDB_HANDLE DEBUG"
)
for _number, _name in enumerate(_NAMES.split()):
    _type = ObjectType(_number)
    _type.name = _name
    setattr(ObjectType, _name, _type)


class Constant(int):
    """An Integer that the opcode Zero, One or Ones made: what is stored to it through a DerefOf is lost."""

    __slots__ = ()


class String(bytearray):
    """A String: its characters without the NUL at the end."""

    kind = ObjectType.STRING


class Buffer(bytearray):
    """A Buffer."""

    kind = ObjectType.BUFFER


class Package(list["Value"]):
    """A Package; elements that were never set are None.

    ``fresh`` until it is stored somewhere: the first local that takes it needs no copy.
    """

    fresh = False

    kind = ObjectType.PACKAGE


class Reference:
    """A place that can hold a value. RefOf and Index make them, and every target is one."""

    __slots__ = ()


if TYPE_CHECKING:
    Value: TypeAlias = int | String | Buffer | Package | Reference | None


def kind_of(thing: object) -> ObjectType:
    """The type of a value or of a named object, as ObjectType() tells it."""
    if isinstance(thing, int):
        return ObjectType.INTEGER
    kind = getattr(thing, "kind", ObjectType.UNINITIALIZED)
    return kind if isinstance(kind, ObjectType) else ObjectType.UNINITIALIZED
