"""`xlpy run`: many command lines in one process, with the semantics of `set -e`."""

from __future__ import annotations

import io

import pytest

from xlpy.cli.main import run
from xlpy.host import Host


@pytest.fixture
def script(host_root, monkeypatch, capsys, tmp_path):
    """Run lines; gives status, output, errors."""
    monkeypatch.setenv("XLPY_ROOT", str(host_root))

    def call(text, *before):
        path = tmp_path / "lines.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        capsys.readouterr()
        status = run([*before, "run", str(path)])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


def test_lines_see_what_the_lines_before_did(script, configs):
    gpa = "0x500000000"
    status, out, err = script(
        f"""
        # made, written, read
        create -q {configs / "quickstart.cfg"}
        xlpy mem write quickstart {gpa} --hex 41
        mem read quickstart {gpa} 1
        destroy quickstart
        list
        """
    )
    assert (status, err) == (0, "")
    assert "|A|" in out
    assert "quickstart" not in out.splitlines()[-1]


def test_the_first_failure_ends_it_and_is_placed(script):
    status, out, err = script("list\n\ndestroy nobody\nlist\n")
    assert status == 4
    assert out.count("Domain-0") == 1
    assert err.startswith("error: nobody")
    assert err.splitlines()[-1].endswith("lines.txt:3: xlpy destroy nobody")


def test_a_host_is_opened_once(script, monkeypatch):
    opened = []
    real = Host.open.__func__
    monkeypatch.setattr(Host, "open", classmethod(lambda cls, *a, **k: opened.append(a) or real(cls, *a, **k)))
    assert script("list\n" * 20)[0] == 0
    assert len(opened) == 1


def test_a_host_that_was_made_anew_is_opened_anew(script, configs):
    status, out, _ = script(f"create -q {configs / 'quickstart.cfg'}\nhost reset\nlist\n")
    assert status == 0
    assert "quickstart" not in out


def test_options_of_the_script_hold_for_its_lines(script, configs):
    status, _, err = script(f"create {configs / 'quickstart.cfg'}\nlist quickstart\n", "-q", "-N")
    assert status == 4  # nothing was made in the dry run
    assert "Parsing" not in err


def test_a_line_may_name_another_host(script, tmp_path, configs):
    other = tmp_path / "other"
    status, out, _ = script(f"--root {other} create -q {configs / 'quickstart.cfg'}\nlist\n--root {other} list\n")
    assert status == 0
    assert out.count("quickstart") == 1


def test_lines_that_only_click_reads_share_the_host_too(script, configs):
    assert script(f"creat -q {configs / 'quickstart.cfg'}\nlis\n")[1].count("quickstart") == 1


def test_standard_input(host_root, monkeypatch, capsys):
    monkeypatch.setenv("XLPY_ROOT", str(host_root))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"list\n")))
    assert run(["run", "-"]) == 0
    assert "Domain-0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("list 'x\n", 2, "lines.txt:1: no closing quotation"),
        ("nonsense\n", 2, "nonsense"),
        ("run other.txt\n", 2, "a script cannot run a script"),
        (b"list\n\xff\n", 2, "byte 5 is not UTF-8"),
        ("", 0, ""),
        ("# nothing\n\n", 0, ""),
    ],
)
def test_bad_scripts(script, text, status, message):
    got, _, err = script(text)
    assert got == status
    assert message in err


@pytest.mark.parametrize("name", ["/dev/null", ".", "no-such-file"])
def test_what_is_no_script(name, capsys):
    assert run(["run", name]) in (2, 4, 6)
    assert capsys.readouterr().err.startswith("error: ")
