"""From AML to ASL, statement by statement: text that iasl compiles to the same bytes, as far as ASL can express them.

The number of arguments of a call is not in the byte stream, so the declarations of all tables are collected first.
"""

from __future__ import annotations

from xlpy.firmware.acpi.asl.fields import Fields
from xlpy.firmware.acpi.asl.terms import Remark
from xlpy.firmware.acpi.asl.words import METHOD_TYPE, TYPES, block, space
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.firmware.acpi.eval.opcodes import Op

_EXTERNAL = 0x15
_VALUES = frozenset((*range(2), *range(0x0A, 0x10), 0x11, 0x12, *range(0x60, 0x6F), 0xFF))  # that are no statements


class Printer(Fields):
    """Prints one table."""

    def body(self, end: int) -> list[str]:
        """The statements up to ``end``, each a line or several; those of a package are indented.

        What cannot be read ends the statements of its package, with a remark.
        """
        lines: list[str] = []
        while self.at < end:
            start = self.at
            try:
                self.nest()
                lines += self._statement(end)
            except AmlError as error:
                first = self.data[start : min(end, start + 8)].hex(" ")
                what = f"{error.message}; {end - start} bytes are left out: {first} ..."
                self.remark(start, what)
                lines.append(f"// {start:#x}: {what}")
                self.at = end
            finally:
                self._depth -= 1
        return lines

    def _statement(self, end: int) -> list[str]:
        start = self.at
        op = self.opcode(end)
        if op is None:
            return self._call(end, start).split("\n")
        end, declare = self.package(op, end, start), _STATEMENTS.get(op.name)
        lines = declare(self, op, end) if declare else self.operator(op, end, start).split("\n")
        if self.data[start] in _VALUES:
            self.remark(start, f"{op.name} stands as a statement, and is a value")
            lines = [f"// {line}" for line in lines]
        if op.package:
            self.at = end
        return lines

    def _call(self, end: int, start: int) -> str:
        """A name as a statement: a call. Of a method that no table declares, the values that follow are arguments."""
        path = self.name_path(end)
        full, _ = self.known.find(self.scope, path)
        self.at = start
        if full is not None:
            return self.name(end)
        self.path(end)
        values = []
        while self.at < end and self.data[self.at] in _VALUES:
            values.append(self.term(end))
        self.externals[str(path)] = TYPES[METHOD_TYPE]
        self.remark(start, f"how many arguments {path} takes is a guess")
        return f"{self.text(path)} ({', '.join(values)})"

    # -- control flow

    def _flow(self, op: Op, end: int) -> list[str]:
        if op.name == "If" and not self.scope and self._declares_only(end):
            return []
        head = f"{op.name} ({self.term(end)})" if "t" in op.args else op.name
        return block(head, self.body(end))

    def _declares_only(self, end: int) -> bool:
        """Whether an If is ``If (Zero)`` around nothing but External opcodes, as iasl puts it in front of a table.

        If so it is read: iasl makes it again of the declarations.
        """
        start, found, twice = self.at, dict[str, str](), list[Remark]()
        if self.data[start : start + 1] == b"\0":
            self.at += 1
            while self.at < end and self.data[self.at] == _EXTERNAL:
                place = self.at
                self.at += 1
                path, kind, _ = self.path(end), self.number(1, end), self.number(1, end)
                if str(path) in found:
                    twice.append(Remark(place, f"External ({path}) is there twice; iasl writes it once"))
                found[str(path)] = TYPES[kind] if kind < len(TYPES) else TYPES[0]
        if found and self.at == end:
            self.externals |= found
            self.remarks += twice
            self.declared |= set(found)
            return True
        self.at = start
        return False

    # -- named objects

    def _named(self, op: Op, end: int) -> list[str]:
        path = self.name_path(end)
        text = self.term(end)
        if path.segments[-1] in ("_HID", "_CID") and text.startswith("0x") and (words := eisa_text(int(text, 16))):
            text = f'EisaId ("{words}")'
        self.object(path, "Name", text)
        return f"Name ({self.text(path)}, {text})".split("\n")

    def _alias(self, _op: Op, end: int) -> list[str]:
        source, path = self.reference(end), self.name_path(end)
        self.object(path, "Alias", source)
        return [f"Alias ({source}, {self.text(path)})"]

    def _scope(self, op: Op, end: int) -> list[str]:
        path = self.name_path(end)
        numbers = [self.argument(kind, end) for kind in op.args[1:-1]]
        if op.name == "Scope":
            full, _ = self.known.find(self.scope, path)
            self.resolve(path)
            inner = full if full is not None else path.under(self.scope)
        else:
            inner = path.under(self.scope)
            self.object(path, op.name, ", ".join(numbers))
        if inner is None:
            raise AmlError("AE_BAD_PATHNAME", f"{path} leads above the root")
        outer, self.scope = self.scope, inner
        lines = self.body(end)
        self.scope = outer
        return block(f"{op.name} ({', '.join((self.text(path), *numbers))})", lines)

    def _method(self, _op: Op, end: int) -> list[str]:
        path, flags = self.name_path(end), self.number(1, end)
        words = [str(flags & 7), "Serialized" if flags & 8 else "NotSerialized"]
        if flags >> 4:
            words.append(f"0x{flags >> 4:X}")
        full = path.under(self.scope)
        if full is None:
            raise AmlError("AE_BAD_PATHNAME", f"{path} leads above the root")
        outer, self.scope = self.scope, full
        objects, self.objects = self.objects, {}  # what a method makes is gone when it returns
        with self.known.inside(self.data, self.at, end, full):
            lines = self.body(end)
        self.scope, self.objects = outer, objects
        self.object(path, "Method", "\n".join((", ".join(words), *lines)))
        return block(f"Method ({', '.join((self.text(path), *words))})", lines)

    def _external(self, op: Op, end: int) -> list[str]:
        start = self.at - 1
        path, kind, args = self.name_path(end), self.number(1, end), self.number(1, end)
        self.remark(start, f"External ({path}) is an opcode; iasl writes these by itself, at a place of its own")
        known = TYPES[kind] if kind < len(TYPES) else TYPES[0]
        self.externals[str(path)] = known
        return [f"// External ({path}, {known}) with {args} arguments"] if op else []

    def _region(self, op: Op, end: int) -> list[str]:
        path = self.name_path(end)
        if op.name == "DataTableRegion":
            parts = [self.term(end) for _ in range(3)]
        else:
            parts = [space(self.number(1, end)), self.term(end), self.term(end)]
        self.object(path, op.name, ", ".join(parts))
        return [f"{op.name} ({', '.join((self.text(path), *parts))})"]

    def _mutex(self, op: Op, end: int) -> list[str]:
        path = self.name_path(end)
        text = f"0x{self.number(1, end):02X}" if op.name == "Mutex" else ""
        self.object(path, op.name, text)
        return [f"{op.name} ({', '.join(filter(None, (self.text(path), text)))})"]


_STATEMENTS: dict[str, Callable[[Printer, Op, int], list[str]]] = {
    **dict.fromkeys(("If", "Else", "While"), Printer._flow),
    **dict.fromkeys(("Scope", "Device", "Processor", "PowerResource", "ThermalZone"), Printer._scope),
    **dict.fromkeys(("Field", "IndexField", "BankField"), Printer.field),
    **dict.fromkeys(("OperationRegion", "DataTableRegion"), Printer._region),
    **dict.fromkeys(("Mutex", "Event"), Printer._mutex),
    "Name": Printer._named,
    "Alias": Printer._alias,
    "Method": Printer._method,
    "External": Printer._external,
}


def eisa_text(value: int) -> str | None:
    """The EISA id that an integer stands for; None when it stands for none."""
    raw = value.to_bytes(8, "little")[:4]
    letters = int.from_bytes(raw[:2], "big")
    text = "".join(chr(0x40 + (letters >> shift & 0x1F)) for shift in (10, 5, 0))
    whole = not letters >> 15 and value < 1 << 32
    return f"{text}{raw[2:].hex().upper()}" if whole and text.isalpha() and text.isupper() else None
