"""The data objects of AML (ACPI 6.5, 19.3.5).

An Integer is an ``int``, kept to the width that the DSDT's revision sets. Strings, Buffers and Packages have identity:
Index reaches into them, and storing makes copies.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Union

PACKAGE_DEPTH = 200  # packages in packages; in results; two of Python's frames each, where they are shown


class ObjectType(IntEnum):
    """What ObjectType() answers (ACPI 6.5, table 19.37)."""

    UNINITIALIZED = 0
    INTEGER = 1
    STRING = 2
    BUFFER = 3
    PACKAGE = 4
    FIELD_UNIT = 5
    DEVICE = 6
    EVENT = 7
    METHOD = 8
    MUTEX = 9
    REGION = 10
    POWER = 11
    PROCESSOR = 12
    THERMAL = 13
    BUFFER_FIELD = 14
    DDB_HANDLE = 15
    DEBUG = 16


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


Value = Union[int, String, Buffer, Package, Reference, None]  # noqa: UP007 -- evaluated at run time, with forward names


def kind_of(thing: object) -> ObjectType:
    """The type of a value or of a named object, as ObjectType() tells it."""
    if isinstance(thing, int):
        return ObjectType.INTEGER
    kind = getattr(thing, "kind", ObjectType.UNINITIALIZED)
    return kind if isinstance(kind, ObjectType) else ObjectType.UNINITIALIZED
