"""AML as ASL: text that ``iasl -oa`` compiles to the same bytes except for its own id, and the reasons where it cannot.

Without ``-oa`` (no optimizations) iasl also shortens names, which says the same in fewer bytes.

listing = disassemble(ssdt, [dsdt])
print(listing.text)
for remark in listing.remarks: ...
"""

from __future__ import annotations

from xlpy.firmware.acpi.asl.declarations import Declarations
from xlpy.firmware.acpi.asl.printer import Printer
from xlpy.firmware.acpi.asl.terms import NamedTerm, Remark
from xlpy.firmware.acpi.asl.words import quoted
from xlpy.firmware.acpi.header import Header
from xlpy.records import NamedTuple
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Listing", "NamedTerm", "Remark", "disassemble"]

AML = ("DSDT", "SSDT", "PSDT", "OSDT")


class Listing(NamedTuple):
    """A table as text.

    text: the ASL. remarks: what it cannot say, by offset: iasl writes other bytes there, or none. objects: what the
    table makes, by full path, in order; without what methods make while they run.
    """

    text: str
    remarks: Sequence[Remark]
    objects: Mapping[str, NamedTerm]


def disassemble(tables: Sequence[bytes]) -> list[Listing]:
    """Print definition blocks.

    Args:
        tables: whole DSDTs, SSDTs and PSDTs that are loaded together: the calls of a method of another table could not
            be told from a name and other statements without it.

    Raises:
        FormatError: a table is shorter than its header.
    """
    headers = [Header.parse(table) for table in tables]
    return [_listing(*one) for one in zip(tables, headers, Declarations.of(tables), strict=True)]


def _listing(table: bytes, head: Header, known: Declarations) -> Listing:
    printer = Printer(table, known)
    lines = printer.body(len(table))
    names = ", ".join(
        (
            '""',
            quoted(table[:4]),
            str(head.revision),
            quoted(table[10:16].rstrip(b"\0")),
            quoted(table[16:24].rstrip(b"\0")),
            f"0x{head.oem_revision:08X}",
        )
    )
    externals = [f"External ({path}, {kind})" for path, kind in printer.externals.items()]
    remarks = sorted({*printer.remarks, *_unsaid(table, printer)})
    told = [f"// {one.offset:#x}: {one.text}" for one in remarks]
    body = [f"    {line}" if line else line for line in (*externals, *([""] if externals else []), *lines)]
    intro = ["// iasl -oa compiles this to the same bytes, but for its own id (offsets 28 to 35) and the checksum"]
    if told:
        intro += [f"// and for {len(told)} places that ASL has no words for:", *told]
    intro.append("")
    return Listing("\n".join((*intro, f"DefinitionBlock ({names})", "{", *body, "}", "")), remarks, printer.objects)


def _unsaid(table: bytes, printer: Printer) -> Iterable[Remark]:
    """What the header and the names of other tables come to."""
    for offset, size, what in ((10, 6, "OEM id"), (16, 8, "OEM table id")):
        raw = table[offset : offset + size].rstrip(b"\0")
        if not raw.isascii() or 0 in raw or not raw.decode("latin-1").isprintable():
            yield Remark(offset, f"the {what} is no text")
    others = [name for name in printer.externals if name not in printer.declared]
    if others:
        names = ", ".join(others)
        yield Remark(36, f"names of other tables: iasl puts External opcodes for them in front ({names})")
