"""Our strict reading against libxlutil 4.17: verdict, every accessor, and the line of the first error."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import libxlutil, readings
from oracle.libxlutil import ask_many, needs_libxlutil
from work import calls

from xlpy.toolstack.config.xlcfg import Refused, parse

KEYS = (b"x", b"y")
# Pieces of text, chosen so that anything may follow anything.
PIECES = [
    *(b"x", b"y", b"x", b"=", b"=", b"+=", b"\n", b"\n", b";", b",", b"[", b"]", b"1", b"23", b"08", b"0x1f", b" "),
    *(b"\t", b"\\", b'"', b"'", b"$", b"+", b"-", b"#", b"\r\n", b"\xc3\xa9", b"\xff", b"# c\n", b"#c"),
    *(b'"a"', b"'b'", b'"a\\n"', b'"\\x41"', b'"\\101"', b'"\\1 2"', b'"\\0"', b'"-1"', b'" +7"', b'"\\\\"', b'"1\\""'),
    *(b"x=1\n", b"x+=1\n", b'y=["a","b"]\n', b'y+=["c"]\n', b"[1,2]", b"[[1],[2]]", b'["a",\n # c\n 5,]\n', b"x=y"),
]
TRICKY = [
    *(b"x=1\r", b"x=1 ", b"x=1\t#\n", b"x=1#", b"x=1;#", b"x=[#c\n]\n", b"x=[\n\n]\n", b"x=[1\n,\n]\n", b"x=[1#\n]\n"),
    *(b"x=[[[]]]\n", b"x=[[],]\n", b"x=[1,[2,],]\n", b"x=]\n", b"x=[]]\n", b"x=[[]\n", b"x=[];y=[]\n", b"x=[] y=[]\n"),
    *(b'x="a\\\\"\n', b'x="a\\\\\\""\n', b'x="\\\\n"\n', b'x="\\\\\\n"\n', b"x='\\''\n", b"x='\\x'\n", b'x="\\1"\n'),
    *(
        b'x="\\123456"\n',
        b'x="\\1\t7z"\n',
        b'x="\\1-"\n',
        b'x="\\1-9"\n',
        b'x="\\7  9"\n',
        b'x="\\9"\n',
        b'x="\\\xff"\n',
    ),
    *(
        b"x+=[]\n",
        b"x+=[1];x+=[2]\n",
        b'x+="a"\nx+="b"\nx="c"\nx+="d"\n',
        b"x=[1]\nx=2\nx+=3\n",
        b"x+=1\nx=[1]\nx+=[2]\n",
    ),
    *(b"\x0c", b"x=1\x0c\n", b"\xa0x=1\n", b"x\xc2\xa0=1\n", b"\xc3\xa9", b"x=1\xff", b"x=1\n\xff", b"x=1\n\xc3\xa9"),
    *(
        b"x.=1\n",
        b"x..y=1\n",
        b"_x=1\n",
        b".x=1\n",
        b"x=1x\n",
        b"x=fx\n",
        b"x=1__\n",
        b"x = 0xg\n",
        b"x=00\n",
        b"x=0\n",
    ),
    *(
        b";",
        b";;",
        b"\n;\n",
        b"x=1;;y=2\n",
        b"x=1;\ny=2;",
        b"x;\n",
        b"x=;\n",
        b";=\n",
        b"x==1\n",
        b"x+=+=1\n",
        b"x +=1\n",
    ),
    *(b"a=\nb=1 c\nd e\n", b"x=[1\ny=2\nz=3\nw=4\n", b"x=?y\nz z z\n", b"x=(\n)\nx y\n", b"$\n$\n", b"x=1\n\n\n$ x\n"),
    *(b'x="' + b"a" * 100_000 + b'"\n', b"x=" + b"9" * 100_000 + b"\n", b"x=[" + b"1," * 20_000 + b"]\n"),
    *(b"k%d=1\n" % 1 * 5000, b"x+=1\n" * 500, b"x+=[1]\n" * 500, b"# " + b"c" * 100_000 + b"\nx=1\n"),
]


def check(data, answer):
    """Compare one answer of the library with ours."""
    ours = readings.read(data, KEYS)
    assert ours["rc"] == (0 if answer["rc"] == 0 else 22), data
    if answer["rc"] == 0:
        assert {key: ours[key] for key in KEYS} == {key: answer[key] for key in KEYS}, data
    elif answer["rc"] == 22:
        lines = re.findall(rb"^t\.cfg:(\d+): config parsing error", answer["report"], re.M)
        assert ours["lines"][0] == int(lines[0]), data


@needs_libxlutil
def test_tricky_texts():
    for data, answer in zip(TRICKY, ask_many(TRICKY, KEYS), strict=True):
        check(data, answer)


@needs_libxlutil
@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), min_size=15, max_size=30))
def test_pieces_in_any_order(texts):
    for data, answer in zip(texts, ask_many(texts, KEYS), strict=True):
        check(data, answer)


BLANKS = st.sampled_from(["", " ", "\t", "  "])
BREAKS = st.sampled_from(["", " ", "\n", " # c, ]\n", "\n\n\t"])
ATOMS = st.one_of(
    st.from_regex(r"[0-9][0-9a-fx]{0,3}", fullmatch=True),
    st.text(st.characters(codec="utf-8", exclude_characters='"\\\n\0'), max_size=6).map(lambda text: f'"{text}"'),
    st.sampled_from(['"\\n\\t"', "'a\"b'", '"\\"\\\\"', '"0x7f"', '" -12"', '"\\101Z"', "''"]),
)


@st.composite
def lists(draw, items):
    """A list of items with breaks wherever they may be."""
    inner = draw(st.lists(items, max_size=4))
    text = "".join(f"{draw(BREAKS)}{item}{draw(BREAKS)}," for item in inner)
    return f"[{draw(BREAKS)}{text if draw(st.booleans()) else text[:-1]}{draw(BREAKS)}]"


VALUES = st.recursive(ATOMS, lists, max_leaves=8)


@st.composite
def files(draw):
    """A valid file: assignments and additions to three keys with everything around them that may be."""
    kinds = {}
    lines = []
    for _ in range(draw(st.integers(0, 6))):
        key, value = draw(st.sampled_from(["x", "y", "z.w_1"])), draw(VALUES)
        operator = "+=" if draw(st.booleans()) and kinds.get(key, value[0] == "[") == (value[0] == "[") else "="
        kinds[key] = value[0] == "["
        lines.append(f"{draw(BLANKS)}{key}{draw(BLANKS)}{operator}{draw(BLANKS)}{value}{draw(BLANKS)}")
        lines.append(draw(st.sampled_from(["\n", ";", "# c\n", "\n\n", ";;\n"])))
    return "".join(lines).encode()


@needs_libxlutil
@settings(max_examples=20, deadline=None)
@given(st.lists(files(), min_size=5, max_size=10))
def test_valid_files(texts):
    for data, answer in zip(texts, ask_many(texts, KEYS), strict=True):
        assert answer["rc"] == 0, data
        check(data, answer)


def strict_accepts(data):
    """Whether our strict reading takes the text."""
    try:
        parse(data, "t.cfg", strict=True)
    except Refused:
        return False
    return True


DEPTHS = [
    *(
        b"x=" + b"[" * n + inner + b"]" * n + b"\n"
        for n in range(4993, 4999)
        for inner in (b"", b"1", b"1,2", b"1,2\n")
    ),
    *(
        b"x=" + b"[1," * n + b"[" + inner + b"]" * (n + 1) + b"\n"
        for n in range(1996, 2001)
        for inner in (b"", b"1,\n")
    ),
]


def test_nesting_needs_no_stack():
    assert strict_accepts(b"x=" + b"[" * 4996 + b"]" * 4996)
    with pytest.raises(Refused, match="not a valid configuration"):
        parse(b"x=" + b"[" * 1_000_000, "t.cfg")


@needs_libxlutil
def test_nesting_ends_where_the_library_gives_up():
    answers = libxlutil.isolated(lambda: [libxlutil.read(data, ())["rc"] == 0 for data in DEPTHS])
    assert [strict_accepts(data) for data in DEPTHS] == answers


def test_the_work_grows_with_the_text_and_no_faster():
    """The benchmark holds the time of a megabyte against that of the library."""

    def work(count):
        data = b"".join(
            b'name%d = "vm%d"\nmemory = 1024   # MiB\n' % (number, number)
            + b'disk = [ "format=raw,vdev=xvda,target=/dev/vg/lv%d",\n "phy:/x,xvdb,r" ]\n' % number
            for number in range(count)
        )
        return calls(lambda: parse(data, "t.cfg", strict=True))

    work(10)
    assert work(4000) <= 4.4 * work(1000)
