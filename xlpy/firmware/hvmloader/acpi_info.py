r"""What firmware found, for the DSDT: 40 bytes that ``\_SB.BIOS`` reads (Xen's ``acpi_info``).

| offset | size | content |
|---|---|---|
| 0 | 1 | bit 0 COM1, 1 COM2, 2 LPT1, 3 HPET |
| 2 | 2 | number of processors |
| 4, 8 | 4, 4 | start and length of the PCI hole |
| 12, 16 | 4, 4 | addresses of the MADT's checksum byte and of its first local APIC |
| 20 | 4 | address of the generation id |
| 24, 32 | 8, 8 | start and length of the PCI window above RAM |
"""

from __future__ import annotations

from _struct import Struct

from xlpy.records import NamedTuple

_PAGE = Struct("<BxHIIIIIQQ")
SIZE = _PAGE.size

# As an AML field list: 64-bit values as halves.
FIELDS = (
    ("UAR1", 1),
    ("UAR2", 1),
    ("LTP1", 1),
    ("HPET", 1),
    (None, 12),
    ("NCPU", 16),
    ("PMIN", 32),
    ("PLEN", 32),
    ("MSUA", 32),
    ("MAPA", 32),
    ("VGIA", 32),
    ("LMIN", 32),
    ("HMIN", 32),
    ("LLEN", 32),
    ("HLEN", 32),
)


class AcpiInfo(NamedTuple):
    """The page's fields; addresses are 0 where there is no such thing."""

    com1: bool = False
    com2: bool = False
    lpt1: bool = False
    hpet: bool = False
    nr_cpus: int = 0
    pci_min: int = 0
    pci_len: int = 0
    madt_csum: int = 0
    madt_lapic0: int = 0
    vm_gid: int = 0
    pci_hi_min: int = 0
    pci_hi_len: int = 0

    def build(self) -> bytes:
        """The 40 bytes."""
        present = self.com1 | self.com2 << 1 | self.lpt1 << 2 | self.hpet << 3
        return _PAGE.pack(present, *self[4:])
