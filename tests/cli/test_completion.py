"""Completion in real shells, and what it offers."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from programs import need

REPOSITORY = Path(__file__).parents[2]

BASH = """
source <(xlpy completion bash)
for words in {lines}; do
    IFS=' ' read -ra COMP_WORDS <<< "$words"
    [[ $words == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )) COMPREPLY=()
    _xlpy_completion xlpy 2>/dev/null  # compopt works under readline only
    echo "${{COMPREPLY[@]}}"
done
"""
ZSH = """
autoload -Uz compinit && compinit -u -D
source <(xlpy completion zsh)
compadd() {{ found=(${{(P)@[-1]}}) }}
_describe() {{ found=(${{${{(P)3}}%%:*}}) }}
for line in {lines}; do
    words=(${{=line}}) found=()
    [[ $line == *' ' ]] && words+=('')
    CURRENT=$#words
    _xlpy_completion
    print -r -- $found
done
"""
FISH = """
xlpy completion fish | source
for words in {lines}
    echo (complete -C $words | string split -f1 \\t)
end
"""
SHELLS = {"bash": (BASH, ["bash", "--norc", "-s"]), "zsh": (ZSH, ["zsh", "-f", "-s"]), "fish": (FISH, ["fish", "-N"])}
CASES = {
    "xlpy unp": "unpause",
    "xlpy nvdimm-": "nvdimm-attach nvdimm-detach nvdimm-list",
    "xlpy xenstore w": "watch write",
    "xlpy pause ": "quickstart",
    "xlpy nvdimm-detach quickstart ": "/mnt/pmem0/vm1.img 0",
    "xlpy nvdimm-attach quickstart /dev/p": "/dev/pmem0 /dev/pmem1",
    "xlpy mem-set --d": "--dryrun",
    "xlpy trigger quickstart s": "s3resume sleep",
}


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """An ``xlpy`` on the PATH that is the one under test."""
    program = tmp_path / "bin" / "xlpy"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m xlpy "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("shell", SHELLS)
def test_in_a_real_shell(xlpy, configs, on_path, shell):
    script, command = SHELLS[shell]
    need(shell)
    xlpy("create", "-q", configs / "quickstart.cfg")
    lines = " ".join(f"'{line}'" for line in CASES)
    done = subprocess.run(command, input=script.format(lines=lines), capture_output=True, text=True, timeout=120)
    found = [sorted(line.split()) for line in done.stdout.splitlines()]
    assert found == [sorted(line.split()) for line in CASES.values()], done.stderr


def offered(xlpy, monkeypatch, line):
    """What is offered for a command line, as fish is told."""
    *_, last = line.split(" ")
    monkeypatch.setenv("_XLPY_COMPLETE", "fish_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", last)
    with pytest.raises(SystemExit):
        xlpy()
    monkeypatch.delenv("_XLPY_COMPLETE")


def values(capsys):
    return [line.split(",")[1].split("\t")[0] for line in capsys.readouterr().out.splitlines() if line]


@pytest.mark.parametrize("damage", ["absent", "empty", "garbage"])
def test_without_a_sound_host_there_is_nothing_to_offer(xlpy, monkeypatch, capsys, tmp_path, damage):
    root = tmp_path / "none"
    if damage != "absent":
        root.mkdir()
        (root / "state.db").write_bytes(b"" if damage == "empty" else b"garbage" * 100)
    monkeypatch.setenv("XLPY_ROOT", str(root))
    offered(xlpy, monkeypatch, "xlpy pause ")
    assert values(capsys) == []
    assert damage != "absent" or not root.exists()


def test_configuration_files_are_left_to_the_shell(xlpy, monkeypatch, capsys):
    offered(xlpy, monkeypatch, "xlpy create confi")
    assert capsys.readouterr().out == "file,confi\n"


def test_root_option_counts(xlpy, monkeypatch, capsys, configs, host_root):
    xlpy("create", "-q", configs / "quickstart.cfg")
    monkeypatch.delenv("XLPY_ROOT")
    monkeypatch.setenv("HOME", "/nonexistent")
    offered(xlpy, monkeypatch, f"xlpy --root {host_root} destroy q")
    assert values(capsys) == ["quickstart"]


def test_commands_are_completed_without_loading_them():
    code = (
        "import sys; from xlpy.cli.main import run\n"
        "try: run([])\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    env = {"_XLPY_COMPLETE": "bash_complete", "COMP_WORDS": "xlpy ", "COMP_CWORD": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert "plain,nvdimm-attach" in done.stdout
    loaded = done.stderr.split()
    assert "xlpy.host" not in loaded
    assert not {name for name in loaded if name.startswith("xlpy.cli.")} - {
        f"xlpy.cli.{name}"
        for name in ("main", "env", "tree", "declare", "types", "shared", "show", "plain", "grammar", "completers")
    }


def test_bad_shell(xlpy):
    assert "tcsh" in xlpy("completion", "tcsh", status=2).err
