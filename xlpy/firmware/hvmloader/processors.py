"""Interrupt facts that the MADT, the MP table and the PCI routes share."""

from __future__ import annotations

IOAPIC_ID = 1
LEVEL_IRQS = (5, 10, 11)  # routed PCI interrupts: level triggered, active low


def apic_id(vcpu: int) -> int:
    """The APIC id of a vCPU: Xen leaves every odd one free."""
    return vcpu * 2
