"""Facts that several tables share: who compiled AML, and how interrupts are wired (MADT, MP table, PCI routes)."""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.header import Identity

# OEM "Xen", "HVM", revision 0 is the builder's default; AML carries the compiler's identity
AML_CREATOR: Identity = {"creator_id": "INTL", "creator_revision": 0x20200925}
# The compilers with which Debian's hvmloaders were built, where it is another: by Xen's major and minor number
AML_COMPILERS = {(4, 20): 0x20250404}
TPM_KEY_SINCE = (4, 18)  # from which Xen on platform/tpm_version is read

IOAPIC_ID = 1
LEVEL_IRQS = (5, 10, 11)  # routed PCI interrupts: level triggered, active low
