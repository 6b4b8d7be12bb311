"""ASL keywords for AML numbers: operators, and the keywords of their constant arguments (ACPI 6.5, 19 and 20)."""

from __future__ import annotations

SPACES = (
    "SystemMemory",
    "SystemIO",
    "PCI_Config",
    "EmbeddedControl",
    "SMBus",
    "SystemCMOS",
    "PciBarTarget",
    "IPMI",
    "GeneralPurposeIo",
    "GenericSerialBus",
    "PCC",
)
ACCESS = ("AnyAcc", "ByteAcc", "WordAcc", "DWordAcc", "QWordAcc", "BufferAcc")
UPDATE = ("Preserve", "WriteAsOnes", "WriteAsZeros")
MATCH = ("MTR", "MEQ", "MLE", "MLT", "MGE", "MGT")
TYPES = (
    "UnknownObj",
    "IntObj",
    "StrObj",
    "BuffObj",
    "PkgObj",
    "FieldUnitObj",
    "DeviceObj",
    "EventObj",
    "MethodObj",
    "MutexObj",
    "OpRegionObj",
    "PowerResObj",
    "ProcessorObj",
    "ThermalZoneObj",
    "BuffFieldObj",
)
METHOD_TYPE = TYPES.index("MethodObj")

# Words of the language that could be names of objects
KEYWORDS = frozenset(
    (
        *("ADD", "AND", "CASE", "DMA", "EDGE", "ELSE", "IF", "INDEX", "IO", "IPMI", "IRQ", "LAND"),
        *("LNOT", "LOAD", "LOCK", "LOR", "MEQ", "MGE", "MGT", "MID", "MLE", "MLT", "MOD", "MTR"),
        *("NAME", "NAND", "NOOP", "NOR", "NOT", "ONE", "ONES", "OR", "PCC", "WAIT", "XOR", "ZERO"),
        *("ARG0", "ARG1", "ARG2", "ARG3", "ARG4", "ARG5", "ARG6"),
    )
)

# Names of opcodes that ASL writes otherwise, or with a keyword for an argument
RENAMED = {"ConcatRes": "ConcatenateResTemplate", "VarPackage": "Package"}


_ATTRIBUTES = {
    0x02: "AttribQuick",
    0x04: "AttribSendReceive",
    0x06: "AttribByte",
    0x08: "AttribWord",
    0x0A: "AttribBlock",
    0x0C: "AttribProcessCall",
    0x0D: "AttribBlockProcessCall",
}
_SIZED = {0x0B: "AttribBytes", 0x0E: "AttribRawBytes", 0x0F: "AttribRawProcessBytes"}


def attributes(number: int, length: int | None) -> str | None:
    """The keyword of an access attribute; empty for none, None where there is no word."""
    if length is not None:
        return f"{_SIZED[number]} (0x{length:02X})" if number in _SIZED else None
    return _ATTRIBUTES.get(number, None if number else "")


def space(number: int) -> str:
    """The keyword of an address space; its number for one that has none."""
    if number < len(SPACES):
        return SPACES[number]
    return "FFixedHW" if number == 0x7F else f"0x{number:02X}"


def quoted(raw: bytes) -> str:
    """A string literal."""
    shown = (
        f"\\{chr(code)}" if code in b'"\\' else chr(code) if 0x20 <= code < 0x7F else f"\\x{code:02X}" for code in raw
    )
    return f'"{"".join(shown)}"'


def block(head: str, lines: list[str]) -> list[str]:
    """``head { ... }``."""
    return [*head.split("\n"), "{", *indented(lines), "}"]


def indented(lines: list[str]) -> list[str]:
    """Lines of a package."""
    return [f"    {line}" if line else line for line in lines]
