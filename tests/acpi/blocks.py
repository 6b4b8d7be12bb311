"""Definition blocks of terms."""

from xlpy.firmware.acpi.sdt import build_table


def table(*terms, signature="DSDT", revision=2):
    return build_table(signature, b"".join(terms), revision)
