"""Crash states are built as the model says, checked once each, and reduced; checks may behave badly."""

from __future__ import annotations

import json
import os
import pickle
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from powercut.conftest import GPA, SIZE, program

from xlpy.addr import LINE
from xlpy.held import hold
from xlpy.hw.persistency import Persistency
from xlpy.limits import IMAGE_IN_MEMORY
from xlpy.powercut.check import KEEP, Check, run_check
from xlpy.powercut.counterexample import load, reduced, replay, save
from xlpy.powercut.epochs import apply, sampled
from xlpy.powercut.explore import Exploration, ExploreOptions
from xlpy.powercut.history import Durable, History
from xlpy.powercut.image import Image
from xlpy.powercut.states import STRATEGIES, states
from xlpy.powercut.subject import PREFIX, SPARE, StateSource, working_folder
from xlpy.powercut.trace import Trace, write_header

# A record at 0 is valid when the flag at 0x40 is set; the check reads both.
CHECK = "import sys; d = open(sys.argv[1], 'rb').read(0x80);sys.exit(d[0x40] == 1 and d[0] != 5)"


def check(text=CHECK):
    return (sys.executable, "-c", text, "{image}")


def explore(trace, command=None, *, timeout=60.0, prune=False, **options):
    results = []
    chosen = ExploreOptions(Check(command or check(), timeout, prune=prune), **options)
    summary = Exploration(trace, chosen, results.append).run()
    return summary, results


def run(words, timeout):
    return run_check(Check(words, timeout), {"image": "/nowhere"})


def test_a_forgotten_flush_is_found(make_trace):
    """The record is not written back before the flag is set: some state has the flag without the record."""
    summary, results = explore(make_trace("st 0 5; st 40 1; clwb 40; fence; clwb 0; fence"))
    assert summary.failed >= 1
    failing = next(result for result in results if not result.verdict.passed)
    assert failing.state.get(GPA, 0) == 0


def test_the_right_program_passes(make_trace):
    summary, results = explore(make_trace("st 0 5; clwb 0; fence; st 40 1; clwb 40; fence"))
    assert (summary.failed, summary.problem) == (0, None)
    assert summary.distinct == len(results) == 3  # nothing, the record, both


def lines_of(text):
    model = Persistency(lambda _address, length: bytes(length))
    for event in program(text):
        apply(model, event)
    return model.lines


@pytest.mark.parametrize(
    ("strategy", "count"),
    [("all-lo", 1), ("all-hi", 1), ("single", 2), ("prefix", 4), ("random", 6), ("all", 6)],
)
def test_strategies(strategy, count):
    """Two stores to one line, one to another: six states in all."""
    assert len(list(states(lines_of("st 0 1; st 40 1; st 8 1"), [strategy], Random(1), 100))) == count


def test_all_strategies_together_give_each_state_once():
    found = [frozenset(state.items()) for state in states(lines_of("st 0 1; st 40 1"), STRATEGIES, Random(0), 9)]
    assert len(found) == len(set(found))


def test_equal_contents_are_checked_once(make_trace):
    """The second epoch can leave what the first has left already."""
    summary, results = explore(make_trace("st 0 1; clwb 0; fence; st 0 1; clwb 0; fence"))
    assert summary.chosen > summary.distinct == len(results)


def test_an_interrupted_exploration_goes_on(make_trace):
    trace = make_trace("st 0 5; clwb 0; fence; st 40 1; clwb 40; fence")
    first, _ = explore(trace)
    again, results = explore(trace)
    assert (again.known, again.distinct, len(results)) == (first.distinct, first.distinct, first.distinct)
    assert len(again_log := next(trace.path.glob("results-*")).read_text().splitlines()) == first.distinct, again_log
    assert explore(trace, check("pass"))[0].known == 0  # another check knows nothing


def test_a_check_that_was_edited_is_another_one(make_trace, tmp_path):
    trace, script = make_trace("st 0 5; st 40 1"), tmp_path / "check.py"
    words = (sys.executable, str(script), "{image}")
    script.write_text("")
    assert explore(trace, words)[0].failed == 0
    script.write_text("import sys; sys.exit(1)")
    summary, _ = explore(trace, words)
    assert (summary.known, summary.failed) == (0, summary.distinct)
    assert explore(trace, words)[0].known == summary.distinct


def test_a_check_that_was_stopped_is_run_again(make_trace):
    trace, words = make_trace("st 0 5"), ("sleep", "0.4")
    assert explore(trace, words, timeout=0.05)[0].failed == 2
    summary, _ = explore(trace, words, timeout=60)
    assert (summary.known, summary.failed) == (0, 0)


def test_a_cut_at_one_epoch(make_trace):
    summary, results = explore(make_trace("st 0 5; clwb 0; fence; st 40 1; clwb 40; fence"), epochs=frozenset((1,)))
    assert {result.epoch for result in results} == {1}
    assert summary.epochs == 1


def test_a_sample_is_the_same_for_the_same_seed(make_trace):
    trace = make_trace("; ".join(f"st {i * 64:x} 1; clwb {i * 64:x}; fence" for i in range(12)))
    first = sorted(result.epoch for result in explore(trace, epochs=sampled(trace, 4, seed=3))[1])
    assert first == sorted(result.epoch for result in explore(trace, check("1"), epochs=sampled(trace, 4, 3))[1])
    assert len(set(first)) <= 4


