"""The System Locality Information Table (ACPI 6.5, 5.2.17)."""

from __future__ import annotations

from construct import Array, Int8ul, Int64ul, Rebuild, Struct, len_, this

from xlpy.firmware.acpi.sdt import TableFormat

# distances[i][j]: relative distance from locality i to j; 10 is local, 255 unreachable
SLIT = TableFormat(
    "SLIT",
    Struct(
        "localities" / Rebuild(Int64ul, len_(this.distances)),
        "distances" / Array(this.localities, Array(this.localities, Int8ul)),
    ),
)
