"""The host's ACPI tables, as bytes in host memory, judged by walking as an OS does and by acpica's tools."""

import re
from pathlib import Path

import pytest
from acpi.judges import disassemble, run, tool

from xlpy.addr import GIB, MIB, PAGE, Spa, Span
from xlpy.errors import Constraint
from xlpy.firmware.acpi.fadt import FADT
from xlpy.firmware.acpi.header import verify
from xlpy.firmware.acpi.madt import LOCAL_APIC, MADT
from xlpy.firmware.acpi.nfit import (
    Capabilities,
    ControlRegion,
    FlushHints,
    InterleaveStructure,
    RegionMap,
    SpaRange,
    device_id,
)
from xlpy.firmware.acpi.nfit_format import parse_nfit
from xlpy.firmware.acpi.slit import SLIT
from xlpy.firmware.acpi.srat import MEMORY, SRAT
from xlpy.firmware.acpi.walk import find_rsdp, walk
from xlpy.firmware.bios import power_on
from xlpy.hw.describe import default_machine_text, parse_machine
from xlpy.hw.hardware import Hardware
from xlpy.hw.interleave import Interleave as Translation
from xlpy.hw.interleave import Way
from xlpy.hw.machine import MachineSpec

MACHINES = Path(__file__).parents[2] / "configs" / "machines"
TEXTS = {"default": default_machine_text()} | {path.stem: path.read_text() for path in sorted(MACHINES.glob("*.yaml"))}
TEXTS["empty"] = "{name: empty, ram: 64M, cpu: {count: 255}}"


def powered(root, text):
    hw = Hardware.create(root, parse_machine(text))
    power_on(hw)
    return hw


def tables_of(hw):
    """All tables that an OS finds, by signature."""
    found = walk(hw.read, find_rsdp(hw.read))
    assert len({one.signature for one in found}) == len(found)
    return {one.signature: one.data for one in found}


@pytest.fixture(params=TEXTS)
def machine(request, tmp_path):
    hw = powered(tmp_path / "root", TEXTS[request.param])
    yield hw
    hw.close()


def test_every_machine_has_its_tables(machine):
    found = tables_of(machine)
    expected = {"RSDP", "XSDT", "FACP", "FACS", "DSDT", "APIC", "SRAT", "NFIT"}
    if any(one.proximity for one in machine.spec.sets):
        expected.add("SLIT")
    assert set(found) == expected
    assert all(verify(data) for signature, data in found.items() if signature != "FACS")


def test_tables_lie_where_the_memory_map_says(machine):
    entries = machine.memory_map()
    for one in walk(machine.read, find_rsdp(machine.read)):
        (kind,) = (e.type for e in entries if Span(e.start, e.size).covers(Span(Spa(one.address), len(one.data))))
        assert kind == {"RSDP": 2, "FACS": 4}.get(one.signature, 3)
        assert one.address % (64 if one.signature == "FACS" else 16) == 0


def test_iasl_reads_every_table(machine, tmp_path):
    files = {f"{signature.lower()}.dat": data for signature, data in tables_of(machine).items() if signature != "RSDP"}
    complaints, texts = disassemble(tmp_path, files)
    assert complaints == []
    assert not any("Unknown" in text or "**** " in text for text in texts)


