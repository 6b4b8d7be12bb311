r"""The guest's DSDT for QEMU's i440FX: our own AML with the object names of Xen's.

Names and contents are those that an operating system finds in a Xen HVM guest: the host bridge with its ISA devices,
interrupt links and routes, 31 hot-pluggable slots, 128 processors, the two GPE methods, and the ``BIOS`` region through
which firmware tells AML what it found (see ``acpi_info``).
"""

from __future__ import annotations

from xlpy.firmware.acpi.header import build_table
from xlpy.firmware.hvmloader.board import AML_CREATOR
from xlpy.firmware.hvmloader.dsdt.isa import isa_bridge
from xlpy.firmware.hvmloader.dsdt.pci import gpe_slots, host_bridge
from xlpy.firmware.hvmloader.dsdt.processors import processors
from xlpy.firmware.hvmloader.dsdt.system import gpe, root, system_bus
from xlpy.firmware.layout import PM_BASE
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.addr import Gpa


def build_dsdt(acpi_info: Gpa, pm_base: int = PM_BASE) -> bytes:
    """The whole table, revision 2 (64-bit integers).

    Args:
        acpi_info: the page that the ``BIOS`` region lies on.
        pm_base: I/O port of the power management block.
    """
    body = b"".join(
        (
            root(),
            system_bus(acpi_info, host_bridge(isa_bridge()), processors(pm_base)),
            gpe(gpe_slots()),
        )
    )
    return build_table("DSDT", body, 2, **AML_CREATOR)
