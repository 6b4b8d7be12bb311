"""Plain command lines are read as click reads them: the same values, or click is left to speak."""

from __future__ import annotations

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xlpy.cli import plain
from xlpy.cli.grammar import root_group
from xlpy.cli.tree import TREE

COMMANDS = sorted(
    (f"{branch} {name}".strip(), where)
    for branch, entries in TREE.items()
    for name, (where, _) in entries.items()
    if where
)
SPELLINGS = {  # every command's module is imported here, not while examples are drawn
    where: [one for parameter in plain.find(where).parameters for one in parameter.spellings] for _, where in COMMANDS
}
SHARED = ("--root", "/tmp/x", "-v", "-q", "-N", "--color", "never", "--color=always", "--debug", "-h", "--version")
VALUES = (
    "quickstart",
    "a=1",
    "",
    "-",
    "--",
    "0",
    "64M",
    "0x10",
    "/dev/null",
    "/nowhere/x",
    "1.5",
    "hex",
    "bash",
    "x y",
)


def clicked(words):
    """What click makes of a command line: its values for the group and for the command; None when it has a remark."""
    try:
        context = root_group().make_context("xlpy", list(words))
        shared = dict(context.params)
        while isinstance(context.command, click.Group):
            name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
            context = command.make_context(name, rest, parent=context)
    except (click.ClickException, click.exceptions.Exit):
        return None
    return shared, context.params


@st.composite
def lines(draw):
    """Command lines made of words that a command knows, and some that it does not."""
    path, where = draw(st.sampled_from(COMMANDS))
    spellings = SPELLINGS[where]
    word = st.sampled_from([*spellings, *VALUES, *(f"{one}={value}" for one in spellings for value in VALUES[:3])])
    return [*draw(st.lists(st.sampled_from(SHARED), max_size=2)), *path.split(), *draw(st.lists(word, max_size=4))]


@given(lines())
@example(["daxctl", "--"])
@example(["ndctl", "list", "--", "-x", "--"])
def test_what_is_plain_is_read_as_click_reads_it(words):
    line = plain.read(words)
    if line is not None:
        assert (line.common, line.values) == clicked(words)


PLAIN = {
    "list": {"domain": None, "as_json": False, "as_long": False},
    "create a.cfg memory=3": {"words": ("a.cfg", "memory=3"), "config": None, "dry_run": False},
    "create -n -f a.cfg": {"words": (), "config": "a.cfg", "dry_run": True},
    "--root /tmp/x -q pmem resolve --json /dev/pmem0": {"path": "/dev/pmem0", "kernel": "emulated", "as_json": True},
    "acpi dump --format=bin -o /tmp d1": {"form": "bin", "domain": "d1"},
    "mem read d1 0 4K": {"domain": "d1", "gpa": 0, "length": 4096},
    "shutdown -w -w d1": {"wait": 2},
    "destroy a b": {"domains": ("a", "b")},
}


@pytest.mark.parametrize("text", PLAIN)
def test_plain(text):
    line = plain.read(text.split())
    assert line is not None
    assert line.values.items() >= PLAIN[text].items()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "--help",
        "list --help",
        "creat a.cfg",
        "pmem",
        "destroy",
        "mem read d1 0",
        "mem read d1 0 x",
        "mem read d1 0 1 2",
        "list -lv",
        "list --lon",
        "list --json=1",
        "list --json --json",
        "create --defconfig",
        "create -- a.cfg",
        "acpi dump --format=yaml",
        "map --svg /nowhere/x.svg",
    ],
)
def test_left_to_click(text):
    assert plain.read(text.split()) is None
