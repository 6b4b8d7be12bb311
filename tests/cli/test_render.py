"""JSON documents: valid, a field a line, a list item a line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.cli import render
from xlpy.cli.render import NumberRows, json_document
from xlpy.columns import LIMIT, Column

NUMBERS = st.sampled_from([0, 1, LIMIT - 1])  # few, so that columns of equal numbers are frequent


@settings(max_examples=60)
@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=9), st.integers(1, 4), st.integers(1, 9))
def test_columns_are_written_as_an_encoder_writes_rows(rows, batch, step):
    parts = [rows[at : at + step] for at in range(0, len(rows), step)]
    columns = NumberRows("abc", [list(map(Column.of, zip(*part, strict=True))) for part in parts])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "BATCH", batch)
        text = b"".join(columns.texts()).decode("ascii")
    assert text.split(",\n    ") == [json.dumps(dict(zip("abc", row, strict=True))) for row in rows]


def test_layout(capsys):
    json_document("s/1", path='a"b', none=[], items=[{"a": 1}, 2], rows=NumberRows("x", [[Column.of([1, 2])]]))
    assert capsys.readouterr().out.splitlines() == [
        "{",
        '  "schema": "s/1",',
        '  "path": "a\\"b",',
        '  "none": [],',
        '  "items": [',
        '    {"a": 1},',
        "    2",
        "  ],",
        '  "rows": [',
        '    {"x": 1},',
        '    {"x": 2}',
        "  ]",
        "}",
    ]
