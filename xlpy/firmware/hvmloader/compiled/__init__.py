r"""The guest's AML as hvmloader carries it: compiled when it is built, not when a guest boots (Xen's ``mk_dsdt``).

``dsdt`` and ``ssdt`` are the sources; ``python -m tools.compile_aml`` makes the files anew, and a test holds each of
them against its source.
"""

from __future__ import annotations

import os

from xlpy.firmware.acpi.header import set_checksum
from xlpy.firmware.hvmloader.board import AML_COMPILERS
from xlpy.firmware.layout import XEN_HVM
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.layout import GuestLayout

CHECKSUM, CREATOR_REVISION = 9, 32  # offsets in a table's header
FOLDER = os.path.dirname(__file__)


def table(name: str, xen: tuple[int, int] | None = None) -> bytes:
    """A whole table: ``dsdt``, or one of ``ssdt`` by the name of the function that makes it.

    Args:
        name: of the table.
        xen: whose hvmloader it comes from: that was built with another compiler, which signs.
    """
    with open(os.path.join(FOLDER, f"{name}.aml"), "rb") as file:
        return _signed(file.read(), xen)


def carried(data: bytes) -> bool:
    """Whether a table is one of these, byte for byte but for who signed it and so for its checksum."""
    for name in os.listdir(FOLDER):
        path = os.path.join(FOLDER, name)
        if name.endswith(".aml") and os.path.getsize(path) == len(data):
            with open(path, "rb") as file:
                if _unsigned(file.read()) == _unsigned(data):
                    return True
    return False


def _unsigned(table: bytes) -> bytes:
    return table[:CHECKSUM] + table[CHECKSUM + 1 : CREATOR_REVISION] + table[CREATOR_REVISION + 4 :]


def dsdt(layout: GuestLayout, xen: tuple[int, int] | None = None) -> bytes:
    """The DSDT for a layout. It holds two of the layout's numbers; for others than hvmloader's own it is built."""
    if (layout.acpi_info, layout.pm_base) == (XEN_HVM.acpi_info, XEN_HVM.pm_base):
        return table("dsdt", xen)
    from xlpy.firmware.hvmloader.dsdt import build_dsdt

    return _signed(build_dsdt(layout.acpi_info, layout.pm_base), xen)


def _signed(table: bytes, xen: tuple[int, int] | None) -> bytes:
    revision = AML_COMPILERS.get(xen) if xen else None
    if revision is None:
        return table
    signed = bytearray(table)
    signed[CREATOR_REVISION : CREATOR_REVISION + 4] = revision.to_bytes(4, "little")
    return set_checksum(bytes(signed), CHECKSUM)
