"""``xlpy acpi check`` on the command line: what it reads, what its status is, and which findings it shows."""

from __future__ import annotations

import io
import re
import sys
from struct import pack

import pytest
from cli.conftest import Result

from xlpy.cli.main import run
from xlpy.firmware.acpi.lint import RULES
from xlpy.firmware.acpi.sdt import build_table

SLIT = build_table("SLIT", pack("<Q", 2) + bytes((255, 20, 20, 10)))  # an error
OVERRIDES = b"".join(pack("<BBBBIH", 2, 10, 0, 9, gsi, flags) for gsi, flags in ((9, 0), (20, 0x10)))
MADT = build_table("APIC", pack("<II", 0xFEE00000, 1) + OVERRIDES, 4)  # a warning and a note


@pytest.fixture
def tables(tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "slit.dat").write_bytes(SLIT)
    (folder / "apic.dat").write_bytes(MADT)
    return folder


@pytest.fixture
def lint(tmp_path, monkeypatch, capsys):
    """``xlpy acpi check`` where there is no host, and none is to be made."""
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "no host"))

    def call(*words, status=0):
        capsys.readouterr()
        got = run(["acpi", "check", *map(str, words)])
        shown = capsys.readouterr()
        assert (got, (tmp_path / "no host").exists()) == (status, False), shown.err
        return Result(got, shown.out, shown.err)

    return call


def codes(found):
    return [item["code"] for item in found.json["items"]]


def test_our_own_tables_have_no_finding(xlpy, configs):
    assert xlpy("acpi", "check", "--host", "--fail-on", "note", "--json").json["items"] == []
    xlpy("create", "-q", configs / "quickstart.cfg")
    assert xlpy("acpi", "check", "quickstart", "--fail-on", "note").out == ""


def test_what_a_finding_says(lint, tables):
    found = lint(tables, "--json", status=10)
    assert found.json["items"][-2] == {
        "severity": "error",
        "code": "slit-diagonal",
        "table": "slit",
        "offset": 44,
        "message": "the distance from locality 0 to itself is 255, 10 is required",
        "section": "5.2.17",
    }
    text = lint(tables, status=10)
    assert (
        "error: slit at 0x2c: the distance from locality 0 to itself is 255, 10 is required "
        "[slit-diagonal, ACPI 6.5, 5.2.17]\n"
    ) in text.out
    assert text.err == "2 tables, 4 findings\n"


@pytest.mark.parametrize(
    ("words", "status", "shown"),
    [
        ((), 10, ["madt-override", "reserved-bits", "slit-diagonal", "dump-partial"]),
        (("--ignore", "slit-*"), 0, ["madt-override", "reserved-bits", "dump-partial"]),
        (("--ignore", "slit-*", "--fail-on", "warning"), 10, ["madt-override", "reserved-bits", "dump-partial"]),
        (("--ignore", "slit-*,madt-override", "--fail-on", "warning"), 0, ["reserved-bits", "dump-partial"]),
        (("--only", "reserved-bits", "--fail-on", "note"), 10, ["reserved-bits"]),
        (("--only", "reserved-bits"), 0, ["reserved-bits"]),
        (("--only", "*", "--ignore", "*"), 0, []),
    ],
)
def test_filters_and_status(lint, tables, words, status, shown):
    assert codes(lint(tables, "--json", *words, status=status)) == shown


@pytest.mark.parametrize(("option", "value"), [("--only", "slit-x"), ("--ignore", "slit-*,nope"), ("--ignore", "")])
def test_a_code_that_does_not_exist(lint, tables, option, value):
    assert "no finding has the code" in lint(tables, f"{option}={value}", status=2).err


def test_the_codes_are_listed(lint):
    items = lint("--codes", "--json").json["items"]
    assert {item["code"]: item["severity"] for item in items} == {code: rule.severity for code, rule in RULES.items()}
    assert lint("--codes").out.splitlines()[0].split() == [
        "CODE",
        "SEVERITY",
        "ACPI",
        "6.5",
        "MEANING",
    ]


@pytest.mark.parametrize("what", ["missing/path", "missing"])
def test_neither_file_nor_domain(lint, what):
    """It is said, and no host is made."""
    assert lint(what, status=4).err.startswith(f"error: {what}: No such file or directory")


def test_neither_file_nor_domain_of_a_host(xlpy):
    assert "a/b: No such file or directory\n" in xlpy("acpi", "check", "a/b", status=4).err
    nobody = xlpy("acpi", "check", "nobody", status=4).err
    assert "nobody: No such file or directory, and no domain of this name" in nobody


def test_either_a_source_or_the_host(lint, tables):
    lint(status=2)
    lint(tables, "--host", status=2)


def test_several_machines_are_numbered(xlpy, tmp_path, configs):
    xlpy("create", "-q", configs / "quickstart.cfg")
    one = xlpy("acpi", "dump", "quickstart").out
    two = xlpy("acpi", "dump", "--host").out
    (tmp_path / "dumps.txt").write_text(one + "\n" + two.replace("    0010:", "    0020:", 1))
    found = xlpy(
        "acpi", "check", tmp_path / "dumps.txt", "--json", "--fail-on", "note", "--ignore", "fadt-*", status=10
    )
    assert {item["machine"] for item in found.json["items"]} == {2}
    text = xlpy("acpi", "check", tmp_path / "dumps.txt", status=10)
    assert "machine 2: error: rsdp: line " in text.out
    assert "of 2 machines" in text.err


def test_a_dump_on_standard_input(xlpy, tmp_path, monkeypatch, configs):
    xlpy("create", "-q", configs / "quickstart.cfg")
    text = xlpy("acpi", "dump", "quickstart").out.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert "tables" in xlpy("acpi", "check", "-").err


@pytest.mark.parametrize(
    "data", [b"\0", b"hello\n", b"hello " * 20, bytes(range(256)) * 40, b"\xff\xfe", b" @ " * 1000, SLIT[:35]]
)
def test_files_that_are_no_tables(lint, tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    assert re.search(r"neither an ACPI table nor a dump|no table in this text", lint(tmp_path / "x", status=6).err)


def test_tables_back_to_back(lint, tmp_path):
    """As acpixtract -m writes them."""
    (tmp_path / "amltables.dat").write_bytes(MADT + SLIT)
    assert lint(tmp_path / "amltables.dat", status=10).err == "2 tables, 4 findings\n"
    (tmp_path / "cut.dat").write_bytes(MADT + SLIT[:-1])
    assert "length says" in lint(tmp_path / "cut.dat", status=10).out


def test_a_device_without_end_is_refused(lint):
    assert "Is a character device, not a file" in lint("/dev/zero", status=6).err
