"""The file for ``acpi_firmware``: NFIT and SSDT, then the tables that the configuration passes already."""

from __future__ import annotations

from xlpy.addr import KIB
from xlpy.devicemodel import nfit, stock
from xlpy.errors import Conflict, Constraint, FormatError
from xlpy.firmware.acpi.header import HEADER_SIZE, verify
from xlpy.toolstack.config.named import read_named
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlpy.toolstack.config.domain_config import DomainConfig
    from xlpy.toolstack.export.plan import ExportPlan

SECONDARY = 15  # tables in hvmloader's XSDT beside the FADT (libacpi build.c, 4.17 and 4.20: ACPI_MAX_SECONDARY_TABLES)
ACPI_SPACE = 1020 * KIB  # 0xFC001000 to 0xFC100000, for all tables (hvmloader config.h)
BUILT_IN_SPACE = 64 * KIB  # what hvmloader's own take at most, DSDT included


def build(plan: ExportPlan, others: Sequence[bytes]) -> bytes:
    """The content of the file.

    Args:
        plan: the vNVDIMMs.
        others: tables that are passed as well.

    Raises:
        Constraint: hvmloader has no room for so many, or for so much.
    """
    own = [nfit.build_table([one.device for one in plan.stock], plan.persistence), stock.ssdt(plan.stock)]
    blob = b"".join((*own, *others))
    built_in, count = built_in_tables(plan.config), len(own) + len(others)
    if built_in + count > SECONDARY:
        raise Constraint(
            f"{plan.config.name}: hvmloader makes {built_in} tables for this configuration and has room for "
            f"{SECONDARY - built_in} more, {count} are to be passed: it would drop the last without a word",
            code="XLPY-EXPORT-TABLES",
            hint="pass fewer tables in acpi_firmware, or put several into one SSDT",
        )
    if len(blob) + BUILT_IN_SPACE > ACPI_SPACE:
        raise Constraint(
            f"{plan.config.name}: {len(blob)} bytes of tables; hvmloader has {ACPI_SPACE - BUILT_IN_SPACE} for them",
            code="XLPY-EXPORT-TABLES",
            hint="pass smaller tables in acpi_firmware",
        )
    return blob


def built_in_tables(config: DomainConfig) -> int:
    """How many secondary tables hvmloader makes itself: APIC, HPET, WAET, SSDTs, and those of devices and vNUMA."""
    build = config.tree["b_info"]
    tpm = 2 if config.tree.get("vtpms") else 0
    return sum(
        (
            bool(config.apic or config.max_vcpus > 1),
            bool(config.hpet),
            1,  # WAET
            1,  # the battery's SSDT, where the device model has one
            bool(config.acpi_s3),
            bool(config.acpi_s4),
            bool(config.acpi_laptop_slate),
            tpm,
            2 if build.get("vnuma_nodes") else 0,
        )
    )


def tables(config: DomainConfig) -> list[bytes]:
    """The ACPI tables that a configuration passes; none when it passes none.

    Raises:
        ConfigError: the file cannot be read. FormatError: it does not consist of tables.
    """
    path = config.acpi_firmware
    return split(read_named("acpi_firmware", path), path) if path else []


def passed(config: DomainConfig) -> list[bytes]:
    """As ``tables``, for an export, which adds its own. Conflict: they tell of NVDIMMs already."""
    found = tables(config)
    for table in found:
        what = "an NFIT" if table[:4] == b"NFIT" else "\\_SB.NVDR" if _names_root(table) else None
        if what:
            raise Conflict(
                f"{config.acpi_firmware} brings {what} already, and a guest takes one NFIT and one NVDIMM root device",
                code="XLPY-EXPORT-NFIT",
                hint="is this the product of an earlier export? export the original configuration",
            )
    return found


def split(data: bytes, path: str) -> list[bytes]:
    """The tables of a file that hvmloader would take; fewer bytes than a header at the end are ignored, as there.

    Raises:
        FormatError: a length that is no table's.
    """
    tables, at = [], 0
    while len(data) - at >= HEADER_SIZE:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        name = data[at : at + 4].decode("latin-1")
        if not HEADER_SIZE <= size <= len(data) - at:
            raise FormatError(
                f"{path}: table {name!r} at offset {at:#x} says it has {size} bytes, "
                f"{HEADER_SIZE} to {len(data) - at} are possible",
                offset=at,
                hint="acpi_firmware names a file of whole ACPI tables, one after another",
            )
        table = data[at : at + size]
        if not verify(table):
            raise FormatError(
                f"{path}: the checksum of table {name!r} at offset {at:#x} is wrong",
                offset=at,
                hint="make the file anew; hvmloader does not correct it, and Linux complains",
            )
        tables.append(table)
        at += size
    return tables


def _names_root(table: bytes) -> bool:
    """Whether an SSDT has our root device, or another with the same hardware id."""
    return table[:4] == b"SSDT" and (b"NVDR" in table or b"ACPI0012" in table)
