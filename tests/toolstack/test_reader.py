"""What all keys share when a configuration is read: lists that hold only strings, and whose refusal it is."""

from __future__ import annotations

import pytest

from xlpy.toolstack.config.domain_config import HostFacts
from xlpy.toolstack.config.reading.reader import Reader
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
