"""What the README shows is what is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest

HERE = Path(__file__).parents[2]


UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # drawn at random


def tour(section: str) -> list[str]:
    """The transcripts of a section of the README."""
    text = (HERE / "README.md").read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"```console\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def home(tmp_path_factory):
    """A newcomer's home: no host yet, and ``xlpy`` on the path."""
    home = tmp_path_factory.mktemp("you")
    (home / "bin").mkdir()
    (home / "bin" / "xlpy").write_text(f'#!/bin/sh\nexec {sys.executable} -m xlpy "$@"\n')
    (home / "bin" / "xlpy").chmod(0o755)
    return home


@pytest.mark.parametrize("section", ["One minute", "The host's NVDIMMs, with ndctl"])
def test_transcripts(home, section):
    """All transcripts of a section, one after another, in one shell."""
    shown = "\n".join(tour(section))
    assert shown
    script = ["exec 2>&1"]
    for command in re.findall(r"^\$ (.*)$", shown, re.MULTILINE):
        script += [f"status=$?; echo {quote('$ ' + command)}; (exit $status)", command]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("XLPY", "XDG"))}
    env |= {"HOME": str(home), "PATH": f"{home}/bin:{env['PATH']}", "PYTHONPATH": str(HERE)}
    done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=HERE, env=env, capture_output=True, text=True)
    printed = UUID.sub("UUID", done.stdout.replace(str(home), "/home/you"))
    expected = [line for line in UUID.sub("UUID", shown).splitlines() if line]
    assert list(map(narrow, printed.splitlines())) == list(map(narrow, expected))


def narrow(line):
    """Columns are as far apart as a path in them makes them."""
    return re.sub(r" {2,}", "  ", line)


def test_the_picture_is_what_the_tool_draws(xlpy, tmp_path):
    xlpy("create", "-q", HERE / "configs" / "quickstart.cfg")
    xlpy("map", "--svg", tmp_path / "map.svg")
    assert (tmp_path / "map.svg").read_text() == (HERE / "docs" / "images" / "map.svg").read_text()


def test_exit_statuses(xlpy):
    """README and help list the same, in the same order."""
    listed = re.findall(r"^\| ([\d, ]+) \| (.+) \|$", (HERE / "README.md").read_text(), re.MULTILINE)
    numbers = [int(number) for numbers, _ in listed for number in numbers.split(",")]
    assert numbers == [int(line.split()[0]) for line in xlpy("help", "exit-codes").out.splitlines()]


@pytest.mark.parametrize(
    "path", [HERE / "README.md", *sorted((HERE / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_modules_that_are_named_exist(path):
    named = re.findall(r"`((?:xlpy/|tools/|guest/|benchmarks/)?[\w/]+/(?:[\w]+\.py|))`", path.read_text())
    assert not [name for name in named if not any((HERE / base / name).exists() for base in ("", "xlpy"))]


def test_every_section_of_the_design_has_a_module():
    rows = re.findall(r"^\| (4\.\d(?:\.\d)?) .*\| `", (HERE / "docs" / "design.md").read_text(), re.MULTILINE)
    assert rows == ["4.1", "4.2.1", "4.2.2", "4.2.3", "4.2.4", "4.2.5", "4.2.6", "4.3.1", "4.3.2", "4.4"]
