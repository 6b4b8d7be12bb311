"""Parsing AML: opcodes, numbers, package lengths, names and field lists (ACPI 6.5, 20.2)."""

from __future__ import annotations

from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.fields import Link
from xlpy.firmware.acpi.eval.names import decode
from xlpy.firmware.acpi.eval.namespace import AmlBlock, Method
from xlpy.firmware.acpi.eval.opcodes import EXTENDED, OPCODES, Op
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.eval.names import Path

_LETTERS = frozenset(b"_ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_BUFFER = 0x11
NUMBERS = {0x0A: 1, 0x0B: 2, 0x0C: 4, 0x0E: 8}  # bytes of constants
NAME_STARTS = _LETTERS | frozenset(b"\\^./")  # 0x2E and 0x2F begin paths of several segments


_PLAIN = Link(0, 0, 0, b"")


class Unit(NamedTuple):
    """One named element of a FieldList: bits from the start of the list, and the access type in force.

    ``connection`` is the name of the descriptor that its link lacks.
    """

    name: str
    offset: int
    length: int
    access: int
    link: Link
    connection: Path | None


class AmlReader:
    """A place in a table. Each read ends before ``end``, that of the package at hand, or raises AmlError."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def opcode(self, end: int) -> Op | None:
        """The opcode at hand; None, with nothing consumed, for a name."""
        at = self.at
        if at >= end:
            raise AmlError("AE_AML_PARSE", "the package ends where a term is required")
        code = self.data[at]
        if code in NAME_STARTS:
            return None
        if code == EXTENDED:
            at += 1
            code = code << 8 | (self.data[at] if at < end else 0xFF)
        op = OPCODES.get(code)
        if op is None:
            raise AmlError("AE_AML_BAD_OPCODE", f"unknown opcode {code:#04x}")
        self.at = at + 1
        return op

    def number(self, width: int, end: int) -> int:
        """A little-endian number of ``width`` bytes."""
        at = self.at
        if at + width > end:
            raise AmlError("AE_AML_PARSE", f"the package ends inside a number of {width} bytes")
        self.at = at + width
        return self.data[at] if width == 1 else int.from_bytes(self.data[at : at + width], "little")

    def encoded_length(self, end: int) -> int:
        """A number in the form of a PkgLength (20.2.4)."""
        lead = self.number(1, end)
        extra = lead >> 6
        if not extra:
            return lead
        return lead & 0xF | self.number(extra, end) << 4

    def package_end(self, end: int) -> int:
        """Where the package ends whose PkgLength comes next."""
        start = self.at
        length = self.encoded_length(end)
        if not self.at - start <= length <= end - start:
            raise AmlError("AE_AML_PACKAGE_LIMIT", f"package length {length:#x}, {end - start:#x} bytes are left")
        return start + length

    def path(self, end: int) -> Path:
        """A NameString."""
        path, self.at = decode(self.data, self.at, end)
        return path

    def method(self, end: int, label: str) -> tuple[Path, Method]:
        """The rest of a Method; its body is compiled when it is called."""
        path, flags = self.path(end), self.number(1, end)
        body = AmlBlock(self.data, self.at, end, label)
        self.at = end
        return path, Method(flags & 7, bool(flags & 8), flags >> 4, body)

    def field_list(self, access: int, end: int) -> list[Unit]:
        """The named elements of a FieldList, which begins with this access type."""
        units = []
        offset = protocol = length = pin = 0
        descriptor, connection, linked = b"", None, False
        while self.at < end:
            kind = self.data[self.at]
            if kind in _LETTERS:
                path = self.path(min(self.at + 4, end))
                bits = self.encoded_length(end)
                link = Link(protocol, length, pin, descriptor) if protocol or linked else _PLAIN
                units.append(Unit(path.segments[0], offset, bits, access, link, connection))
                offset, pin = offset + bits, pin + 1
                continue
            self.at += 1
            if kind == 0:  # a gap
                offset += self.encoded_length(end)
            elif kind in (1, 3):  # AccessAs: type, attribute, and in the extended form a length
                access, protocol = self.number(1, end) & 0xF, self.number(1, end)
                length = self.number(1, end) if kind == 3 else 0
            elif kind == 2:  # Connection
                pin, linked = 0, True
                descriptor, connection = self._resource(end)
            else:
                raise AmlError("AE_AML_PARSE", f"unknown field element {kind:#04x}")
        return units

    def _resource(self, end: int) -> tuple[bytes, Path | None]:
        """A resource descriptor in a Buffer, or the name of one."""
        if self.at >= end or self.data[self.at] != _BUFFER:
            return b"", self.path(end)
        self.at += 1
        inner = self.package_end(end)
        if self.at < inner:  # the size, which the package tells as well
            self.number(NUMBERS.get(self.number(1, inner), 0), inner)
        data, self.at = self.data[self.at : inner], inner
        return data, None
