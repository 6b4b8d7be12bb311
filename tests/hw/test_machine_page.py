"""docs/machine.md tells of every key of machine.yaml, and is made from the code that reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tools.machine import PAGE, looks, page
from xlpy.hw.describe import parse_machine
from xlpy.hw.keys import EXAMPLE, KEYS, SECTIONS

SAME = "namespaces[].partitions[].filesystem."  # as below namespaces[].filesystem


def test_every_key_is_told_of_and_nothing_else():
    seen = {path for path in looks() if not path.startswith(SAME)}
    assert sorted(seen - KEYS.keys()) == [], "give these a text in xlpy/hw/keys.py"
    assert sorted(KEYS.keys() - seen) == []
    assert {path.rpartition(".")[0] for path in KEYS} == SECTIONS.keys()


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tools.machine"


@pytest.mark.parametrize("path", KEYS)
def test_examples_name_their_key(path):
    example = yaml.safe_load(KEYS[path].example)
    assert list(example) == [path.rpartition(".")[2]]


def test_the_example_is_a_machine():
    spec = parse_machine(EXAMPLE)
    assert (len(spec.dimms), len(spec.sets), len(spec.namespaces)) == (2, 2, 2)
    assert Path(PAGE).read_text(encoding="utf-8").count("```") == 2
