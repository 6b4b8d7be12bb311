"""Named objects: scopes, devices, methods, regions and fields (ACPI 6.5, 20.2.5.1 and 20.2.5.2)."""

from __future__ import annotations

from enum import IntEnum

from xlpy.errors import FormatError
from xlpy.firmware.acpi.encoding import (
    NULL,
    Term,
    name_segment,
    name_string,
    number,
    packaged,
    pkg_length,
    term,
    terms,
)
from xlpy.typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

FieldUnit = tuple[str | None, int]  # name and width in bits; None or "" for a gap


class RegionSpace(IntEnum):
    """Region spaces (5.5.2.4)."""

    SYSTEM_MEMORY = 0
    SYSTEM_IO = 1
    PCI_CONFIG = 2
    EMBEDDED_CONTROL = 3
    SMBUS = 4
    SYSTEM_CMOS = 5
    PCI_BAR_TARGET = 6
    IPMI = 7


class AccessType(IntEnum):
    """Width of one access to a region (bits 0-3 of the field flags)."""

    ANY = 0
    BYTE = 1
    WORD = 2
    DWORD = 3
    QWORD = 4
    BUFFER = 5


class Update(IntEnum):
    """What the bits of an access unit outside the field become on a write (bits 5-6 of the field flags)."""

    PRESERVE = 0
    WRITE_AS_ONES = 1
    WRITE_AS_ZEROS = 2


def name(path: str, value: Term) -> bytes:
    """Name: a data object, or a reference to one, under a name."""
    return b"\x08" + name_string(path) + term(value)


def alias(source: str, path: str) -> bytes:
    """Alias: ``path`` is another name of ``source``."""
    return b"\x06" + name_string(source) + name_string(path)


def scope(path: str, *body: Term) -> bytes:
    """Scope: open an existing object and add to it."""
    return packaged(b"\x10", name_string(path), terms(body))


def device(path: str, *body: Term) -> bytes:
    """Device; the name must not exist yet."""
    return packaged(b"\x5b\x82", name_string(path), terms(body))


def method(path: str, args: int, *body: Term, serialized: bool = False, sync: int = 0) -> bytes:
    """Method.

    Args:
        path: its name.
        args: how many arguments it takes, 0 to 7.
        body: its statements.
        serialized: only one thread may be in it at a time; needed when it creates names.
        sync: synchronisation level, 0 to 15, of that lock.

    Raises:
        FormatError: ``args`` or ``sync`` out of range.
    """
    if not 0 <= args <= 7 or not 0 <= sync <= 15:
        raise FormatError(f"method {path}: {args} arguments at sync level {sync}; the limits are 7 and 15")
    return packaged(b"\x14", name_string(path), bytes([args | serialized << 3 | sync << 4]), terms(body))


def processor(path: str, uid: int, block: int, length: int, *body: Term) -> bytes:
    """Processor: ACPI id, and address and length of its register block. Deprecated in ACPI 6.0, used by Xen's DSDT."""
    return packaged(b"\x5b\x83", name_string(path), number(uid, 1), number(block, 4), number(length, 1), terms(body))


def power_resource(path: str, level: int, order: int, *body: Term) -> bytes:
    """PowerResource: deepest system state in which it stays on, and the order of switching on."""
    return packaged(b"\x5b\x84", name_string(path), number(level, 1), number(order, 2), terms(body))


def thermal_zone(path: str, *body: Term) -> bytes:
    """ThermalZone."""
    return packaged(b"\x5b\x85", name_string(path), terms(body))


def mutex(path: str, sync: int = 0) -> bytes:
    """Mutex with its synchronisation level."""
    return b"\x5b\x01" + name_string(path) + number(sync, 1)


def event(path: str) -> bytes:
    """Event."""
    return b"\x5b\x02" + name_string(path)


def external(path: str, kind: int = 0, args: int = 0) -> bytes:
    """External: an object of another table, its ObjectType number, and the number of arguments of a method."""
    return b"\x15" + name_string(path) + number(kind, 1) + number(args, 1)


def op_region(path: str, space: int, offset: Term, length: Term) -> bytes:
    """OperationRegion of ``length`` bytes from ``offset`` in an address space."""
    return b"\x5b\x80" + name_string(path) + number(space, 1) + term(offset) + term(length)


def field(
    region: str,
    units: Iterable[FieldUnit],
    access: AccessType = AccessType.ANY,
    *,
    lock: bool = False,
    update: Update = Update.PRESERVE,
) -> bytes:
    """Field: named bits of a region, in order from bit 0."""
    return packaged(b"\x5b\x81", name_string(region), _flags(access, lock, update), _units(units))


def index_field(
    index: str,
    data: str,
    units: Iterable[FieldUnit],
    access: AccessType = AccessType.ANY,
    *,
    lock: bool = False,
    update: Update = Update.PRESERVE,
) -> bytes:
    """IndexField: named bits that are reached by writing a byte offset to ``index`` and using ``data``."""
    return packaged(b"\x5b\x86", name_string(index), name_string(data), _flags(access, lock, update), _units(units))


def bank_field(
    region: str,
    bank: str,
    value: Term,
    units: Iterable[FieldUnit],
    access: AccessType = AccessType.ANY,
    *,
    lock: bool = False,
    update: Update = Update.PRESERVE,
) -> bytes:
    """BankField: named bits of a region that are there while ``bank`` holds ``value``."""
    parts = name_string(region), name_string(bank), term(value), _flags(access, lock, update), _units(units)
    return packaged(b"\x5b\x87", *parts)


def _flags(access: AccessType, lock: bool, update: Update) -> bytes:
    return bytes([access | lock << 4 | update << 5])


def _units(units: Iterable[FieldUnit]) -> bytes:
    return b"".join(
        (name_segment(unit) if unit else NULL) + pkg_length(bits, counts_itself=False) for unit, bits in units
    )


class _CreateField(Protocol):
    def __call__(self, source: Term, position: Term, path: str) -> bytes: ...


def _create(opcode: int) -> _CreateField:
    return lambda source, position, path: bytes([opcode]) + term(source) + term(position) + name_string(path)


# Names for parts of a buffer; ``position`` is a byte offset, but for create_bit_field a bit offset.
create_dword_field = _create(0x8A)
create_word_field = _create(0x8B)
create_byte_field = _create(0x8C)
create_bit_field = _create(0x8D)
create_qword_field = _create(0x8F)


def create_field(source: Term, bit: Term, bits: Term, path: str) -> bytes:
    """CreateField: a name for ``bits`` bits of a buffer from bit ``bit`` on."""
    return b"\x5b\x13" + term(source) + term(bit) + term(bits) + name_string(path)
