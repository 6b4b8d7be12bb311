"""The ASL of values: operators, constants and names, and remarks on bytes that ASL cannot express."""

from __future__ import annotations

from xlpy.firmware.acpi.asl.words import KEYWORDS, MATCH, METHOD_TYPE, RENAMED, TYPES, indented, quoted
from xlpy.firmware.acpi.encoding import integer, name_string, pkg_length
from xlpy.firmware.acpi.eval.errors import AmlError
from xlpy.firmware.acpi.eval.names import Path, show
from xlpy.firmware.acpi.eval.reader import NAME_STARTS, AmlReader
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.asl.declarations import Declarations
    from xlpy.firmware.acpi.eval.names import Absolute
    from xlpy.firmware.acpi.eval.opcodes import Op

DEPTH = 150  # terms in terms: our own stack
_ROW = 8  # bytes of a buffer in a line
_CONSTANTS = {"Byte": 1, "Word": 2, "DWord": 4, "QWord": 8}
_NUMBERS = {"B": 1, "W": 2, "D": 4}


class Remark(NamedTuple):
    """What ASL cannot say: the offset in the table, and what is there."""

    offset: int
    text: str


class NamedTerm(NamedTuple):
    """An object that a table makes: its kind (an ASL keyword), and the ASL of what it holds, without its name."""

    kind: str
    lines: tuple[str, ...]


class Terms(AmlReader):
    """Prints values of one table, and collects what there is to tell about it.

    Args:
        table: the whole of it.
        known: the declarations of this table and of those that are loaded with it.
    """

    def __init__(self, table: bytes, known: Declarations) -> None:
        super().__init__(table, 36)
        self.known = known
        self.remarks: list[Remark] = []
        self.objects: dict[str, NamedTerm] = {}
        self.externals: dict[str, str] = {}
        self.declared: set[str] = set()  # those that the table declares as iasl does
        self.scope: Absolute = ()
        self._depth = 0

    def remark(self, offset: int, text: str) -> None:
        """Note what ASL cannot say."""
        self.remarks.append(Remark(offset, text))

    def nest(self) -> None:
        self._depth += 1
        if self._depth > DEPTH:
            raise AmlError("AE_AML_PARSE", f"terms are nested deeper than {DEPTH}")

    def object(self, name: str | Path, kind: str, text: str) -> None:
        path = name if isinstance(name, Path) else self.known.parse(name)
        full = path.under(self.scope)
        if full is not None:
            self.objects[show(full)] = NamedTerm(kind, tuple(text.split("\n")))

    def package(self, op: Op, end: int, start: int) -> int:
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
            return self.name(end)
        if not op.value:
            raise AmlError("AE_AML_BAD_OPCODE", f"{op.name} has no value, one is required")
        self.nest()
        end = self.package(op, end, start)
        text = self.operator(op, end, start)
        if op.package:
            self.at = end
        self._depth -= 1
        return text

    def operator(self, op: Op, end: int, start: int) -> str:
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
            parts = [self.text(self.name_path(end)), self.argument("g", end)]  # of a name that need not be anywhere
        else:
            parts = [self.argument(kind, end) for kind in op.args]
        while parts and not parts[-1] and op.args[len(parts) - 1] == "g":
            parts.pop()  # a target that is not given
        name = RENAMED.get(op.name, op.name)
        if name.startswith("Create"):
            self.object(parts[-1], name, ", ".join(parts[:-1]))
        return f"{name} ({', '.join(parts)})" if op.args else name

    def argument(self, kind: str, end: int) -> str:
        if kind == "t":
            return self.term(end)
        if kind in _NUMBERS:
            number = self.number(_NUMBERS[kind], end)
            return f"0x{number:0{2 * _NUMBERS[kind]}X}"
        if kind == "n":
            return self.text(self.name_path(end))
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
        return "\n".join((f"Buffer ({size}) {{", *indented([f"{row}," for row in rows[:-1]] + rows[-1:]), "}"))

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
        return "\n".join((f"Package ({count}) {{", *indented(lines), "}"))

    def _match(self, end: int) -> str:
        parts = [self.term(end)]
        for _ in range(2):
            number = self.number(1, end)
            if number >= len(MATCH):
                raise AmlError("AE_AML_OPERAND_VALUE", f"{number} is no operator of Match")
            parts += [MATCH[number], self.term(end)]
        return f"Match ({', '.join((*parts, self.term(end)))})"

    # -- names

    def name_path(self, end: int) -> Path:
        """A name, with a remark when it is written longer than it must be."""
        start = self.at
        path = self.path(end)
        if self.data[start : self.at] != name_string(str(path)):
            self.remark(start, f"the name {path} is written in {self.at - start} bytes, fewer would do")
        if path.segments and path.segments[0] == str(path) in KEYWORDS:
            self.remark(start, f"the name {path} is a word of ASL")
        return path

    @staticmethod
    def text(path: Path) -> str:
        """A name as ASL has it: a lone one that is a word of the language is not cut to its letters."""
        text = str(path)
        return path.segments[0] if text in KEYWORDS else text

    def reference(self, end: int) -> str:
        """A name that stands for an object, not for its value."""
        path = self.name_path(end)
        self.resolve(path)
        return self.text(path)

    def resolve(self, path: Path) -> int | None:
        """How many arguments a name takes; None when it is no method. What other tables have is declared external."""
        full, args = self.known.find(self.scope, path)
        if full is None or not self.known.is_own(full):
            outer = [show(one) for one in path.candidates(self.scope)]
            name = next((one for one in outer if one in self.declared), str(path) if full is None else show(full))
            self.externals.setdefault(name, "UnknownObj" if args is None else TYPES[METHOD_TYPE])
        return args

    def name(self, end: int) -> str:
        path = self.name_path(end)
        args = self.resolve(path)
        if args is None:
            return self.text(path)
        self.nest()
        values = [self.term(end) for _ in range(args)]
        self._depth -= 1
        return f"{self.text(path)} ({', '.join(values)})"
