"""Interval maps: pictures first, then a naive model that knows every point."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.rangemap import RangeMap, Run


def picture(text: str) -> RangeMap[str]:
    """A letter is a point, a run of one letter is a range; ``.`` is free, ``|`` parts neighbours of one letter."""
    found, point, previous = [], 0, "."
    for char in text:
        if char == "|":
            previous = "."
            continue
        if char != ".":
            if char == previous:
                found[-1][1] = point + 1
            else:
                found.append([point, point + 1, char])
        previous, point = char, point + 1
    return RangeMap((start, end, value) for start, end, value in found)


def drawn(ranges: RangeMap[str], width: int) -> str:
    """The inverse of ``picture``."""
    text, last = "", None
    for point in range(width):
        run = ranges.at(point)
        if run and last and run.start == point and last.value == run.value and last.end == point:
            text += "|"
        text += run.value if run else "."
        last = run
    return text


def add(ranges, start, end):
    ranges.add(start, end, "x")


def remove(ranges, start, end):
    ranges.remove(start, end)


@pytest.mark.parametrize(
    ("before", "step", "start", "end", "after"),
    [
        # adding to nothing, at the ends, between
        ("..........", add, 3, 6, "...xxx...."),
        ("..........", add, 0, 10, "xxxxxxxxxx"),
        ("...aaa....", add, 0, 2, "xx.aaa...."),
        ("...aaa....", add, 8, 10, "...aaa..xx"),
        ("aa......bb", add, 4, 6, "aa..xx..bb"),
        # touching is not overlapping, and neighbours stay apart
        ("...aaa....", add, 1, 3, ".xxaaa...."),
        ("...aaa....", add, 6, 7, "...aaax..."),
        ("...xxx....", add, 6, 8, "...xxx|xx.."),
        ("aa...bb...", add, 2, 5, "aaxxxbb..."),
        # removing nothing, all, ends, the middle
        ("..........", remove, 2, 5, ".........."),
        ("...aaa....", remove, 0, 3, "...aaa...."),
        ("...aaa....", remove, 6, 9, "...aaa...."),
        ("...aaa....", remove, 3, 6, ".........."),
        ("...aaa....", remove, 0, 10, ".........."),
        ("...aaa....", remove, 2, 4, "....aa...."),
        ("...aaa....", remove, 5, 9, "...aa....."),
        ("..aaaaaa..", remove, 4, 6, "..aa..aa.."),
        # across several
        ("aabbcc.dd.", remove, 1, 8, "a.......d."),
        ("aabbcc.dd.", remove, 2, 6, "aa.....dd."),
        ("aa.aa.aa.a", remove, 0, 10, ".........."),
        # an empty request does nothing
        ("aaaa......", remove, 2, 2, "aaaa......"),
        ("aaaa......", remove, 3, 1, "aaaa......"),
    ],
)
def test_pictures(before, step, start, end, after):
    ranges = picture(before)
    assert drawn(ranges, 10) == before
    step(ranges, start, end)
    assert drawn(ranges, 10) == after


@pytest.mark.parametrize(
    ("before", "start", "end"),
    [
        ("...aaa....", 3, 6),  # the same
        ("...aaa....", 4, 5),  # strictly inside
        ("...aaa....", 2, 7),  # strictly around
        ("...aaa....", 2, 4),  # over the front
        ("...aaa....", 5, 7),  # over the back
        ("...aaa....", 3, 4),  # same start
        ("...aaa....", 5, 6),  # same end
        ("aa.bb.cc..", 0, 10),
        ("..........", 5, 5),  # empty
        ("..........", 6, 5),
    ],
)
def test_what_cannot_be_added_changes_nothing(before, start, end):
    ranges = picture(before)
    with pytest.raises(ValueError, match=r"overlaps|empty"):
        ranges.add(start, end, "x")
    assert drawn(ranges, 10) == before


@pytest.mark.parametrize(
    ("text", "start", "end", "runs", "gaps"),
    [
        ("..........", 2, 5, "", [(2, 5)]),
        ("..aa..bb..", 0, 10, "ab", [(0, 2), (4, 6), (8, 10)]),
        ("..aa..bb..", 3, 7, "ab", [(4, 6)]),
        ("..aa..bb..", 2, 4, "a", []),
        ("..aa..bb..", 4, 6, "", [(4, 6)]),
        ("..aabbcc..", 3, 7, "abc", []),
        ("..aa..bb..", 3, 3, "", []),
        ("..aa..bb..", 9, 20, "", [(9, 20)]),
    ],
)
def test_questions(text, start, end, runs, gaps):
    ranges = picture(text)
    assert "".join(run.value for run in ranges.overlapping(start, end)) == runs
    assert ranges.overlaps(start, end) == bool(runs)
    assert ranges.gaps(start, end) == gaps
    assert ranges.covers(start, end) == (not gaps)


def test_removed_parts_and_values_that_depend_on_position():
    ranges = RangeMap([(10, 20, 1000), (20, 30, 5000)])  # value: what the first point is mapped to
    removed = ranges.remove(15, 25, lambda run, a, _b: run.value + a - run.start)
    assert removed == [Run(15, 20, 1005), Run(20, 25, 5000)]
    assert list(ranges) == [Run(10, 15, 1000), Run(25, 30, 5005)]


def test_whole_runs_keep_their_value():
    ranges = RangeMap([(0, 10, "a")])
    assert ranges.remove(0, 10, lambda *_: "cut") == [Run(0, 10, "a")]
    assert (len(ranges), ranges.total()) == (0, 0)


def test_iterating_while_changing():
    ranges = picture("a.b.c.d...")
    for run in ranges:
        ranges.remove(run.start, run.end)
    assert len(ranges) == 0


def test_a_terabyte_costs_as_much_as_a_page():
    ranges = RangeMap([(0, 1 << 60, "huge")])
    ranges.remove(1 << 40, (1 << 40) + 1)
    assert ranges.total() == (1 << 60) - 1
    assert ranges.gaps(0, 1 << 60) == [(1 << 40, (1 << 40) + 1)]


WIDTH = 24
STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, WIDTH), st.integers(0, WIDTH)), max_size=25)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_against_a_model_of_points(steps):
    ranges: RangeMap[int] = RangeMap()
    model: dict[int, int] = {}
    for number, (adding, start, end) in enumerate(steps):
        wanted = range(start, end)
        if adding:
            possible = start < end and not any(point in model for point in wanted)
            assert ranges.overlaps(start, end) == any(point in model for point in wanted)
            if possible:
                ranges.add(start, end, number)
                model.update(dict.fromkeys(wanted, number))
            else:
                with pytest.raises(ValueError):
                    ranges.add(start, end, number)
        else:
            removed = ranges.remove(start, end)
            gone = {point: run.value for run in removed for point in range(run.start, run.end)}
            assert gone == {point: model.pop(point) for point in wanted if point in model}
        for point in range(-1, WIDTH + 1):
            run = ranges.at(point)
            assert (run.value if run else None) == model.get(point)
        free = [point for a, b in ranges.gaps(0, WIDTH) for point in range(a, b)]
        assert free == [point for point in range(WIDTH) if point not in model]
        assert ranges.total() == len(model)
        flat = [edge for run in ranges for edge in (run.start, run.end)]
        assert flat == sorted(flat)
        assert all(run.start < run.end for run in ranges)
