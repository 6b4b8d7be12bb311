"""The guest's NFIT (ACPI 6.5, 5.2.25): for each vNVDIMM a range, its mapping and a control region.

Indices derive from the slot as in QEMU: slot s has handle s + 1, range 2(s + 1) and control region 2(s + 1) + 1. The
identity is our own: Xen's vendor id and a serial number made from the backing, so that labels, which are bound to it,
are found valid by the next domain that gets the same backing, in whatever slot. There are no flush hints: what the
guest flushes to the memory controller is as safe as on the host, whose platform capabilities are passed on.

Four structures are needed, and every create needs them: they are packed here, without `xlpy.firmware.acpi.nfit_format`.
"""

from __future__ import annotations

from _struct import Struct

from xlpy.firmware.acpi.guid import guid_bytes
from xlpy.firmware.acpi.header import build_table as build_sdt
from xlpy.firmware.acpi.nfit_codes import (
    BYTE_NO_ENERGY,
    CACHE_FLUSH,
    CONTROLLER_FLUSH,
    EFI_MEMORY_NV,
    EFI_MEMORY_WB,
    HOT_ADD_ONLY,
    NOT_ARMED,
    PERSISTENT_MEMORY,
    PROXIMITY_VALID,
)
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xlpy.devicemodel.backing import Vnvdimm

VENDOR_ID = 0x5853  # XenSource
DEVICE_ID, REVISION_ID = 1, 1

# What the host's platform saves on power loss, in Linux' words
CAPABILITIES = {"cpu_cache": CACHE_FLUSH | CONTROLLER_FLUSH, "memory_controller": CONTROLLER_FLUSH}

_RANGE = Struct("<4HII16s3Q")  # type, length, index, flags, reserved, proximity, type GUID, base, length, attributes
_MAP = Struct(
    "<HHI4H3Q4H"
)  # handle, physical id, region id, range, control, size, offset, DPA, interleave, ways, flags
_CONTROL = Struct("<6H12xIH50x")  # index, vendor, device, revision, no subsystem, serial, interface, no windows
_CAPABILITIES = Struct("<HHB3xI4x")  # highest valid bit, bits


def build_fit(devices: Iterable[Vnvdimm], persistence: str = "") -> bytes:
    """What ``_FIT`` returns: the structures, grouped by device in slot order.

    Args:
        devices: the vNVDIMMs.
        persistence: the host's persistence domain, ``memory_controller`` or ``cpu_cache``; any other word: it states
            none, and the guest sees none.
    """
    found = []
    for device in sorted(devices, key=lambda device: device.slot):
        size, index = device.backing.size, 2 * (device.slot + 1)
        guid, attributes = guid_bytes(PERSISTENT_MEMORY), EFI_MEMORY_WB | EFI_MEMORY_NV
        node = device.backing.node
        flags = NOT_ARMED if device.backing.unarmed or device.backing.read_only else 0
        found += [
            _RANGE.pack(
                0, _RANGE.size, index, HOT_ADD_ONLY | PROXIMITY_VALID, 0, node, guid, device.gpa, size, attributes
            ),
            _MAP.pack(1, _MAP.size, device.handle, 0, 0, index, index + 1, size, 0, 0, 0, 1, flags, 0),
            _CONTROL.pack(
                4, _CONTROL.size, index + 1, VENDOR_ID, DEVICE_ID, REVISION_ID, device.serial, BYTE_NO_ENERGY
            ),
        ]
    if persistence in CAPABILITIES:
        found.append(
            _CAPABILITIES.pack(7, _CAPABILITIES.size, CONTROLLER_FLUSH.bit_length() - 1, CAPABILITIES[persistence])
        )
    return b"".join(found)


def build_table(devices: Iterable[Vnvdimm], persistence: str = "") -> bytes:
    """The whole table."""
    return build_sdt("NFIT", bytes(4) + build_fit(devices, persistence), 1, oem_table_id="vNVDIMM")
