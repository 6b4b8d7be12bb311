"""Conversions between Integers, Strings and Buffers (ACPI 6.5, 19.3.5.7 and the To... operators of 19.6).

``width`` is that of an Integer in bytes: 8, or 4 under a DSDT of revision 1.
"""

from __future__ import annotations

from xlpy.firmware.acpi.eval import acpica
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.values import Buffer, Reference, String, kind_of
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.eval.values import Value

_BLANKS = b" \t\n\r\v\f"
_DECIMAL = b"0123456789"
_HEXADECIMAL = b"0123456789ABCDEFabcdef"


def _digits(text: bytearray, alphabet: bytes, most: int) -> bytes:
    """The digits that a text begins with, without leading zeros, and no more than ``most``."""
    length = len(text) - len(text.lstrip(alphabet))
    return bytes(text[:length]).lstrip(b"0")[:most] or b"0"


def type_error(value: Value, wanted: str) -> AmlError:
    """What to raise when a value has no conversion to the type that is needed."""
    found = "nothing" if value is None else kind_of(value).name.lower()
    if isinstance(value, Reference):
        found = "a reference"
    return AmlError("AE_AML_OPERAND_TYPE", f"{wanted} is needed, found {found}")


def to_integer(value: Value, width: int) -> int:
    """Implicit conversion: the first bytes of a Buffer, the hexadecimal digits that a String starts with."""
    if isinstance(value, int):
        return value & ((1 << 8 * width) - 1)
    if isinstance(value, String):
        text = value.lstrip(_BLANKS)
        return int(_digits(text[2:] if text[:2].lower() == b"0x" else text, _HEXADECIMAL, 2 * width), 16)
    if isinstance(value, Buffer):
        if not value:
            raise AmlError("AE_AML_BUFFER_LIMIT", "an empty buffer is no integer")
        return int.from_bytes(value[:width], "little")
    raise type_error(value, "an integer")


def number(value: Value, width: int) -> int:
    """ToInteger: a String holds a decimal number, or a hexadecimal one after 0x; digits count as far as they fit."""
    if not isinstance(value, String):
        return to_integer(value, width)
    text = value.lstrip(_BLANKS)
    if text[:2].lower() == b"0x":
        return int(_digits(text[2:], _HEXADECIMAL, 2 * width), 16)
    found = int(_digits(text, _DECIMAL, 20))
    while found >= 1 << 8 * width:
        found //= 10
    return found


def to_buffer(value: Value, width: int) -> Buffer:
    """Conversion to a Buffer: the bytes of an Integer, the characters of a String and a NUL."""
    if isinstance(value, Buffer):
        return Buffer(value)
    if isinstance(value, int):
        return Buffer(value.to_bytes(8, "little")[:width])
    if isinstance(value, String):
        return Buffer(value + b"\0")
    raise type_error(value, "a buffer")


def to_string(value: Value, width: int) -> String:
    """Implicit conversion: all hexadecimal digits of an Integer, the bytes of a Buffer with 0x, divided by spaces."""
    if isinstance(value, String):
        return String(value)
    if isinstance(value, int):
        return String(b"%0*X" % (2 * width, value))
    if isinstance(value, Buffer):
        return String(b" ".join(b"0x%02X" % byte for byte in value))
    raise type_error(value, "a string")


def to_hex_string(value: Value, width: int) -> String:
    """ToHexString: bytes of a Buffer divided by commas, each with 0x."""
    if isinstance(value, int):
        return String(acpica.hex_integer(value))
    if isinstance(value, Buffer):
        return String(b",".join(b"0x%02X" % byte for byte in value))
    return to_string(value, width)


def to_decimal_string(value: Value, width: int) -> String:
    """ToDecimalString: bytes of a Buffer divided by commas."""
    if isinstance(value, Buffer):
        return String(b",".join(b"%d" % byte for byte in value))
    if isinstance(value, int):
        return String(b"%d" % value)
    return to_string(value, width)


def alike(value: Value, model: Value, width: int) -> Value:
    """``value`` converted to the type of ``model``, as comparisons and Concatenate convert their second operand."""
    if isinstance(model, int):
        return to_integer(value, width)
    if isinstance(model, String):
        return to_string(value, width)
    if isinstance(model, Buffer):
        return to_buffer(value, width)
    raise type_error(model, "an integer, string or buffer")


def from_bcd(value: int) -> int:
    """FromBCD; AmlError for a digit above 9."""
    digits = f"{value:x}"
    if not digits.isdecimal():
        raise AmlError("AE_AML_NUMERIC_OVERFLOW", f"{value:#x} is no binary-coded decimal")
    return int(digits)


def to_bcd(value: int, width: int) -> int:
    """ToBCD; AmlError when the number has too many digits."""
    digits = str(value)
    if len(digits) > 2 * width:
        raise AmlError("AE_AML_NUMERIC_OVERFLOW", f"{value} has more than {2 * width} digits")
    return int(digits, 16)
