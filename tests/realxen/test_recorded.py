"""xlpy beside recorded answers of a real Xen: fast, and everywhere. `python -m realxen.record` makes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from realxen.compare import compare_all, told
from realxen.differences import DEPARTURES, KNOWN, unexplained
from realxen.recorded import file, load
from realxen.replay import replay
from realxen.steps import QUICK

DOCS = Path(__file__).parents[2] / "docs" / "departures.md"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """(findings with their steps, counts) of Xen 4.17's answers and xlpy's."""
    commands, real = load(file("4.17").read_text())
    assert commands == [step.text for step in QUICK], "the steps have changed: python -m realxen.record"
    return compare_all(QUICK, real, replay(QUICK, real, tmp_path_factory.mktemp("recorded")))


def test_no_difference_is_unexplained(compared, record_property):
    findings, counts = compared
    record_property("compared with Xen 4.17, recorded", told(counts))
    rest = unexplained(findings)
    assert rest == [], "\n".join(rest)
    assert counts["commands"] >= 60


def test_every_row_is_needed(compared):
    findings, _ = compared
    idle = [row for row in (*DEPARTURES, *KNOWN) if not any(row.explains(*found) for found in findings)]
    assert idle == []


@pytest.mark.parametrize("row", {row.row for row in DEPARTURES})
def test_the_docs_explain_every_departure(row):
    assert f"\n| {row}" in DOCS.read_text()