def test_iasl_compiles_the_dsdt_again(tmp_path):
    hw = powered(tmp_path / "root", TEXTS["interleaved"])
    data = tables_of(hw)["DSDT"]
    _, (text,) = disassemble(tmp_path, {"dsdt.dat": data})
    (tmp_path / "again.asl").write_text(text)
    result = run(tool("iasl"), "-p", "again", "again.asl", folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 Errors, 0 Warnings" in result.stdout + result.stderr
    assert (tmp_path / "again.aml").read_bytes()[36:] == data[36:]


def test_acpiexec_evaluates_the_dsdt(tmp_path):
    hw = powered(tmp_path / "root", TEXTS["interleaved"])
    (tmp_path / "dsdt.dat").write_bytes(tables_of(hw)["DSDT"])
    names = ("_SB.NVDR._HID", "_SB.NVDR.N311._ADR", "_SB.PCI0._CRS", "_SB.C00F._UID")
    batch = ";".join(f"evaluate \\{name}" for name in names)
    result = run(tool("acpiexec"), "-b", batch, "dsdt.dat", folder=tmp_path)
    assert "Error" not in result.stdout + result.stderr
    assert '"ACPI0012"' in result.stdout
    assert re.search(r"\[Integer\] = 0+1111\b", result.stdout)
    assert re.search(r"\[Integer\] = 0+F\b", result.stdout)


def test_nfit_of_the_default_machine(tmp_path):
    hw = powered(tmp_path, TEXTS["default"])
    serials = [dimm.serial for dimm in hw.spec.dimms]
    assert parse_nfit(tables_of(hw)["NFIT"]) == [
        SpaRange(1, 0x440000000, 2 * GIB, flags=2, proximity_domain=0, attributes=0x8008),
        SpaRange(2, 0x4C0000000, 526 * MIB, flags=2, proximity_domain=0, attributes=0x8008),
        RegionMap(0x01, 1, 1, GIB, 0, physical_id=0x1100, interleave_index=12, interleave_ways=2),
        RegionMap(0x11, 1, 2, GIB, 4096, physical_id=0x1101, interleave_index=12, interleave_ways=2),
        RegionMap(0x21, 2, 3, 526 * MIB, 0, physical_id=0x1102),
        InterleaveStructure(12, 4096, (0,)),
        ControlRegion(1, 0x8980, 1, 1, serial_number=serials[0]),
        ControlRegion(2, 0x8980, 1, 1, serial_number=serials[1]),
        ControlRegion(3, 0x8980, 1, 1, serial_number=serials[2]),
        Capabilities(1, 2),
    ]


def test_nfit_of_a_faulty_machine(tmp_path):
    hw = powered(tmp_path, TEXTS["faulty"])
    structures = parse_nfit(tables_of(hw)["NFIT"])
    maps = [one for one in structures if isinstance(one, RegionMap)]
    assert [(one.spa_index, one.region_size, one.flags) for one in maps] == [
        (1, 512 * MIB, 0b110000),  # health event observed, notification enabled
        (2, 512 * MIB, 0b001000),  # not armed
        (3, 512 * MIB, 0),
        (0, 0, 0),  # known, not mapped
    ]
    assert [one for one in structures if isinstance(one, FlushHints)] == [
        FlushHints(1, (0xFD000000, 0xFD000040)),
        FlushHints(2, (0xFD001000, 0xFD001040)),
    ]
    assert structures[-1] == Capabilities(1, 0)


def test_unique_id_with_manufacturing_date(tmp_path):
    hw = powered(tmp_path, "dimms: [{id: a, capacity: 1G, serial: 0xb10a0000,"
                           " manufactured: {location: 0xa2, date: 2017-49}}]")  # fmt: skip
    (control,) = (one for one in parse_nfit(tables_of(hw)["NFIT"]) if isinstance(one, ControlRegion))
    assert device_id(control) == "8089-a2-1749-00000ab1"


def test_links_and_translation_agree_with_the_hardware(machine):
    structures = parse_nfit(tables_of(machine)["NFIT"])
    tables = {one.interleave_index: one for one in structures if isinstance(one, InterleaveStructure)}
    controls = [one.control_index for one in structures if isinstance(one, ControlRegion)]
    maps = [one for one in structures if isinstance(one, RegionMap)]
    assert sorted(one.control_index for one in maps) == controls
    for region, spa in zip(machine.regions, (s for s in structures if isinstance(s, SpaRange)), strict=True):
        assert (spa.base, spa.length) == (region.span.start, region.span.size)
        devices = [one for one in maps if one.spa_index == spa.spa_index]
        assert {one.interleave_ways for one in devices} == {len(devices)}
        assert sum(one.region_size for one in devices) == spa.length
        if len(devices) == 1:
            continue
        table = tables[devices[0].interleave_index]
        ways = tuple(Way(one.region_offset, table.line_offsets) for one in devices)
        translation = Translation(table.line_size, ways)
        for offset in (0, table.line_size, 3 * table.line_size + 5, spa.length - 1):
            way, inside = translation.to_device(offset)
            dimm, dpa = machine.locate(Spa(spa.base + offset))
            assert (dimm.handle, dpa) == (devices[way].handle, devices[way].dpa_base + inside)


def test_srat_and_slit(tmp_path):
    hw = powered(tmp_path, TEXTS["interleaved"])
    found = tables_of(hw)
    ranges = [one.body for one in SRAT.parse(found["SRAT"]).entries if one.type == MEMORY]
    assert [(one.proximity, one.base, one.length, one.flags) for one in ranges] == [
        (0, 0, 3 * GIB, 1),
        (0, 4 * GIB, 61 * GIB, 1),
        (0, 65 * GIB, 4 * GIB, 5),
        (1, 69 * GIB, 4 * GIB, 5),
    ]
    assert [list(row) for row in SLIT.parse(found["SLIT"]).distances] == [[10, 20], [20, 10]]


def test_fadt_and_madt(tmp_path):
    hw = powered(tmp_path, TEXTS["default"])
    found = tables_of(hw)
    fadt = FADT.parse(found["FACP"])
    assert (len(found["FACP"]), fadt.firmware_ctrl, fadt.x_dsdt) == (276, 0xBFFF0000, 0xBFF00000)
    assert hw.read(Spa(fadt.firmware_ctrl), 8) == b"FACS\x40\0\0\0"
    apics = [one.body for one in MADT.parse(found["APIC"]).entries if one.type == LOCAL_APIC]
    assert [(one.processor_id, one.apic_id, one.flags) for one in apics] == [(i, i, 1) for i in range(4)]


def test_powering_on_again_changes_nothing(tmp_path):
    hw = powered(tmp_path, TEXTS["default"])
    area = Span(Spa(0xBFF00000), MIB)
    before = hw.read(area.start, area.size)
    hw.write(Spa(0xBFF80000), b"left over")
    power_on(hw)
    assert hw.read(area.start, area.size) == before
    assert tables_of(Hardware.open(tmp_path)) == tables_of(hw)


def test_tables_that_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr("xlpy.hw.memmap.acpi_span", lambda _ram: Span(Spa(0x100000), PAGE))
    with pytest.raises(Constraint, match="do not fit into the 0x1000 bytes"):
        power_on(Hardware.create(tmp_path, MachineSpec(ram=GIB, cpu=MachineSpec().cpu._replace(count=255))))


def test_the_largest_machine(tmp_path):
    dimms = ", ".join(f"{{id: d{i}, capacity: 16M, flush_hints: 64}}" for i in range(256))
    ids = [", ".join(f"d{i * 16 + j}" for j in range(16)) for i in range(16)]
    sets = ", ".join(f"{{name: s{i}, dimms: [{ids[i]}], line: {256 << i % 8}, proximity: {i}}}" for i in range(16))
    hw = powered(tmp_path, f"{{cpu: {{count: 255}}, dimms: [{dimms}], sets: [{sets}]}}")
    structures = parse_nfit(tables_of(hw)["NFIT"])
    assert sum(isinstance(one, RegionMap) for one in structures) == 256
    assert sum(isinstance(one, InterleaveStructure) for one in structures) == 8
