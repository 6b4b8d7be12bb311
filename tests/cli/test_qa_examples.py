"""What help and documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from xlpy.cli.grammar import root_group
from xlpy.cli.tree import TREE

HERE = Path(__file__).parents[2]
DOCUMENTS = [HERE / "README.md", *sorted((HERE / "docs").glob("*.md"))]
COMMANDS = [f"{branch} {name}".split() for branch in TREE for name in TREE[branch] if f"{branch} {name}" not in TREE]


def example_files(text: str) -> set[str]:
    return set(re.findall(r"configs/[\w./-]+\.(?:cfg|yaml)", text))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_files_in_help_are_there(words):
    command = root_group()
    context = click.Context(command)
    for word in words:
        command = command.get_command(context, word)
    missing = {name for name in example_files(command.help) if not (HERE / name).exists()}
    assert not missing


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_in_documents_are_there(path):
    text = path.read_text()
    missing = {name for name in example_files(text) if not (HERE / name).exists()}
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing |= {link for link in links if not (path.parent / link).exists()}
    assert not missing
