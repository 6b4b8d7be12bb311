"""Statements and operators (ACPI 6.5, 20.2.5.3 and 20.2.5.4), and the arguments and locals they work on (20.2.6)."""

from __future__ import annotations

from xlpy.errors import FormatError
from xlpy.firmware.acpi.encoding import NULL, Term, name_string, number, packaged, term, terms
from xlpy.typing import Protocol


class _Unary(Protocol):
    def __call__(self, a: Term, /) -> bytes: ...


class _UnaryTarget(Protocol):
    def __call__(self, a: Term, /, target: bytes = NULL) -> bytes: ...


class _Binary(Protocol):
    def __call__(self, a: Term, b: Term, /) -> bytes: ...


class _BinaryTarget(Protocol):
    def __call__(self, a: Term, b: Term, /, target: bytes = NULL) -> bytes: ...


def _unary(*opcode: int) -> _Unary:
    return lambda a, /: bytes(opcode) + term(a)


def _unary_target(*opcode: int) -> _UnaryTarget:
    return lambda a, /, target=NULL: bytes(opcode) + term(a) + target


def _binary(*opcode: int) -> _Binary:
    return lambda a, b, /: bytes(opcode) + term(a) + term(b)


def _binary_target(*opcode: int) -> _BinaryTarget:
    return lambda a, b, /, target=NULL: bytes(opcode) + term(a) + term(b) + target


# Arithmetic and logic on integers. The result is the value, and is stored in the target too, if there is one.
add = _binary_target(0x72)
subtract = _binary_target(0x74)
multiply = _binary_target(0x77)
mod = _binary_target(0x85)
shift_left = _binary_target(0x79)
shift_right = _binary_target(0x7A)
and_ = _binary_target(0x7B)
nand = _binary_target(0x7C)
or_ = _binary_target(0x7D)
nor = _binary_target(0x7E)
xor = _binary_target(0x7F)
not_ = _unary_target(0x80)
find_set_left_bit = _unary_target(0x81)
find_set_right_bit = _unary_target(0x82)
increment = _unary(0x75)
decrement = _unary(0x76)

# Truth: the result is Ones or Zero.
land = _binary(0x90)
lor = _binary(0x91)
lnot = _unary(0x92)
equal = _binary(0x93)
greater = _binary(0x94)
less = _binary(0x95)
not_equal = _binary(0x92, 0x93)
less_equal = _binary(0x92, 0x94)
greater_equal = _binary(0x92, 0x95)

# Objects and references.
ref_of = _unary(0x71)
deref_of = _unary(0x83)
size_of = _unary(0x87)
object_type = _unary(0x8E)
index = _binary_target(0x88)
cond_ref_of = _unary_target(0x5B, 0x12)
concatenate = _binary_target(0x73)
to_buffer = _unary_target(0x96)
to_decimal_string = _unary_target(0x97)
to_hex_string = _unary_target(0x98)
to_integer = _unary_target(0x99)
to_string = _binary_target(0x9C)

# Time, in milliseconds (sleep) and microseconds (stall).
sleep = _unary(0x5B, 0x22)
stall = _unary(0x5B, 0x21)

return_ = _unary(0xA4)
release = _unary(0x5B, 0x27)


def local(n: int) -> bytes:
    """Local0 to Local7."""
    return _slot("Local", 0x60, n, 7)


def arg(n: int) -> bytes:
    """Arg0 to Arg6."""
    return _slot("Arg", 0x68, n, 6)


def _slot(kind: str, base: int, n: int, last: int) -> bytes:
    if not 0 <= n <= last:
        raise FormatError(f"there is no {kind}{n}, the last is {kind}{last}")
    return bytes([base + n])


def ref(path: str) -> bytes:
    """A name in the place of a term or target."""
    return name_string(path)


def call(path: str, *args: Term) -> bytes:
    """A method invocation; the callee's definition must take this many arguments."""
    return name_string(path) + terms(args)


def debug() -> bytes:
    """The Debug object; what is stored there is logged."""
    return b"\x5b\x31"


def store(value: Term, target: bytes) -> bytes:
    """Store: converts to the type of a named target."""
    return b"\x70" + term(value) + target


def copy_object(value: Term, target: bytes) -> bytes:
    """CopyObject: a named target takes over the type of the value."""
    return b"\x9d" + term(value) + target


def divide(a: Term, b: Term, remainder: bytes = NULL, quotient: bytes = NULL) -> bytes:
    """Divide: the value is the quotient."""
    return b"\x78" + term(a) + term(b) + remainder + quotient


def mid(source: Term, start: Term, length: Term, target: bytes = NULL) -> bytes:
    """Mid: ``length`` bytes or characters of ``source`` from ``start`` on."""
    return b"\x9e" + term(source) + term(start) + term(length) + target


def if_(predicate: Term, *then: Term) -> bytes:
    """If; an ``else_`` must follow directly."""
    return packaged(b"\xa0", term(predicate), terms(then))


def else_(*body: Term) -> bytes:
    """Else."""
    return packaged(b"\xa1", terms(body))


def while_(predicate: Term, *body: Term) -> bytes:
    """While."""
    return packaged(b"\xa2", term(predicate), terms(body))


def break_() -> bytes:
    """Break out of the innermost While."""
    return b"\xa5"


def continue_() -> bytes:
    """Continue with the next turn of the innermost While."""
    return b"\x9f"


def noop() -> bytes:
    """Noop."""
    return b"\xa3"


def notify(device: bytes, value: Term) -> bytes:
    """Notify: tell the operating system about a device."""
    return b"\x86" + device + term(value)


def acquire(mutex: bytes, timeout: int = 0xFFFF) -> bytes:
    """Acquire; ``timeout`` in milliseconds, 0xFFFF waits forever. True means timed out."""
    return b"\x5b\x23" + mutex + number(timeout, 2)


def fatal(kind: int, code: int, argument: Term) -> bytes:
    """Fatal: an OEM-defined error; the operating system stops."""
    return b"\x5b\x32" + number(kind, 1) + number(code, 4) + term(argument)
