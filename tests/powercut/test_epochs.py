"""Where epochs end, what a failure there may lose, and what a trace shows without building any state."""

from __future__ import annotations

import pytest
from powercut.conftest import GPA, program

from xlpy.powercut.epochs import Epochs, before_mark
from xlpy.powercut.findings import findings
from xlpy.powercut.trace import Trace, write_header


def zeros(_address, length):
    return bytes(length)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        # (ended by, stores, states) of each epoch
        ("st 0 1", [("end", 1, 2)]),
        ("st 0 1; st 8 1", [("end", 2, 3)]),
        ("st 0 1; st 40 1", [("end", 2, 4)]),
        ("st 0 1; clwb 0; fence; st 40 1", [("sfence", 1, 2), ("end", 1, 2)]),
        ("st 0 1; fence; st 40 1", [("end", 2, 4)]),  # the fence forces nothing
        ("st 0 1; clwb 40; fence; st 40 1", [("sfence", 1, 2), ("end", 1, 4)]),
        ("st 0 1; clflush 0; st 40 1", [("clflush", 1, 2), ("end", 1, 2)]),
        ("nt 0 1; fence", [("sfence", 1, 2), ("end", 0, 1)]),
        ("st 0 1; mark 7", [("mark", 1, 2), ("end", 0, 2)]),
        ("st 0 1; clwb 0; lock 40 1", [("locked", 1, 2), ("end", 1, 2)]),
        ("st 0 1; clwb 0; st 0 2; fence", [("sfence", 2, 3), ("end", 0, 2)]),  # the write-back covers the first store
    ],
)
def test_epochs(make_trace, text, rows):
    found = [(epoch.ended_by, epoch.stores, epoch.states) for epoch in Epochs(make_trace(text), zeros)]
    assert found == rows


def test_settled_lines_are_what_is_durable(make_trace):
    trace = make_trace("st 0 11; clwb 0; fence; st 8 22; clwb 0; fence")
    settled = [dict(epoch.settled) for epoch in Epochs(trace, zeros)]
    assert settled[0] == {}
    assert settled[1][GPA][:16] == (0x11).to_bytes(8, "little") + bytes(8)
    assert settled[2][GPA][:16] == (0x11).to_bytes(8, "little") + (0x22).to_bytes(8, "little")


def test_a_fence_of_another_vcpu_forces_nothing(make_trace):
    events = [*program("st 0 1; clwb 0"), *program("fence", vcpu=1)]
    assert [epoch.states for epoch in Epochs(make_trace(events), zeros)] == [2]


@pytest.mark.parametrize(
    ("persistence", "states"),
    [("memory_controller", [2, 2, 1]), ("cpu_cache", [1, 1, 1]), ("none", [2, 4, 4])],
)
def test_what_survives_follows_from_the_machine(make_trace, persistence, states):
    """Without ADR nothing is safe that has only been flushed and fenced: a guest has no flush hints."""
    trace = make_trace("st 0 1; clwb 0; fence; st 40 1; clwb 40; fence")
    header = trace.header._replace(persistence=persistence, caches_survive=persistence == "cpu_cache")
    write_header(trace.path, header)
    assert [epoch.states for epoch in Epochs(Trace(trace.path), zeros)] == states


@pytest.mark.parametrize("cut", [0, 5, 20, -1])
def test_a_trace_cut_short_says_so(make_trace, cut):
    trace = make_trace("st 0 1; clwb 0; fence; st 40 2", cut=cut)
    list(Epochs(trace, zeros))
    assert trace.problem


CLASSES = [
    ("st 0 1; clwb 0; fence", []),
    ("nt 0 1; fence", []),
    ("st 0 1; clflush 0", []),
    ("st 0 1", ["not-durable"]),
    ("st 0 1; clwb 0", ["not-durable"]),
    ("st 0 1; fence", ["not-durable"]),
    ("st 0 1; clwb 40; fence", ["not-durable", "flushed-clean"]),
    ("st 0 1; st 0 2; clwb 0; fence", ["overwritten"]),
    ("st 0 1; st 8 2; clwb 0; fence", []),
    ("st 0 1; clwb 0; clwb 0; fence", ["flushed-twice"]),
    ("st 0 1; clwb 0; st 8 1; clwb 0; fence", []),
    ("st 0 1; clwb 0; fence; clwb 0; fence", ["flushed-clean"]),
    ("fence", ["idle-fence"]),
    ("st 0 1; clwb 0; fence; fence", ["idle-fence"]),
    ("st 0 1; clwb 0; lock 40 1; clwb 40; fence", []),
    ("st 0 1; mark 1; clwb 0; fence", ["not-durable"]),  # the guest said that it was done, and was not
]


@pytest.mark.parametrize(("text", "codes"), CLASSES, ids=[text for text, _ in CLASSES])
def test_findings(text, codes):
    assert [one.code for one in findings(program(text))] == codes


def test_with_eadr_what_is_stored_is_durable():
    assert [one.code for one in findings(program("st 0 1; st 0 2; clwb 40; fence"), caches_survive=True)] == [
        "flushed-clean"
    ]


def test_a_finding_has_its_place(make_trace):
    trace = make_trace("st 1040 1")
    (found,) = findings(trace.events())
    assert (found.address, found.times, found.event) == (GPA + 0x1040, 1, 0)
    assert trace.place(found.address) == "/mnt/pmem0/vm1.img+0x1040 (pmem0+0x1040)"


@pytest.mark.parametrize(("mark", "numbers"), [(1, {0, 1}), (2, {2, 3, 5})])
def test_epochs_before_a_mark(make_trace, mark, numbers):
    """Those after the mark before it; a mark that comes twice counts twice."""
    text = "st 0 1; clwb 0; fence; mark 1; st 0 2; clwb 0; fence; mark 2; mark 1; mark 2; st 0 3"
    expected = numbers if mark == 2 else numbers | {4}
    assert before_mark(make_trace(text), mark) == expected
