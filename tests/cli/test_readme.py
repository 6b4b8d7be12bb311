"""What the README shows is what is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from shlex import quote

import programs
import pytest

HERE = Path(__file__).parents[2]


UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # drawn at random


TOURS = [  # sections whose transcripts run here, one after another
    ("README.md", "One minute"),
    ("README.md", "The host's NVDIMMs, with ndctl"),
    ("docs/nvdimm.md", "ndctl's own words"),
    ("docs/nvdimm.md", "Memory errors"),
    ("docs/nvdimm.md", "Plugging"),
]
ELSEWHERE = {  # what needs more than xlpy, and where it runs
    ("README.md", "A minute on a real Xen"): "tests/realxen/judge.py",
    ("README.md", "An unmodified Linux on it"): "tests/boot/test_linux.py",
    ("README.md", "What a power failure leaves"): "tests/powercut/test_judges.py",
    ("docs/real-xen.md", "5. Stop and release"): "tests/export/test_linux_machine.py",
}


def blocks(page: str, language: str) -> dict[str, list[str]]:
    """The blocks of a language in a page, by the section in which they are."""
    parts = re.split(r"\n## (.*)\n", f"\n## \n{(HERE / page).read_text()}")[1:]
    found = zip(parts[::2], parts[1::2], strict=True)
    return {title: re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) for title, text in found}


@pytest.fixture
def home(tmp_path_factory):
    """A newcomer's home: no host yet, and ``xlpy`` on the path."""
    home = tmp_path_factory.mktemp("you")
    (home / "bin").mkdir()
    (home / "bin" / "xlpy").write_text(f'#!/bin/sh\nexec {sys.executable} -m xlpy "$@"\n')
    (home / "bin" / "xlpy").chmod(0o755)
    return home


@pytest.fixture
def environment(home):
    """A shell's variables in that home; what mktemp makes is in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XLPY", "XDG"))}
    more = {"HOME": home, "TMPDIR": home, "PATH": f"{home}/bin:{kept['PATH']}", "PYTHONPATH": HERE}
    return kept | {name: str(value) for name, value in more.items()}


@pytest.mark.parametrize(("page", "section"), TOURS)
def test_transcripts(environment, home, page, section):
    """All transcripts of a section, one after another, in one shell."""
    shown = "\n".join(blocks(page, "console")[section])
    assert shown
    script = ["exec 2>&1"]
    for command in re.findall(r"^\$ (.*)$", shown, re.MULTILINE):
        script += [f"status=$?; echo {quote('$ ' + command)}; (exit $status)", command]
    command = ["bash", "-c", "\n".join(script)]
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
    printed = re.sub(rf"{home}/tmp\.\w+", "ROOT", done.stdout).replace(str(home), "/home/you")
    printed = UUID.sub("UUID", printed)
    assert lines(printed) == lines(UUID.sub("UUID", shown))


def test_the_script_for_ci(environment, tmp_path):
    """Every line of it succeeds; the folder is that of the sources."""
    programs.need("bash", "jq")
    (tmp_path / "configs").symlink_to(HERE / "configs")
    [script] = blocks("README.md", "sh")["In a CI script"]
    done = subprocess.run(
        ["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "\n21474836480\n" in done.stdout
    assert {"facp.dat", "dsdt.dat", "ssdt1.dat", "nfit.dat", "rsdp.dat"} <= {
        one.name for one in (tmp_path / "tables").iterdir()
    }


@pytest.mark.parametrize(("page", "section"), [("README.md", "From Python"), ("docs/python.md", "")])
def test_python(page, section, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(HERE)
    [text] = blocks(page, "python")[section]
    assert '"/tmp/' in text
    exec(compile(text.replace('"/tmp/', f'"{tmp_path}/'), page, "exec"), {})
    assert "'NFIT'" in capsys.readouterr().out


def test_every_block_runs_somewhere():
    """A transcript, script or program of the README and the pages is run here, or its section says where."""
    pages = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (HERE / "docs").glob("*.md"))]
    here = {*TOURS, ("README.md", "In a CI script"), ("README.md", "From Python"), ("docs/python.md", "")}
    found = {
        (page, section)
        for page in pages
        for language in ("console", "sh", "python")
        for section, texts in blocks(page, language).items()
        if texts
    }
    assert found == here | set(ELSEWHERE)
    assert all((HERE / path).exists() for path in ELSEWHERE.values())


def lines(text):
    """Lines that are not empty; columns are as far apart as a path in them makes them."""
    return [re.sub(r" {2,}", "  ", line) for line in text.splitlines() if line]


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
