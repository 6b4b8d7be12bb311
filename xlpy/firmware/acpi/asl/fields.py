"""The ASL of field lists: units, access types and connections (ACPI 6.5, 19.6.46)."""

from __future__ import annotations

from xlpy.firmware.acpi.asl.terms import Terms
from xlpy.firmware.acpi.asl.words import ACCESS, UPDATE, attributes, block
from xlpy.firmware.acpi.encoding import pkg_length
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.eval.opcodes import Op

_BUFFER = 0x11


class Fields(Terms):
    """Prints Field, IndexField and BankField."""

    def field(self, op: Op, end: int) -> list[str]:
        names = [self.reference(end) for kind in op.args if kind == "n"]
        if "t" in op.args:
            names.append(self.term(end))
        start, flags = self.at, self.number(1, end)
        access, update = flags & 0xF, flags >> 5 & 3
        if access >= len(ACCESS) or update >= len(UPDATE) or flags & 0x80:
            self.remark(start, f"the field flags {flags:#x} have no words")
        words = [ACCESS[access % len(ACCESS)], "Lock" if flags & 0x10 else "NoLock", UPDATE[update % len(UPDATE)]]
        return block(f"{op.name} ({', '.join((*names, *words))})", self._units(end, ", ".join((*names, *words))))

    def _units(self, end: int, field: str) -> list[str]:
        lines, offset = [], 0
        while self.at < end:
            start, kind = self.at, self.data[self.at]
            if kind > 3:
                path = self.path(min(start + 4, end))
                bits = self._bits(end)
                self.object(path, "FieldUnit", f"{field}: bit {offset}, {bits} bits")
                lines.append(f"{self.text(path)}, {bits}")
                offset += bits
                continue
            self.at += 1
            if kind == 0:
                bits = self._bits(end)
                lines.append(f", {bits}")
                offset += bits
            elif kind == 2:
                lines += self._connection(end)
            else:
                lines.append(self._access(kind == 3, start, end))
        return [line if line.startswith("//") else f"{line}," for line in lines[:-1]] + lines[-1:]

    def _access(self, extended: bool, start: int, end: int) -> str:
        """AccessAs; in its extended form the attribute has a length."""
        access, attribute = self.number(1, end), self.number(1, end)
        words = attributes(attribute, self.number(1, end) if extended else None)
        if access >= len(ACCESS) or words is None:
            self.remark(start, f"AccessAs with type {access:#x} and attribute {attribute:#x} has no words")
        return f"AccessAs ({', '.join(filter(None, (ACCESS[access % len(ACCESS)], words)))})"

    def _connection(self, end: int) -> list[str]:
        """Connection: a name, or a resource descriptor, for which there are no words here."""
        start = self.at
        if self.at < end and self.data[self.at] != _BUFFER:
            return [f"Connection ({self.reference(end)})"]
        text = self.term(end)
        self.remark(start, "Connection with a resource descriptor, which iasl takes only by its macro")
        return [f"// Connection ({text.split('{')[0].strip()} ...)"]

    def _bits(self, end: int) -> int:
        start = self.at
        bits = self.encoded_length(end)
        if self.data[start : self.at] != pkg_length(bits, counts_itself=False):
            self.remark(start, f"a width of {bits} bits is written in {self.at - start} bytes, fewer would do")
        return bits
