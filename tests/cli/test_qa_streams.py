"""Whatever the three streams are, the exit status tells what happened, and nobody sees a traceback."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest


@pytest.fixture
def shell(host_root):
    """Run a line of bash in which ``$x`` is xlpy; its exit status and standard error."""

    def run(line, **variables):
        done = subprocess.run(
            ["bash", "-c", line],
            env={**os.environ, "XLPY_ROOT": str(host_root), "x": f"{sys.executable} -m xlpy", **variables},
            capture_output=True,
            check=False,
        )
        text = done.stderr.decode(errors="replace")
        assert "Traceback" not in text
        assert "bug in xlpy" not in text
        return done.returncode, text, done.stdout

    return run


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("$x list >&-", 6, "error: standard output: Bad file descriptor"),
        ("$x list >/dev/full", 6, "error: No space left on device"),
        ("$x list >/dev/full 2>&1", 6, ""),
        ("$x list <&- 2>&-", 0, ""),
        ("$x dmesg 2>/dev/full", 0, ""),
        ("$x list nobody --json >/dev/full", 4, "error: nobody is an invalid domain identifier"),
        ("$x list nobody --json >&- 2>&-", 4, ""),
        ("$x list nobody 2>/dev/full", 4, ""),
        ("$x dmesg | true; exit ${PIPESTATUS[0]}", 141, ""),
        ("$x --version | sleep 0; exit ${PIPESTATUS[0]}", 141, ""),
    ],
)
def test_streams_that_take_nothing(shell, line, status, message):
    got, text, _ = shell(line)
    assert got == status, text
    assert text.startswith(message)
    assert bool(text) == bool(message)


def test_a_closed_stream_does_not_swallow_the_state(shell):
    """Otherwise the next file that is opened would be file 1 or 2, and get what is printed."""
    assert shell("$x create configs/quickstart.cfg <&- >&- 2>&-")[0] == 0
    assert b"quickstart" in shell("$x list && $x destroy quickstart")[2]


def test_names_that_the_encoding_lacks(shell, tmp_path):
    config = tmp_path / "odd.cfg"
    config.write_bytes('name = "Müller'.encode("latin-1") + b'"\ntype = "hvm"\nmemory = 256\n')
    assert shell(f"$x create -q {config}")[0] == 0
    assert re.search(rb"M\xfcller +1 ", shell("$x list")[2])
    assert rb"M\udcfcller" in shell("$x list", PYTHONIOENCODING="ascii")[2]
    assert "M\\udcfcller" in shell("$x list --json")[2].decode()
    assert shell("$x destroy $'M\\xfcller'")[0] == 0


def test_a_picture_in_plain_letters(shell):
    shell("$x create -q configs/quickstart.cfg")
    assert b"####" in shell("$x --color always map quickstart", PYTHONIOENCODING="latin-1")[2]


def test_a_narrow_terminal_wraps_lines_not_cells(shell):
    lines = shell("$x --color always pmem list", COLUMNS="20")[2].splitlines()
    assert [line.split()[0] for line in lines[1:]] == [b"pmem0", b"pmem1"]


@pytest.fixture
def terminal(host_root):
    """Run one command line on a terminal; what the terminal is sent."""

    def run(*words, **variables):
        ours, theirs = pty.openpty()
        env = {**os.environ, "XLPY_ROOT": str(host_root), "TERM": "xterm", **variables}
        subprocess.run([sys.executable, "-m", "xlpy", *words], env=env, stdout=theirs, check=True)
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as screen:
            shown = screen.read(65536)
        return shown.decode().replace("\r\n", "\n")

    return run


@pytest.mark.parametrize("words", [("pmem", "list"), ("map", "quickstart")], ids=" ".join)
def test_who_is_shown_colour(shell, terminal, words):
    shell("$x create -q configs/quickstart.cfg")
    plain = shell("$x " + " ".join(words))[2].decode()
    assert "\x1b[" not in plain
    assert "\x1b[" in terminal(*words)
    without = terminal(*words, NO_COLOR="1")
    assert "\x1b[" not in without
    assert without != plain, "still laid out for a person"
    assert "\x1b[" not in terminal("--color", "never", *words)
    assert terminal(*words, TERM="dumb") == plain
    assert "\x1b[" in shell("$x --color always " + " ".join(words))[2].decode()
