"""Numbers of the NFIT (ACPI 6.5, 5.2.25), for modules that need no records."""

from __future__ import annotations

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
