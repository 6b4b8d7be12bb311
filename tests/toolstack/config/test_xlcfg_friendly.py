"""The friendly reading, which is the default: what it takes that the real xl refuses, and how it reports errors."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlpy.toolstack.config.xlcfg import Items, Refused, Text, parse, plain

DEPARTURES = [
    (b"x=1\r\ny=2\r\n", {"x": "1", "y": "2"}, "t.cfg:1:4: warning: the real xl refuses lines that end in CR LF"),
    (
        b"x=1 # the end",
        {"x": "1"},
        "t.cfg:1:5: warning: the real xl refuses a comment at the end of the file that has no newline",
    ),
    (
        b"\xef\xbb\xbfx=1\n",
        {"x": "1"},
        "t.cfg:1:1: warning: the real xl refuses a file that starts with a byte order mark",
    ),
    (
        b'x="\\x41\\x7a"\n',
        {"x": "Az"},
        "t.cfg:1:4: warning: the real xl refuses every \\x escape; write the character itself",
    ),
    (
        b'x="\\xc3\\xa9"\n',
        {"x": "é"},
        "t.cfg:1:4: warning: the real xl refuses every \\x escape; write the character itself",
    ),
]


@pytest.mark.parametrize(("data", "values", "warning"), DEPARTURES)
def test_departures_warn_and_strict_refuses(data, values, warning):
    read = parse(data, "t.cfg")
    assert {key: read[key] for key in read} == values
    assert str(read.warnings[0]) == warning
    with pytest.raises(Refused):
        parse(data, "t.cfg", strict=True)


@pytest.mark.parametrize("data", [b"#", b"x=1#", b"# c\r\n", b"x=1 # c\r\n", b'x="\\r"\n'])
def test_what_the_real_xl_takes_needs_no_warning(data):
    assert parse(data, "t.cfg").warnings == []


def test_an_octal_escape_reads_as_in_xl_and_warns():
    read = parse(b'x="\\101B"\n', "t.cfg")
    assert read["x"] == "B"
    assert str(read.warnings[0]).endswith("xl reads an octal escape as nothing at all; write the character itself")


@pytest.mark.parametrize("data", [b'x="\\x4"\n', b'x="\\xzz"\n', b'x="\\x00"\n', b'x="\\0"\n', b"x=1\r2\n"])
def test_friendliness_ends_where_the_meaning_does(data):
    with pytest.raises(Refused):
        parse(data, "t.cfg")


def test_errors_show_place_line_and_caret():
    with pytest.raises(Refused) as caught:
        parse(b'name = "vm"\nmemory = 1 G\nvcpus = True\n', "vm.cfg")
    assert caught.value.message == "vm.cfg is not a valid configuration (2 errors)"
    assert caught.value.exit == 3
    assert caught.value.details == (
        "vm.cfg:2:12: unexpected 'G' (keys are lower case, text needs quotes, booleans are 0 and 1)",
        "    memory = 1 G",
        "               ^",
        "vm.cfg:3:9: unexpected 'True' (keys are lower case, text needs quotes, booleans are 0 and 1)",
        "    vcpus = True",
        "            ^",
    )


HINTS = [
    (b"x=-5\n", "unexpected '-5' (numbers have no sign and no decimals outside quotes; keys have no -)"),
    (
        b"x=abc\n",
        'unexpected word abc; expected a value: a quoted string, a number or a list (text needs quotes ("abc"), '
        "booleans are 0 and 1)",
    ),
    (b'x=["a" "b"]\n', 'unexpected "b"; expected , or ] after the list item (is a comma missing?)'),
    (b"x=1 y=2\n", "unexpected word y; expected the end of the line, or ; (one setting a line, or ; between two)"),
    (b"x=\n", "unexpected end of the line; expected a value: a quoted string, a number or a list"),
    (b"x=[1\n", "unexpected end of the text; expected , or ] after the list item"),
    (b"x\n", "unexpected end of the line; expected = or += after the key"),
    (b'x="abc\n', "unexpected '\"abc' (the string has no end on this line)"),
    (b"x={}\n", "unexpected '{}' (only [lists] are known)"),
    (b'x="\\z"\n', "invalid character after backslash in a quoted string: 'z' (write \\\\ for a backslash)"),
    (b'x="a"\nx+=["b"]\n', "can't add a list to x, which is a string (x was set at t.cfg:1:1)"),
]


@pytest.mark.parametrize(("data", "message"), HINTS)
def test_errors_say_what_to_do(data, message):
    with pytest.raises(Refused) as caught:
        parse(data, "t.cfg")
    problem = caught.value.problems[0]
    assert f"{problem.message}" + (f" ({problem.hint})" if problem.hint else "") == message


def test_python_is_named_when_it_looks_like_it():
    with pytest.raises(Refused, match="not a valid") as caught:
        parse(b"import os\nmemory = int(5)\n", "t.cfg")
    assert caught.value.hint.startswith("xl configurations are not Python")


def test_values_know_where_they_stand():
    read = parse('a = 1; bb = "é\\ty"\nc = [ 1,\n  ["x"] ]\n', "t.cfg")
    assert str(read.where("bb")) == "t.cfg:1:13"
    assert str(read.where_key("bb")) == "t.cfg:1:8"
    assert str(read.where_in(read["bb"], 2)) == "t.cfg:1:17"
    assert [str(read.source.position(item.offset)) for item in read["c"]] == ["t.cfg:2:7", "t.cfg:3:3"]
    assert str(read.source.position(read["c"][1][0].offset)) == "t.cfg:3:4"


def test_settings_of_the_command_line_win_and_are_named():
    read = parse(b"memory = 1\ndisk = ['a']", "t.cfg", ["memory=2", "disk+=['b']", "x=1;y=2"])
    assert (read["memory"], read["disk"], read["x"], read["y"]) == ("2", ["a", "b"], "1", "2")
    assert str(read.where("memory")) == "<command line>:1:8"
    assert str(read.where("y")) == "<command line>:3:7"
    assert str(read.source.position(read["disk"][0].offset)) == "t.cfg:2:9"
    with pytest.raises(Refused) as caught:
        parse(b"a=1\n", "t.cfg", ["b=1", "name=vm"])
    assert caught.value.details[0].startswith("<command line>:2:6: unexpected word vm")


def test_a_last_comment_is_ended_by_a_setting_from_the_command_line():
    assert parse(b"# c", "t.cfg", ["a=1"], strict=True)["a"] == "1"
    with pytest.raises(Refused):
        parse(b"# c", "t.cfg", strict=True)


def test_long_lines_are_cut_around_the_caret():
    with pytest.raises(Refused) as caught:
        parse(b"x=[" + b"1," * 10_000 + b"?" + b",1" * 10_000 + b"]\n", "t.cfg")
    line, caret = caught.value.details[1:3]
    assert len(line) < 200
    assert line[len(caret) - 1] == "?"


def test_texts_and_lists_are_strings_and_lists():
    read = parse(b"a=1\nb=[1]", "t.cfg")
    assert isinstance(read["a"], Text)
    assert isinstance(read["b"], Items)
    assert len(read) == 2
    assert "a" in read
    assert "c" not in read


TOKENS = st.sampled_from(["x", "=", "+=", "1", '"a"', '"\\n"', "[", "]", ",", "\n", ";", "# c\n", " ", "$", '"', "'b'"])


@settings(max_examples=300, deadline=None)
@given(st.lists(TOKENS, max_size=14).map("".join))
def test_the_plain_way_and_the_token_machine_agree(text):
    def outcome():
        read = reading(text, True)
        if isinstance(read, Refused):
            return [str(problem) for problem in read.problems]
        return [(key, read[key], read[key].offset) for key in read]

    with pytest.MonkeyPatch.context() as patch:
        both = outcome()
        patch.setattr(plain, "read", lambda _text, at, _store: at)
        assert outcome() == both


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data):
    for strict in (False, True):
        read = reading(data, strict)
        if isinstance(read, Refused):
            assert [problem for problem in read.problems if not problem.where] == []
        else:
            assert {str(read.where(key)).partition(":")[0] for key in read} <= {"t.cfg"}


def reading(data, strict):
    """The settings, or the refusal."""
    try:
        return parse(data, "t.cfg", strict=strict)
    except Refused as refused:
        return refused


@pytest.mark.parametrize("number", [0xD800, 0xDBFF, 0xDC00, 0xDC7F])
def test_half_a_character_is_no_text(number):
    half = chr(number)
    with pytest.raises(Refused) as caught:
        parse(f'a = 1\nname = "x{half}"\n', "t.cfg")
    assert str(caught.value.problems[0]) == f"t.cfg:2:10: U+{number:04X} is half of a character"
    caught.value.details[1].encode()
    with pytest.raises(Refused, match=r"t\.cfg is not a valid configuration"):
        parse(b"a = 1\n", "t.cfg", [f'name="{half}"'])


@pytest.mark.parametrize("number", [0xDC80, 0xDCFF])
def test_a_byte_that_is_not_utf8_is_text(number):
    assert parse(f'name = "{chr(number)}"\n', "t.cfg")["name"] == chr(number)