def test_reduction_finds_the_one_line_that_matters(make_trace, tmp_path):
    noise = "; ".join(f"st {0x1000 + i * 64:x} 9" for i in range(30))
    trace = make_trace(f"st 0 5; {noise}; st 40 1; clwb 40; fence")
    options = ExploreOptions(Check(check()), strategies=("all-lo", "single", "random"), samples=4)
    results = []
    Exploration(trace, options, results.append).run()
    failing = max((r for r in results if not r.verdict.passed), key=lambda r: r.lost)
    found = reduced(trace, options, failing)
    assert found.lost == ["/mnt/pmem0/vm1.img+0x0 (pmem0+0x0): 1 of 1 stores lost"]
    save(tmp_path / "failure.json", found)
    verdict = replay(load(tmp_path / "failure.json"), tmp_path / "crash.img", lambda _text: None)
    assert verdict.status == 1
    data = (tmp_path / "crash.img").read_bytes()
    assert (data[0x40], data[0], len(data)) == (1, 0, SIZE)


def test_image_costs_by_changed_lines(tmp_path, monkeypatch):
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(1 << 40)
    image = Image(tmp_path / "image", source, 0, 1 << 40)
    written = []
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: written.append((at, len(data))) or real(fd, data, at))
    history = History()
    image.set(history.now(), {0: bytes(64), 64: b"a" * 64, 1 << 30: b"b" * 64})
    assert written == [(0, 128), (1 << 30, 64)]
    written.clear()
    image.set(history.now(), {64: b"a" * 64})
    assert written == [(0, 64), (1 << 30, 64)]  # only what differs from the state before
    written.clear()
    history.steps.append({64: b"c" * 64, 1 << 20: b"d" * 8})
    image.set(history.now(), {})
    assert written == [(64, 64), (1 << 20, 8)]
    assert image.rebuilt == 0


lines = st.dictionaries(st.integers(0, 15).map(lambda n: n * 64), st.binary(min_size=64, max_size=64), max_size=6)


@given(st.lists(lines, min_size=1, max_size=5), st.lists(st.tuples(st.integers(0, 5), lines), max_size=6))
def test_an_image_is_what_it_is_set_to(steps, moves):
    """Whatever states come one after the other, forwards, backwards and from other machines."""
    with tempfile.TemporaryDirectory() as folder:
        before = bytes(range(256)) * 4
        (Path(folder) / "source").write_bytes(before)
        image = Image(Path(folder) / "image", Path(folder) / "source", 0, 1024)
        history = History()
        history.steps += steps
        for count, kept in moves:
            durable = Durable(history, min(count, len(steps)))
            image.set(pickle.loads(pickle.dumps(durable)) if count % 2 else durable, kept)
            expected = bytearray(before)
            for at, data in [*(item for step in steps[: durable.count] for item in step.items()), *kept.items()]:
                expected[at : at + 64] = data
            assert image.path.read_bytes() == expected


def test_base_is_copied_with_its_holes(tmp_path):
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(1 << 30)
        file.seek(5 << 20)
        file.write(b"data")
    image = Image(tmp_path / "image", source, 1 << 20, 16 << 20)
    assert image.path.stat().st_size == 16 << 20
    assert image.path.stat().st_blocks * 512 <= 1 << 20
    with image.path.open("rb") as file:
        file.seek(4 << 20)
        assert file.read(4) == b"data"


