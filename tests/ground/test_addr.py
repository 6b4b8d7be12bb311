"""Addresses, spans and sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlpy.addr import (
    GIB,
    KIB,
    LIMIT,
    MIB,
    PAGE,
    TIB,
    Gfn,
    Gpa,
    Mfn,
    Spa,
    Span,
    align_down,
    align_up,
    format_size,
    gfn_of,
    gpa_of,
    mfn_of,
    pages,
    parse_size,
    spa_of,
)
from xlpy.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        (4096, 4096),
        (" 4096 ", 4096),
        ("4_096", 4096),
        ("0x1000", 4096),
        ("0XFf", 255),
        ("7B", 7),
        ("4K", 4 * KIB),
        ("4k", 4 * KIB),
        ("4KiB", 4 * KIB),
        ("64M", 64 * MIB),
        ("1G", GIB),
        ("6T", 6 * TIB),
        ("1P", 1 << 50),
        ("18446744073709551615", LIMIT - 1),
        ("0xffffffffffffffff", LIMIT - 1),
        ("16777215T", 16777215 * TIB),
    ],
)
def test_parse_size(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", " ", "K", "x", "1.5G", "1 000", "4KB", "4MM", "1E", "0x", "0x1G", "-1", "-1K", "1G2", "1e3",
     "18446744073709551616", "16777216T", "9" * 5000],
)  # fmt: skip
def test_not_a_size(text):
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert caught.value.exit == 2
    assert caught.value.hint


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (1, "1"),
        (1023, "1023"),
        (1024, "1K"),
        (4100 * KIB, "4100K"),
        (64 * MIB, "64M"),
        (6 * TIB, "6T"),
        (1 << 60, "1024P"),
    ],
)
def test_format_size(size, text):
    assert format_size(size) == text


@given(st.integers(0, LIMIT - 1))
def test_format_is_exact(size):
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(("start", "size"), [(-1, 1), (0, -1), (LIMIT, 1), (LIMIT - 1, 2), (1, LIMIT)])
def test_a_span_does_not_wrap(start, size):
    with pytest.raises(ValueError, match="does not fit in 64 bits"):
        Span(start, size)


def test_the_last_span():
    assert Span(0, LIMIT).end == LIMIT
    assert Span(LIMIT, 0).size == 0


def test_a_span_is_a_value():
    one = Span(Spa(0x1000), 0x2000)
    assert one == Span.between(0x1000, 0x3000)
    assert hash(one) == hash(Span(0x1000, 0x2000))
    assert one != Span(0x1000, 0x1000)
    assert one != (0x1000, 0x2000)
    assert sorted([Span(2, 1), Span(1, 5), Span(1, 2)]) == [Span(1, 2), Span(1, 5), Span(2, 1)]
    assert (str(one), repr(one)) == ("[0x1000, 0x3000)", "Span(0x1000, 0x2000)")
    with pytest.raises(AttributeError, match="a span does not change"):
        one.start = 0
    with pytest.raises(ValueError):
        Span.between(2, 1)


#        0123456789
# ten      ======          [2, 8)
@pytest.mark.parametrize(
    ("other", "overlaps", "covers", "common"),
    [
        (Span(0, 2), False, False, None),  # ==          touches from below
        (Span(0, 3), True, False, Span(2, 1)),  # ===
        (Span(2, 6), True, True, Span(2, 6)),  #   ======    itself
        (Span(3, 2), True, True, Span(3, 2)),  #    ==       strictly inside
        (Span(0, 10), True, False, Span(2, 6)),  # ==========  strictly around
        (Span(7, 3), True, False, Span(7, 1)),  #        ===
        (Span(8, 2), False, False, None),  #         ==  touches from above
        (Span(4, 0), False, True, None),  #     .       empty
    ],
)
def test_overlap_cover_intersect(other, overlaps, covers, common):
    ten = Span(2, 6)
    assert (ten.overlaps(other), other.overlaps(ten)) == (overlaps, overlaps)
    assert ten.covers(other) == covers
    assert (ten.intersect(other), other.intersect(ten)) == (common, common)


def test_contains():
    assert [x in Span(2, 3) for x in range(7)] == [False, False, True, True, True, False, False]
    assert "2" not in Span(2, 3)


@pytest.mark.parametrize(
    ("span", "unit", "aligned"),
    [
        (Span(0, 0), PAGE, True),
        (Span(PAGE, PAGE), PAGE, True),
        (Span(PAGE, 1), PAGE, False),
        (Span(1, PAGE), PAGE, False),
        (Span(1, 1), 1, True),
    ],
)
def test_aligned(span, unit, aligned):
    assert span.aligned(unit) == aligned


@given(st.integers(0, LIMIT), st.sampled_from([1, 3, 64, PAGE, 2 * MIB, GIB]))
def test_align(value, unit):
    down, up = align_down(value, unit), align_up(value, unit)
    assert down <= value <= up
    assert up - down in (0, unit)
    assert down % unit == up % unit == 0


def test_pages():
    assert [pages(size) for size in (0, 1, PAGE, PAGE + 1)] == [0, 1, 1, 2]
    assert (mfn_of(Spa(0x440000FFF)), spa_of(Mfn(0x440000))) == (0x440000, 0x440000000)
    assert (gfn_of(Gpa(0xFC000FFF)), gpa_of(Gfn(0xFC000))) == (0xFC000, 0xFC000000)
