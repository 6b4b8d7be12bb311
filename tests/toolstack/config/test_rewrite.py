"""Settings are taken out of a text; what the others say stays as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlpy.toolstack.config.xlcfg import parse
from xlpy.toolstack.config.xlcfg.rewrite import comment_out, statements

KEYS = ("iomem", "vnvdimm", "memory", "name", "disk")
VALUES = ("5", "'a;b#c'", '"[x]"', "[]", "['a', 'b']", "[ 1,\n  # why ; [\n  'two', ['three'],\n]", r'"q\"; x = [1"')
ENDS = ("\n", ";", " ; ", "   # a comment, not iomem = 5\n", "\n\n# another\n", "  \n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iomem = ['1,1']\n", "# iomem = ['1,1']\n"),
        ("memory = 5\niomem = ['1,1']", "memory = 5\n# iomem = ['1,1']\n"),
        ("a = 1; iomem = [\n'1' ]; b = 2\n", "a = 1; \n# iomem = [\n# '1' ]\nb = 2\n"),
        ("iomem = [] # why\nb = 2\n", "# iomem = []\n# why\nb = 2\n"),
        ("iomem = []\niomem += ['1']\n", "# iomem = []\n# iomem += ['1']\n"),
        ("# iomem = 5\nname = 'iomem = 5'\n", "# iomem = 5\nname = 'iomem = 5'\n"),
        ("", ""),
    ],
)
def test_lines(text, expected):
    assert comment_out(text, {"iomem"}) == expected


def plain(settings, leave=()):
    return {key: settings[key] for key in settings if key not in leave}


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES), st.sampled_from(ENDS)), max_size=8),
    st.sets(st.sampled_from(KEYS)),
)
def test_the_other_settings_keep_their_values(rows, keys):
    text = "".join(f"{key} = {value}{end}" for key, value, end in rows)
    whole = parse(text, "a.cfg", strict=True) if text.endswith("\n") or not text else parse(text + "\n", "a.cfg")
    left = comment_out(text, keys)
    assert plain(parse(left, "a.cfg", strict=True)) == plain(whole, keys)
    assert comment_out(left, keys) == left
    found = list(statements(text))
    assert [one.key for one in found] == [key for key, _, _ in rows]
    assert [text[one.start : one.end] for one in found] == [f"{key} = {value}" for key, value, _ in rows]
