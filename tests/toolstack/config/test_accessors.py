"""libxlutil's accessors: what each takes, and with which errno it refuses."""

from __future__ import annotations

import errno

import pytest

from xlpy.toolstack.config.xlcfg import Unusable, leading_texts, parse, to_long

NUMBERS = [
    *(("5", 5), ("007", 7), ("0x1f", 31), ("0X1F", 31), ("-5", -5), (" \t+5", 5), ("\n8", 8), ("0", 0), ("-0", 0)),
    *(("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)), ("0" * 100 + "17", 15)),
    *(("", errno.EINVAL), ("abc", errno.EINVAL), ("5 ", errno.EINVAL), ("08", errno.EINVAL), ("0x", errno.EINVAL)),
    *(
        ("1.5", errno.EINVAL),
        ("--5", errno.EINVAL),
        ("0x-5", errno.EINVAL),
        ("true", errno.EINVAL),
        ("٣", errno.EINVAL),
    ),
    *(("9223372036854775808", errno.ERANGE), ("0xffffffffffffffff", errno.ERANGE), ("9" * 10_000, errno.ERANGE)),
    *(("99999999999999999999z", errno.ERANGE), ("-9223372036854775809 ", errno.ERANGE)),
]


@pytest.mark.parametrize(("text", "expected"), NUMBERS)
def test_numbers_are_what_strtol_reads(text, expected):
    if "errno" not in repr(expected) and expected not in (errno.EINVAL, errno.ERANGE):
        assert to_long(text) == expected
        return
    with pytest.raises(Unusable) as caught:
        to_long(text)
    assert caught.value.errno == expected


READ = parse(
    's = "a"\nn = 007\nl = ["a", ["b"], "c"]\nadded = 1\nadded += 2\nfresh += 3\nreset += 1\nreset = 4\n', "t.cfg"
)
REFUSALS = [
    ("string", "absent", errno.ESRCH, ""),
    ("integer", "absent", errno.ESRCH, ""),
    ("items", "absent", errno.ESRCH, ""),
    ("string", "l", errno.EINVAL, "l is a list but should be a single value"),
    ("integer", "l", errno.EINVAL, "l is a list but should be a single value"),
    ("items", "s", errno.EINVAL, "s is a single value but should be a list"),
    ("integer", "s", errno.EINVAL, "s: 'a' is not a valid number"),
    ("boolean", "s", errno.EINVAL, "s: 'a' is not a valid number"),
    ("integer", "added", errno.EINVAL, "added is a number, and += joins text; write = instead"),
    ("integer", "fresh", errno.EINVAL, "fresh is a number, and += joins text; write = instead"),
]


@pytest.mark.parametrize(("accessor", "key", "number", "message"), REFUSALS)
def test_refusals(accessor, key, number, message):
    with pytest.raises(Unusable) as caught:
        getattr(READ, accessor)(key)
    assert (caught.value.errno, caught.value.message) == (number, message)


def test_values():
    assert READ.string("n") == "007"
    assert READ.string("added") == "12"
    assert READ.integer("reset") == 4
    assert READ.boolean("n") is True
    assert READ.strings("l") == ["a"], "a C string list ends at the first nested list"
    assert leading_texts(READ.items("l")) == ["a"]


@pytest.mark.parametrize(
    ("low", "high", "fits"), [(0, 7, True), (7, 7, True), (8, 9, False), (0, 6, False), (9, 0, False)]
)
def test_bounds_are_inclusive(low, high, fits):
    if fits:
        assert READ.integer("n", low, high) == 7
    else:
        with pytest.raises(Unusable, match="smaller" if low > 7 else "greater"):
            READ.integer("n", low, high)