class TestBadChecks:
    def test_one_that_hangs(self):
        verdict = run(("sh", "-c", "sleep 60 & sleep 60"), 0.3)
        assert verdict.status is None

    def test_one_that_closes_its_output_and_hangs(self):
        assert run(("sh", "-c", "exec >&- 2>&-; sleep 60"), 0.3).status is None

    def test_one_that_leaves_a_daemon(self, tmp_path):
        """It is ended too, although it is of another session."""
        verdict = run(("sh", "-c", f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 60' & exec sleep 60"), 0.5)
        assert verdict.status is None
        process, deadline = Path("/proc") / (tmp_path / "pid").read_text().strip(), time.monotonic() + 20
        while process.exists() and (process / "cmdline").read_bytes():  # empty: it has ended, nobody has asked how
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_one_that_dies(self):
        assert run(("sh", "-c", "kill -9 $$"), 10).status == 137

    def test_one_that_prints_without_end(self):
        verdict = run(("sh", "-c", "yes | head -c 50000000; echo end"), 60)
        assert verdict.status == 0
        assert len(verdict.output) < 2 * KEEP
        assert verdict.output.endswith("end\n")

    def test_one_that_writes_to_its_image(self, make_trace):
        """The next state is built anew, so that it is not mixed with what the check wrote."""
        spoil = "import sys; f = open(sys.argv[1], 'r+b'); b = f.read(1); f.seek(0); f.write(b'x'); sys.exit(b == b'x')"
        summary, _ = explore(make_trace("st 40 1; clwb 40; fence; st 80 1"), check(spoil))
        assert summary.failed == 0
        assert summary.rebuilt >= 1

    @pytest.mark.parametrize("folder", ["/dev/shm", None], ids=["memory", "disk"])
    def test_one_that_writes_through_a_mapping(self, make_trace, folder):
        """That changes no time of a file in memory."""
        if folder and not os.access(folder, os.W_OK):
            pytest.skip(f"there is no {folder}")
        spoil = "import mmap, sys; f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 0); b = m[0]; m[0] = 9"
        trace = make_trace("st 40 1; clwb 40; fence; st 80 1")
        summary, _ = explore(trace, check(f"{spoil}; sys.exit(b == 9)"), folder=folder)
        assert (summary.failed, summary.rebuilt) == (0, summary.distinct - 1)

    @pytest.mark.parametrize("spoil", ["os.remove(sys.argv[1])", "open('new', 'w'); os.replace('new', sys.argv[1])"])
    def test_one_that_takes_its_image_away(self, make_trace, spoil):
        look = f"import os, sys; os.chdir(os.path.dirname(sys.argv[1])); s = os.stat(sys.argv[1]).st_size; {spoil}"
        summary, _ = explore(make_trace("st 40 1; clwb 40; fence; st 80 1"), check(f"{look}; sys.exit(s != {SIZE})"))
        assert (summary.failed, summary.rebuilt) == (0, summary.distinct - 1)

    def test_one_that_only_looks(self, make_trace):
        assert explore(make_trace("st 40 1; clwb 40; fence; st 80 1"))[0].rebuilt == 0

    def test_one_that_is_not_there(self, make_trace):
        from xlpy.errors import NotFound

        with pytest.raises(NotFound, match="no-such-program"):
            explore(make_trace("st 0 1"), ("no-such-program", "{image}"))


def test_results_are_json_lines(make_trace):
    trace = make_trace("st 0 1")
    explore(trace)
    (log,) = trace.path.glob("results-*.jsonl")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert {row["verdict"]["status"] for row in rows} == {0}
    assert all(set(row) >= {"key", "epoch", "lost", "state"} for row in rows)


def test_lines_outside_the_device_do_not_count(make_trace):
    trace = make_trace("st 0 1; st 1000 1")
    device = trace.header.devices[0]._replace(gpa=GPA + 0x1000, size=0x1000)
    write_header(trace.path, trace.header._replace(devices=[device]))
    exploration = Exploration(Trace(trace.path), ExploreOptions(Check(check("pass"))), lambda _result: None)
    assert [sorted(task.kept) for task in exploration.tasks()] == [[], [0]]
    assert LINE == 64


@pytest.mark.parametrize(
    ("size", "domain", "room", "in_memory"),
    [
        (IMAGE_IN_MEMORY, False, SPARE * IMAGE_IN_MEMORY, True),
        (IMAGE_IN_MEMORY + 1, False, 9 * IMAGE_IN_MEMORY, False),
        (IMAGE_IN_MEMORY, False, SPARE * IMAGE_IN_MEMORY - 1, False),
        (4096, True, 9 * IMAGE_IN_MEMORY, False),  # a host with a domain, whose guest's memory is a file too
    ],
)
def test_small_images_are_in_memory(tmp_path, monkeypatch, size, domain, room, in_memory):
    memory = tmp_path / "shm"
    memory.mkdir()
    monkeypatch.setattr("os.statvfs", lambda _path: SimpleNamespace(f_bavail=room, f_frsize=1))
    assert working_folder(StateSource("/trace", 0, size, domain), memory) == (memory if in_memory else Path("/trace"))


def test_without_shared_memory_images_are_beside_the_trace(tmp_path):
    assert working_folder(StateSource("/trace", 0, 4096), tmp_path / "none") == Path("/trace")


def test_images_are_gone_afterwards(make_trace, monkeypatch, tmp_path):
    monkeypatch.setattr("xlpy.powercut.subject.working_folder", lambda _source: tmp_path)
    look = "import os, sys; print(os.path.dirname(os.path.dirname(sys.argv[1])))"
    _, results = explore(make_trace("st 0 5"), check(look))
    assert {result.verdict.output.strip() for result in results} == {str(tmp_path)}
    assert not list(tmp_path.glob("xlpy-image-*"))


def test_what_a_killed_exploration_left_goes_with_the_next(make_trace, tmp_path):
    trace = make_trace("st 0 5")
    left, held, fresh = (tmp_path / f"{PREFIX}{name}" for name in ("left", "held", "fresh"))
    for one in (left, held, fresh):
        one.mkdir()
        (one / "image").touch()
        os.utime(one, None if one == fresh else (0, 0))
    lock = hold(held)
    explore(trace, folder=tmp_path)
    os.close(lock)
    assert sorted(tmp_path.glob(f"{PREFIX}*")) == [fresh, held]


def test_a_domain_is_never_one_of_the_users_own(make_trace):
    """Without a subject that makes the domain the check would find whatever host is around."""
    with pytest.raises(ValueError, match="DomainSubject"):
        explore(make_trace("st 0 5"), ("xlpy", "guest", "probe", "{domain}"))
