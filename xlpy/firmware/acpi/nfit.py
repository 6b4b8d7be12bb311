"""The NVDIMM Firmware Interface Table (ACPI 6.5, 5.2.25): its records.

The way to bytes and back is in ``nfit_format``, which is imported when a table is taken apart or built.
"""

from __future__ import annotations

from xlpy.firmware.acpi.nfit_codes import (
    BLOCK_ADDRESSED as BLOCK_ADDRESSED,
)
from xlpy.firmware.acpi.nfit_codes import (
    BYTE_ENERGY_BACKED as BYTE_ENERGY_BACKED,
)
from xlpy.firmware.acpi.nfit_codes import (
    BYTE_NO_ENERGY as BYTE_NO_ENERGY,
)
from xlpy.firmware.acpi.nfit_codes import (
    CACHE_FLUSH as CACHE_FLUSH,
)
from xlpy.firmware.acpi.nfit_codes import (
    CONTROL_REGION as CONTROL_REGION,
)
from xlpy.firmware.acpi.nfit_codes import (
    CONTROLLER_FLUSH as CONTROLLER_FLUSH,
)
from xlpy.firmware.acpi.nfit_codes import (
    COOKIE_VALID as COOKIE_VALID,
)
from xlpy.firmware.acpi.nfit_codes import (
    DATA_REGION as DATA_REGION,
)
from xlpy.firmware.acpi.nfit_codes import (
    EFI_MEMORY_NV as EFI_MEMORY_NV,
)
from xlpy.firmware.acpi.nfit_codes import (
    EFI_MEMORY_WB as EFI_MEMORY_WB,
)
from xlpy.firmware.acpi.nfit_codes import (
    FLUSH_FAILED as FLUSH_FAILED,
)
from xlpy.firmware.acpi.nfit_codes import (
    HEALTH_ENABLED as HEALTH_ENABLED,
)
from xlpy.firmware.acpi.nfit_codes import (
    HEALTH_OBSERVED as HEALTH_OBSERVED,
)
from xlpy.firmware.acpi.nfit_codes import (
    HOT_ADD_ONLY as HOT_ADD_ONLY,
)
from xlpy.firmware.acpi.nfit_codes import (
    MAP_FAILED as MAP_FAILED,
)
from xlpy.firmware.acpi.nfit_codes import (
    MIRRORING as MIRRORING,
)
from xlpy.firmware.acpi.nfit_codes import (
    NOT_ARMED as NOT_ARMED,
)
from xlpy.firmware.acpi.nfit_codes import (
    PERSISTENT_CD as PERSISTENT_CD,
)
from xlpy.firmware.acpi.nfit_codes import (
    PERSISTENT_DISK as PERSISTENT_DISK,
)
from xlpy.firmware.acpi.nfit_codes import (
    PERSISTENT_MEMORY as PERSISTENT_MEMORY,
)
from xlpy.firmware.acpi.nfit_codes import (
    PROXIMITY_VALID as PROXIMITY_VALID,
)
from xlpy.firmware.acpi.nfit_codes import (
    RANGE_TYPES as RANGE_TYPES,
)
from xlpy.firmware.acpi.nfit_codes import (
    RESTORE_FAILED as RESTORE_FAILED,
)
from xlpy.firmware.acpi.nfit_codes import (
    SAVE_FAILED as SAVE_FAILED,
)
from xlpy.firmware.acpi.nfit_codes import (
    VOLATILE_CD as VOLATILE_CD,
)
from xlpy.firmware.acpi.nfit_codes import (
    VOLATILE_DISK as VOLATILE_DISK,
)
from xlpy.firmware.acpi.nfit_codes import (
    VOLATILE_MEMORY as VOLATILE_MEMORY,
)
from xlpy.records import NamedTuple


class SpaRange(NamedTuple):
    """Type 0: a range of system physical addresses.

    Args:
        spa_index: non-zero; 0 is for the virtual disk and CD types only.
        base: first address.
        length: in bytes.
        range_type: a GUID of ``RANGE_TYPES``.
        flags: ``HOT_ADD_ONLY | PROXIMITY_VALID | COOKIE_VALID``.
        proximity_domain: as in the SRAT.
        attributes: EFI memory attributes.
        location_cookie: stored (and the structure 64 bytes instead of 56) only with ``COOKIE_VALID``.
    """

    spa_index: int
    base: int
    length: int
    range_type: str = PERSISTENT_MEMORY
    flags: int = 0
    proximity_domain: int = 0
    attributes: int = EFI_MEMORY_WB | EFI_MEMORY_NV
    location_cookie: int = 0


