"""``xlpy acpi dump`` of tables made elsewhere and as ASL, and ``xlpy acpi diff``, on the command line."""

from __future__ import annotations

import pytest
from cli.conftest import Result

from xlpy.cli.main import run
from xlpy.firmware.acpi import aml
from xlpy.firmware.acpi.acpidump import to_hex
from xlpy.firmware.acpi.sdt import build_table
from xlpy.firmware.acpi.walk import Found

FOO = aml.method("FOO", 2, aml.return_(aml.arg(0)))
DSDT = build_table("DSDT", FOO + aml.name("ONE", 1), 2)
SSDT = build_table("SSDT", aml.method("BAR", 0, aml.return_(aml.call("\\FOO", 1, 2))), 2)
UEFI = build_table("UEFI", bytes(18))
TABLES = [Found("DSDT", 0x1000, DSDT), Found("SSDT", 0x2000, SSDT), Found("UEFI", 0x3000, UEFI)]


@pytest.fixture
def acpi(tmp_path, monkeypatch, capsys):
    """``xlpy acpi`` where there is no host, and none is to be made."""
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "no host"))

    def call(*words, status=0):
        capsys.readouterr()
        got = run(["acpi", *map(str, words)])
        shown = capsys.readouterr()
        assert (got, (tmp_path / "no host").exists()) == (status, False), shown.err
        return Result(got, shown.out, shown.err)

    return call


@pytest.fixture
def dump(tmp_path):
    path = tmp_path / "acpidump.out"
    path.write_text(to_hex(TABLES))
    return path


def test_tables_made_elsewhere_are_dumped(acpi, dump, tmp_path):
    acpi("dump", dump, "--format", "bin", "-o", tmp_path / "tables")
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == ["dsdt.dat", "ssdt.dat", "uefi.dat"]
    assert acpi("dump", dump).out == dump.read_text()
    assert "UEFI at 0x3000, 54 bytes" in acpi("dump", dump, "--table", "uefi", "--format", "text").out
    assert len(acpi("dump", tmp_path / "tables", "--json").json["items"]) == 3


def test_asl_of_all_definition_blocks(acpi, dump):
    found = acpi("dump", dump, "--format", "asl")
    assert found.out.count("DefinitionBlock") == 2
    assert "Return (\\FOO (One, 0x02))" in found.out
    assert found.err == "note: ASL has no words for 1 place; comments in the text say which\n"


def test_asl_of_one_table_knows_the_others(acpi, dump, tmp_path):
    found = acpi("dump", dump, "--format", "asl", "--table", "SSDT", "-o", tmp_path / "asl")
    assert "1 table in" in found.err
    assert [path.name for path in (tmp_path / "asl").iterdir()] == ["ssdt.dsl"]
    assert "\\FOO (One, 0x02)" in (tmp_path / "asl" / "ssdt.dsl").read_text()


def test_tables_without_aml_have_no_asl(acpi, dump):
    assert "UEFI: no AML in there" in acpi("dump", dump, "--format", "asl", "--table", "UEFI", status=2).err


def test_a_signature_is_no_path(acpi, tmp_path):
    """Whatever a table's first bytes are, its file is in the folder."""
    (tmp_path / "odd.dat").write_bytes(b"../x" + bytes(32))
    acpi("dump", tmp_path / "odd.dat", "--format", "bin", "-o", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".._x.dat"]


@pytest.mark.parametrize("what", ["missing", "missing/path"])
def test_nothing_there(acpi, dump, what):
    for words in (("dump", what), ("diff", dump, what), ("diff", what, dump)):
        assert f"{what}: No such file or directory" in acpi(*words, status=4).err


def test_equal_tables(acpi, dump):
    assert acpi("diff", dump, dump).err == "0 differences\n"
    assert acpi("diff", dump, dump, "--json").json["items"] == []


def test_differences(acpi, dump, tmp_path):
    other = build_table("DSDT", FOO + aml.name("ONE", 3), 2)
    (tmp_path / "new").write_text(to_hex([Found("DSDT", 0, other), *TABLES[1:2]]))
    found = acpi("diff", dump, tmp_path / "new", "--ignore", "derived", status=10)
    assert found.out.splitlines() == ["dsdt: \\ONE: changed", "   Name", "  -One", "  +0x03", "uefi: removed: 54 bytes"]
    assert found.err == "2 differences\n"
    items = acpi("diff", dump, tmp_path / "new", "--json", status=10).json["items"]
    assert {item["where"]: item["derived"] for item in items} == {
        "length": True,
        "checksum": True,
        "\\ONE": False,
        "": False,
    }
    assert items[2] == {
        "table": "dsdt",
        "change": "changed",
        "where": "\\ONE",
        "old": ["Name", "One"],
        "new": ["Name", "0x03"],
        "derived": False,
    }


def test_several_machines_against_one(acpi, dump, tmp_path):
    (tmp_path / "two").write_text(dump.read_text() + to_hex([Found("DSDT", 0, build_table("DSDT", b"", 2))]))
    assert "hold the tables of 2 machines and 1 machine" in acpi("diff", tmp_path / "two", dump, status=2).err


def test_domains_and_dumps(xlpy, configs, tmp_path):
    xlpy("create", "-q", configs / "quickstart.cfg")
    (tmp_path / "before").write_text(xlpy("acpi", "dump", "quickstart").out)
    assert xlpy("acpi", "diff", tmp_path / "before", "quickstart").out == ""
    xlpy("destroy", "quickstart")
    xlpy("create", "-q", configs / "quickstart.cfg", "acpi_laptop_slate=1")
    found = xlpy("acpi", "diff", tmp_path / "before", "quickstart", "--ignore", "derived", status=10)
    assert [line.partition(":")[0] for line in found.out.splitlines()] == ["ssdt3"]
