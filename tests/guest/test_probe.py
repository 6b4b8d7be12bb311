"""Inspecting domains that are right, and on domains that are not."""

from __future__ import annotations

import json

import pytest

from xlpy.addr import Gpa
from xlpy.api import whereis
from xlpy.cli.main import run
from xlpy.devicemodel import nvdr
from xlpy.firmware.acpi.eval import tables
from xlpy.firmware.acpi.eval.machine import AmlMachine
from xlpy.firmware.hvmloader import compiled
from xlpy.guest.machine import interpreter
from xlpy.guest.probe import probe
from xlpy.toolstack.config.domain_config import load_config

DEVICE = "4309ac30-0d11-11e4-9191-0800200c9a66"
GUEST = 'name="g"; type="hvm"; memory=256; vnvdimm=["/mnt/pmem0/vm1.img","/dev/pmem1,label_size=256K"]'


@pytest.fixture
def domain(host):
    """A domain with two vNVDIMMs."""
    host.create(load_config(GUEST, "g.cfg"))
    return host.domain("g")


def test_a_right_domain_has_no_problems(host, domain):
    with host.store.transaction("test"):
        report = probe(domain)
    assert report.problems == []
    assert [dimm.dev for dimm in report.bus.dimms] == ["nmem0", "nmem1"]
    assert [(d.dev, d.mode, d.start, d.size) for d in report.pmem] == [
        ("pmem0", "raw", 0x500000000, 64 << 20),
        ("pmem1", "raw", 0x540000000, 536870912),
    ]
    first, second = (report.nvdimms[handle] for handle in (1, 2))
    assert (first.label_size, second.label_size) == (128 << 10, 256 << 10)
    assert first.health == "ok"
    assert first.functions & 0x73 == 0x73


def test_labels_that_the_guest_wrote_make_namespaces(host, domain):
    """Index blocks and one label, written through _LSW, as a driver would."""
    from xlpy.dom0.nvdimm.labels import TYPE_PMEM, Label, empty_index
    from xlpy.dom0.nvdimm.labelset import Member, cookies
    from xlpy.firmware.acpi.nfit import ControlRegion
    from xlpy.firmware.acpi.nfit_format import parse_nfit

    nfit = next(t.data for t in domain.acpi_tables() if t.signature == "NFIT")
    control = next(s for s in parse_nfit(nfit) if isinstance(s, ControlRegion))
    size = 128 << 10
    cookie = cookies([Member(0, control.serial_number, control.vendor_id)]).v1_2
    label = Label(
        uuid=bytes(range(16)), name="data", flags=0, nlabel=1, position=0, isetcookie=cookie, lbasize=512, dpa=0,
        rawsize=16 << 20, slot=0, type=TYPE_PMEM,
    )  # fmt: skip
    with host.store.transaction("test"):
        aml = interpreter(domain)
        blocks = [empty_index(size, at) for at in (0, 1)]
        blocks[0] = blocks[0]._replace(free=blocks[0].free & ~1)
        for block in blocks:
            assert aml.evaluate("\\_SB.NVDR.NV00._LSW", block.own, len(block.build()), block.build()) == 0
        assert aml.evaluate("\\_SB.NVDR.NV00._LSW", blocks[0].labels, 256, label.build()) == 0
        report = probe(domain)
    assert report.problems == []
    assert [(d.dev, d.size, d.name) for d in report.pmem if d.dev.startswith("pmem0")] == [("pmem0", 16 << 20, "data")]
    gpa = domain.record.vnvdimms[0].gpa
    places = [whereis.by_gpa(host, "g", gpa + at).at for at in (5, 16 << 20)]  # in the namespace, and behind it
    assert [(one.guest_device, one.guest_device_offset) for one in places] == [("/dev/pmem0", 5), (None, None)]


def test_what_is_known_is_neither_run_nor_compiled_for_its_own_sake(domain, monkeypatch):
    """A probe asks for no name of the DSDT and for few methods of the device model, and finds the same with all."""
    run, compiling = [], []
    execute, compile_one = tables.execute, AmlMachine.compiled
    monkeypatch.setattr(tables, "execute", lambda vm, one, *rest: (run.append(one.label), execute(vm, one, *rest)))
    monkeypatch.setattr(
        AmlMachine, "compiled", lambda vm, node: (compiling.append(str(node)), compile_one(vm, node))[1]
    )
    known = probe(domain)
    assert set(run) == {"SSDT3"}
    asked = set(compiling)
    assert "\\_SB.NVDR.NV00._DSM" in asked
    assert "\\_SB.NVDR.NV00._LSW" not in asked
    monkeypatch.setattr(nvdr, "shipped", lambda _data: False)
    assert probe(domain) == known
    assert {name for name in set(compiling) - asked if not name.startswith("\\_SB.NVDR.")} == set()
    assert "\\_SB.NVDR.NV00._LSW" in compiling
    monkeypatch.setattr(compiled, "carried", lambda _data: False)
    assert probe(domain) == known
    assert set(run) == {"DSDT", "SSDT", "SSDT2", "SSDT3"}
    assert "\\_SB.PCI0._CRS" in compiling


