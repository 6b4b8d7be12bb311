"""ACPI: table formats, the AML builder and evaluator, and the lint of whole table sets.

Formats are declared with construct, one table family a file, with the field names of the ACPI specification. Records
that other layers keep (``nfit``) and the way from an RSDP to its tables (``walk``) do without construct: importing them
costs nothing.
"""
