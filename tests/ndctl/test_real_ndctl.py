"""A real ndctl on a real Linux, once: its recorded answers are still its own, and each takes the other's media."""

from __future__ import annotations

import difflib
import fcntl

import pytest
from ndctl.compare import answer
from ndctl.exchange import from_machine, probe, to_machine
from ndctl.normal import Names, output
from ndctl.real import Machine, Unavailable
from ndctl.record import fresh, play
from ndctl.recorded import changes, file, load
from ndctl.replay import Replay, host
from ndctl.sequences import table

from xlpy.dom0.nvdimm.nd.bus import NdBus

pytestmark = pytest.mark.slow

QUICK = ("reconfigure to sector", "write-labels")  # asked again in every run
MAKE = (
    "ndctl create-namespace -r region1 -s 32M -n one",
    "ndctl create-namespace -r region1 -s 32M -m devdax -a 4K",
    "ndctl create-namespace -r region1 -s 32M -m sector -l 512 -n three",
    "ndctl create-namespace -r region1 -s 32M -M mem",
    "ndctl destroy-namespace -f namespace1.0",
    "ndctl create-namespace -r region1 -s 16M -m raw -n last",
    "ndctl create-namespace -r region2 -m fsdax",
    "ndctl disable-region region4",
    "ndctl init-labels -f nmem1",
    "ndctl enable-region region4",
    "ndctl create-namespace -r region4 -s 48M -m sector",
    "ndctl create-namespace -r region4 -s 32M -n old",
    "ndctl create-namespace -f -e namespace5.0 -m fsdax",
)
LOOK = (
    "ndctl check-labels all",
    "ndctl list -vv",
    "ndctl read-labels -j all",
    "ndctl disable-namespace all",
    "ndctl check-namespace namespace1.2",
    "ndctl check-namespace namespace4.0",
    "ndctl read-infoblock -j all",
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """The running machine; only one at a time, whichever process comes first."""
    base = tmp_path_factory.getbasetemp()
    with (base.parent / "real-ndctl.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            with Machine(tmp_path_factory.mktemp("real-ndctl")) as running:
                yield running
        except Unavailable as error:
            pytest.skip(f"no real ndctl here: {error}")


@pytest.fixture
def replay(tmp_path, monkeypatch):
    """xlpy's host; its firmware has no scrubs and no SMART, as QEMU's."""
    monkeypatch.setattr(NdBus, "scrub_state", None)
    return Replay(tmp_path)


def told(answers):
    """Answers as lines; equal media show equal UUIDs, so all are named alike."""
    names = Names(())
    return [
        f"{line}: {text}"
        for line, one in zip(LOOK, answers, strict=True)
        for text in (f"= {one.status}", *names(output(one.out)).splitlines(), *names(output(one.err)).splitlines())
    ]


def delta(real, ours):
    """Lines of two lists that differ."""
    return [line for line in difflib.ndiff(real, ours) if line[0] in "+-"]


@pytest.mark.parametrize("name", QUICK)
def test_the_recorded_answers_are_those_of_the_running_ndctl(machine, name):
    states, kept = load(file("76").read_text())
    sequence = next(one for one in table() if one.name == name)
    now = play(machine, sequence)
    for recorded, running in zip(kept[name].answers, now.answers, strict=True):
        assert list(answer(recorded, running)) == []
    assert tuple(changes(states[sequence.state], now.left)) == kept[name].changed


def test_the_real_kernel_takes_what_ours_writes(machine, replay):
    with replay.opened("1.2") as (kept, call):
        assert {line: call(line).status for line in MAKE} == dict.fromkeys(MAKE, 0)
        probe(host(kept))
        machine("@unbind")
        to_machine(host(kept), machine)
        machine("@bind")
        assert delta(told(map(machine, LOOK)), told(map(call, LOOK))) == []


def test_ours_takes_what_the_real_kernel_writes(machine, replay):
    fresh(machine, "1.2")
    assert {line: machine(line).status for line in MAKE} == dict.fromkeys(MAKE, 0)
    with replay.opened("bare") as (kept, call):
        from_machine(machine, host(kept))
        machine("@unbind")
        machine("@bind")
        assert delta(told(map(machine, LOOK)), told(map(call, LOOK))) == []
