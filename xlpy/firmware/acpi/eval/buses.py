"""Fields whose regions are not memory: each access is one transaction (ACPI 6.5, 5.5.2.4.3 to 5.5.2.4.9, chapter 13).

A read gives the whole answer as a Buffer. A write takes a Buffer, and what comes back in it is the value of the Store.
Pins (GeneralPurposeIo) and the messages of a PCC subspace read as other fields do.
"""

from __future__ import annotations

from xlpy.firmware.acpi.eval.access import (
    FIXED_HARDWARE,
    GPIO,
    IPMI,
    PCC,
    PRM,
    SERIAL_BUS,
    SMBUS,
    BusTransaction,
)
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.fields import FIELD_LIMIT, raw, value_of
from xlpy.firmware.acpi.eval.values import Buffer
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.eval.fields import Field, FieldAccess
    from xlpy.firmware.acpi.eval.values import Value

_HEADER = 2  # status, and the number of bytes that follow
_SIZES = {SMBUS: _HEADER + 32, IPMI: _HEADER + 64, PRM: 26, FIXED_HARDWARE: 256}
_MOST = 255
_MESSAGE_LIMIT = 1 << 16  # bytes of a PCC subspace
# of GenericSerialBus: quick, send/receive, byte, word, block, bytes, process call, block process call, raw bytes, raw
# process bytes; and how many bytes an access may bring
_PROTOCOLS = {2: 0, 4: 1, 6: 1, 8: 2, 10: _MOST, 11: _MOST, 12: 2, 13: _MOST, 14: _MOST, 15: _MOST}
_RAW_PROCESS = 0xF  # writes, then reads
_COMMAND = range(12, 16)  # of an extended PCC subspace: a write to it sends the message


def cost(field: Field) -> int:
    """Bytes that an access to a field moves, at most."""
    assert field.region
    return min(field.region.length, _MESSAGE_LIMIT) if field.region.space == PCC else _MOST


def receive(fields: FieldAccess, field: Field, width: int) -> int | Buffer:
    """What a field reads as; ``width`` is that of an Integer, in bytes."""
    place = _place(fields, field)
    space, bits = place.space, field.bits.length
    size = (bits + 7) // 8
    if space == PCC:
        message = _message(field, place.offset + size)
        return value_of(bytes(message[place.offset : place.offset + size]), bits, width)
    if space == SERIAL_BUS and place.protocol == _RAW_PROCESS:
        raise AmlError("AE_AML_PROTOCOL", "AttribRawProcessBytes is a write that brings an answer; it can't be read")
    data = bytearray(size if space == GPIO else _size(place))
    _transact(fields, place, data)
    return value_of(bytes(data), bits, width) if space == GPIO else Buffer(data)


def send(fields: FieldAccess, field: Field, value: Value) -> Value:
    """Write to a field; the answer, or the value where none comes."""
    place = _place(fields, field)._replace(write=True)
    at, size = place.offset, (field.bits.length + 7) // 8
    if place.space == PCC:
        message = _message(field, at + size)
        message[at : at + size] = raw(value)[:size].ljust(size, b"\0")
        if at in _COMMAND:
            _transact(fields, place, message)
        return value
    if place.space == GPIO:
        if not isinstance(value, int):
            raise AmlError("AE_AML_OPERAND_TYPE", "only an integer can be stored in a field of pins")
        _transact(fields, place, bytearray(raw(value)[:size].ljust(size, b"\0")))
        return value
    if not isinstance(value, Buffer):
        raise AmlError("AE_AML_OPERAND_TYPE", "only a buffer can be stored in a field of a bus")
    whole = _size(place)
    data = Buffer(value[:whole].ljust(whole, b"\0"))
    _transact(fields, place, data)
    return data


def _place(fields: FieldAccess, field: Field) -> BusTransaction:
    """What a driver is told of a field; its first byte is what drivers take for a command."""
    region, link, bits = field.region, field.link, field.bits
    assert region
    assert link
    if bits.length > 8 * FIELD_LIMIT:
        raise AmlError("AE_AML_BUFFER_LIMIT", f"a field of {bits.length} bits; {8 * FIELD_LIMIT} is the limit")
    at = bits.offset // (8 * bits.width) * bits.width
    fields.locate(region)
    if region.space not in (SMBUS, IPMI, SERIAL_BUS, PCC):  # a command of a bus need not lie in the region
        fields.check(field, at + bits.width)
    offset = link.pin if region.space == GPIO else at
    return BusTransaction(
        region.space, region.offset, offset, False, link.protocol, link.length, link.connection, bits.length
    )


def _size(place: BusTransaction) -> int:
    """Bytes of the buffer that goes back and forth."""
    if place.space != SERIAL_BUS:
        return _SIZES[place.space]
    if place.protocol not in _PROTOCOLS:
        raise AmlError("AE_AML_PROTOCOL", f"GenericSerialBus has no protocol {place.protocol:#x}")
    return _HEADER + _PROTOCOLS[place.protocol]


def _message(field: Field, end: int) -> bytearray:
    """The message of a field's PCC subspace, which must hold ``end`` bytes."""
    region = field.region
    assert region
    if region.length > _MESSAGE_LIMIT:
        raise AmlError("AE_NO_MEMORY", f"a PCC subspace of {region.length} bytes; {_MESSAGE_LIMIT} is the limit")
    if end > region.length:
        raise AmlError("AE_AML_BUFFER_LIMIT", f"a field ends at byte {end} of a PCC subspace of {region.length}")
    if region.message is None:
        region.message = bytearray(region.length)
    return region.message


def _transact(fields: FieldAccess, place: BusTransaction, data: bytearray) -> None:
    size = len(data)
    fields.transact(place, data)
    if len(data) != size:
        raise AmlError("AE_AML_BUFFER_LENGTH", f"a transaction of {size} bytes came back with {len(data)}")
