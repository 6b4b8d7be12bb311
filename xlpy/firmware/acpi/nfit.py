"""The NVDIMM Firmware Interface Table (ACPI 6.5, 5.2.25): its records.

The way to bytes and back is in ``nfit_format``, which is imported when a table is taken apart or built.
"""

from __future__ import annotations

from xlpy.records import NamedTuple

# Range type GUIDs (5.2.25.2)
PERSISTENT_MEMORY = "66f0d379-b4f3-4074-ac43-0d3318b78cdb"
VOLATILE_MEMORY = "7305944f-fdda-44e3-b16c-3f22d252e5d0"
CONTROL_REGION = "92f701f6-13b4-405d-910b-299367e8234c"
DATA_REGION = "91af0530-5d86-470e-a6b0-0a2db9408249"
VOLATILE_DISK = "77ab535a-45fc-624b-5560-f7b281d1f96e"
VOLATILE_CD = "3d5abd30-4175-87ce-6d64-d2ade523c4bb"
PERSISTENT_DISK = "5cea02c9-4d07-69d3-269f-4496fbe096f9"
PERSISTENT_CD = "08018188-42cd-bb48-100f-5387d53ded3d"
RANGE_TYPES = {
    PERSISTENT_MEMORY: "persistent memory",
    VOLATILE_MEMORY: "volatile memory",
    CONTROL_REGION: "NVDIMM control region",
    DATA_REGION: "NVDIMM block data window region",
    VOLATILE_DISK: "virtual disk, volatile",
    VOLATILE_CD: "virtual CD, volatile",
    PERSISTENT_DISK: "virtual disk, persistent",
    PERSISTENT_CD: "virtual CD, persistent",
}

# SpaRange.flags
HOT_ADD_ONLY, PROXIMITY_VALID, COOKIE_VALID = 1, 2, 4
# SpaRange.attributes: EFI memory attributes
EFI_MEMORY_WB, EFI_MEMORY_NV = 0x8, 0x8000
# RegionMap.flags
SAVE_FAILED, RESTORE_FAILED, FLUSH_FAILED, NOT_ARMED, HEALTH_OBSERVED, HEALTH_ENABLED, MAP_FAILED = (
    1 << n for n in range(7)
)
# Capabilities.capabilities
CACHE_FLUSH, CONTROLLER_FLUSH, MIRRORING = 1, 2, 4
# ControlRegion.interface_code
BYTE_ENERGY_BACKED, BLOCK_ADDRESSED, BYTE_NO_ENERGY = 0x0101, 0x0201, 0x0301


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


class Interleave(NamedTuple):
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
    SpaRange | RegionMap | Interleave | Smbios | ControlRegion | DataWindow | FlushHints | Capabilities | Unknown
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
