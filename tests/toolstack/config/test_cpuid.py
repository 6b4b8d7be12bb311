"""CPU features: both syntaxes, against what libxenlight keeps of them."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.libxlutil import isolated
from oracle.specs import FEATURE_VALUES, FEATURES
from programs import needs_other

from xlpy.toolstack.config.cpuid import FIELDS, CpuidPolicy, msr_names, names

NO = 0xFFFFFFFF


class Leaf(ctypes.Structure):
    """``struct xc_xend_cpuid``."""

    _fields_ = (("input", ctypes.c_uint32 * 2), ("policy", ctypes.c_char_p * 4))


class Msr(ctypes.Structure):
    """``struct xc_msr``."""

    _fields_ = (("index", ctypes.c_uint32), ("policy", ctypes.c_char * 65))


class Policy(ctypes.Structure):
    """``struct libxl__cpu_policy``."""

    _fields_ = (("cpuid", ctypes.POINTER(Leaf)), ("msr", ctypes.POINTER(Msr)))


def light():
    """libxenlight, or None."""
    try:
        return ctypes.CDLL("libxenlight.so.4.17")
    except OSError:
        return None


needs_light = needs_other("libxenlight.so.4.17", light(), "libxen-dev")


def real(settings_, lines=()):
    """Return codes and the resulting policy of the library."""
    lib, policy = light(), ctypes.POINTER(Policy)()
    codes = []
    for function, texts in ((lib.libxl_cpuid_parse_config, settings_), (lib.libxl_cpuid_parse_config_xend, lines)):
        function.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        codes += [function(ctypes.byref(policy), text.encode()) for text in texts]
    cpuid, msr = [], []
    if policy:
        at = 0
        while policy.contents.cpuid and policy.contents.cpuid[at].input[0] != NO:
            entry = policy.contents.cpuid[at]
            row = {"leaf": entry.input[0]} | ({} if entry.input[1] == NO else {"subleaf": entry.input[1]})
            texts = zip(("eax", "ebx", "ecx", "edx"), entry.policy, strict=True)
            cpuid.append(row | {name: text.decode() for name, text in texts if text is not None})
            at += 1
        at = 0
        while policy.contents.msr and policy.contents.msr[at].index != NO:
            entry = policy.contents.msr[at]
            msr.append({"index": entry.index, "policy": entry.policy.decode()})
            at += 1
    return codes, cpuid, msr


def ours(settings_, lines=()):
    """The same of ours."""
    policy = CpuidPolicy()
    codes = [policy.add(text) for text in settings_] + [policy.add_line(text) for text in lines]
    tree = policy.to_tree() or {"cpuid": [], "msr": []}
    return codes, tree["cpuid"], tree["msr"]


ROWS = [
    (["clwb=1"], [{"leaf": 7, "subleaf": 0, "ebx": "xxxxxxx1" + "x" * 24}]),
    (["sse3=2"], [{"leaf": 1, "ecx": "x" * 31 + "0"}]),
    (["sse3=1junk"], [{"leaf": 1, "ecx": "x" * 31 + "1"}]),
    (["sse3=k", "sse3=s"], [{"leaf": 1, "ecx": "x" * 31 + "s"}]),
    (["family=15"], [{"leaf": 1, "eax": "xxxx00000000xxxxxxxx1111xxxxxxxx"}]),
    (["family=16"], [{"leaf": 1, "eax": "xxxx00000001xxxxxxxx1111xxxxxxxx"}]),
    (["family=x"], [{"leaf": 1, "eax": "xxxx00000000xxxxxxxxxxxxxxxxxxxx"}]),
    (["model=0x3a"], [{"leaf": 1, "eax": "xxxxxxxxxxxx0011xxxxxxxx1010xxxx"}]),
    (["maxleaf=13"], [{"leaf": 0, "eax": format(13, "032b")}]),
    (["apicidsize=3"], [{"leaf": 0x80000008, "ecx": "x" * 16 + "0011" + "x" * 12}]),
    (["sse3=q"], [{"leaf": 1}]),
]


@pytest.mark.parametrize(("texts", "expected"), ROWS)
def test_flags(texts, expected):
    assert ours(texts)[1] == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [("sse3", 1), ("pcommit=1", 2), ("SSE3=1", 2), (" sse3=1", 2), ("=1", 2), ("sse3=", 3), ("rdcl-no=11", 3)],
)
def test_flag_errors(text, code):
    assert ours([text])[0] == [code]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("1:ecx=" + "x" * 32, 0),
        ("x:ecx=" + "x" * 32, 1),
        ("1,x:ecx=" + "x" * 32, 2),
        ("1", 3),
        ("1:eex=" + "x" * 32, 4),
        ("1:ecx", 4),
        ("1:ecx=" + "x" * 31, 5),
        ("7,0:", 0),
        ("1:ecxtra=" + "Q" * 32 + ", \n", 0),
    ],
)
def test_lines(line, code):
    assert ours([], [line])[0] == [code]


@needs_light
def test_every_name_lies_where_the_library_has_it():
    texts = [f"{name}=1" for name in (*names(), *msr_names())]
    assert len(texts) > 230
    for text, theirs in zip(texts, isolated(lambda: [real([one]) for one in texts]), strict=True):
        assert ours([text]) == theirs, text


@needs_light
def test_the_library_agrees_with_the_rows():
    for texts, expected in ROWS:
        assert isolated(real, texts)[1] == expected


LINES = st.builds(
    lambda leaf, registers, end: leaf + ",".join(registers) + end,
    st.sampled_from(
        ["1:", "0x80000001:", "7,0:", "0xd,1:", "x:", "", "1", "4294967295:", "1,4294967295:", "1,x:", "-1:"]
    ),
    st.lists(
        st.builds(
            "{}={}".format,
            st.sampled_from(["eax", "ebx", "ecx", "edx", "eex", "ecxx"]),
            st.sampled_from(["x" * 32, "01" * 16, "x" * 31, "x" * 33, "Q" * 32, ""]),
        ),
        max_size=3,
    ),
    st.sampled_from(["", "", ",", ", "]),
)


@needs_light
@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(
                st.builds(
                    "{}{}{}".format,
                    st.sampled_from(FEATURES),
                    st.sampled_from(["=", "=", "=", ""]),
                    st.sampled_from(FEATURE_VALUES),
                ),
                max_size=6,
            ),
            st.lists(LINES, max_size=3),
        ),
        min_size=5,
        max_size=10,
    )
)
def test_any_entries(rows):
    for row, theirs in zip(rows, isolated(lambda: [real(*one) for one in rows]), strict=True):
        assert ours(*row) == theirs, row


def test_older_names_come_first():
    assert names()["clflush"] == (1, None, "ebx", 8, 8), "the cache line size, not the feature"
    assert {name for name, *_ in FIELDS} <= set(names())
