"""The guest's SRAT: what hvmloader would build, and the vNVDIMMs behind it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from programs import need

from xlpy.addr import GIB, KIB, MIB, PAGE, Gpa, Span
from xlpy.errors import Constraint
from xlpy.firmware import affinity
from xlpy.firmware.acpi import srat
from xlpy.firmware.acpi.lint import TableSource, check
from xlpy.firmware.acpi.nfit import SpaRange
from xlpy.firmware.acpi.nfit_format import parse_nfit
from xlpy.firmware.acpi.walk import Found
from xlpy.firmware.platform import Vnuma, VnumaRange

if TYPE_CHECKING:
    from pathlib import Path

    from devicemodel.conftest import World

NODES = Vnuma(
    (1,), ((10, 20), (20, 10)), (VnumaRange(Gpa(0), Gpa(32 * MIB), 0), VnumaRange(Gpa(32 * MIB), Gpa(64 * MIB), 1))
)


def tables(world: World) -> tuple[bytes, bytes]:
    """NFIT and SRAT."""
    nfit, _, table = world.model().entries()
    return nfit.blob, table.blob


def entries(table: bytes) -> list[tuple[int, ...]]:
    """(node, APIC id) of processors, (node, start, size, flags) of memory."""
    return [
        (one.body.proximity_low, one.body.apic_id)
        if one.type == srat.PROCESSOR
        else (one.body.proximity, one.body.base, one.body.length, one.body.flags)
        for one in srat.SRAT.parse(table).entries
    ]


def test_without_virtual_numa_all_is_in_node_0(world: World) -> None:
    world.model().attach([world.backing("a", (0, 72 * KIB)), world.backing("b", (MIB, MIB))])
    nfit, table = tables(world)
    assert entries(table) == [(0, 0), (0, 0, 64 * MIB, 1), (0, 20 * GIB, 72 * KIB, 5), (0, 21 * GIB, MIB, 5)]
    ranges = [one for one in parse_nfit(nfit) if isinstance(one, SpaRange)]
    assert [(one.flags, one.proximity_domain) for one in ranges] == [(3, 0)] * 2


def test_the_node_is_the_configurations(world: World) -> None:
    world.calls.domctl_setvnumainfo(world.domid, NODES)
    world.model().attach([world.backing("a", (0, MIB), node=1), world.backing("b", (MIB, MIB))])
    nfit, table = tables(world)
    assert entries(table)[-2:] == [(1, 20 * GIB, MIB, 5), (0, 21 * GIB, MIB, 5)]
    assert [one.proximity_domain for one in parse_nfit(nfit) if isinstance(one, SpaRange)] == [1, 0]
    assert [one.code for one in check(TableSource([Found("NFIT", 0, nfit), Found("SRAT", 0, table)]))] == [
        "dump-partial"
    ]


def test_it_begins_as_hvmloaders_own(world: World) -> None:
    """Processors and RAM byte by byte: a guest without vNVDIMMs gets those."""
    world.calls.domctl_setvnumainfo(world.domid, NODES)
    world.model().attach([world.backing("a", (0, MIB))])
    own = affinity.build_srat(NODES)
    assert tables(world)[1][36 : len(own)] == own[36:]


def test_a_node_that_is_not_there(world: World) -> None:
    before = world.state()
    with pytest.raises(Constraint, match="has no NUMA node 1; its nodes are 0 to 0"):
        world.model().attach([world.backing("a", (0, MIB), node=1)])
    assert world.state() == before
    world.calls.domctl_setvnumainfo(world.domid, NODES)
    world.model().attach([world.backing("a", (0, MIB), node=1)])
    with pytest.raises(Constraint, match="its nodes are 0 to 1"):
        world.model().plug(world.backing("b", (MIB, MIB), node=2))
    assert world.model().plug(world.backing("b", (MIB, MIB), node=1)).backing.node == 1


def test_ram_above_4_gib(world: World) -> None:
    from xlpy.firmware.e820 import E820_RAM, E820Entry

    rows = [E820Entry(Gpa(MIB), 63 * MIB, E820_RAM), E820Entry(Gpa(4 * GIB), PAGE, E820_RAM)]
    world.calls.memory_set_memory_map(world.domid, rows)
    world.model().attach([world.backing("a", (0, MIB))])
    assert entries(tables(world)[1])[1:3] == [(0, 0, 64 * MIB, 1), (0, 4 * GIB, PAGE, 1)]


def test_iasl_takes_it(tmp_path: Path) -> None:
    need("iasl")
    span = Span(Gpa(20 * GIB), 64 * MIB)
    (tmp_path / "srat.aml").write_bytes(affinity.build_srat(NODES, [(span, 1)], oem_table_id="vNVDIMM"))
    run = subprocess.run(["iasl", "-d", "srat.aml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    text = (tmp_path / "srat.dsl").read_text()
    assert run.returncode == 0
    assert not [line for line in text.splitlines() if "ERROR" in line or "Invalid" in line]
    assert "Non-Volatile : 1" in text
