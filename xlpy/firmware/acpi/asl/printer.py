"""From AML to ASL, term by term: what iasl compiles to the same bytes, as far as ASL has words for them.

The number of arguments of a call is not in the byte stream, so the declarations of all tables are collected first.
"""

from __future__ import annotations

from xlpy.firmware.acpi.asl.words import ACCESS, KEYWORDS, MATCH, METHOD_TYPE, RENAMED, TYPES, UPDATE, attributes, space
from xlpy.firmware.acpi.encoding import integer, name_string, pkg_length
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.names import Path, show
from xlpy.firmware.acpi.eval.reader import NAME_STARTS, Reader
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xlpy.firmware.acpi.asl.declarations import Declarations
    from xlpy.firmware.acpi.eval.names import Absolute
    from xlpy.firmware.acpi.eval.opcodes import Op

DEPTH = 150  # terms in terms: our own stack
_EXTERNAL = 0x15
_VALUES = frozenset((*range(2), *range(0x0A, 0x10), 0x11, 0x12, *range(0x60, 0x6F), 0xFF))  # that are no statements
_ROW = 8  # bytes of a buffer in a line
_CONSTANTS = {"Byte": 1, "Word": 2, "DWord": 4, "QWord": 8}
_NUMBERS = {"B": 1, "W": 2, "D": 4}


class Remark(NamedTuple):
    """What ASL cannot say: the offset in the table, and what is there."""

    offset: int
    text: str


class Named(NamedTuple):
    """An object that a table makes: its kind (an ASL keyword), and the ASL of what it holds, without its name."""

    kind: str
    lines: tuple[str, ...]


