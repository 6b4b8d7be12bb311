"""What all keys share when a configuration is read: lists that hold only strings, and whose refusal it is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.toolstack.config.domain_config import HostFacts
from xlpy.toolstack.config.options import OPTIONS
from xlpy.toolstack.config.reading.reader import Reader
from xlpy.toolstack.config.reading.steps import STEPS, due
from xlpy.toolstack.config.xlcfg import parse


def reader(text: str) -> Reader:
    """A reading of keys that nobody has."""
    return Reader(parse(text, "a.cfg"), HostFacts())


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ('colours = ["red", 7]', None, ["red", "7"]),
        ('colours = ["red", ["blue"]]', 1, ["red"]),
        ('colours = ["red", ["blue"]]', 2, "colours: a list inside the list"),
        ("colours = [[]]", None, "colours: a list inside the list"),
        ("colours = 7", None, []),
        ("", None, []),
    ],
)
def test_lists_without_lists(text, most, expected):
    reading = reader(text)
    found = reading.flat("colours", 1, most)
    assert ([problem.message for problem in reading.problems] or [found]) == [expected]


@pytest.mark.parametrize(
    ("statuses", "expected"), [((), 0), ((3, 1), 3), ((None,), None), ((1, None), None), ((None, 1), None)]
)
def test_the_first_error_decides_the_status_unless_one_is_ours_alone(statuses, expected):
    reading = reader("")
    for status in statuses:
        reading.error(None, "wrong", status=status)
    assert reading.status == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(OPTIONS)), max_size=6, unique=True),
    st.sampled_from(["hvm", "pv", "pvh"]),
    st.data(),
)
def test_steps_that_are_not_due_have_nothing_to_do(keys, kind, data):
    values = ["0", "1", '"x"', "[]", '["a"]', '["1"]', '"1"']
    lines = [f"{key} = {data.draw(st.sampled_from(values))}" for key in keys if key not in ("name", "type")]
    text = f'name = "a"\ntype = "{kind}"\n' + "\n".join(lines) + "\n"

    def outcome(chosen):
        reader = Reader(parse(text, "t.cfg"), HostFacts())
        for step in chosen:
            step(reader)
        return reader.tree, [str(one) for one in (*reader.problems, *reader.warnings)], reader.status

    taken = due(*parse(text, "t.cfg"))
    always = [step.run for step in STEPS if step.run in taken or not _of_devices(step)]
    assert outcome(taken) == outcome(always)


def _of_devices(step):
    """Whether a step makes an empty list of devices where none are named: it has to be left out."""
    return step.run.__qualname__.startswith("_lazily") or "pci" in step.keys
