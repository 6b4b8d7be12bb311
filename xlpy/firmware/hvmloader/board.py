"""Facts that several tables share: who compiled AML, and how interrupts are wired (MADT, MP table, PCI routes)."""

from __future__ import annotations

from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.header import Identity

# OEM "Xen", "HVM", revision 0 is the builder's default; AML carries the compiler's identity
AML_CREATOR: Identity = {"creator_id": "INTL", "creator_revision": 0x20200925}

IOAPIC_ID = 1
LEVEL_IRQS = (5, 10, 11)  # routed PCI interrupts: level triggered, active low
