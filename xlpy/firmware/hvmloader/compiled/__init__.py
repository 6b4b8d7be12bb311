r"""The guest's AML as hvmloader carries it: compiled when it is built, not when a guest boots (Xen's ``mk_dsdt``).

``dsdt`` and ``ssdt`` are the sources; ``python -m tools.compile_aml`` makes the files anew, and a test holds each of
them against its source.
"""

from __future__ import annotations

import os

from xlpy.firmware.layout import XEN_HVM
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.layout import GuestLayout

FOLDER = os.path.dirname(__file__)


def table(name: str) -> bytes:
    """A whole table: ``dsdt``, or one of ``ssdt`` by the name of the function that makes it."""
    with open(os.path.join(FOLDER, f"{name}.aml"), "rb") as file:
        return file.read()


def dsdt(layout: GuestLayout) -> bytes:
    """The DSDT for a layout. It holds two of the layout's numbers; for others than hvmloader's own it is built."""
    if (layout.acpi_info, layout.pm_base) == (XEN_HVM.acpi_info, XEN_HVM.pm_base):
        return table("dsdt")
    from xlpy.firmware.hvmloader.dsdt import build_dsdt

    return build_dsdt(layout.acpi_info, layout.pm_base)
