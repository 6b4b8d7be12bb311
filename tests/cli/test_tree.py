"""The command tree keeps its promises: every command loads, has help with an example, and prints JSON."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from xlpy.cli.grammar import root_group
from xlpy.cli.tree import TREE

COMMANDS = sorted(
    f"{branch} {name}".strip()
    for branch, entries in TREE.items()
    for name, (where, _) in entries.items()
    if where or f"{branch} {name}".strip() not in TREE
)
WITHOUT_JSON = {
    "ndctl",  # prints the JSON of the real one
    "daxctl",
    "completion",
    "run",
}  # prints a script, or what its lines print
CHANGING = {
    "acpi eval",
    "boot",
    "create",
    "destroy",
    "dmesg",
    "export",
    "export release",
    "pmem prepare",
    "pmem mkfile",
    "mem write",
    "mem flush",
    "mem fence",
    "host power",
    "host init",
    "host reset",
    "pause",
    "unpause",
    "shutdown",
    "reboot",
    "trigger",
    "sysrq",
    "dump-core",
    "rename",
    "config-update",
    "mem-set",
    "mem-max",
    "nvdimm-attach",
    "nvdimm-detach",
    "xenstore write",
}


def find(path: str) -> click.Command:
    command: click.Command = root_group()
    context = click.Context(command, info_name="xlpy")
    for word in path.split():
        assert isinstance(command, click.Group)
        found = command.get_command(context, word)
        assert found is not None
        command = found
    return command


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_help_with_an_example(path):
    command = find(path)
    assert command.help, path
    assert "Example:" in command.help, path
    assert f"xlpy {path}".strip() in command.help.replace("--root /tmp/big ", ""), path


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_is_explained(path):
    for param in find(path).params:
        if isinstance(param, click.Option):
            assert param.help, f"{path} {param.name}"


@pytest.mark.parametrize("path", sorted(set(COMMANDS) - WITHOUT_JSON))
def test_every_command_prints_json(path):
    assert any(param.name in ("as_json", "form") for param in find(path).params), path


@pytest.mark.parametrize("path", sorted(CHANGING & set(COMMANDS)))
def test_what_changes_state_has_a_dry_run(path):
    assert any(param.name == "dry_run" for param in find(path).params), path


def modules_after(*words: str, root: str = "/nonexistent") -> set[str]:
    """What is loaded after running one command in a fresh process."""
    code = (
        "import sys; from xlpy.cli.main import run\n"
        f"status = run({list(words)!r})\n"
        "sys.stderr.write('\\nMODULES ' + ' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"XLPY_ROOT": root}
    )
    return set(done.stderr.rpartition("MODULES ")[2].split())


HEAVY = {"construct", "yaml", "rich", "hypothesis", "importlib.metadata", "difflib", "http", "asyncio"}


def test_help_imports_no_command():
    loaded = modules_after("--help")
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("xlpy.")} == {
        "xlpy.addr",
        "xlpy.contexts",
        "xlpy.functions",
        "xlpy.xen_version",
        "xlpy.errors",
        "xlpy.records",
        "xlpy.typing",
        "xlpy.cli",
        *(
            f"xlpy.cli.{name}"
            for name in ("main", "env", "tree", "declare", "types", "shared", "show", "plain", "grammar", "completers")
        ),
    }


@pytest.mark.parametrize("words", [("pmem", "list"), ("list",), ("list", "--json"), ("pmem", "list", "--json")])
def test_listing_imports_nothing_heavy(words, host_root):
    assert not modules_after(*words, root=str(host_root)) & HEAVY


def test_a_plain_line_needs_no_click(host_root):
    assert not modules_after("list", "--json", root=str(host_root)) & {"click", "inspect", "pathlib", "typing"}
