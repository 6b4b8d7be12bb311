r"""The root's names, ``\_SB`` with its regions and system memory, and ``\_GPE``."""

from __future__ import annotations

from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.aml.resources import CACHEABLE
from xlpy.firmware.hvmloader.acpi_info import FIELDS, SIZE
from xlpy.firmware.layout import DEBUG_PORT
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.addr import Gpa

# Names that no code uses and that Xen's guests have all the same.
_ROOT_NAMES = (
    ("PMBS", 0x0C00),
    ("PMLN", 8),
    ("IOB1", 0),
    ("IOL1", 0),
    ("APCB", 0xFEC00000),
    ("APCL", 0x10000),
    ("PUID", 0),
)


def root() -> bytes:
    r"""``_S5`` (sleep type 0), the interrupt model that ``_PIC`` is told, and unused names."""
    return b"".join(
        (
            *(aml.name(name, value) for name, value in _ROOT_NAMES),
            aml.name("\\_S5", aml.package(0, 0, 0, 0)),
            aml.name("\\PICD", 0),
            aml.method("\\_PIC", 1, aml.store(aml.arg(0), aml.ref("PICD"))),
        )
    )


def system_bus(acpi_info: Gpa, *devices: bytes) -> bytes:
    r"""``\_SB``: low memory, what firmware found, and the devices.

    Args:
        acpi_info: the page that firmware fills.
        devices: their AML.
    """
    return aml.scope(
        "\\_SB",
        aml.device(
            "MEM0",
            aml.name("_HID", aml.eisaid("PNP0C02")),
            aml.name("_CRS", aml.resource_template(aml.qword_memory(0, 0x9FFFF, cache=CACHEABLE, producer=False))),
        ),
        aml.op_region("BIOS", aml.RegionSpace.SYSTEM_MEMORY, aml.dword(acpi_info), SIZE),
        aml.field("BIOS", FIELDS, aml.AccessType.BYTE),
        *devices,
    )


def gpe(slots: bytes) -> bytes:
    r"""``\_GPE``: event 2 is processor hot plug, event 1 PCI hot plug (``slots``)."""
    return aml.scope(
        "\\_GPE",
        aml.method("_E02", 0, aml.call("\\_SB.PRSC")),
        slots,
        aml.op_region("DG1", aml.RegionSpace.SYSTEM_IO, DEBUG_PORT, 4),
        aml.field("DG1", (("DPT1", 8), ("DPT2", 8)), aml.AccessType.BYTE),
    )
