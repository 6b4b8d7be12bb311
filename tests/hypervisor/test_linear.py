"""LinearMap against a page-by-page dictionary."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.hypervisor.linear import LinearMap, LinearPiece

LIMIT = 60
spans = st.tuples(st.integers(0, LIMIT), st.integers(1, 12))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.tuples(spans, st.integers(0, 1000), st.integers(0, 3)), max_size=4)),
        st.tuples(st.just("take"), spans),
        st.tuples(st.just("remove"), st.lists(spans, min_size=1, max_size=4, unique_by=lambda span: span[0] // 12)),
        st.tuples(st.just("retag"), spans),
    ),
    max_size=12,
)


def tags(runs) -> dict[int, int]:
    return {key: run.tag for run in runs for key in range(run.start, run.end)}


def pages(table: LinearMap) -> dict[int, tuple[int, int]]:
    return {run.start + i: (run.base + i, run.tag) for run in table for i in range(run.size)}


@given(steps)
@settings(max_examples=60, deadline=None)
def test_every_step_equals_the_model(program: list) -> None:
    table, model = LinearMap(), {}
    for step, what in program:
        before = dict(model)
        if step == "add":
            wanted = {}
            clash = False
            for (start, size), base, tag in what:
                for i in range(size):
                    clash |= start + i in wanted or start + i in model
                    wanted[start + i] = (base + i, tag)
            columns = [
                [start for (start, _), _, _ in what],
                [start + size for (start, size), _, _ in what],
                [base for _, base, _ in what],
                [tag for _, _, tag in what],
            ]
            if clash:
                with pytest.raises(ValueError):
                    table.add_columns(*columns)
            else:
                table.add_columns(*columns)
                model |= wanted
        elif step == "take":
            start, size = what
            taken = table.take(start, start + size)
            assert {run.start + i: (run.base + i, run.tag) for run in taken for i in range(run.size)} == {
                k: v for k, v in before.items() if start <= k < start + size
            }
            model = {k: v for k, v in before.items() if not start <= k < start + size}
        elif step == "remove":
            starts = [start for start, _ in what]
            ends = [min(start + size, (start // 12 + 1) * 12) for start, size in what]  # no two overlap
            table.remove_columns(starts, ends)
            model = {k: v for k, v in before.items() if not any(a <= k < b for a, b in zip(starts, ends, strict=True))}
        else:
            start, size = what
            table.retag(start, start + size, 9)
            model = {k: (v[0], 9) if start <= k < start + size else v for k, v in before.items()}
        assert pages(table) == model
        assert table.starts == sorted(table.starts)
        whole = table.stretches()
        assert tags(whole) == {key: tag for key, (_, tag) in model.items()}
        assert all(one.end < two.start or one.tag != two.tag for one, two in pairwise(whole))
        assert all(table.lookup(one.start) == (one.base, one.tag) for one in whole)
        for key in range(LIMIT + 14):
            assert table.lookup(key) == model.get(key)
            assert table.overlaps(key, key + 3) == any(k in model for k in range(key, key + 3))
        assert list(LinearMap().load(json.loads(json.dumps(table.dump())))) == list(table)


def test_a_split_keeps_the_arithmetic() -> None:
    table = LinearMap()
    table.add(100, 200, 5000, 1)
    assert table.take(130, 150) == [LinearPiece(130, 150, 5030, 1)]
    assert list(table) == [LinearPiece(100, 130, 5000, 1), LinearPiece(150, 200, 5050, 1)]
    assert table.clip(120, 160) == [LinearPiece(120, 130, 5020, 1), LinearPiece(150, 160, 5050, 1)]
    assert table.at(150) == LinearPiece(150, 200, 5050, 1)
    assert table.at(140) is None


def test_dump_is_small_when_tags_agree() -> None:
    table = LinearMap()
    table.add_columns([0, 10], [5, 15], [1, 2], [7, 7])
    assert table.dump()[3] == 7
    assert LinearMap().dump() == []
