"""The examples in help run as they stand: in the folder of the sources, on a host with the quickstart domain."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import programs
import pytest
from copying import copy_tree

from xlpy.cli.main import run
from xlpy.cli.tree import TREE

HERE = Path(__file__).parents[2]
COMMANDS = {
    f"{branch} {name}".strip(): where for branch, names in TREE.items() for name, (where, *_) in names.items() if where
}
WITHOUT_DOMAIN = ("create", "host init", "host power")  # they begin with less
OUTSIDE = {"acpixtract", "iasl", "jq", "mke2fs", "readelf"}
ELSEWHERE = {  # lines that need what no test can have: the status without it, and why
    "xlpy top": (2, "xl has it; no CPU time passes here"),
    "xlpy pmem resolve /dev/dax0.0 --dom0 linux": (4, "a machine with NVDIMMs"),
    "xlpy pmem lint /mnt/dax/vm1.img /dev/pmem1": (4, "a machine with NVDIMMs"),
}
NOT_RUN = {  # a prefix, and why
    'eval "$(python3 guest/kit.py)"': "downloads packages: tests/boot",
    "xlpy boot ": "QEMU: tests/boot",
    "xlpy watch": "goes on until it is interrupted: test_watch.py",
    "xlpy trace ": "a recorded guest: tests/powercut",
    'xlpy completion zsh > "${fpath[1]}/_xlpy"': "zsh's own variable: test_completion.py",
}
PLAIN = re.compile(r"xlpy [^$*|>&;~]*")  # a line that needs no shell
NOT_PLAIN = (
    *("ndctl", "daxctl", "record"),  # they say and end as ndctl does, or as the command they are given
    *("config check", "pmem lint"),  # what is wrong with a file is a line of their result
    *("boot", "watch", "xenstore watch", "trace cut", "trace replay"),  # as NOT_RUN has it
)
STATUSES = (0, *range(2, 12))


@pytest.fixture(scope="module")
def started(made_host, tmp_path_factory):
    """A host on which ``xlpy create configs/quickstart.cfg`` ran."""
    root = tmp_path_factory.mktemp("started") / "host"
    copy_tree(made_host, root)
    assert run(["--root", str(root), "-q", "create", str(HERE / "configs" / "quickstart.cfg")]) == 0
    return root


@pytest.fixture
def line(made_host, started, tmp_path, monkeypatch, capsys):
    """Run one line of an example: the status, and what was said. A plain command runs in this process."""
    folder, home = tmp_path / "sources", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    for name in ("configs", "examples"):
        (folder / name).symlink_to(HERE / name)
    (home / "xlpy").write_text(f'#!/bin/sh\nexec {sys.executable} -m xlpy "$@"\n')
    (home / "xlpy").chmod(0o755)
    monkeypatch.chdir(folder)
    for name in ("XLPY_EXPORTS", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "XLPY_ROOT": tmp_path / "host",
        "XLPY_EXPORTS": tmp_path / "exports",
        "HOME": home,
        "PYTHONPATH": HERE,
        "PATH": f"{home}:{os.environ['PATH']}:/usr/sbin",
    }.items():
        monkeypatch.setenv(name, str(value))

    def call(text, command):
        if not (tmp_path / "host").exists() and command != "host init":
            copy_tree(made_host if command in WITHOUT_DOMAIN else started, tmp_path / "host")
        programs.need(*OUTSIDE.intersection(re.findall(r"\w+", text)), "bash")
        if PLAIN.fullmatch(text):
            got = run(shlex.split(text)[1:])
            shown = capsys.readouterr()
            return got, shown.out + shown.err
        done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stdout + done.stderr

    return call


def example(command):
    module, _, name = COMMANDS[command].partition(":")
    return getattr(import_module(f"xlpy.cli.{module}"), name).example.splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_example(command, line):
    assert example(command)
    for text in example(command):
        if not text.startswith(tuple(NOT_RUN)):
            status, shown = line(text, command)
            assert status == ELSEWHERE.get(text, (0,))[0], f"{text}: {shown}"


def test_no_exception_is_left_over():
    lines = [text for command in COMMANDS for text in example(command)]
    assert set(ELSEWHERE) <= set(lines)
    assert all(any(text.startswith(begin) for text in lines) for begin in NOT_RUN)


ODD = ["", "x\x1b[2J\ny", "9" * 30, "-1", "\u202eabc", "/dev/null/x", "fifo"]


TAKEN_ODD = {  # the last example of each command that needs no shell, without those that speak and end otherwise
    command: shlex.split(plain[-1])[1:]
    for command in COMMANDS
    if command not in NOT_PLAIN and (plain := [text for text in example(command) if PLAIN.fullmatch(text)])
}


@pytest.mark.parametrize("command", TAKEN_ODD)
def test_odd_words(command, line, capsys):
    """Whatever stands in a word's place: a documented status, one error, nothing that a terminal would obey."""
    line("xlpy list", command)
    os.mkfifo("fifo")
    words, pick = TAKEN_ODD[command], random.Random(command)
    places = [
        at for at in range(len(words)) if not at or words[at - 1] not in ("-o", "--html")
    ]  # it waits for a reader
    for at in pick.sample(places, min(3, len(places))):
        for odd in pick.sample(ODD, 2):
            given = [*words[:at], odd, *words[at + 1 :]]
            status = run(given)
            err = capsys.readouterr().err
            assert status in STATUSES, (given, err)
            assert status in (0, 10, 11) or len(re.findall("^error: ", err, re.MULTILINE)) == 1, (given, err)
            assert not re.search(r"[\0-\x08\x0b-\x1f\x7f\u202e]", err), (given, err)