@pytest.mark.parametrize(
    ("signature", "offset", "text"),
    [("NFIT", 60, "NFIT at"), ("APIC", 40, "APIC at"), ("SSDT", 12, "SSDT at")],
)
def test_a_damaged_table_is_a_problem(host, domain, signature, offset, text):
    table = next(t for t in domain.acpi_tables() if t.signature == signature)
    old = domain.memory.read(Gpa(table.address + offset), 1)
    domain.memory.write(Gpa(table.address + offset), bytes([old[0] ^ 0xFF]))
    with host.store.transaction("test"):
        assert any(text in problem for problem in probe(domain).problems)


def test_an_nfit_that_points_elsewhere_is_a_problem(host, domain):
    table = next(t for t in domain.acpi_tables() if t.signature == "NFIT")
    at = table.data.index((0x500000000).to_bytes(8, "little"))
    data = bytearray(table.data)
    data[at : at + 8] = (0x600000000).to_bytes(8, "little")
    data[9] = 0
    data[9] = -sum(data) & 0xFF
    domain.memory.write(Gpa(table.address), bytes(data))
    with host.store.transaction("test"):
        problems = probe(domain).problems
    assert any("_FIT lacks structures" in problem for problem in problems)


def test_damaged_aml_is_a_problem_with_its_place(host, domain):
    table = [t for t in domain.acpi_tables() if t.signature == "SSDT"][-1]
    data = bytearray(table.data)
    data[36:38] = b"\x5b\xff"
    data[9] = 0
    data[9] = -sum(data) & 0xFF
    domain.memory.write(Gpa(table.address), bytes(data))
    with host.store.transaction("test"):
        problems = probe(domain).problems
    assert any(problem.startswith("AE_") and "SSDT" in problem for problem in problems), problems


def test_the_command_tells_by_its_status(host, domain, capsys, monkeypatch):
    monkeypatch.setenv("XLPY_ROOT", str(host.root))
    assert run(["guest", "probe", "g", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []
    table = next(t for t in domain.acpi_tables() if t.signature == "HPET")
    domain.memory.write(Gpa(table.address + 40), b"\x99")
    assert run(["guest", "probe", "g"]) == 10
    assert "problem: HPET at" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["\\_SB.PCI0._HID"], "0x30ad041"),
        (["\\_SB.NVDR._HID"], '"ACPI0012"'),
        (["\\_SB.NVDR.NV00._DSM", f"uuid:{DEVICE}", "1", "0", "[]"], "Buffer (1) { 77 }"),
        (["\\_SB.NVDR.NV00._DSM", f"uuid:{DEVICE}", "9", "0", "[]"], "Buffer (1) { 00 }"),
        (["\\_SB.NVDR.NV00._DSM", "hex:00112233445566778899aabbccddeeff", "1", "0", "[]"], "Buffer (1) { 00 }"),
        (["\\_S5"], "Package (4) {"),
    ],
)
def test_eval(host, domain, capsys, monkeypatch, words, out):
    monkeypatch.setenv("XLPY_ROOT", str(host.root))
    assert run(["acpi", "eval", "g", *words]) == 0
    assert capsys.readouterr().out.startswith(out)


@pytest.mark.parametrize(
    ("words", "status"),
    [(["\\_SB.NONE"], 4), (["\\_PIC"], 6), (["\\_S5", "uuid:xyz"], 2), (["\\_S5", "what"], 2)],
)
def test_eval_refuses_with_a_status(host, domain, capsys, monkeypatch, words, status):
    monkeypatch.setenv("XLPY_ROOT", str(host.root))
    assert run(["acpi", "eval", "g", *words]) == status
    assert capsys.readouterr().err.startswith("error: ")


def test_namespace(host, domain, capsys, monkeypatch):
    monkeypatch.setenv("XLPY_ROOT", str(host.root))
    assert run(["acpi", "namespace", "g", "--json"]) == 0
    root = json.loads(capsys.readouterr().out)["root"]
    system = next(child for child in root["children"] if child["name"] == "_SB")
    assert {"PCI0", "NVDR", "PR00", "PR7F"} <= {child["name"] for child in system["children"]}
    assert run(["acpi", "namespace", "g", "\\_SB.NVDR.NV01"]) == 0
    assert "_LSR method (2 args)" in capsys.readouterr().out
