"""85 texts and what libxlutil 4.17 makes of them, observed on Debian's build.

A dict maps keys to (text, number) or a list; the number is None where the text is none, ``ERANGE`` where it overflows.
A list holds the line numbers of the error messages (off by one at line ends, as the library has them).
"""

from __future__ import annotations

import errno
import re

import pytest
from oracle.libxlutil import ask_many, needs_libxlutil

from xlpy.toolstack.config.xlcfg import Items, Refused, Unusable, parse

ROWS = [
    # Strings and escapes
    (b'x="a\\n\\tb\\\\\\"\\\'"\n', {"x": ("a\n\tb\\\"'", None)}),
    (b'x="\\a\\b\\f\\r\\v"\n', {"x": ("\x07\x08\x0c\r\x0b", None)}),
    (b'x="\\x41"\n', [1]),
    (b'x="\\101B"\n', {"x": ("B", None)}),
    (b'x="A\\0B"\n', [1]),
    (b'x="A\\01234B"\n', {"x": ("A4B", None)}),
    (b'x="A\\189B"\n', {"x": ("AB", None)}),
    (b'x="A\\1+2B"\n', {"x": ("AB", None)}),
    (b'x="\\z"\n', [1]),
    (b'x="\\\n"\n', [1, 2]),
    (b'x="abc', [1]),
    (b'x="\\"\n', [1]),
    (b'x="a\'b"\n', {"x": ("a'b", None)}),
    (b'x=""\n', {"x": ("", None)}),
    (b'x="a" "b"\n', [1]),
    (b'x="\xc3\xa9\xff"\n', {"x": ("é\udcff", None)}),
    # Bare words and numbers
    (b"x=abc\n", [1]),
    (b"x=True\n", [1]),
    (b"x=5\n", {"x": ("5", 5)}),
    (b"x=-5\n", [1]),
    (b'x="-5"\n', {"x": ("-5", -5)}),
    (b'x=" +5"\n', {"x": (" +5", 5)}),
    (b'x="5 "\n', {"x": ("5 ", None)}),
    (b"x=010\n", {"x": ("010", 8)}),
    (b"x=08\n", {"x": ("08", None)}),
    (b"x=0x1f\n", {"x": ("0x1f", 31)}),
    (b"x=0x1F\n", [1]),
    (b"x=0x\n", {"x": ("0x", None)}),
    (b"x=1.5\n", [1]),
    (b"x=9223372036854775808\n", {"x": ("9223372036854775808", "ERANGE")}),
    (b"x=0xffffffffffffffff\n", {"x": ("0xffffffffffffffff", "ERANGE")}),
    (b'x="-9223372036854775809"\n', {"x": ("-9223372036854775809", "ERANGE")}),
    (b'x="99999999999999999999z"\n', {"x": ("99999999999999999999z", "ERANGE")}),
    # Keys and separators
    (b"x.y_1=1\n", {"x.y_1": ("1", 1)}),
    (b"X=1\n", [1]),
    (b"x-y=1\n", [1]),
    (b"1x=1\n", [1]),
    (b"if=1\n", {"if": ("1", 1)}),
    (b"x=1;y=2", {"x": ("1", 1), "y": ("2", 2)}),
    (b";;x=1;;\n", {"x": ("1", 1)}),
    (b"x=1 y=2\n", [1]),
    (b"x\n", [0]),
    (b"x=\n5\n", [0]),
    (b"y=1\n\nx=\n", [2]),
    (b"x=1 # c\n", {"x": ("1", 1)}),
    (b"x=1 # c", [1]),
    (b"# c", [1]),
    (b"#", {}),
    (b"x=1\r\n", [1]),
    (b"\xef\xbb\xbfx=1\n", [1]),
    (b"x=1\x00\n", [1]),
    (b"x=1\n\x00", {"x": ("1", 1)}),
    (b"# a\x00b\nx=1\n", {"x": ("1", 1)}),
    (b"x=1$", {"x": ("1", 1)}),
    (b"x=1 $ y=2\n", [1]),
    (b"x=$ $ $\n", [1, 1]),
    (b"", {}),
    # Lists
    (b"x=[]\n", {"x": []}),
    (b'x=[1,"b",]\n', {"x": ["1", "b"]}),
    (b'x=["a",\n"b"\n,"c"\n]\n', {"x": ["a", "b", "c"]}),
    (b'x=["a", # c\n"b"]\n', {"x": ["a", "b"]}),
    (b"x=[,]\n", [1]),
    (b'x=["a" "b"]\n', [1]),
    (b'x=["a"\n"b"]\n', [2]),
    (b'x=[["a",["b"]],[]]\n', {"x": [["a", ["b"]], []]}),
    (b"x=[a]\n", [1]),
    (b'x=["a"\n', [1]),
    (b'x=\n["a"]\n', [0]),
    (b'x=("a")\n', [1]),
    (b"x={}\n", [1]),
    # Repetition and +=
    (b"x=1\nx=2\n", {"x": ("2", 2)}),
    (b'x=1\nx=["a"]\n', {"x": ["a"]}),
    (b'x="a"\nx+="b"\n', {"x": ("ab", None)}),
    (b"x=1\nx+=2\n", {"x": ("12", None)}),
    (b"x+=1\n", {"x": ("1", None)}),
    (b"x=1\nx+=2\nx=3\n", {"x": ("3", 3)}),
    (b'x=["a"]\nx+=["b",["c"]]\n', {"x": ["a", "b", ["c"]]}),
    (b'x+=["a"]\n', {"x": ["a"]}),
    (b'x=["a"]\nx+="b"\n', [2]),
    (b'x="a"\nx+=["b"]\n', [2]),
    (b"x + = 1\n", [1]),
    # Several errors
    (b"x=?\ny=!\nz=1\n", [1, 2]),
    (b"a=\nb=\n", [0, 1]),
    (b"x=1\nfoo bar\nx=2\n", [2]),
    (b"def f():\n", [1, 1]),
]


def number(settings, key):
    """The number of a key, None, or "ERANGE"."""
    try:
        return settings.integer(key)
    except Unusable as problem:
        return "ERANGE" if problem.errno == errno.ERANGE else None


def plain(value):
    """A value without its positions."""
    return [plain(item) for item in value] if isinstance(value, Items) else str(value)


@pytest.mark.parametrize(("data", "expected"), ROWS, ids=[repr(data) for data, _ in ROWS])
def test_strict_reading(data, expected):
    if isinstance(expected, list):
        with pytest.raises(Refused) as caught:
            parse(data, "t.cfg", strict=True)
        assert [problem.xl_line for problem in caught.value.problems][:1] == expected[:1]
        return
    settings = parse(data, "t.cfg", strict=True)
    assert set(settings) == set(expected)
    for key, value in expected.items():
        if isinstance(value, list):
            assert plain(settings[key]) == value
        else:
            assert (settings.string(key), number(settings, key)) == value


@needs_libxlutil
def test_the_library_agrees_with_the_table():
    for (data, expected), answer in zip(ROWS, ask_many([data for data, _ in ROWS]), strict=True):
        if isinstance(expected, dict):
            assert answer["rc"] == 0, data
        else:
            lines = re.findall(rb"^t\.cfg:(\d+): config parsing error", answer["report"], re.M)
            assert (answer["rc"], [int(line) for line in lines]) == (22, expected), data
