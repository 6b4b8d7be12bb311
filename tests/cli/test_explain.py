"""`xlpy explain`: every code has its text, every example gives its code, and the page of docs is made from the same."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from boot.conftest import bin_folder  # noqa: F401 - a QEMU that only pretends
from cli.codes import GIVEN, codes_of_sources
from copying import copy_tree

from xlpy.cli import main
from xlpy.host import Host
from xlpy.views.explained import explanations, page

HERE = Path(__file__).parents[2]
KNOWN = explanations()
TYPED = [code for code, one in KNOWN.items() if not one.example[-1].startswith("#")]


def test_every_code_is_explained_and_nothing_else():
    assert sorted(KNOWN) == sorted(codes_of_sources())


def test_the_page_is_kept_in_step():
    assert (HERE / "docs" / "errors.md").read_text() == page()


def test_texts_are_whole():
    for one in KNOWN.values():
        assert one.meaning.endswith((".", ")")), one.code
        assert one.remedy.endswith("."), one.code
        assert one.section[0].isdigit() or (HERE / "docs" / one.section).exists(), one.code


@pytest.fixture(scope="module")
def hosts(made_host, tmp_path_factory):
    """Hosts by the machine that they are made from, each made once; not to be changed."""
    made = {None: made_host}

    def get(machine):
        if machine not in made:
            made[machine] = tmp_path_factory.mktemp("machine") / "host"
            Host.make(made[machine], HERE / machine).store.close()
        return made[machine]

    return get


@pytest.fixture
def given(monkeypatch):
    """The errors that commands have reported: (code, exit status)."""
    found = []
    report = main._report
    monkeypatch.setattr(
        main, "_report", lambda error, as_json: found.append((error.code, error.exit)) or report(error, as_json)
    )
    return found


@pytest.fixture
def shell(hosts, given, monkeypatch, tmp_path, capsys):
    """Runs the lines of an example, each in this process if it is a command of ours."""
    (tmp_path / "here").mkdir()
    for name in ("configs", "README.md"):
        (tmp_path / "here" / name).symlink_to(HERE / name)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XLPY_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # no QEMU that the guest kit has unpacked

    def run(lines):
        machine = re.fullmatch(r"xlpy host init --machine (\S+)", lines[0])
        needs_none = lines[-1].endswith("host init")
        if not needs_none:
            source = hosts(machine and machine[1])
            copy_tree(source, tmp_path / "root")
        for number, line in enumerate(lines[1:] if machine else lines, 1):
            words = shlex.split(line)
            if words[0] == "env":
                monkeypatch.setenv(*words[1].split("="))
                words = words[2:]
            if words[0] == "xlpy":
                status = main.run(words[1:])
                assert number == len(lines) - bool(machine) or status == 0, capsys.readouterr().err
            else:
                subprocess.run(["bash", "-c", line], check=True)

    return run


@pytest.mark.parametrize("code", TYPED)
def test_the_example_gives_the_code(code, shell, given):
    shell(KNOWN[code].example)
    assert given == [(code, KNOWN[code].status)]


@pytest.mark.parametrize("code", sorted(set(KNOWN) - set(TYPED)))
def test_what_cannot_be_typed_gives_the_code(code, request):
    error = GIVEN[code](request.getfixturevalue)
    assert error.code == code
    assert getattr(error, "exit", 10) in (KNOWN[code].status, 10)  # a finding is told by a command that exits 10