class Printer(Reader):
    """Prints one table.

    Args:
        table: the whole of it.
        known: the declarations of this table and of those that are loaded with it.
    """

    def __init__(self, table: bytes, known: Declarations) -> None:
        super().__init__(table, 36)
        self.known = known
        self.remarks: list[Remark] = []
        self.objects: dict[str, Named] = {}
        self.externals: dict[str, str] = {}
        self.declared: set[str] = set()  # those that the table declares as iasl does
        self.scope: Absolute = ()
        self._depth = 0

    def body(self, end: int) -> list[str]:
        """The statements up to ``end``, each a line or several; those of a package are indented.

        What cannot be read ends the statements of its package, with a remark.
        """
        lines: list[str] = []
        while self.at < end:
            start = self.at
            try:
                self._nest()
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

    def remark(self, offset: int, text: str) -> None:
        """Note what ASL cannot say."""
        self.remarks.append(Remark(offset, text))

    # -- terms

    def _nest(self) -> None:
        self._depth += 1
        if self._depth > DEPTH:
            raise AmlError("AE_AML_PARSE", f"terms are nested deeper than {DEPTH}")

    def _statement(self, end: int) -> list[str]:
        start = self.at
        op = self.opcode(end)
        if op is None:
            return self._call(end, start).split("\n")
        end, declare = self._package(op, end, start), _STATEMENTS.get(op.name)
        lines = declare(self, op, end) if declare else self._operator(op, end, start).split("\n")
        if self.data[start] in _VALUES:
            self.remark(start, f"{op.name} stands as a statement, and is a value")
            lines = [f"// {line}" for line in lines]
        if op.package:
            self.at = end
        return lines

    def _package(self, op: Op, end: int, start: int) -> int:
        """Where an opcode's package ends, if it has one."""
        if not op.package:
            return end
        at = self.at
        stop = self.package_end(end)
        if self.data[at : self.at] != pkg_length(stop - self.at):
            self.remark(start, f"{op.name}: its length is written in {self.at - at} bytes, fewer would do")
        return stop

    def term(self, end: int) -> str:
        """A value."""
        start = self.at
        op = self.opcode(end)
        if op is None:
            return self._name(end)
        if not op.value:
            raise AmlError("AE_AML_BAD_OPCODE", f"{op.name} has no value, one is required")
        self._nest()
        end = self._package(op, end, start)
        text = self._operator(op, end, start)
        if op.package:
            self.at = end
        self._depth -= 1
        return text

    def _operator(self, op: Op, end: int, start: int) -> str:
        if op.name in _CONSTANTS:
            return self._constant(self.number(_CONSTANTS[op.name], end), start)
        if op.args == "S":
            return self._string(end)
        if op.name == "Buffer":
            return self._buffer(end)
        if op.name in ("Package", "VarPackage"):
            return self._elements(op, end)
        if op.name == "Match":
            return self._match(end)
        if op.name == "CondRefOf" and self.at < end and self.data[self.at] in NAME_STARTS:
            parts = [self._text(self._path(end)), self._argument("g", end)]  # of a name that need not be anywhere
        else:
            parts = [self._argument(kind, end) for kind in op.args]
        while parts and not parts[-1] and op.args[len(parts) - 1] == "g":
            parts.pop()  # a target that is not given
        name = RENAMED.get(op.name, op.name)
        if name.startswith("Create"):
            self._object(parts[-1], name, ", ".join(parts[:-1]))
        return f"{name} ({', '.join(parts)})" if op.args else name

    def _argument(self, kind: str, end: int) -> str:
        if kind == "t":
            return self.term(end)
        if kind in _NUMBERS:
            number = self.number(_NUMBERS[kind], end)
            return f"0x{number:0{2 * _NUMBERS[kind]}X}"
        if kind == "n":
            return self._text(self._path(end))
        if kind == "g" and self.at < end and self.data[self.at] == 0:
            self.at += 1
            return ""
        if self.at < end and self.data[self.at] in NAME_STARTS:  # a place, not a call
            return self.reference(end)
        return self.term(end)

    def _constant(self, value: int, start: int) -> str:
        width = self.at - start - 1
        if width > 1 and self.data[start : self.at] != integer(value):  # a byte may be 0 or 1: those are Zero and One
            self.remark(start, f"the constant {value:#x} is written in {width} bytes, fewer would do")
        return f"0x{value:0{2 * width}X}"

    def _string(self, end: int) -> str:
        stop = self.data.find(0, self.at, end)
        if stop < 0:
            raise AmlError("AE_AML_STRING_LIMIT", "a string without its NUL")
        raw = self.data[self.at : stop]
        if max(raw, default=0) > 0x7F:
            self.remark(self.at, "a string holds bytes beyond ASCII")
        self.at = stop + 1
        return quoted(raw)

    def _buffer(self, end: int) -> str:
        size = self.term(end)
        data, self.at = self.data[self.at : end], end
        rows = [", ".join(f"0x{byte:02X}" for byte in data[at : at + _ROW]) for at in range(0, len(data), _ROW)]
        if len(rows) < 2:
            return f"Buffer ({size}) {{{rows[0] if rows else ''}}}"
        return "\n".join((f"Buffer ({size}) {{", *_indented([f"{row}," for row in rows[:-1]] + rows[-1:]), "}"))

    def _elements(self, op: Op, end: int) -> str:
        count = f"0x{self.number(1, end):02X}" if op.name == "Package" else self.term(end)
        items = []
        while self.at < end:
            items.append(self.reference(end) if self.data[self.at] in NAME_STARTS else self.term(end))
        if not items:
            return f"Package ({count}) {{}}"
        if sum(map(len, items)) < 60 and not any("\n" in item for item in items):
            return f"Package ({count}) {{{', '.join(items)}}}"
        lines = [line for item in items for line in f"{item},".split("\n")]
        lines[-1] = lines[-1][:-1]
        return "\n".join((f"Package ({count}) {{", *_indented(lines), "}"))

    def _match(self, end: int) -> str:
        parts = [self.term(end)]
        for _ in range(2):
            number = self.number(1, end)
            if number >= len(MATCH):
                raise AmlError("AE_AML_OPERAND_VALUE", f"{number} is no operator of Match")
            parts += [MATCH[number], self.term(end)]
        return f"Match ({', '.join((*parts, self.term(end)))})"

    # -- names

    def _path(self, end: int) -> Path:
        """A name, with a remark when it is written longer than it must be."""
        start = self.at
        path = self.path(end)
        if self.data[start : self.at] != name_string(str(path)):
            self.remark(start, f"the name {path} is written in {self.at - start} bytes, fewer would do")
        if path.segments and path.segments[0] == str(path) in KEYWORDS:
            self.remark(start, f"the name {path} is a word of ASL")
        return path

    @staticmethod
    def _text(path: Path) -> str:
        """A name as ASL has it: a lone one that is a word of the language is not cut to its letters."""
        text = str(path)
        return path.segments[0] if text in KEYWORDS else text

    def reference(self, end: int) -> str:
        """A name that stands for an object, not for its value."""
        path = self._path(end)
        self._resolve(path)
        return self._text(path)

    def _resolve(self, path: Path) -> int | None:
        """How many arguments a name takes; None when it is no method. What other tables have is declared external."""
        full, args = self.known.find(self.scope, path)
        if full is None or not self.known.is_own(full):
            outer = [show(one) for one in path.candidates(self.scope)]
            name = next((one for one in outer if one in self.declared), str(path) if full is None else show(full))
            self.externals.setdefault(name, "UnknownObj" if args is None else TYPES[METHOD_TYPE])
        return args

    def _name(self, end: int) -> str:
        path = self._path(end)
        args = self._resolve(path)
        if args is None:
            return self._text(path)
        self._nest()
        values = [self.term(end) for _ in range(args)]
        self._depth -= 1
        return f"{self._text(path)} ({', '.join(values)})"

    def _call(self, end: int, start: int) -> str:
        """A name as a statement: a call. Of a method that no table declares, the values that follow are arguments."""
        path = self._path(end)
        full, _ = self.known.find(self.scope, path)
        self.at = start
        if full is not None:
            return self._name(end)
        self.path(end)
        values = []
        while self.at < end and self.data[self.at] in _VALUES:
            values.append(self.term(end))
        self.externals[str(path)] = TYPES[METHOD_TYPE]
        self.remark(start, f"how many arguments {path} takes is a guess")
        return f"{self._text(path)} ({', '.join(values)})"

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

    def _object(self, name: str | Path, kind: str, text: str) -> None:
        path = name if isinstance(name, Path) else self.known.parse(name)
        full = path.under(self.scope)
        if full is not None:
            self.objects[show(full)] = Named(kind, tuple(text.split("\n")))

    def _named(self, op: Op, end: int) -> list[str]:
        path = self._path(end)
        text = self.term(end)
        if path.segments[-1] in ("_HID", "_CID") and text.startswith("0x") and (words := eisa_text(int(text, 16))):
            text = f'EisaId ("{words}")'
        self._object(path, "Name", text)
        return f"Name ({self._text(path)}, {text})".split("\n")

    def _alias(self, _op: Op, end: int) -> list[str]:
        source, path = self.reference(end), self._path(end)
        self._object(path, "Alias", source)
        return [f"Alias ({source}, {self._text(path)})"]

    def _scope(self, op: Op, end: int) -> list[str]:
        path = self._path(end)
        numbers = [self._argument(kind, end) for kind in op.args[1:-1]]
        if op.name == "Scope":
            full, _ = self.known.find(self.scope, path)
            self._resolve(path)
            inner = full if full is not None else path.under(self.scope)
        else:
            inner = path.under(self.scope)
            self._object(path, op.name, ", ".join(numbers))
        if inner is None:
            raise AmlError("AE_BAD_PATHNAME", f"{path} leads above the root")
        outer, self.scope = self.scope, inner
        lines = self.body(end)
        self.scope = outer
        return block(f"{op.name} ({', '.join((self._text(path), *numbers))})", lines)

    def _method(self, _op: Op, end: int) -> list[str]:
        path, flags = self._path(end), self.number(1, end)
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
        self._object(path, "Method", "\n".join((", ".join(words), *lines)))
        return block(f"Method ({', '.join((self._text(path), *words))})", lines)

    def _external(self, op: Op, end: int) -> list[str]:
        start = self.at - 1
        path, kind, args = self._path(end), self.number(1, end), self.number(1, end)
        self.remark(start, f"External ({path}) is an opcode; iasl writes these by itself, at a place of its own")
        known = TYPES[kind] if kind < len(TYPES) else TYPES[0]
        self.externals[str(path)] = known
        return [f"// External ({path}, {known}) with {args} arguments"] if op else []

    def _region(self, op: Op, end: int) -> list[str]:
        path = self._path(end)
        if op.name == "DataTableRegion":
            parts = [self.term(end) for _ in range(3)]
        else:
            parts = [space(self.number(1, end)), self.term(end), self.term(end)]
        self._object(path, op.name, ", ".join(parts))
        return [f"{op.name} ({', '.join((self._text(path), *parts))})"]

    def _field(self, op: Op, end: int) -> list[str]:
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
                self._object(path, "FieldUnit", f"{field}: bit {offset}, {bits} bits")
                lines.append(f"{self._text(path)}, {bits}")
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
        if self.at < end and self.data[self.at] != 0x11:
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

    def _mutex(self, op: Op, end: int) -> list[str]:
        path = self._path(end)
        text = f"0x{self.number(1, end):02X}" if op.name == "Mutex" else ""
        self._object(path, op.name, text)
        return [f"{op.name} ({', '.join(filter(None, (self._text(path), text)))})"]


_STATEMENTS: dict[str, Callable[[Printer, Op, int], list[str]]] = {
    **dict.fromkeys(("If", "Else", "While"), Printer._flow),
    **dict.fromkeys(("Scope", "Device", "Processor", "PowerResource", "ThermalZone"), Printer._scope),
    **dict.fromkeys(("Field", "IndexField", "BankField"), Printer._field),
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


def quoted(raw: bytes) -> str:
    """A string literal."""
    shown = (
        f"\\{chr(code)}" if code in b'"\\' else chr(code) if 0x20 <= code < 0x7F else f"\\x{code:02X}" for code in raw
    )
    return f'"{"".join(shown)}"'


def block(head: str, lines: list[str]) -> list[str]:
    """``head { ... }``."""
    return [*head.split("\n"), "{", *_indented(lines), "}"]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" if line else line for line in lines]
