"""The guest's NFIT (ACPI 6.5, 5.2.25): for each vNVDIMM a range, its mapping and a control region.

Indices derive from the slot as in QEMU: slot s has handle s + 1, range 2(s + 1) and control region 2(s + 1) + 1. The
identity is our own: Xen's vendor id and a serial number made from the backing, so that labels, which are bound to it,
are found valid by the next domain that gets the same backing, in whatever slot. There are no flush hints: what the
guest flushes to the memory controller is as safe as on the host, whose platform capabilities are passed on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlpy.firmware.acpi.nfit import (
    CACHE_FLUSH,
    CONTROLLER_FLUSH,
    EFI_MEMORY_NV,
    EFI_MEMORY_WB,
    HOT_ADD_ONLY,
    NOT_ARMED,
    Capabilities,
    ControlRegion,
    RegionMap,
    SpaRange,
    Structure,
    build_nfit,
    build_structures,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.devicemodel.backing import Vnvdimm

VENDOR_ID = 0x5853  # XenSource
DEVICE_ID, REVISION_ID = 1, 1

# What the host's platform saves on power loss, in Linux' words
CAPABILITIES = {
    "cpu_cache": Capabilities(1, CACHE_FLUSH | CONTROLLER_FLUSH),
    "memory_controller": Capabilities(1, CONTROLLER_FLUSH),
}


def structures(devices: Iterable[Vnvdimm], persistence: str = "") -> list[Structure]:
    """The structures, grouped by device in slot order.

    Args:
        devices: the vNVDIMMs.
        persistence: the host's persistence domain, ``memory_controller`` or ``cpu_cache``; any other word: it states
            none, and the guest is told none.
    """
    found: list[Structure] = []
    for device in sorted(devices, key=lambda device: device.slot):
        index = 2 * (device.slot + 1)
        found += [
            SpaRange(
                spa_index=index,
                base=device.gpa,
                length=device.backing.size,
                flags=HOT_ADD_ONLY,
                attributes=EFI_MEMORY_WB | EFI_MEMORY_NV,
            ),
            RegionMap(
                handle=device.handle,
                spa_index=index,
                control_index=index + 1,
                region_size=device.backing.size,
                flags=NOT_ARMED if device.backing.unarmed else 0,
            ),
            ControlRegion(
                control_index=index + 1,
                vendor_id=VENDOR_ID,
                device_id=DEVICE_ID,
                revision_id=REVISION_ID,
                serial_number=device.serial,
            ),
        ]
    if persistence in CAPABILITIES:
        found.append(CAPABILITIES[persistence])
    return found


def build_fit(devices: Iterable[Vnvdimm], persistence: str = "") -> bytes:
    """What ``_FIT`` returns."""
    return build_structures(structures(devices, persistence))


def build_table(devices: Iterable[Vnvdimm], persistence: str = "") -> bytes:
    """The whole table."""
    return build_nfit(structures(devices, persistence), oem_table_id="vNVDIMM")
