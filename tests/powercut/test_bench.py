"""Checks on a cluster of dask.distributed, as on threads; and the page on which all that was found stands."""

from __future__ import annotations

import re
from concurrent.futures import Future
from contextlib import nullcontext
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from powercut.test_explore import check, explore

from xlpy.errors import Constraint, MissingTool, NotFound
from xlpy.powercut.bench import Workers
from xlpy.powercut.check import Check
from xlpy.powercut.explore import Exploration, ExploreOptions
from xlpy.powercut.page import page

MISSING = "dask.distributed is not installed (pip install distributed)"
WRONG = "st 0 5; st 40 1; clwb 40; fence; mark 3"


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip(
        "distributed", reason="dask.distributed is not installed (pip install distributed)"
    )
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1"
    ) as made:
        yield made.scheduler_address


def test_a_cluster_finds_what_threads_find(make_trace, cluster):
    trace = make_trace(WRONG)
    summary, results = explore(trace, scheduler=cluster)
    next(trace.path.glob("results-*")).unlink()
    here, expected = explore(trace, jobs=2)
    assert summary == here
    assert summary.failed >= 1
    outcome = {result.key: result.verdict.status for result in results}
    assert outcome == {result.key: result.verdict.status for result in expected}
    assert not list(trace.path.glob("xlpy-image-*"))  # the workers' images are gone


def test_no_scheduler(make_trace):
    pytest.importorskip("distributed", reason=MISSING)
    with pytest.raises(NotFound, match=r"no scheduler answers at tcp://127\.0\.0\.1:9"):
        explore(make_trace("st 0 1"), scheduler="tcp://127.0.0.1:9")


def test_a_scheduler_without_workers(make_trace):
    distributed = pytest.importorskip("distributed", reason=MISSING)
    words = {"processes": False, "dashboard_address": None, "protocol": "tcp", "host": "127.0.0.1"}
    with distributed.LocalCluster(n_workers=0, **words) as made, pytest.raises(Constraint, match="has no workers"):
        explore(make_trace("st 0 1"), scheduler=made.scheduler_address)


def gone():
    raise Constraint("nobody is left")


def test_workers_that_go_away_are_not_waited_for(make_trace, monkeypatch):
    """The last one has died; what it was to do is never done."""
    never = SimpleNamespace(submit=lambda *_words: Future())
    monkeypatch.setattr("xlpy.powercut.explore.PATIENCE", 0.01)
    monkeypatch.setattr("xlpy.powercut.explore.workers", lambda *_words: nullcontext(Workers(never, 2, gone)))
    with pytest.raises(Constraint, match="nobody is left"):
        explore(make_trace("st 0 1"))


def test_without_distributed(make_trace, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(MissingTool, match=r"dask\.distributed"):
        explore(make_trace("st 0 1"), scheduler="tcp://127.0.0.1:9")


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


def made_page(trace, command):
    results = []
    options = ExploreOptions(Check(command))
    summary = Exploration(trace, options, results.append).run()
    return page(trace, options, summary, results)


def test_the_page_needs_nothing_else(make_trace):
    text = made_page(make_trace(WRONG), check())
    reader = Reader()
    reader.feed(text)
    assert "script" not in reader.tags
    assert not {"src", "href", "onload"} & {name for name, _ in reader.attributes}
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    assert "default-src 'none'" in text
    assert "color-scheme: light dark" in text


def test_the_page_has_all(make_trace):
    text = made_page(make_trace(WRONG), check())
    words = " ".join(text.split())
    assert "1 of 4 distinct states fail" in words
    assert text.count("<rect") == 3  # epochs: the fence, the mark, the end
    assert '<rect class="failed"' in text
    assert ">3</text>" in text  # the mark
    assert "lines that kept stores: /mnt/pmem0/vm1.img+0x40 (pmem0+0x40)" in text


def test_names_and_output_are_no_markup(make_trace):
    """Whatever a check prints, or a path holds, stays text."""
    evil = "</pre><script>alert(1)</script>{{facts}}\x1b[31m"
    print_it = 'test -e "$1"; printf \'%s\' "$2"; exit 1'
    text = made_page(make_trace("st 0 1"), ("sh", "-c", print_it, "x", "{image}", evil))
    reader = Reader()
    reader.feed(text)
    assert "script" not in reader.tags
    assert "alert(1)" in "".join(reader.text)
    assert "{{facts}}" in "".join(reader.text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", text.replace("\n", " "))


def test_a_long_trace_has_a_timeline_of_bounded_length(make_trace):
    events = "; ".join(f"st {i % 7 * 64:x} 1; clflush {i % 7 * 64:x}" for i in range(2500))
    text = made_page(make_trace(events), ("true",))
    assert 800 < text.count("<rect") <= 1200
