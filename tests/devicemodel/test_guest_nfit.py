"""The guest's NFIT."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from xlpy.addr import GIB, MIB, Gpa, Spa, Span
from xlpy.devicemodel.backing import Backing, Vnvdimm
from xlpy.devicemodel.nfit import build_fit, build_table, structures
from xlpy.firmware.acpi.nfit import Capabilities, device_id, parse_nfit, parse_structures

if TYPE_CHECKING:
    from pathlib import Path

DEVICES = (
    Vnvdimm(0, Gpa(20 * GIB), Backing("/dev/pmem0", (Span(Spa(1 << 33), 128 * MIB),)), 0x12345678),
    Vnvdimm(2, Gpa(21 * GIB), Backing("/a", (Span(Spa(1 << 34), 64 * MIB),), unarmed=True), 0x9ABCDEF0),
)
CAPS = "memory_controller"


def test_one_device_byte_by_byte() -> None:
    assert build_fit(DEVICES[:1]) == bytes.fromhex(
        "00003800 02000100 00000000 00000000"  # SPA range: index 2, flags 1
        "79d3f066 f3b47440 ac430d33 18b78cdb"
        "00000000 05000000 00000008 00000000"  # 20 GiB, 128 MiB
        "08800000 00000000"  # WB, NV
        "01003000 01000000 00000000 02000300"  # mapping: handle 1, range 2, control region 3
        "00000008 00000000 00000000 00000000 00000000 00000000"
        "00000100 00000000"  # 1 way
        "04005000 03005358 01000100 00000000 00000000 00000000 78563412 01030000"  # control region
    ) + bytes(48)


def test_numbers_follow_the_slots() -> None:
    found = structures(DEVICES[::-1], CAPS)
    assert [type(item).__name__ for item in found] == ["SpaRange", "RegionMap", "ControlRegion"] * 2 + ["Capabilities"]
    assert [found[n].spa_index for n in (0, 1, 3, 4)] == [2, 2, 6, 6]
    assert [found[n].control_index for n in (1, 2, 4, 5)] == [3, 3, 7, 7]
    assert [found[n].handle for n in (1, 4)] == [1, 3]
    assert [found[n].flags for n in (1, 4)] == [0, 8]  # not armed
    assert device_id(found[2]) == "5358-78563412"
    assert found[6] == Capabilities(1, 2)


def test_table_and_fit_agree() -> None:
    table = build_table(DEVICES, CAPS)
    assert parse_nfit(table) == parse_structures(build_fit(DEVICES, CAPS)) == structures(DEVICES, CAPS)
    assert sum(table) % 256 == 0


def test_iasl_takes_it(tmp_path: Path) -> None:
    if not shutil.which("iasl"):
        pytest.skip("iasl is not installed (acpica-tools)")
    (tmp_path / "nfit.aml").write_bytes(build_table(DEVICES, CAPS))
    run = subprocess.run(["iasl", "-d", "nfit.aml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    text = (tmp_path / "nfit.dsl").read_text()
    assert run.returncode == 0
    assert "Error" not in run.stdout + run.stderr
    assert not [line for line in text.splitlines() if "ERROR" in line or "Invalid" in line or "Unknown" in line]
    assert text.count("Subtable Type") == 7
    run = subprocess.run(["iasl", "nfit.dsl"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "0 Errors" in run.stdout, run.stdout + run.stderr
