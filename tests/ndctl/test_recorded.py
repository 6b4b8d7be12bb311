"""xlpy beside recorded answers of the real ndctl: everywhere, in one process. `record.py` makes them anew."""

from __future__ import annotations

import pytest
from ndctl.compare import compare
from ndctl.differences import DIFFERENCES
from ndctl.recorded import answers, changes, file, load
from ndctl.replay import Replay
from ndctl.sequences import Sequence, table

from xlpy.dom0.nvdimm.nd.bus import NdBus

STATES, KEPT = answers("76")
TABLE = [one for one in table() if one.name in KEPT]
LATER, OTHERS = load(file("85").read_text())  # ndctl 85 on Linux 7.2
SAME = ("list details", "create several", "check-namespace of modes")  # some of those that both answer alike


@pytest.fixture(scope="module")
def replay(tmp_path_factory):
    """Hosts are made once for each state. Their firmware has no scrubs and no SMART, as QEMU's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NdBus, "scrub_state", None)
        yield Replay(tmp_path_factory.mktemp("ndctl"))


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """The same, answering as ndctl 85."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NdBus, "scrub_state", None)
        yield Replay(tmp_path_factory.mktemp("ndctl85"), "85")


def test_every_sequence_is_recorded():
    missing = [one.name for one in table() if one.name not in KEPT]
    assert missing == [], "python tests/ndctl/record.py NAME..."
    changed = [one.name for one in TABLE if tuple(told.command for told in KEPT[one.name].answers) != one.commands]
    assert changed == [], "the commands have changed: python tests/ndctl/record.py NAME..."


@pytest.mark.parametrize("state", sorted(STATES))
def test_each_state_is_the_same(replay, state):
    assert changes(STATES[state], replay.state(state)) == []


@pytest.mark.parametrize("sequence", TABLE, ids=lambda one: one.name)
def test_xlpy_answers_as_ndctl_does(replay, sequence: Sequence):
    found = list(compare(KEPT[sequence.name], replay.play(sequence), replay.state(sequence.state)))
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("sequence", [one for one in TABLE if one.name in (*OTHERS, *SAME)], ids=lambda one: one.name)
def test_xlpy_answers_as_the_later_ndctl_does(later, sequence: Sequence):
    _, kept = answers("85")
    found = list(compare(kept[sequence.name], later.play(sequence), later.state(sequence.state)))
    assert found == [], "\n".join(found)


def test_the_later_file_has_only_what_differs():
    states = STATES | LATER
    states_of = {one.name: one.state for one in table()}
    again = [n for n, one in OTHERS.items() if KEPT[n].same(one.over(states[states_of[n]]), states[states_of[n]])]
    assert (again, LATER) == ([], {})
    assert set(OTHERS) <= set(states_of)


@pytest.mark.parametrize("one", DIFFERENCES, ids=lambda one: one.reason)
def test_every_difference_has_a_reason(one):
    assert len(one.reason) > 20