class RegionMap(NamedTuple):
    """Type 1: how (a part of) one memory device is mapped to a range.

    Args:
        handle: NFIT device handle.
        spa_index: of the range, 0 when not mapped.
        control_index: of the control region.
        region_size: bytes of this device in the range.
        region_offset: of this device's first byte in the range.
        dpa_base: first device physical address.
        physical_id: handle of the SMBIOS type 17 structure.
        region_id: unique on the device.
        interleave_index: of the interleave structure, 0 without.
        interleave_ways: 1 when not interleaved.
        flags: ``SAVE_FAILED`` and so on.
    """

    handle: int
    spa_index: int
    control_index: int
    region_size: int
    region_offset: int = 0
    dpa_base: int = 0
    physical_id: int = 0
    region_id: int = 0
    interleave_index: int = 0
    interleave_ways: int = 1
    flags: int = 0


class InterleaveStructure(NamedTuple):
    """Type 2: where the lines of one device lie in its range.

    Args:
        interleave_index: non-zero.
        line_size: in bytes.
        line_offsets: in units of ``line_size``.
    """

    interleave_index: int
    line_size: int
    line_offsets: tuple[int, ...]


class Smbios(NamedTuple):
    """Type 3: SMBIOS structures as they are."""

    data: bytes


class ControlRegion(NamedTuple):
    """Type 4: identity and, formerly, block control windows of a device.

    Args:
        control_index: non-zero.
        manufacturing_location: valid, like ``manufacturing_date``, when bit 0 of ``valid_fields`` is set.
        manufacturing_date: BCD, year in the low byte, week in the high byte.
        interface_code: ``BYTE_ENERGY_BACKED``, ``BLOCK_ADDRESSED`` or ``BYTE_NO_ENERGY``.
        windows: block control windows; the numbers that follow describe them.
        size: of the structure in bytes: 80, or 32 when there are no windows.
    """

    control_index: int
    vendor_id: int
    device_id: int
    revision_id: int
    subsystem_vendor_id: int = 0
    subsystem_device_id: int = 0
    subsystem_revision_id: int = 0
    valid_fields: int = 0
    manufacturing_location: int = 0
    manufacturing_date: int = 0
    serial_number: int = 0
    interface_code: int = BYTE_NO_ENERGY
    windows: int = 0
    window_size: int = 0
    command_offset: int = 0
    command_size: int = 0
    status_offset: int = 0
    status_size: int = 0
    flags: int = 0
    size: int = 80


class DataWindow(NamedTuple):
    """Type 5: block data windows of a device (offsets and sizes in bytes)."""

    control_index: int
    windows: int
    start_offset: int
    window_size: int
    capacity: int
    first_block: int


class FlushHints(NamedTuple):
    """Type 6: addresses, writing to any of which drains the device's write-pending queue."""

    handle: int
    addresses: tuple[int, ...]


class Capabilities(NamedTuple):
    """Type 7: what the platform saves on power loss.

    Args:
        highest: number of the highest bit of ``capabilities`` that means anything.
        capabilities: ``CACHE_FLUSH | CONTROLLER_FLUSH | MIRRORING``.
    """

    highest: int
    capabilities: int


class Unknown(NamedTuple):
    """A structure of a type that ACPI 6.5 does not define: what follows its type and length."""

    type: int
    data: bytes


Structure = (
    SpaRange
    | RegionMap
    | InterleaveStructure
    | Smbios
    | ControlRegion
    | DataWindow
    | FlushHints
    | Capabilities
    | Unknown
)


class Handle(NamedTuple):
    """The parts of an NFIT device handle (5.2.25.3), which is also the ``_ADR`` of the device's ACPI object."""

    dimm: int
    channel: int = 0
    controller: int = 0
    socket: int = 0
    node: int = 0

    @classmethod
    def of(cls, handle: int) -> Handle:
        """Take a handle apart."""
        return cls(handle & 0xF, handle >> 4 & 0xF, handle >> 8 & 0xF, handle >> 12 & 0xF, handle >> 16 & 0xFFF)

    def __int__(self) -> int:
        return self.dimm | self.channel << 4 | self.controller << 8 | self.socket << 12 | self.node << 16


def device_id(region: ControlRegion) -> str:
    """The text id of a device (NVDIMM representation format), as sysfs has it: the fields' bytes in table order."""

    def digits(value: int, width: int) -> str:
        return value.to_bytes(width, "little").hex()

    made = ""
    if region.valid_fields & 1:
        made = f"{region.manufacturing_location:02x}-{digits(region.manufacturing_date, 2)}-"
    return f"{digits(region.vendor_id, 2)}-{made}{digits(region.serial_number, 4)}"
