"""Who made the tables. OEM "Xen", "HVM", revision 0 is the builder's default; AML carries the compiler's identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xlpy.firmware.acpi.header import Identity

AML_CREATOR: Identity = {"creator_id": "INTL", "creator_revision": 0x20200925}
