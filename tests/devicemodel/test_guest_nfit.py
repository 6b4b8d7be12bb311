"""The guest's NFIT."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from programs import need

from xlpy.addr import GIB, MIB, Gpa, Spa, Span
from xlpy.devicemodel.backing import Backing, Vnvdimm
from xlpy.devicemodel.nfit import build_fit, build_table
from xlpy.firmware.acpi.nfit import (
    Capabilities,
    ControlRegion,
    RegionMap,
    SpaRange,
    device_id,
)
from xlpy.firmware.acpi.nfit_format import parse_nfit, parse_structures

if TYPE_CHECKING:
    from pathlib import Path

DEVICES = (
    Vnvdimm(0, Gpa(20 * GIB), Backing("/dev/pmem0", (Span(Spa(1 << 33), 128 * MIB),)), 0x12345678),
    Vnvdimm(2, Gpa(21 * GIB), Backing("/a", (Span(Spa(1 << 34), 64 * MIB),), unarmed=True, node=4), 0x9ABCDEF0),
)
CAPS = "memory_controller"


def test_one_device_byte_by_byte() -> None:
    assert build_fit(DEVICES[:1]) == bytes.fromhex(
        "00003800 02000300 00000000 00000000"  # SPA range: index 2, flags 3, proximity domain 0
        "79d3f066 f3b47440 ac430d33 18b78cdb"
        "00000000 05000000 00000008 00000000"  # 20 GiB, 128 MiB
        "08800000 00000000"  # WB, NV
        "01003000 01000000 00000000 02000300"  # mapping: handle 1, range 2, control region 3
        "00000008 00000000 00000000 00000000 00000000 00000000"
        "00000100 00000000"  # 1 way
        "04005000 03005358 01000100 00000000 00000000 00000000 78563412 01030000"  # control region
    ) + bytes(48)


def test_numbers_follow_the_slots() -> None:
    assert parse_structures(build_fit(DEVICES[::-1], CAPS)) == [
        SpaRange(spa_index=2, base=20 * GIB, length=128 * MIB, flags=3),
        RegionMap(handle=1, spa_index=2, control_index=3, region_size=128 * MIB),
        ControlRegion(control_index=3, vendor_id=0x5853, device_id=1, revision_id=1, serial_number=0x12345678),
        SpaRange(spa_index=6, base=21 * GIB, length=64 * MIB, flags=3, proximity_domain=4),
        RegionMap(handle=3, spa_index=6, control_index=7, region_size=64 * MIB, flags=8),  # not armed
        ControlRegion(control_index=7, vendor_id=0x5853, device_id=1, revision_id=1, serial_number=0x9ABCDEF0),
        Capabilities(1, 2),
    ]


@pytest.mark.parametrize(
    ("persistence", "expected"),
    [("memory_controller", [Capabilities(1, 2)]), ("cpu_cache", [Capabilities(1, 3)]), ("none", []), ("", [])],
)
def test_capabilities_are_the_hosts(persistence: str, expected: list[Capabilities]) -> None:
    assert parse_structures(build_fit(DEVICES[:1], persistence))[3:] == expected


def test_the_serial_number_names_the_device() -> None:
    control = parse_structures(build_fit(DEVICES))[2]
    assert isinstance(control, ControlRegion)
    assert device_id(control) == "5358-78563412"


def test_table_and_fit_agree() -> None:
    table = build_table(DEVICES, CAPS)
    assert parse_nfit(table) == parse_structures(build_fit(DEVICES, CAPS))
    assert sum(table) % 256 == 0


def test_iasl_takes_it(tmp_path: Path) -> None:
    need("iasl")
    (tmp_path / "nfit.aml").write_bytes(build_table(DEVICES, CAPS))
    run = subprocess.run(["iasl", "-d", "nfit.aml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    text = (tmp_path / "nfit.dsl").read_text()
    assert run.returncode == 0
    assert "Error" not in run.stdout + run.stderr
    assert not [line for line in text.splitlines() if "ERROR" in line or "Invalid" in line or "Unknown" in line]
    assert text.count("Subtable Type") == 7
    run = subprocess.run(["iasl", "nfit.dsl"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "0 Errors" in run.stdout, run.stdout + run.stderr
