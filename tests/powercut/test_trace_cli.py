"""`xlpy trace` as a person and as a script use it, on traces that are written here."""

from __future__ import annotations

import json
import sys

import pytest

from xlpy.cli.main import run

RIGHT = "st 0 5; clwb 0; fence; st 40 1; clwb 40; fence; mark 1"
WRONG = "st 0 5; st 40 1; clwb 40; fence; mark 1"
CHECK = "import sys; d = open(sys.argv[1], 'rb').read(0x80); sys.exit(d[0x40] == 1 and d[0] != 5)"


@pytest.fixture
def trace(capsys):
    def call(*words, status=0):
        capsys.readouterr()
        got = run(["trace", *map(str, words)])
        shown = capsys.readouterr()
        assert got == status, shown.err
        return shown

    return call


def check(*more):
    return ("--", sys.executable, "-c", CHECK, "{image}", *more)


def test_show(make_trace, trace):
    path = make_trace(WRONG).path
    rows = json.loads(trace("show", path, "--lines", "--json").out)["items"]
    assert [(row["ended_by"], row["open"], row["states"]) for row in rows] == [
        ("sfence", 2, 4),
        ("mark", 1, 2),
        ("end", 1, 2),
    ]
    assert rows[1]["mark"] == 1
    assert rows[0]["lines"][0]["place"] == "/mnt/pmem0/vm1.img+0x0 (pmem0+0x0)"
    assert "epoch 1: /mnt/pmem0/vm1.img+0x0 (pmem0+0x0): 1 stores may be lost" in trace("show", path, "--lines").out


def test_a_count_too_large_for_readers_of_json_is_a_power(make_trace, trace):
    path = make_trace("; ".join(f"st {i * 64:x} 1" for i in range(60))).path
    assert json.loads(trace("show", path, "--json").out)["items"][0]["states"] == "2^60"


@pytest.mark.parametrize(("events", "status"), [(RIGHT, 0), (WRONG, 10), ("fence", 0)])
def test_check(make_trace, trace, events, status):
    path = make_trace(events).path
    shown = trace("check", path, status=status)
    assert ("not-durable" in shown.out) == (status == 10)
    items = json.loads(trace("check", path, "--json", status=status).out)["items"]
    assert any(one["code"] == "not-durable" for one in items) == (status == 10)


def test_cut_finds_reduces_and_replays(make_trace, trace, tmp_path):
    path = make_trace(WRONG).path
    shown = trace("cut", path, "--keep", tmp_path / "failure.json", *check(), status=10)
    assert "failed" in shown.out
    assert "reduced from 1 lost lines to 1 of 2" in shown.err
    replayed = trace("replay", tmp_path / "failure.json", "-o", tmp_path / "crash.img", status=10)
    assert "after a failure at the end of epoch 0" in replayed.err
    assert "running its check: " in replayed.err  # a file of somebody else may name any program
    assert (tmp_path / "crash.img").stat().st_size == 1 << 20
    told = trace("replay", tmp_path / "failure.json", "-o", tmp_path / "crash.img", "--json", status=10)
    assert json.loads(told.out)["image"] == str(tmp_path / "crash.img")


def test_cut_of_the_right_program(make_trace, trace):
    shown = trace("cut", make_trace(RIGHT).path, *check())
    assert "4 epochs, 6 states possible, 6 chosen, 3 distinct (0 known from before), 0 failed" in shown.out


def test_cut_up_to_a_mark(make_trace, trace):
    shown = trace("cut", make_trace(RIGHT).path, "--mark", "1", *check())
    assert shown.out.startswith("3 epochs, ")  # but not the end, which comes after it


@pytest.mark.parametrize(("wanted", "tried"), [(1, 1), (3, 3), (4, 4), (5, 4)])
def test_cut_of_a_sample(make_trace, trace, wanted, tried):
    """So many epochs, or all of them when there are fewer."""
    shown = trace("cut", make_trace(RIGHT).path, "--sample", wanted, "--seed", "7", *check())
    assert shown.out.startswith(f"{tried} epochs, ")


def test_the_bar_of_a_cut_ends_at_the_epochs_chosen(make_trace, trace, monkeypatch):
    """On a terminal."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    totals = []
    monkeypatch.setattr("rich.progress.Progress.add_task", lambda _bar, _text, total: totals.append(total) or 0)
    monkeypatch.setattr("rich.progress.Progress.update", lambda *_words, **_fields: None)
    path = make_trace(RIGHT).path
    for words in ((), ("--sample", "2"), ("--mark", "1"), ("--at", "0")):
        trace("cut", path, *words, *check())
    assert totals == [4, 2, 3, 1]


def test_cut_as_json_is_a_line_for_each_result(make_trace, trace):
    lines = trace("cut", make_trace(RIGHT).path, "--json", *check()).out.splitlines()
    assert [json.loads(line)["schema"] for line in lines] == ["xlpy.trace-result/1"] * 3 + ["xlpy.trace-cut/1"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["cut", "TRACE"], 2, "a check is needed"),
        (["cut", "TRACE", "--at", "0", "--all", *check()], 2, "exclude each other"),
        (["cut", "TRACE", "--device", "pmem7", *check()], 4, "it has pmem0, vnvdimm0"),
        (["cut", "TRACE", "--at", "9", *check()], 4, "the trace has no epoch 9"),
        (["cut", "TRACE", "--at", "0", "--mark", "3", *check()], 2, "exclude each other"),
        (["cut", "TRACE", "--mark", "9", *check()], 4, "the trace has no mark 9"),
        (["cut", "TRACE", "--html", "nowhere/page.html", *check()], 4, "No such file or directory"),
        (["cut", "TRACE", "--keep", "nowhere/failure.json", *check()], 4, "No such file or directory"),
        (["cut", "TRACE", "--", "no-such-program"], 4, "no-such-program"),
        (["show", "."], 4, "holds no trace"),
    ],
)
def test_what_cannot_be_done(make_trace, trace, words, status, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = make_trace(RIGHT).path
    assert message in trace(*[str(path) if word == "TRACE" else word for word in words], status=status).err


@pytest.mark.parametrize("damage", ["{", "[]", '{"version": 9}', '{"version": 1, "windows": 3}'])
def test_a_damaged_header(make_trace, trace, damage):
    path = make_trace(RIGHT).path
    (path / "header.json").write_text(damage)
    assert "header.json" in trace("show", path, status=6).err


def test_a_trace_that_ends_early_is_reported(make_trace, trace):
    assert "the trace ends early" in trace("show", make_trace(RIGHT, cut=-4).path).err


def test_a_guest_that_did_not_end_is_reported(make_trace, trace):
    assert "did not end by itself" in trace("show", make_trace(RIGHT, complete=False).path).err


def test_a_counterexample_of_another_trace(make_trace, trace, tmp_path):
    path = make_trace(WRONG).path
    trace("cut", path, "--keep", tmp_path / "failure.json", *check(), status=10)
    fields = json.loads((tmp_path / "failure.json").read_text())
    fields["state"] = {"0x123000": 4}
    (tmp_path / "failure.json").write_text(json.dumps(fields))
    shown = trace("replay", tmp_path / "failure.json", "-o", tmp_path / "crash.img", status=6)
    assert "is not the trace" in shown.err
    assert not (tmp_path / "crash.img").exists()
