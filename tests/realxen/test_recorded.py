"""xlpy beside recorded answers of a real Xen: fast, and everywhere. `python -m realxen.record` makes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from realxen.compare import compare_all, told
from realxen.differences import DEPARTURES, KNOWN, unexplained
from realxen.machine import RELEASES
from realxen.recorded import file, load
from realxen.replay import replay
from realxen.steps import QUICK

DOCS = Path(__file__).parents[2] / "docs" / "departures.md"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """{version: (findings with their steps, counts)} of a real Xen's answers and xlpy's."""
    result = {}
    for xen in RELEASES:
        commands, real = load(file(xen).read_text())
        assert commands == [step.text for step in QUICK], "the steps have changed: python -m realxen.record"
        result[xen] = compare_all(QUICK, real, replay(QUICK, real, tmp_path_factory.mktemp("recorded"), xen))
    return result


@pytest.mark.parametrize("xen", RELEASES)
def test_no_difference_is_unexplained(compared, xen, record_property):
    findings, counts = compared[xen]
    record_property(f"compared with Xen {xen}, recorded", told(counts))
    rest = unexplained(findings, xen)
    assert rest == [], "\n".join(rest)
    assert counts["commands"] >= 60


def test_every_row_is_needed(compared):
    found = [(*one, xen) for xen, (findings, _) in compared.items() for one in findings]
    idle = [row for row in (*DEPARTURES, *KNOWN) if not any(row.explains(*one) for one in found)]
    assert idle == []


@pytest.mark.parametrize("row", sorted({row.row for row in DEPARTURES}))
def test_the_docs_explain_every_departure(row):
    assert f"\n| {row}" in DOCS.read_text()
