"""The findings of the lint: a row for each code, with severity, section of the specification, and meaning.

A code is stable: scripts filter by it. Sections are those of ACPI 6.5 unless another document is named.
"""

from __future__ import annotations

from xlpy.records import NamedTuple

NOTE, WARNING, ERROR = SEVERITIES = ("note", "warning", "error")


class Rule(NamedTuple):
    """One kind of finding.

    severity: ``error`` (an operating system drops or misreads it), ``warning`` (some do, or a field that does not fit
    its neighbours), ``note`` (nothing reads it, or nothing can be said about it). section: where the rule is written.
    meaning: for people who look a code up.
    """

    severity: str
    section: str
    meaning: str


_RULES = """
dump-partial       note    5.2.5    tables are missing in the input, or it does not say where they were
dump-row           error   -        a row of a dump does not follow the one before it; the table ends there
table-short        error   5.2.6    fewer bytes than a header has
table-signature    error   5.2.6    a signature that is not four printable characters
table-length       error   5.2.6    the length field is not the table's length
table-checksum     error   5.2.6    the bytes do not sum to 0
table-layout       error   5.2      the table ends inside a field, or goes on after its last one
table-twice        error   5.2.8    a table of which there may be one is there again, with other content
table-copy         note    5.2.8    a table is there twice, byte for byte
tables-overlap     error   5.2      two tables share addresses
reserved-bits      note    5.2.1    a reserved bit or byte is not 0
rsdp-invalid       error   5.2.5.3  no RSDP, a bad checksum, or a length that does not fit
rsdp-target        error   5.2.5.3  the RSDP points to something else than the root table, or to nothing
rsdt-target        error   5.2.7    an entry of the RSDT or XSDT leads to no table
rsdt-entry-twice   error   5.2.7    two entries of the RSDT or XSDT are the same
facs-layout        error   5.2.10   the FACS is no FACS
fadt-length        warning 5.2.9    shorter than its revision has it
fadt-address       warning 5.2.9    the 32-bit and the 64-bit field give different addresses
fadt-target        error   5.2.9    the FADT points to something else than the FACS or the DSDT, or to nothing
fadt-access-width  note    5.2.3.2  the register block of general-purpose events has no access width
madt-entry         error   5.2.12   the length of an interrupt controller structure does not fit its type
madt-apic-id       error   5.2.12.2 two enabled processors have one APIC id
madt-uid           error   5.2.12.2 two enabled processors have one ACPI processor UID
madt-gsi           error   5.2.12.3 the interrupt inputs of two I/O APICs overlap
madt-io-apic-id    warning 5.2.12.3 two I/O APICs have one id
madt-override      warning 5.2.12.5 two overrides of one interrupt source
srat-entry         error   5.2.16   the length of an affinity structure does not fit its type
srat-range         error   5.2.16.2 a memory range has no end below 2**64
srat-overlap       error   5.2.16.2 memory ranges of two proximity domains overlap
srat-overlap-same  warning 5.2.16.2 memory ranges of one proximity domain overlap
srat-apic-id       error   5.2.16.1 a processor is in two proximity domains
slit-size          error   5.2.17   the table does not hold the square of distances that it claims
slit-diagonal      error   5.2.17   the distance from a locality to itself is not 10
slit-distance      error   5.2.17   a distance between two localities is 10 or less
nfit-structure     error   5.2.25   the length of a structure does not fit its type and content
nfit-index         error   5.2.25   an index is 0, or used twice
nfit-link          error   5.2.25.3 a structure names another one that is missing
nfit-range         error   5.2.25.2 an SPA range has no size, or no end below 2**64
nfit-range-type    note    5.2.25.2 an SPA range is of a type that ACPI does not define
nfit-range-overlap error   5.2.25.2 two SPA ranges share addresses
nfit-range-size    error   5.2.25.3 the mappings of an SPA range do not have its size
nfit-range-node    warning 5.2.25.2 the proximity domain of an SPA range is not in the SRAT
nfit-handle        error   5.2.25.3 a device handle sets reserved bits
nfit-offset        error   5.2.25.3 a mapping lies beyond its SPA range
nfit-dpa           error   5.2.25.3 two mappings of one device claim the same device addresses
nfit-ways          error   5.2.25.3 the interleave ways are not the number of mappings
nfit-ways-zero     warning 5.2.25.3 the interleave ways are 0
nfit-interleave    error   5.2.25.4 the lines of an interleave set do not cover it exactly once
nfit-ways-many     error   5.2.25.3 more mappings than Linux takes
nfit-identity      warning 5.2.25.6 two devices cannot be told apart
nfit-flush-hint    error   5.2.25.8 flush hints of an unknown device, or not aligned to a cache line
nfit-capabilities  warning 5.2.25.9 capabilities above the highest valid one, or told twice
aml-parse          error   20.2     AML that cannot be taken apart
aml-reference      error   5.3      a name that does not exist, or a duplicate
aml-arguments      error   20.2.5.4 a call with fewer arguments than its method takes
aml-element        warning 5.3      an element of a package names an object that does not exist
aml-run            note    5.4      a term fails when a table is loaded where memory and registers read as 0
"""

RULES: dict[str, Rule] = {}
for _row in _RULES.strip().splitlines():
    _code, _severity, _section, _meaning = _row.split(None, 3)
    RULES[_code] = Rule(_severity, _section, _meaning)


class Finding(NamedTuple):
    """One thing that is wrong.

    severity: ``error``, ``warning`` or ``note``; see ``Rule``. code: a key of ``RULES``. table: its name, such as
    ``ssdt2``. offset: byte offset in the table, or None. message: what was found and what is required. section: of ACPI
    6.5, or ``-``.
    """

    severity: str
    code: str
    table: str
    offset: int | None
    message: str
    section: str

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at {self.offset:#x}"
        source = "" if self.section == "-" else f", ACPI 6.5, {self.section}"
        return f"{self.severity}: {self.table}{place}: {self.message} [{self.code}{source}]"


def finding(code: str, table: str, offset: int | None, message: str, severity: str | None = None) -> Finding:
    """A finding of a known code; its severity is that of the code unless this case is another."""
    rule = RULES[code]
    return Finding(severity or rule.severity, code, table, offset, message, rule.section)
